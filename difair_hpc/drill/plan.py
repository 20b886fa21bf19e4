"""Which faults a drill injects, drawn from a seed so that it can be repeated. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MAX_PAUSE = 0.5
"""Longest wait, seconds, between a recovery and the next fault: faults shall hit any moment of an epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault of the plan."""

    number: int
    """From 1, in the order in which they are injected."""
    kind: str
    """One of drill/kinds.py."""
    target: float
    """Which of the runs at work is hit, 0 to below 1."""
    place: float
    """Where a file is damaged, 0 to below 1 of its end that counts."""
    live: bool
    """Whether a file is damaged while its writer works; else that one is killed first."""
    pause: float
    """Seconds to wait before it."""


def drawn(weights: Mapping[str, int], count: int, seed: int) -> tuple[Fault, ...]:
    """Return `count` faults: each kind once in random order, then in rounds in which a kind comes `weight` times."""
    generator = np.random.default_rng(seed)
    kinds: list[str] = []
    deck = list(weights)
    while len(kinds) < count:
        kinds += [deck[place] for place in generator.permutation(len(deck))]
        deck = [kind for kind, weight in weights.items() for _ in range(weight)]
    return tuple(
        Fault(
            number=number,
            kind=kind,
            target=float(generator.random()),
            place=float(generator.random()),
            live=bool(generator.integers(2)),
            pause=float(generator.uniform(0.0, MAX_PAUSE)),
        )
        for number, kind in enumerate(kinds[:count], start=1)
    )
