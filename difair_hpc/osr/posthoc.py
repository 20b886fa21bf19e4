"""Scores of a trained network that need no training of their own: nearest neighbours, Mahalanobis, ViM, OpenMax.

Everything is fitted to the training images; every constant is the authors' (or OpenOOD's) and fixed beforehand: no
score is tuned on unknown images. All are float64 and larger where an image is more likely unknown.
Shapes: B images to score, T training images, K known classes, D features.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOUR = 50
"""Which neighbour the distance is measured to (Sun et al. 2022; their value for CIFAR-10)."""
PRINCIPAL = 64
"""Dimensions that ViM calls principal: half of 128, the authors' rule for narrow networks (Wang et al. 2022)."""
_CHUNK = 1024
_RIDGE = 1e-6
"""Share of the mean variance that is added to every variance: anchored features hardly vary off their class."""


def knn(train_TD: Tensor, values_BD: Tensor, *, normalised: bool) -> Tensor:
    """Distance to the 50th nearest training image (the farthest one where there are fewer), (B,).

    Args:
        train_TD: Features of all training images.
        values_BD: Features to score.
        normalised: Scale every vector to length 1 first, as the authors do; anchored representations lose their signal
            by that (an unknown image has a short vector), so those are also compared as they are.
    """
    bank_TD, queries_BD = train_TD.double(), values_BD.double()
    if normalised:
        bank_TD, queries_BD = F.normalize(bank_TD, dim=1, eps=1e-10), F.normalize(queries_BD, dim=1, eps=1e-10)
    rank = min(NEIGHBOUR, len(bank_TD))
    parts = [
        torch.cdist(part_BD, bank_TD).topk(rank, dim=1, largest=False).values[:, -1]
        for part_BD in torch.split(queries_BD, _CHUNK)
    ]
    return torch.cat(parts) if parts else queries_BD.new_zeros(0)


def rmds(train_TD: Tensor, labels_T: Tensor, values_BD: Tensor) -> Tensor:
    """Least relative Mahalanobis distance: to a class mean, minus that to the mean of all (Ren et al. 2021), (B,).

    Both are squared; the classes share one covariance, that of all images about their class means.
    """
    train_TD, values_BD = train_TD.double(), values_BD.double()
    present_K, own_T = torch.unique(labels_T, return_inverse=True)
    means_KD = torch.stack([train_TD[labels_T == label].mean(dim=0) for label in present_K])
    whitened = _whitening(train_TD - means_KD[own_T])
    to_class_BK = torch.cdist(values_BD @ whitened, means_KD @ whitened).square()
    centre_D = train_TD.mean(dim=0)
    to_all_B = ((values_BD - centre_D) @ _whitening(train_TD - centre_D)).square().sum(dim=1)
    return to_class_BK.amin(dim=1) - to_all_B


def vim(train_TD: Tensor, train_logits_TK: Tensor, values_BD: Tensor, logits_BK: Tensor) -> Tensor:
    """Length of the features outside the 64 principal axes, against the energy of the logits (Wang et al. 2022), (B,).

    The head has no bias, so the axes go through the origin. The length is scaled so that on training images it is as
    large as the largest logit is on average.

    Args:
        train_TD: Features of all training images, D above 64.
        train_logits_TK: Their logits.
        values_BD: Features to score.
        logits_BK: Their logits.
    """
    train_TD = train_TD.double()
    assert train_TD.shape[1] > PRINCIPAL, "nothing is left outside the principal axes"
    _, axes_DD = torch.linalg.eigh(train_TD.T @ train_TD / len(train_TD))
    outside = axes_DD[:, : train_TD.shape[1] - PRINCIPAL]
    scale = train_logits_TK.double().amax(dim=1).mean() / (train_TD @ outside).norm(dim=1).mean()
    scores_B: Tensor = scale * (values_BD.double() @ outside).norm(dim=1) - logits_BK.double().logsumexp(dim=1)
    return scores_B


def _whitening(centred_TD: Tensor) -> Tensor:
    """Return W with W W' the inverse of the covariance."""
    covariance_DD = centred_TD.T @ centred_TD / len(centred_TD)
    variances_D, axes_DD = torch.linalg.eigh(covariance_DD)
    ridge = _RIDGE * variances_D.mean().clamp_min(torch.finfo(variances_D.dtype).tiny)
    whitening: Tensor = axes_DD / (variances_D.clamp_min(0) + ridge).sqrt()
    return whitening
