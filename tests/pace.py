"""How many epochs take how long here: a study that is disturbed has to last as long on every machine."""

import functools
import time
from pathlib import Path

from difair_hpc import config
from difair_hpc.data.benchmarks import load
from difair_hpc.osr.methods import make_method
from difair_hpc.train.trainer import Point, Task, TrainState, fit, new_state

MEASURED = 3
"""Epochs that are trained to see what one takes, after one to warm up."""


def epochs_lasting(seconds: float) -> int:
    """Return how many epochs of DIFAIR on digits (`protocol=short`) keep one thread busy for so long in float32."""
    return round(seconds / _seconds_per_epoch())


class _Clock:
    """Takes the time of this thread alone, whatever else the machine does meanwhile, after each epoch."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def should_stop(self) -> bool:
        return len(self.moments) > MEASURED

    def progress(self, state: TrainState) -> None: ...

    def epoch_done(self, _: TrainState, point: Point) -> Point:
        self.moments.append(time.thread_time())
        return point


@functools.cache
def _seconds_per_epoch() -> float:
    run = config.run({"benchmark": "digits", "method": "difair", "protocol": "short"})
    data = load(run.benchmark, Path())
    task = Task(method=make_method(run.method, data.classes), protocol=run.protocol, data=data, seed=0)
    clock = _Clock()
    fit(new_state(task, run.network), task, clock)
    return min(after - before for before, after in zip(clock.moments, clock.moments[1:], strict=False))
