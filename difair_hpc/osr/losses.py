"""The training losses: DIFAIR (Eq. 2), CAC (Miller et al. 2021) and the spread of weights in DIFAIR-std (Eq. 3-4).

Shapes: B batch, K known classes, N features per class, D = K*N features.
"""

import torch.nn.functional as F
from torch import Tensor


def own_distances(distances_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Pick the distance of each image to the anchor of its own class: (B,)."""
    return distances_BK.gather(1, labels_B[:, None])[:, 0]


def difair_loss(distances_BK: Tensor, labels_B: Tensor, *, radius: float) -> Tensor:
    """Mean over the batch of max(distance to the own anchor - radius, 0) (Eq. 2).

    Inside and on the hypersphere both the loss and its gradient are 0.

    Args:
        distances_BK: Distances to the anchors.
        labels_B: True classes, int64.
        radius: Radius of the hyperspheres, in the unit of the distances.

    Returns:
        Scalar.
    """
    return F.relu(own_distances(distances_BK, labels_B) - radius).mean()


def cac_loss(distances_BK: Tensor, labels_B: Tensor, *, anchor_weight: float) -> Tensor:
    """Mean over the batch of anchor_weight * d_y + log(1 + sum over j != y of exp(d_y - d_j)) (CAC).

    The second, tuplet term is the cross-entropy of -d, because 1 = exp(d_y - d_y) is the term of the true class.

    Args:
        distances_BK: Distances of the logits to the anchors.
        labels_B: True classes, int64.
        anchor_weight: Weight (lambda) of the first, anchor term.

    Returns:
        Scalar.
    """
    anchor_term = own_distances(distances_BK, labels_B).mean()
    return anchor_weight * anchor_term + F.cross_entropy(-distances_BK, labels_B)


def last_conv_spread(weight: Tensor, classes: int) -> Tensor:
    """How far apart the filters of a class are: population standard deviation over N, mean over positions (E.1).

    Figure 3b draws this per class. With classes=1 it is the spread over the whole set of weights (section 5.1).

    Args:
        weight: (D, 128, 3, 3) weight of the last convolution; D a multiple of `classes`.
        classes: Known classes K.

    Returns:
        (K,). The gradient where all filters of a class are equal is 0.
    """
    assert weight.shape[0] % classes == 0, f"{weight.shape[0]} filters cannot be shared by {classes} classes"
    positions_KNP = weight.reshape(classes, weight.shape[0] // classes, -1)
    return positions_KNP.std(dim=1, correction=0).mean(dim=1)


def spread_loss(spread_K: Tensor, *, weight: float, rate: float) -> Tensor:
    """Sum over classes of weight * exp(-rate * spread) (Eq. 3-4; the paper takes 2 and 3).

    Args:
        spread_K: Spread of the filters of each class, from `last_conv_spread`.
        weight: Factor before the exponential.
        rate: Rate of decay per unit of spread, positive.

    Returns:
        Scalar.
    """
    return (weight * (-rate * spread_K).exp()).sum()
