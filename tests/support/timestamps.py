"""What tests ask of the timestamps of FLV tags."""

from collections.abc import Sequence
from itertools import pairwise

from relay.cli.measure import Gap
from relay.core import flv


def is_monotonic(tags: Sequence[flv.Tag]) -> bool:
    """No timestamp is below the one before it: give all tags, or one track's."""
    return all(a.timestamp <= b.timestamp for a, b in pairwise(tags))


def gaps(tags: Sequence[flv.Tag], longer_than: float) -> list[Gap]:
    """Where two frames of one track are more than `longer_than` seconds apart: freezes of a picture."""
    pairs = ((a.timestamp / 1000, b.timestamp / 1000) for a, b in pairwise(tags))
    return [Gap(a, b - a) for a, b in pairs if b - a > longer_than]
