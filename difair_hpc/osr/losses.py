"""The training losses: DIFAIR (Eq. 2), the spread of weights in DIFAIR-std (Eq. 3-4), CAC, ARPL and DCHS.

Shapes: B batch, K known classes, N features per class, D = K*N features.
"""

import torch
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


def smoothed_cross_entropy(logits_BK: Tensor, labels_B: Tensor, *, smoothing: float) -> Tensor:
    """Mean cross-entropy to a target of 1 - smoothing on the true class and an equal share of the rest on each other.

    PyTorch's own label_smoothing gives the true class a share of the rest too; Vaze et al. do not.
    """
    classes = logits_BK.shape[1]
    if smoothing == 0 or classes == 1:
        return F.cross_entropy(logits_BK, labels_B)
    target_BK = torch.full_like(logits_BK, smoothing / (classes - 1))
    return F.cross_entropy(logits_BK, target_BK.scatter(1, labels_B[:, None], 1 - smoothing))


def cac_loss(distances_BK: Tensor, labels_B: Tensor, *, anchor_weight: float, count_own: bool = False) -> Tensor:
    """Mean over the batch of anchor_weight * d_y + log(1 + sum over j != y of exp(d_y - d_j)) (Miller et al. 2021).

    The second, tuplet term is the cross-entropy of -d, because 1 = exp(d_y - d_y) is the term of the true class.

    Args:
        distances_BK: Distances of the logits to the anchors.
        labels_B: True classes, int64.
        anchor_weight: Weight (lambda) of the first, anchor term.
        count_own: Sum over all j, the true class included, as DIFAIR's public code does: log(2 + ...).

    Returns:
        Scalar.
    """
    own_B = own_distances(distances_BK, labels_B)
    tuplet_B = F.cross_entropy(-distances_BK, labels_B, reduction="none")
    if count_own:
        tuplet_B = torch.logaddexp(tuplet_B, torch.zeros_like(tuplet_B))
    return anchor_weight * own_B.mean() + tuplet_B.mean()


def arpl_loss(
    logits_BK: Tensor, distances_BK: Tensor, labels_B: Tensor, *, radius: Tensor, margin_weight: float
) -> Tensor:
    """Cross-entropy plus margin_weight times the mean of max(0, d_y - radius + 1) (ARPL's code, loss/ARPLoss.py).

    Args:
        logits_BK: From `rivals.reciprocal`.
        distances_BK: Mean squared difference to the reciprocal points.
        labels_B: True classes, int64.
        radius: The learned radius, a scalar.
        margin_weight: Weight of the second, open-space term.

    Returns:
        Scalar.
    """
    beyond_B = F.relu(own_distances(distances_BK, labels_B) - radius + 1)
    return F.cross_entropy(logits_BK, labels_B) + margin_weight * beyond_B.mean()


def unevenness(distances_BK: Tensor) -> Tensor:
    """How unevenly far generated images are from the reciprocal points (ARPL's code, core/train.py).

    exp of the batch's mean of sum_k p_k log p_k, with p the softmax of the distances: least, 1/K, where every image is
    as far from one point as from another; 1 where each image is far from one point only.

    Args:
        distances_BK: From `rivals.reciprocal`; without the dot product.

    Returns:
        Scalar.
    """
    log_p_BK = F.log_softmax(distances_BK, dim=1)  # the log of a softmax is -inf once a share underflows
    return (log_p_BK.exp() * log_p_BK).sum(dim=1).mean().exp()


def dchs_loss(squared_BK: Tensor, labels_B: Tensor, *, margin: float, features: int) -> Tensor:
    """Compactness of the classes plus a margin between them, without outlier term (class dchs_loss of DCHS' authors).

    sum_b d2_y / (2 B D) + sum_b sum over j != y of max(0, margin + d2_y - d2_j) / (2 K B), d2 the squared distance to a
    centre.

    Args:
        squared_BK: Squared distances to the centres.
        labels_B: True classes, int64.
        margin: In units of squared distance.
        features: Number of features D.

    Returns:
        Scalar.
    """
    images, classes = squared_BK.shape
    own_B = own_distances(squared_BK, labels_B)
    hinge_BK = F.relu(margin + own_B[:, None] - squared_BK)
    # The true class has margin + d2_y - d2_y = margin in the sum; its gradient is 0.
    between = hinge_BK.sum() - margin * images
    return own_B.sum() / (2 * images * features) + between / (2 * classes * images)


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
