"""A few real digits, and a training so short that a test can repeat it at every position."""

import functools
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from difair_hpc.data.benchmarks import load
from difair_hpc.data.sets import ImageSet, OpenSetData
from difair_hpc.data.spec import BenchmarkSpec
from difair_hpc.osr.methods import make_method
from difair_hpc.osr.spec import DifairSpec, MethodSpec, NetworkSpec
from difair_hpc.train.spec import ProtocolSpec
from difair_hpc.train.trainer import Ending, Point, Task, TrainState, fit, new_state

STEPS = 3
"""Batches of 16, 16 and 8 images per epoch."""


def first(images: ImageSet, count: int) -> ImageSet:
    """Return the first images of a set."""
    return ImageSet(images_BCHW=images.images_BCHW[:count], labels_B=images.labels_B[:count])


@functools.cache
def tiny_data() -> OpenSetData:
    """Return 40 training, 24 known and 24 unknown digits of 8 x 8 pixels; six known classes."""
    data = load(BenchmarkSpec(name="digits", image_size=8), Path("no-such-folder"))
    return replace(data, train=first(data.train, 40), known=first(data.known, 24), unknown=first(data.unknown, 24))


def protocol(**changes: Any) -> ProtocolSpec:
    """Return two epochs of three steps, unless changed."""
    values = {"epochs": 2, "cycles": 1, "warmup_epochs": 0.0, "batch_size": 16, "schedule_unit": "batch"}
    return ProtocolSpec(**{**values, "flip": False, "crop_padding": 1, **changes})


def task(method: MethodSpec | None = None, *, seed: int = 0, **changes: Any) -> Task:
    """Return the training of one method on the tiny data; `changes` are fields of the protocol."""
    data = tiny_data()
    spec = method or DifairSpec()
    return Task(method=make_method(spec, data.classes), protocol=protocol(**changes), data=data, seed=seed)


class Watcher:
    """Lets `batches` batches pass, then asks to stop; remembers the points."""

    def __init__(self, batches: int | None = None, on_batch: Callable[[TrainState], None] = lambda _: None) -> None:
        self.left = batches
        self.on_batch = on_batch
        self.points: list[Point] = []

    def should_stop(self) -> bool:
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0

    def progress(self, state: TrainState) -> None:
        self.on_batch(state)

    def epoch_done(self, state: TrainState, point: Point) -> Point:
        self.points.append(point)
        return point


def trained(work: Task, *, batches: int | None = None) -> tuple[TrainState, Ending]:
    """Train from the beginning, up to a number of batches."""
    state = new_state(work, NetworkSpec())
    return state, fit(state, work, Watcher(batches))


def through_a_file(state: TrainState) -> dict[str, Any]:
    """Return the state's payload as another process would read it."""
    buffer = io.BytesIO()
    torch.save(state.payload(), buffer)
    buffer.seek(0)
    payload: dict[str, Any] = torch.load(buffer, weights_only=True)
    return payload


def same_weights(one: TrainState, other: TrainState) -> bool:
    """Whether two networks are equal to the bit, running statistics included."""
    mine, theirs = one.network.state_dict(), other.network.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def outcome(state: TrainState) -> tuple[Any, ...]:
    """Return all that a run reports, without the clock."""
    return [(point.epoch, point.metrics) for point in state.history], state.evaluation, state.warnings
