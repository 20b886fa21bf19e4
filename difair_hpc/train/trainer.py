"""The training loop: an epoch at a time, interruptible between batches, repeatable to the bit.

Everything random is a function of (seed, epoch, step): nothing has to be carried over an interruption but the weights,
the momentum, the position and the loss summed so far.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from difair_hpc.data.batches import batch_slices, derived_seed, epoch_order, generator, training_batch
from difair_hpc.data.sets import OpenSetData
from difair_hpc.osr.losses import last_conv_spread
from difair_hpc.osr.methods import Method
from difair_hpc.osr.spec import NetworkSpec
from difair_hpc.osr.vgg32 import VGG32
from difair_hpc.train.evaluate import evaluate
from difair_hpc.train.schedule import learning_rate
from difair_hpc.train.spec import ProtocolSpec

Ending = Literal["finished", "stopped", "diverged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What is known at the end of one epoch."""

    epoch: int
    """Finished epochs, from 1."""
    time: float
    """Seconds since 1970 when the epoch ended; the identity of the point in MLflow."""
    metrics: dict[str, float]
    """Name to value; the same names for every method where they exist."""


@dataclass(kw_only=True, slots=True)
class TrainState:
    """All that a checkpoint holds: a run that is loaded from it continues as if nothing had happened."""

    network: VGG32
    optimizer: torch.optim.SGD
    loss_sum: Tensor
    """Sum of the losses of the current epoch's images so far, a float64 scalar on the training device."""
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the current epoch."""
    history: list[Point] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "history": [{"epoch": p.epoch, "time": p.time, "metrics": p.metrics} for p in self.history],
            "evaluation": self.evaluation,
            "warnings": list(self.warnings),
        }

    def restore(self, payload: Mapping[str, Any]) -> None:
        """Take over what `payload` returned in an earlier process."""
        self.network.load_state_dict(payload["network"])
        self.optimizer.load_state_dict(payload["optimizer"])
        self.epoch, self.step = payload["epoch"], payload["step"]
        self.loss_sum = payload["loss_sum"].to(self.loss_sum.device)
        self.history = [Point(**point) for point in payload["history"]]
        self.evaluation = payload["evaluation"]
        self.warnings = list(payload["warnings"])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """What is trained: it does not change while a run goes on."""

    method: Method
    protocol: ProtocolSpec
    data: OpenSetData
    """On the device that trains."""
    seed: int


class Watch(Protocol):
    """What the loop asks and tells while it runs; the run folder stands behind it."""

    def should_stop(self) -> bool:
        """Return whether to save and leave now; asked before every batch."""

    def progress(self, state: TrainState) -> None:
        """Take note of the position; called after every batch, so it must be cheap."""

    def epoch_done(self, state: TrainState, point: Point) -> Point:
        """Take note of a finished epoch, save where a checkpoint is due; return the point that goes on record."""


def new_state(task: Task, network: NetworkSpec) -> TrainState:
    """Return an untrained network and its optimizer on the data's device, initialised from the seed alone."""
    device = task.data.mean_C.device
    vgg32 = VGG32(
        channels=task.data.channels,
        classes=task.data.classes,
        features_per_class=task.method.features_per_class,
        spec=network,
        generator=generator(task.seed, "weights"),
    ).to(device)
    coupled = task.protocol.weight_decay_form == "coupled"
    optimizer = torch.optim.SGD(
        vgg32.parameters(),
        lr=task.protocol.learning_rate,
        momentum=task.protocol.momentum,
        weight_decay=task.protocol.weight_decay if coupled else 0.0,
    )
    return TrainState(network=vgg32, optimizer=optimizer, loss_sum=torch.zeros((), dtype=torch.float64, device=device))


def fit(state: TrainState, task: Task, watch: Watch) -> Ending:
    """Train until the last epoch, a stop, or a loss that is no number; `state` is changed in place."""
    state.network.train()
    while state.epoch < task.protocol.epochs:
        if not _train_epoch(state, task, watch):
            return "stopped"
        point = _end_of_epoch(state, task)
        state.history.append(point)
        state.history[-1] = watch.epoch_done(state, point)
        if not math.isfinite(point.metrics["train_loss"]):
            return "diverged"
    return "finished"


def _train_epoch(state: TrainState, task: Task, watch: Watch) -> bool:
    order_B = epoch_order(len(task.data.train), seed=task.seed, epoch=state.epoch).to(state.loss_sum.device)
    parts = batch_slices(len(task.data.train), task.protocol.batch_size)
    for part in parts[state.step :]:
        if watch.should_stop():
            return False
        rate = learning_rate(task.protocol, epoch=state.epoch, step=state.step, steps=len(parts))
        _train_step(state, task, order_B[part], rate)
        state.step += 1
        watch.progress(state)
    return True


def _train_step(state: TrainState, task: Task, indices_B: Tensor, rate: float) -> None:
    images_BCHW, labels_B = training_batch(
        task.data,
        indices_B,
        flip=task.protocol.flip,
        crop_padding=task.protocol.crop_padding,
        generator=generator(task.seed, "augment", state.epoch, state.step),
    )
    torch.manual_seed(derived_seed(task.seed, "dropout", state.epoch, state.step))
    loss = task.method.loss(state.network(images_BCHW), labels_B, state.network.last_conv_weight)
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    if task.protocol.weight_decay_form == "decoupled":
        _shrink(state.network, rate * task.protocol.weight_decay)
    state.optimizer.step()
    state.loss_sum += loss.detach().double() * len(labels_B)


def _end_of_epoch(state: TrainState, task: Task) -> Point:
    # The last step may spoil the weights after its loss was taken: then the loss from here on is no number.
    loss = float(state.loss_sum) / len(task.data.train) if _is_finite(state.network) else math.nan
    state.epoch, state.step = state.epoch + 1, 0
    state.loss_sum = torch.zeros_like(state.loss_sum)
    metrics = {"train_loss": loss, "learning_rate": float(state.optimizer.param_groups[0]["lr"])}
    metrics |= _spread(state.network, task.data)
    if math.isfinite(loss) and _evaluation_due(task.protocol, state.epoch):
        metrics |= _evaluated(state, task)
    return Point(epoch=state.epoch, time=time.time(), metrics=metrics)


def _is_finite(network: VGG32) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values())


@torch.no_grad()
def _shrink(network: VGG32, share: float) -> None:
    for parameter in network.parameters():
        parameter.mul_(1 - share)


def _evaluation_due(protocol: ProtocolSpec, epoch: int) -> bool:
    every = protocol.evaluate_every or max(1, protocol.epochs // 10)
    return epoch % every == 0 or epoch == protocol.epochs


def _evaluated(state: TrainState, task: Task) -> dict[str, float]:
    evaluation, warnings = evaluate(state.network, task.method, task.data)
    state.evaluation, state.warnings = evaluation.to_dict(), list(warnings)
    named = {"closed_set_accuracy": evaluation.closed_set_accuracy}
    if evaluation.occupancy is not None:
        named["occupancy"] = evaluation.occupancy
    return named | {f"auroc.{score}": value for score, value in evaluation.auroc.items()}


@torch.no_grad()
def _spread(network: VGG32, data: OpenSetData) -> dict[str, float]:
    weight = network.last_conv_weight
    if weight is None:
        return {}
    spread_K = last_conv_spread(weight, data.classes).tolist()
    return {f"weight_spread.{name}": value for name, value in zip(data.class_names, spread_K, strict=True)}
