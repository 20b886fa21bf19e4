"""How many epochs take how long here: a study that is disturbed has to last as long on every machine."""

import functools
import time
from itertools import pairwise
from pathlib import Path

from difair_hpc import config
from difair_hpc.data.benchmarks import load
from difair_hpc.osr.methods import make_method
from difair_hpc.train.trainer import Task, fit, new_state
from tests.train.tiny import Watcher

MEASURED = 3
"""Epochs that are trained to see what one takes, after one to warm up."""


def epochs_lasting(seconds: float) -> int:
    """Return how many epochs of DIFAIR on digits (`protocol=short`) keep one thread busy for so long in float32."""
    return round(seconds / _seconds_per_epoch())


@functools.cache
def _seconds_per_epoch() -> float:
    run = config.run({"benchmark": "digits", "method": "difair", "protocol": "short"})
    data = load(run.benchmark, Path())
    task = Task(method=make_method(run.method, data.classes), protocol=run.protocol, data=data, seed=0)
    moments: list[float] = []  # of this thread's time alone, whatever else the machine does meanwhile
    watcher = Watcher((1 + MEASURED) * task.steps, on_batch=lambda _: moments.append(time.thread_time()))
    fit(new_state(task, run.network), task, watcher)
    return min(after - before for before, after in pairwise(moments[task.steps - 1 :: task.steps]))
