"""What a process and its descendants have cost: CPU time and resident memory, as /proc tells (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat, counted from the state, which follows the name in parentheses.
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM, _RESIDENT = 1, 11, 12, 13, 14, 21


@dataclass(frozen=True, slots=True)
class Usage:
    cpu: float
    """Seconds of user and system time since each process began, those of ended children included."""
    resident: int
    """Bytes."""
    processes: int


def usage(root: int, proc: Path = Path("/proc")) -> Usage:
    """Of `root` and its descendants. `ProcessLookupError` where there is no such process."""
    fields = _read_all(proc)
    if root not in fields:
        raise ProcessLookupError(root)
    family = _family(root, fields)
    ticks = sum(
        int(fields[pid][column]) for pid in family for column in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM)
    )
    return Usage(ticks * _TICK, sum(int(fields[pid][_RESIDENT]) for pid in family) * _PAGE, len(family))


def _read_all(proc: Path) -> dict[int, list[str]]:
    fields = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it has ended
                continue
            fields[int(entry.name)] = text.rpartition(")")[2].split()
    return fields


def _family(root: int, fields: dict[int, list[str]]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, values in fields.items():
        children.setdefault(int(values[_PARENT]), []).append(pid)
    family = [root]
    for pid in family:
        family += children.get(pid, [])
    return family
