"""One target under atheris: `python -m tests.fuzz.guided TARGET CORPUS... -libfuzzer_option...`; it ends by itself."""

import sys

import atheris

with atheris.instrument_imports(include=["relay"]):
    from tests.fuzz.runs import quieten
    from tests.fuzz.targets import TARGETS


def main() -> None:
    quieten()
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
