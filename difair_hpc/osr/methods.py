"""The four methods of the paper (DIFAIR sections 2.2, 3.2, 4, E.1), and the door to the others.

Shapes: B batch, K known classes, N features per class, D features.
"""

import torch
from torch import Tensor

from difair_hpc.osr import scores
from difair_hpc.osr.anchors import anchors, distances, radius
from difair_hpc.osr.losses import (
    cac_loss,
    difair_loss,
    last_conv_spread,
    own_distances,
    smoothed_cross_entropy,
    spread_loss,
)
from difair_hpc.osr.method import Assessment, Centres, Head, Method, correct_means, exact, filled, logits, points_of
from difair_hpc.osr.rivals import Arpl, ArplCs, Dchs
from difair_hpc.osr.spec import (
    OWN_SCORES,
    ArplCsSpec,
    ArplSpec,
    CacSpec,
    CrossEntropySpec,
    DchsSpec,
    DifairSpec,
    DifairStdSpec,
    MethodSpec,
)
from difair_hpc.osr.vgg32 import NetworkOutput


class CrossEntropy(Method):
    """Cross-entropy on logits; scores msp, mos (the paper's MLS) and celr (distance to class means of features)."""

    score_names = OWN_SCORES["cross_entropy"]

    def __init__(self, spec: CrossEntropySpec) -> None:
        """Keep the settings."""
        self.spec = spec

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:  # noqa: ARG002
        """Mean softmax cross-entropy."""
        logits_BK = logits(output)
        smoothing = self.spec.label_smoothing
        return smoothed_cross_entropy(logits_BK, labels_B.to(logits_BK.device), smoothing=smoothing)

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:  # noqa: ARG002
        """Mean feature vector of the correctly classified images per class; of all its images where none is correct.

        Raises:
            ValueError: If a class has no training image at all.
        """
        features_BD = exact(train_output.features_BD)
        labels_B = labels_B.to(features_BD.device)
        means = correct_means(features_BD, logits(train_output), labels_B)
        missing = [c for c, mean in enumerate(means) if mean is None]
        if empty := [c for c in missing if not (labels_B == c).any()]:
            raise ValueError(f"no class centre without a training image: none has the label {empty[0]}")
        return filled(means, {c: features_BD[labels_B == c].mean(dim=0) for c in missing}, "the mean of all its images")

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the largest logit."""
        logits_BK = exact(logits(output))
        distances_BK = distances(exact(output.features_BD), points_of(centres, "cross_entropy"))
        found = {"msp": scores.msp(logits_BK), "mos": scores.mos(logits_BK), "celr": scores.distance(distances_BK)}
        return Assessment(predictions_B=logits_BK.argmax(dim=1), scores=found, distances_BK=distances_BK)


class Cac(Method):
    """Class Anchor Clustering on logits; scores cac (least gamma) and mos (largest logit)."""

    score_names = OWN_SCORES["cac"]
    space = "logits"
    anchored = True

    def __init__(self, spec: CacSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        self.spec = spec
        self.classes = classes

    def _anchors(self, device: torch.device) -> Tensor:
        return anchors(classes=self.classes, features_per_class=1, alpha=self.spec.alpha, device=device)

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:  # noqa: ARG002
        """Anchor term and tuplet term; the anchors are fixed while training."""
        logits_BK = logits(output)
        distances_BK = distances(logits_BK, self._anchors(logits_BK.device))
        return cac_loss(
            distances_BK,
            labels_B.to(logits_BK.device),
            anchor_weight=self.spec.anchor_weight,
            count_own=self.spec.variant == "difair_code",
        )

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:  # noqa: ARG002
        """Mean logit vector of the images per class whose largest logit is right; the anchor where none is."""
        logits_BK = logits(train_output)
        means = correct_means(logits_BK, logits_BK, labels_B)
        return filled(means, dict(enumerate(self._anchors(logits_BK.device).double())), "its anchor")

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the class with the least gamma."""
        logits_BK = exact(logits(output))
        distances_BK = distances(logits_BK, points_of(centres, "cac"))
        gamma_BK = scores.cac_gamma(distances_BK, over_all=self.spec.variant == "difair_code")
        found = {"cac": scores.cac(gamma_BK), "mos": scores.mos(logits_BK)}
        return Assessment(predictions_B=gamma_BK.argmin(dim=1), scores=found, distances_BK=distances_BK)

    def class_logits(self, output: NetworkOutput, centres: Centres) -> Tensor:
        """Return minus the distances to the centres: their softmax is the softmin of section 2.2."""
        return -distances(exact(logits(output)), points_of(centres, "cac"))


class Difair(Method):
    """Hyperspheres around fixed anchors in feature space; scores distance (to the nearest anchor) and mos."""

    score_names = OWN_SCORES["difair"]
    needs_centres = False
    anchored = True

    def __init__(self, spec: DifairSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        self.spec = spec
        self.classes = classes
        self.features_per_class = spec.features_per_class
        self.radius = radius(spec)

    def _anchors(self, device: torch.device) -> Tensor:
        return anchors(
            classes=self.classes,
            features_per_class=self.spec.features_per_class,
            alpha=self.spec.alpha,
            device=device,
        )

    def _distances(self, features_BD: Tensor) -> Tensor:
        return distances(features_BD, self._anchors(features_BD.device))

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:  # noqa: ARG002
        """Distance beyond the hypersphere of the true class (Eq. 2)."""
        distances_BK = self._distances(output.features_BD)
        return difair_loss(distances_BK, labels_B.to(distances_BK.device), radius=self.radius)

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:  # noqa: ARG002
        """Return the anchors: they are not adjusted after training (section 3.2)."""
        return Centres(points_KD=self._anchors(train_output.features_BD.device))

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:  # noqa: ARG002
        """Predict the nearest anchor; `centres` may be empty."""
        features_BD = exact(output.features_BD)
        distances_BK = self._distances(features_BD)
        found = {"distance": scores.distance(distances_BK), "mos": scores.mos(features_BD)}
        return Assessment(predictions_B=distances_BK.argmin(dim=1), scores=found, distances_BK=distances_BK)

    def inside(self, output: NetworkOutput, labels_B: Tensor) -> Tensor:
        """Whether ||z - A^y|| <= r, (B,) bool: its mean is the hypersphere occupancy (appendix C)."""
        distances_BK = self._distances(exact(output.features_BD))
        return own_distances(distances_BK, labels_B.to(distances_BK.device)) <= self.radius


class DifairStd(Difair):
    """DIFAIR with the loss on the spread of the last convolution's weights (appendix E.1)."""

    def __init__(self, spec: DifairStdSpec, classes: int) -> None:
        """Keep the settings; `classes` is K."""
        super().__init__(spec, classes)
        self.spread_weight = spec.spread_weight
        self.spread_rate = spec.spread_rate

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        """Eq. 2 plus Eq. 4."""
        spread_K = last_conv_spread(head["weight"], self.classes)
        return super().loss(output, labels_B, head) + spread_loss(
            spread_K, weight=self.spread_weight, rate=self.spread_rate
        )


def make_method(spec: MethodSpec, classes: int) -> Method:
    """Build the method that `spec` describes for `classes` (K) known classes."""
    match spec:
        case CrossEntropySpec():
            return CrossEntropy(spec)
        case CacSpec():
            return Cac(spec, classes)
        case DifairStdSpec():
            return DifairStd(spec, classes)
        case DifairSpec():
            return Difair(spec, classes)
        case ArplSpec():
            return ArplCs(spec) if isinstance(spec, ArplCsSpec) else Arpl(spec)
        case DchsSpec():
            return Dchs(spec)
