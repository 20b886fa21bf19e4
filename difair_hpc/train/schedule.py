"""The learning rate at any moment: cosine cycles with warm restarts and one warm-up (section A.2; Vaze et al.'s code).

Vaze's scheduler is stepped after each epoch, so an epoch trains at the value that the formula gives for the epoch
before it, and the first epoch at the floor. `schedule_unit="epoch"` repeats that to the digit.
"""

import math

from difair_hpc.train.spec import ProtocolSpec


def learning_rate(protocol: ProtocolSpec, *, epoch: int, step: int = 0, steps: int = 1) -> float:
    """Return the learning rate of one step.

    Args:
        protocol: Peak, cycles, warm-up and unit of the schedule.
        epoch: Finished epochs, from 0.
        step: Finished steps of this epoch; only read when the schedule changes with every batch.
        steps: Steps per epoch.
    """
    if protocol.schedule_unit == "batch":
        moment = epoch + step / steps
        return _continuous(protocol, moment, warmed_up=moment / max(protocol.warmup, 1e-9))
    if epoch == 0:
        return _start(protocol)
    return _continuous(protocol, epoch - 1, warmed_up=epoch / max(protocol.warmup, 1e-9))


def _continuous(protocol: ProtocolSpec, moment: float, *, warmed_up: float) -> float:
    if moment < protocol.warmup:
        start, target = _start(protocol), _cosine(protocol, protocol.warmup)
        return start + (target - start) * warmed_up
    return _cosine(protocol, moment)


def _cosine(protocol: ProtocolSpec, moment: float) -> float:
    period = protocol.epochs / protocol.cycles
    floor = _start(protocol) * (protocol.learning_rate if protocol.schedule_floor == "squared" else 1.0)
    phase = math.fmod(moment, period) / period
    return floor + (protocol.learning_rate - floor) * (1 + math.cos(math.pi * phase)) / 2


def _start(protocol: ProtocolSpec) -> float:
    return protocol.learning_rate * 1e-3
