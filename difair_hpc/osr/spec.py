"""What a method and its network are made of, as plain values (no torch): the part of a run that osr/ reads."""

import math
from dataclasses import dataclass
from typing import Literal

from difair_hpc.errors import InvalidValue


def anchor_distance(*, features_per_class: int, alpha: float) -> float:
    """Distance between any two anchors: 2N features differ by alpha, so sqrt(2 N) alpha (appendix C)."""
    return math.sqrt(2 * features_per_class) * alpha


def _positive(key: str, value: float) -> None:
    if not value > 0:
        raise InvalidValue(key, value, "a number above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossEntropySpec:
    """Softmax cross-entropy on logits: the paper's baseline (section 4)."""

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = 0.0
    """Share of the target spread evenly over the other classes; the paper none, Vaze et al. 0.9 on Tiny ImageNet."""

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing for the true class."""
        if not 0 <= self.label_smoothing < 1:
            raise InvalidValue("method.label_smoothing", self.label_smoothing, "a number from 0 to below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class CacSpec:
    """Class Anchor Clustering (Miller et al. 2021) on the logits."""

    name: Literal["cac"] = "cac"
    alpha: float = 10.0
    """Length of each anchor alpha * e_c in logit space; 10 in the paper (A.2)."""
    anchor_weight: float = 0.1
    """Weight (lambda) of the anchor term beside the tuplet term; 0.1 in the authors' repository."""
    variant: Literal["published", "difair_code"] = "published"
    """As CAC was published, or as in DIFAIR's public code: its tuplet sums over all classes, the true one included, and
    its softmin runs over all images and classes at once, which makes the score the distance to the nearest centre."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        _positive("method.alpha", self.alpha)
        if self.anchor_weight < 0:
            raise InvalidValue("method.anchor_weight", self.anchor_weight, "a number of at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class DifairSpec:
    """DIFAIR (section 3.2): a hypersphere around one fixed anchor per class in feature space."""

    name: Literal["difair", "difair_std"] = "difair"
    alpha: float = 10.0
    """Value of an anchor on the features of its own class (Eq. 1); the paper chose 10."""
    radius_coefficient: float = 0.4
    """Radius of the hypersphere over the distance between two anchors; the paper chose 0.4."""
    features_per_class: int = 5
    """Features (N) that belong to each class; the paper chose 5."""
    allow_overlap: bool = False
    """Permit radius_coefficient >= 0.5, where hyperspheres overlap and the paper saw no convergence (C)."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning, and overlapping hyperspheres unless they are asked for."""
        _positive("method.alpha", self.alpha)
        _positive("method.radius_coefficient", self.radius_coefficient)
        if self.features_per_class < 1:
            raise InvalidValue("method.features_per_class", self.features_per_class, "a whole number of at least 1")
        if self.radius_coefficient >= 0.5 and not self.allow_overlap:
            raise InvalidValue(
                "method.radius_coefficient",
                self.radius_coefficient,
                "a number below 0.5 (from there on the hyperspheres of two classes overlap)",
                advice="Set method.allow_overlap=true to train it all the same.",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DifairStdSpec(DifairSpec):
    """DIFAIR-std (appendix E.1): DIFAIR and a loss that keeps the weights of one class apart."""

    name: Literal["difair_std"] = "difair_std"
    spread_weight: float = 2.0
    """Factor before the exponential in Eq. 3."""
    spread_rate: float = 3.0
    """Rate inside the exponential in Eq. 3 (positive; the minus sign is in the formula)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArplSpec:
    """Adversarial Reciprocal Points Learning (Chen et al. 2021): a class is what lies far from its reciprocal point."""

    name: Literal["arpl", "arpl_cs"] = "arpl"
    margin_weight: float = 0.1
    """Weight of the open-space term max(0, distance to the own point - radius + 1); 0.1 in the authors' code."""

    def __post_init__(self) -> None:
        """Refuse a weight that would reward open space."""
        if self.margin_weight < 0:
            raise InvalidValue("method.margin_weight", self.margin_weight, "a number of at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArplCsSpec(ArplSpec):
    """ARPL with confusing samples (Chen et al. 2021): generated images that should resemble no class more than another.

    The defaults are those of the authors' code for every data set.
    """

    name: Literal["arpl_cs"] = "arpl_cs"
    beta: float = 0.1
    """Weight of the generated images' term, in the loss of the classifier as in that of the generator."""
    noise: int = 100
    """Normal random numbers that an image is generated from."""
    gan_learning_rate: float = 2e-4
    """Of generator and discriminator: Adam with betas 0.5 and 0.999, the same in all epochs."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        ArplSpec.__post_init__(self)
        if self.beta < 0:
            raise InvalidValue("method.beta", self.beta, "a number of at least 0")
        if self.noise < 1:
            raise InvalidValue("method.noise", self.noise, "a whole number of at least 1")
        _positive("method.gan_learning_rate", self.gan_learning_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class DchsSpec:
    """Deep compact hyperspheres (Cevikalp et al. 2023) without the outside images of the published results."""

    name: Literal["dchs"] = "dchs"
    margin: float = 48.0
    """Squared distance by which the own centre must be nearer than any other; the authors' later code."""
    centre_learning_rate: float = 0.5
    """Peak learning rate of the centres, which have neither momentum nor decay; the authors' later code."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        _positive("method.margin", self.margin)
        _positive("method.centre_learning_rate", self.centre_learning_rate)


MethodSpec = CrossEntropySpec | CacSpec | DifairSpec | DifairStdSpec | ArplSpec | ArplCsSpec | DchsSpec

METHOD_SPECS: dict[str, type[MethodSpec]] = {
    "cross_entropy": CrossEntropySpec,
    "cac": CacSpec,
    "difair": DifairSpec,
    "difair_std": DifairStdSpec,
    "arpl": ArplSpec,
    "arpl_cs": ArplCsSpec,
    "dchs": DchsSpec,
}

OWN_SCORES: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("msp", "mos", "celr"),
    "cac": ("cac", "mos"),
    "difair": ("distance", "mos"),
    "difair_std": ("distance", "mos"),
    "arpl": ("arpl",),
    "arpl_cs": ("arpl",),
    "dchs": ("dchs",),
}
"""Scores that belong to a method, its own first; further ones come with osr/evaluation.py."""

RELATIVE_TIME = {"arpl_cs": 6.2}
"""Times of a training over that of ordinary methods, by operation counts at 32 pixels; 1 where a method is absent."""


def measured(method: str) -> tuple[str, ...]:
    """Return what a training with the method is worth on known images alone, which is all that a search may look at."""
    spheres = ("occupancy",) if issubclass(METHOD_SPECS[method], DifairSpec) else ()
    return ("closed_set_accuracy", *spheres)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSpec:
    """The settings of VGG32 that the paper leaves open (A.1); the defaults are what Keras does."""

    dropout: Literal["element", "channel"] = "element"
    """Drop single values (paper's text, Keras) or whole channels (Neal, Vaze)."""
    dropout_rate: float = 0.2
    """Share dropped at the beginning of each encoder block (A.1)."""
    batch_norm_momentum: float = 0.01
    """Weight of the newest batch in the running statistics: Keras' .99 is 0.01 here, PyTorch's default 0.1."""
    batch_norm_epsilon: float = 1e-3
    """Added to the variance: Keras 1e-3, PyTorch 1e-5."""
    padding: Literal["pytorch", "keras"] = "pytorch"
    """Where stride-2 convolutions pad: on all sides, or at the bottom and right only (Keras 'same')."""

    def __post_init__(self) -> None:
        """Refuse values outside of their range."""
        if not 0 <= self.dropout_rate < 1:
            raise InvalidValue("network.dropout_rate", self.dropout_rate, "a number from 0 up to, not including, 1")
        if not 0 < self.batch_norm_momentum <= 1:
            raise InvalidValue("network.batch_norm_momentum", self.batch_norm_momentum, "a number above 0, at most 1")
        _positive("network.batch_norm_epsilon", self.batch_norm_epsilon)
