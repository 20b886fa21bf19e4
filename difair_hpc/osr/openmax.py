"""OpenMax (Bendale & Boult 2016) on the logits of a trained network.

Per class, a Weibull distribution is fitted to the largest distances of correctly classified training images from their
mean; an image far out takes mass from its best classes for the unknown. Tail, number of revised classes and distance
are those of OpenOOD; the fit is that of libMR with a shift of 1, by SciPy.
Shapes: B images, T training images, K known classes.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TAIL = 20
"""Largest distances of a class that the distribution is fitted to."""
REVISED = 3
"""Classes of an image, best first, whose logit is revised."""


def openmax(train_logits_TK: Tensor, labels_T: Tensor, logits_BK: Tensor) -> Tensor:
    """Log-odds of the unknown class, (B,) float64: orders images as its probability, and does not saturate.

    Where fewer than two different distances exist, a class is not revised: there is no distribution to fit. A negative
    logit is revised as any other (which raises it), as in the published form.

    Args:
        train_logits_TK: Logits of all training images.
        labels_T: Their classes.
        logits_BK: Logits to score.
    """
    train_TK, values_BK = train_logits_TK.double(), logits_BK.double()
    classes = values_BK.shape[1]
    outlying_BK = torch.zeros_like(values_BK)
    for label in range(classes):
        mine = train_TK[(labels_T == label) & (train_TK.argmax(dim=1) == label)]
        if len(mine):
            mean_K = mine.mean(dim=0)
            fitted = _weibull(_numpy((mine - mean_K).norm(dim=1)))
            outlying_BK[:, label] = _outlying(fitted, (values_BK - mean_K).norm(dim=1))
    revised = min(REVISED, classes)
    order_BK = values_BK.argsort(dim=1, descending=True, stable=True)
    weights_K = torch.zeros(classes, dtype=torch.float64, device=values_BK.device)
    weights_K[:revised] = 1 - torch.arange(revised, device=values_BK.device, dtype=torch.float64) / revised
    share_BK = outlying_BK * torch.zeros_like(values_BK).scatter(1, order_BK, weights_K.expand_as(values_BK))
    taken_BK = values_BK * share_BK
    return taken_BK.sum(dim=1) - (values_BK - taken_BK).logsumexp(dim=1)


def _weibull(distances: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Return shape, scale and least distance of the tail; None where its distances do not differ."""
    tail = np.sort(distances)[-TAIL:]
    least = float(tail[0])
    if tail[-1] - least <= 1e-9 * max(1.0, least):
        return None
    shape, _, scale = _distribution().fit(tail - least + 1, floc=0)
    return float(shape), float(scale), least


def _outlying(fitted: tuple[float, float, float] | None, distances_B: Tensor) -> Tensor:
    """Return the share of the fitted distribution that lies nearer than each distance."""
    if fitted is None:
        return torch.zeros_like(distances_B)
    shape, scale, least = fitted
    shares = _distribution().cdf(np.maximum(_numpy(distances_B) - least + 1, 0), shape, scale=scale)
    return torch.from_numpy(np.asarray(shares)).to(distances_B)


def _distribution() -> Any:
    """Return SciPy's Weibull distribution, which takes seconds to import: not before a resumed run trains."""
    from scipy.stats import weibull_min

    return weibull_min


def _numpy(values_B: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values_B.cpu().numpy()
    return array
