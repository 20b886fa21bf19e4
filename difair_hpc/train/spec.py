"""The training protocol as plain values (no torch): the part of a run that train/ reads."""

from dataclasses import dataclass
from typing import Literal

from difair_hpc.data.spec import Augmentation, AugmentName
from difair_hpc.errors import InvalidValue


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolSpec:
    """How a network is trained (section A.2): SGD with momentum under a cosine schedule with warm restarts."""

    epochs: int = 600
    """Passes over the training images."""
    cycles: int = 3
    """Cosine cycles of equal length: 3 over 600 epochs restart at 200 and 400."""
    warmup_epochs: float | None = 10.0
    """Epochs of linear warm-up, at the start of the first cycle only; None: a sixtieth of all epochs, as 10 of 600."""
    batch_size: int = 128
    """Images per step; the last, smaller batch of an epoch is used too."""
    learning_rate: float = 0.1
    """Peak of the schedule; the paper takes 0.01 for Tiny ImageNet."""
    schedule_unit: Literal["epoch", "batch"] = "epoch"
    """Change the rate between epochs (Vaze, the paper) or with every batch (needed where epochs are few)."""
    schedule_floor: Literal["linear", "squared"] = "linear"
    """Lowest learning rate: 1e-3 of the peak (Vaze), or 1e-3 of its square (the paper's later code)."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum (the paper), or Adam (Vaze et al. on Tiny ImageNet, without weight decay)."""
    momentum: float = 0.9
    """Of SGD, without Nesterov."""
    weight_decay: float = 1e-4
    """Applied to every parameter, those of batch norm included."""
    weight_decay_form: Literal["decoupled", "coupled"] = "decoupled"
    """Shrink weights by learning_rate * weight_decay (Keras 2.12) or add weight_decay * w to the gradient (PyTorch)."""
    flip: bool = True
    """Mirror images horizontally with probability 1/2; off where images are digits."""
    crop_padding: int = 4
    """Zero padding in pixels on each side before the random crop back to full size."""
    augment: AugmentName = "none"
    """Before crop and flip: the paper takes contrast_brightness for MNIST and randaugment (TensorFlow) elsewhere;
    randaugment_vaze is the form of Vaze et al."""
    augment_operations: int = 1
    """RandAugment's N."""
    augment_magnitude: float = 0.0
    """RandAugment's M: its strength is M/10 of TensorFlow's ranges, or M/30 of Vaze's with randaugment_vaze."""
    augment_exclude: tuple[str, ...] = ()
    """RandAugment operations that are left out, such as [Rotate, TranslateX, TranslateY] for house numbers."""
    evaluate_every: int | None = None
    """Epochs between evaluations while training; None: a tenth of all epochs. The last epoch is always evaluated."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        for key in ("epochs", "cycles", "batch_size"):
            if getattr(self, key) < 1:
                raise InvalidValue(f"protocol.{key}", getattr(self, key), "a whole number of at least 1")
        for key in ("crop_padding", "momentum", "weight_decay"):
            if getattr(self, key) < 0:
                raise InvalidValue(f"protocol.{key}", getattr(self, key), "0 or more")
        if not self.learning_rate > 0:
            raise InvalidValue("protocol.learning_rate", self.learning_rate, "a number above 0")
        if self.momentum >= 1:
            raise InvalidValue("protocol.momentum", self.momentum, "a number below 1")
        if not 0 <= self.warmup < self.epochs:
            raise InvalidValue("protocol.warmup_epochs", self.warmup_epochs, f"null or fewer than epochs={self.epochs}")
        if self.evaluate_every is not None and self.evaluate_every < 1:
            raise InvalidValue("protocol.evaluate_every", self.evaluate_every, "null or a whole number of at least 1")
        _ = self.augmentation  # which refuses what it cannot do

    @property
    def augmentation(self) -> Augmentation:
        """The four augment fields in one value."""
        return Augmentation(
            name=self.augment,
            operations=self.augment_operations,
            magnitude=self.augment_magnitude,
            exclude=self.augment_exclude,
        )

    @property
    def evaluation_epochs(self) -> int:
        """Epochs between evaluations, resolved."""
        return self.evaluate_every or max(1, self.epochs // 10)

    @property
    def warmup(self) -> float:
        """Epochs of warm-up, resolved."""
        return self.epochs / 60 if self.warmup_epochs is None else self.warmup_epochs
