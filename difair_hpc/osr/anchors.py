"""The fixed points of the classes in feature space and the distances to them (DIFAIR section 3.2, Eq. 1; appendix C).

Shapes: B batch, K known classes, N features per class, D = K*N features.
"""

import torch
from torch import Tensor

from difair_hpc.osr.spec import DifairSpec, anchor_distance


def anchors(*, classes: int, features_per_class: int, alpha: float, device: torch.device | None = None) -> Tensor:
    """Place one anchor per class: alpha on the features c*N to c*N+N-1 of class c, 0 elsewhere (Eq. 1).

    With one feature per class these are the anchors of CAC, alpha times the identity.

    Args:
        classes: Known classes K.
        features_per_class: Features N of each class.
        alpha: Value of an anchor on the features of its own class.
        device: Where the tensor is made; None: the CPU.

    Returns:
        (K, D) float32.
    """
    assert classes >= 1, "there is no anchor without a class"
    assert features_per_class >= 1, "there is no anchor without a feature"
    return alpha * torch.eye(classes, device=device).repeat_interleave(features_per_class, dim=1)


def radius(spec: DifairSpec) -> float:
    """Radius of the hypersphere of a class, in units of feature space (section 4: 0.4 sqrt(2 N alpha^2) = 12.649)."""
    return spec.radius_coefficient * anchor_distance(features_per_class=spec.features_per_class, alpha=spec.alpha)


def distances(features_BD: Tensor, points_KD: Tensor) -> Tensor:
    """Euclidean distance of every feature vector to every point.

    Differences are formed before they are squared: |a|^2 - 2ab + |b|^2 loses all digits near 0. The gradient at
    distance 0 is 0. Half precision is widened to float32, which is what a distance is compared to a radius in.

    Args:
        features_BD: Feature vectors (or logits, with D = K).
        points_KD: Anchors or class centres; moved to the device and precision of the features.

    Returns:
        (B, K), float32 or the wider precision of the features.
    """
    wide_BD = features_BD if features_BD.dtype.itemsize >= 4 else features_BD.float()
    differences_BKD = wide_BD[:, None, :] - points_KD.to(wide_BD)[None, :, :]
    distances_BK: Tensor = torch.linalg.vector_norm(differences_BKD, dim=2)
    return distances_BK
