"""How work grows with what a stranger sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_SMALL = 1 << 13
_FACTOR = 16
_Made = TypeVar("_Made")


def grows_linearly(make: Callable[[int], _Made], work: Callable[[_Made], object]) -> None:
    """Assert that sixteen times as much takes nowhere near 256 times as long.

    Both sizes are measured within one run, by the processor's time, and quick work
    is rounded up to half a millisecond: a busy machine does not make it fail.
    """
    small, large = make(_SMALL), make(_SMALL * _FACTOR)
    base = max(_quickest(small, work), 0.0005)
    assert _quickest(large, work) < base * _FACTOR * 4


def _quickest(given: _Made, work: Callable[[_Made], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work(given)
        best = min(best, time.process_time() - start)
        if best < 0.005:
            break
    return best
