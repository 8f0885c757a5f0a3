"""A mark for what is compiled where it is called."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Machine code has no call of it: what is known where it is called, a distance say, makes its loops faster."""
    function.inlined = True  # type: ignore[attr-defined]
    return function
