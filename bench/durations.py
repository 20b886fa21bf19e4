"""How long the 40 trials sleep, and how fast any scheduler of their kind could be. Pure.

A bounded Pareto distribution with shape 1: most trials are short and a few hold up whoever waits for them, as in a
search over settings that differ in cost, or on nodes that differ in speed.
"""

import heapq
import random
from collections.abc import Sequence

TRIALS = 40
SLOTS = 8
"""GPU slots of the testbed."""
SHORTEST, LONGEST = 5.0, 60.0
"""Bounds of a duration, in seconds."""
_SHAPE = 1.0
_SEED = 0


def durations() -> list[float]:
    """Return the seconds that each trial sleeps, by its number; the same list on every machine."""
    draw = random.Random(_SEED).random
    kept = 1.0 - (SHORTEST / LONGEST) ** _SHAPE
    return [round(SHORTEST / (1.0 - draw() * kept) ** (1.0 / _SHAPE), 1) for _ in range(TRIALS)]


def list_schedule(seconds: Sequence[float], slots: int) -> float:
    """Return when the last trial ends if each, in order, starts the moment that a slot is free (Graham, 1966)."""
    ends = [0.0] * slots
    for duration in seconds:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def lower_bound(seconds: Sequence[float], slots: int) -> float:
    """Return what no order of the trials can beat: all slots busy throughout, or the longest trial."""
    return max(sum(seconds) / slots, *seconds)
