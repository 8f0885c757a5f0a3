"""One target under atheris: `python -m tests.fuzz.guided TARGET CORPUS... -libfuzzer_option...`; it ends by itself."""

import signal
import sys
from types import FrameType

import atheris

with atheris.instrument_imports(include=["relay"]):
    from tests.fuzz.runs import MAX_SECONDS, quieten
    from tests.fuzz.targets import TARGETS


def main() -> None:
    quieten()
    target = TARGETS[sys.argv[1]]

    def run(data: bytes) -> None:
        # libFuzzer's own -timeout is of wall time: on a busy machine it finds what is none.
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        try:
            target(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    signal.signal(signal.SIGPROF, _too_long)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()


def _too_long(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"more than {MAX_SECONDS:.0f} s of processor")


if __name__ == "__main__":
    main()
