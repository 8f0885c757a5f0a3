"""The long run: `python -m tests.fuzz TARGET... --seconds N --jobs M`, TARGETs of the table's names, or `all`.

With atheris (`pip install atheris`) it is guided by coverage, else it mutates the corpus. Findings and grown corpora
go to $RELAY_FUZZ_FOLDER, /tmp/relay-fuzz if not set; `--replay FILE` runs one input.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz import runs
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="+", metavar="TARGET", choices=[*TARGETS, "all"], help="or `all`")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each target (default: 600)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=["auto", "atheris", "mutation"], default="auto")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run this one input and show what it raises")
    arguments = parser.parse_args()
    names = list(TARGETS) if "all" in arguments.targets else arguments.targets
    if arguments.replay is not None:
        runs.quieten()
        for name in names:
            TARGETS[name](arguments.replay.read_bytes())
        return 0
    guided = arguments.engine == "atheris" or (arguments.engine == "auto" and runs.has_atheris())
    found = 0
    # A process for each: what one takes of memory and processor is its own.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=fresh, max_tasks_per_child=1) as pool:
        reports = [pool.submit(runs.long_run, name, guided, arguments.seconds, arguments.seed) for name in names]
        for done, report in enumerate(as_completed(reports), 1):
            found += len(report.result().findings)
            print(f"[{done}/{len(names)}] {report.result()}", flush=True)  # noqa: T201 - a command's output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
