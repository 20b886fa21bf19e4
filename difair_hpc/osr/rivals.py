"""Rivals that the paper only quotes, here under its protocol: ARPL (Chen et al. 2021), DCHS (Cevikalp et al. 2023).

Both learn one point per class among the 128 features. ARPL's class is what lies far from its point, DCHS' what lies
near. The paper of DCHS was not at hand: its loss follows the class of that name in the authors' later public code, and
leaves out the images from outside that the published results were trained with.
Shapes: B batch, K known classes, D = 128 features.
"""

from torch import Tensor

from difair_hpc.osr import scores
from difair_hpc.osr.anchors import distances
from difair_hpc.osr.losses import arpl_loss, dchs_loss, unevenness
from difair_hpc.osr.method import Assessment, Centres, Head, Method, exact, points_of
from difair_hpc.osr.spec import OWN_SCORES, ArplCsSpec, ArplSpec, DchsSpec
from difair_hpc.osr.vgg32 import NetworkOutput, PointSpec


def reciprocal(features_BD: Tensor, points_KD: Tensor) -> tuple[Tensor, Tensor]:
    """Return ARPL's logits and distances to the reciprocal points, (B, K) each (ARPL's code, loss/Dist.py).

    The distance is the MEAN squared difference over features; the logit is that distance minus the dot product, which
    is not divided by D. Larger means the class.
    """
    distances_BK = distances(features_BD, points_KD).square() / features_BD.shape[1]
    return distances_BK - features_BD @ points_KD.to(features_BD).T, distances_BK


class _Pointed(Method):
    """A method whose class points are learned with the network."""

    needs_centres = False

    def centres(self, train_output: NetworkOutput, labels_B: Tensor, head: Head) -> Centres:  # noqa: ARG002
        """Return the learned points."""
        return Centres(points_KD=exact(head["points"]))


class Arpl(_Pointed):
    """Reciprocal points; score arpl (the largest raw logit)."""

    score_names = OWN_SCORES["arpl"]
    points = PointSpec(scale=0.1, radius=True)

    def __init__(self, spec: ArplSpec) -> None:
        """Keep the settings."""
        self.spec = spec

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        """Cross-entropy of the logits and the open-space term."""
        logits_BK, distances_BK = reciprocal(output.features_BD, head["points"])
        return arpl_loss(
            logits_BK,
            distances_BK,
            labels_B.to(logits_BK.device),
            radius=head["radius"],
            margin_weight=self.spec.margin_weight,
        )

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the largest logit."""
        logits_BK, distances_BK = reciprocal(exact(output.features_BD), points_of(centres, "arpl"))
        return Assessment(
            predictions_B=logits_BK.argmax(dim=1), scores={"arpl": scores.mos(logits_BK)}, distances_BK=distances_BK
        )

    def class_logits(self, output: NetworkOutput, centres: Centres) -> Tensor:
        """Return the logits, which are also what the cross-entropy is taken of."""
        return reciprocal(exact(output.features_BD), points_of(centres, "arpl"))[0]


class ArplCs(Arpl):
    """ARPL that is trained with generated images too; at test it is ARPL."""

    generated_images = True
    spec: ArplCsSpec

    def __init__(self, spec: ArplCsSpec) -> None:
        """Keep the settings."""
        super().__init__(spec)

    def confusion(self, output: NetworkOutput, head: Head) -> Tensor:
        """Term of generated images in the losses of classifier and generator, beta included: a scalar."""
        return self.spec.beta * unevenness(reciprocal(output.features_BD, head["points"])[1])


class Dchs(_Pointed):
    """Learned centres with a margin, without outside images; score dchs (distance to the nearest centre)."""

    score_names = OWN_SCORES["dchs"]
    anchored = True

    def __init__(self, spec: DchsSpec) -> None:
        """Keep the settings."""
        self.spec = spec
        self.points = PointSpec(scale=1.0, radius=False)
        self.points_learning_rate = spec.centre_learning_rate

    def loss(self, output: NetworkOutput, labels_B: Tensor, head: Head) -> Tensor:
        """Compactness and margin between classes."""
        squared_BK = distances(output.features_BD, head["points"]).square()
        features = output.features_BD.shape[1]
        return dchs_loss(squared_BK, labels_B.to(squared_BK.device), margin=self.spec.margin, features=features)

    def assess(self, output: NetworkOutput, centres: Centres) -> Assessment:
        """Predict the nearest centre; the authors' score 1/(1 + d^2) orders images as the distance does."""
        distances_BK = distances(exact(output.features_BD), points_of(centres, "dchs"))
        return Assessment(
            predictions_B=distances_BK.argmin(dim=1),
            scores={"dchs": scores.distance(distances_BK)},
            distances_BK=distances_BK,
        )
