"""The training loop: an epoch at a time, interruptible between batches, repeatable to the bit.

Everything random is a function of (seed, epoch, step): nothing has to be carried over an interruption but the weights,
the momentum, the position and the loss summed so far.
"""

import functools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from difair_hpc.data.batches import batch_slices, derived_seed, epoch_order, generator, training_batch
from difair_hpc.data.sets import OpenSetData
from difair_hpc.data.transfer import sent
from difair_hpc.osr.losses import last_conv_spread
from difair_hpc.osr.method import Method
from difair_hpc.osr.rivals import ArplCs
from difair_hpc.osr.spec import NetworkSpec
from difair_hpc.osr.vgg32 import VGG32, NetworkOutput
from difair_hpc.train.confusing import Confusing
from difair_hpc.train.evaluate import evaluate
from difair_hpc.train.optimizer import Precision, make_optimizer, restore_optimizer
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
    optimizer: torch.optim.Optimizer
    scaler: GradScaler
    """Keeps float16's gradients away from 0 and infinity; without effect in another precision."""
    loss_sum: Tensor
    """Sum of the losses of the current epoch's images so far, those of a pass with generated images left out; a float64
    scalar on the training device."""
    confusing: Confusing | None = None
    """What generates images; None: the method has none."""
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
            **({"scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else {}),
            "loss_sum": self.loss_sum,
            "history": [{"epoch": p.epoch, "time": p.time, "metrics": p.metrics} for p in self.history],
            "evaluation": self.evaluation,
            "warnings": list(self.warnings),
            **({} if self.confusing is None else {"confusing": self.confusing.payload()}),
        }

    def restore(self, payload: Mapping[str, Any]) -> None:
        """Take over what `payload` returned in an earlier process."""
        self.network.load_state_dict(payload["network"])
        restore_optimizer(self.optimizer, payload["optimizer"])
        if "scaler" in payload:  # a run that goes on in float16 after another precision begins with a new scale
            self.scaler.load_state_dict(payload["scaler"])
        self.epoch, self.step = payload["epoch"], payload["step"]
        self.loss_sum = payload["loss_sum"].to(self.loss_sum.device)
        self.history = [Point(**point) for point in payload["history"]]
        self.evaluation = payload["evaluation"]
        self.warnings = list(payload["warnings"])
        if self.confusing is not None:
            self.confusing.restore(payload["confusing"])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Task:
    """What is trained: it does not change while a run goes on."""

    method: Method
    protocol: ProtocolSpec
    data: OpenSetData
    """On the device that trains."""
    seed: int
    precision: Precision = "float32"
    """Of the encoder's arithmetic in training; heads, losses, batch norm statistics and evaluation are float32. With
    float16 a step whose gradients overflow is passed over, weight decay and momentum included."""

    @property
    def parts(self) -> list[slice]:
        """The batches of one pass over the training images."""
        return batch_slices(len(self.data.train), self.protocol.batch_size)

    @property
    def passes(self) -> int:
        """Passes of an epoch: an ordinary one and, before it, one with generated images where the method has them."""
        return 2 if self.method.generated_images else 1

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.passes * len(self.parts)


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
    device, method = task.data.mean_C.device, task.method
    vgg32 = VGG32(
        channels=task.data.channels,
        classes=task.data.classes,
        features_per_class=method.features_per_class,
        points=method.points,
        auxiliary_norm=method.generated_images,
        spec=network,
        generator=generator(task.seed, "weights"),
    ).to(device)
    vgg32.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch declares it for tensors only
    return TrainState(
        network=vgg32,
        optimizer=make_optimizer(
            vgg32, task.protocol, points_rate=method.points_learning_rate, precision=task.precision
        ),
        scaler=GradScaler(device.type, enabled=task.precision == "float16"),
        loss_sum=torch.zeros((), dtype=torch.float64, device=device),
        confusing=Confusing.begin(method, task.data, seed=task.seed) if isinstance(method, ArplCs) else None,
    )


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
    images, parts = len(task.data.train), task.parts
    for index in range(state.step // len(parts), task.passes):
        order_B = epoch_order(images, seed=task.seed, epoch=state.epoch * task.passes + index)
        order_B = sent(order_B, state.loss_sum.device)
        for part in parts[state.step - index * len(parts) :]:
            if watch.should_stop():
                return False
            rate = learning_rate(task.protocol, epoch=state.epoch, step=state.step, steps=task.steps)
            _train_step(state, task, order_B[part], rate)
            state.step += 1
            watch.progress(state)
    return True


def _train_step(state: TrainState, task: Task, indices_B: Tensor, rate: float) -> None:
    images_BCHW, labels_B = training_batch(
        task.data,
        indices_B,
        augmentation=task.protocol.augmentation,
        flip=task.protocol.flip,
        crop_padding=task.protocol.crop_padding,
        generator=generator(task.seed, "augment", state.epoch, state.step),
    )
    torch.manual_seed(derived_seed(task.seed, "dropout", state.epoch, state.step))
    confusing = state.confusing if state.step < task.steps - len(task.parts) else None
    added: Tensor | float = 0.0
    if confusing is not None:
        classifier = functools.partial(_output, state, task, generated=True)
        noise = generator(task.seed, "noise", state.epoch, state.step)
        added = confusing.term(images_BCHW, classifier, state.network.head, noise=noise, scaler=state.scaler)
    loss = task.method.loss(_output(state, task, images_BCHW), labels_B, state.network.head) + added
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(state.scaler.scale(loss))
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if confusing is None:
        state.loss_sum += loss.detach().double() * len(labels_B)


def _output(state: TrainState, task: Task, images_BCHW: Tensor, *, generated: bool = False) -> NetworkOutput:
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    half = None if task.precision == "float32" else getattr(torch, task.precision)
    with torch.autocast(images_BCHW.device.type, half, enabled=half is not None):
        output: NetworkOutput = state.network(images_BCHW, generated=generated)
    return output


def _end_of_epoch(state: TrainState, task: Task) -> Point:
    loss, spread_K = _read(state, task.data)
    loss /= len(task.data.train)
    state.epoch, state.step = state.epoch + 1, 0
    state.loss_sum = torch.zeros_like(state.loss_sum)
    metrics = {"train_loss": loss, "learning_rate": float(state.optimizer.param_groups[0]["lr"])}
    names = [f"weight_spread.{name}" for name in task.data.class_names]
    metrics |= zip(names if spread_K else [], spread_K, strict=True)
    if math.isfinite(loss) and _evaluation_due(task.protocol, state.epoch):
        metrics |= _evaluated(state, task)
    return Point(epoch=state.epoch, time=time.time(), metrics=metrics)


@torch.no_grad()
def _read(state: TrainState, data: OpenSetData) -> tuple[float, list[float]]:
    """Return the sum of losses, NaN where the run has diverged, and each class's spread of weights (difair).

    All of it comes from the device in one copy: each would wait for the device anew.
    """
    floats = [tensor for tensor in state.network.state_dict().values() if tensor.is_floating_point()]
    largest = torch.nn.utils.get_total_norm(floats, math.inf)
    scale = state.scaler.scale(torch.ones_like(largest))
    last_conv = state.network.last_conv
    spread_K = () if last_conv is None else last_conv_spread(last_conv.weight, data.classes)
    numbers = torch.stack([number.double() for number in (state.loss_sum, largest, scale, *spread_K)])
    loss, weight, factor, *spread = numbers.cpu().tolist()
    # The last step may spoil the weights after its loss was taken. And gradients that overflow for good never reach
    # them: each such step is passed over and halves the scale, which is 65536 at first.
    return loss if math.isfinite(weight) and factor >= 1 else math.nan, spread


def _evaluation_due(protocol: ProtocolSpec, epoch: int) -> bool:
    return epoch % protocol.evaluation_epochs == 0 or epoch == protocol.epochs


def _evaluated(state: TrainState, task: Task) -> dict[str, float]:
    evaluation, warnings = evaluate(state.network, task.method, task.data)
    state.evaluation, state.warnings = evaluation.to_dict(), list(warnings)
    named = {"closed_set_accuracy": evaluation.closed_set_accuracy}
    if evaluation.occupancy is not None:
        named["occupancy"] = evaluation.occupancy
    return named | {f"auroc.{score}": value for score, value in evaluation.auroc.items()}
