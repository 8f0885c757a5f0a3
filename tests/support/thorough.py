"""Cases that only the whole run tries: more hours, seeds and sizes of what `tests/run quick` tries with others."""

from typing import Any

import pytest

thorough = pytest.mark.thorough


def also(*cases: Any) -> list[Any]:
    """For `parametrize`, after the cases of each run; a case of several values is a tuple."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=thorough) for case in cases]
