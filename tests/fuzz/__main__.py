"""The long run: `python -m tests.fuzz TARGET --seconds N`, TARGET one of the table's names or `all`.

With atheris (`pip install atheris`) it is guided by coverage, else it mutates the corpus. Findings and grown corpora
go to $RELAY_FUZZ_FOLDER, /tmp/relay-fuzz if not set; `--replay FILE` runs one input.
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz import runs
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=600.0, help="for each target (default: 600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=["auto", "atheris", "mutation"], default="auto")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run this one input and show what it raises")
    arguments = parser.parse_args()
    runs.quieten()
    targets = list(TARGETS.values()) if arguments.target == "all" else [TARGETS[arguments.target]]
    if arguments.replay is not None:
        for target in targets:
            target(arguments.replay.read_bytes())
        return 0
    guided = arguments.engine == "atheris" or (arguments.engine == "auto" and runs.has_atheris())
    run = runs.atheris_run if guided else runs.mutation_run
    found = 0
    for target in targets:
        report = run(target, arguments.seconds, arguments.seed, runs.work_folder())
        found += len(report.findings)
        print(report, flush=True)  # noqa: T201 - a command's output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
