"""One number per image that says how likely it is unknown: larger = more likely unknown (DIFAIR sections 2.2 and 4).

The paper's S is larger for the known; every score here is its negative or its complement, so the order is reversed and
AUROC is the same. All are float64: a softmax near 1 has no digits left in float32.
Shapes: B batch, K known classes, D features.
"""

from torch import Tensor


def _one_minus_softmax(logits_BK: Tensor) -> Tensor:
    """1 - softmax per image, (B, K) float64; for the largest it is the sum of the others, as 1 - p would round to 0."""
    shares_BK = logits_BK.double().softmax(dim=1)
    top_B1 = shares_BK.argmax(dim=1, keepdim=True)
    others_B1 = shares_BK.scatter(1, top_B1, 0.0).sum(dim=1, keepdim=True)
    return (1 - shares_BK).scatter(1, top_B1, others_B1)


def msp(logits_BK: Tensor) -> Tensor:
    """1 - maximum softmax probability, (B,) float64; ordered until logits are about 700 apart (section 3.1, MSP)."""
    return _one_minus_softmax(logits_BK).amin(dim=1)


def energy(logits_BK: Tensor) -> Tensor:
    """Minus the log of the summed exponentials of the logits, (B,) float64 (Liu et al. 2020, temperature 1)."""
    return -logits_BK.double().logsumexp(dim=1)


def gen(logits_BK: Tensor) -> Tensor:
    """Generalised entropy, sum over classes of p^0.1 (1 - p)^0.1, (B,) float64 (Liu et al. 2023).

    The authors' exponent; they sum the 100 most likely classes, here there are fewer.
    """
    shares_BK = logits_BK.double().softmax(dim=1)
    return (shares_BK * _one_minus_softmax(logits_BK)).pow(0.1).sum(dim=1)


def mos(values_BD: Tensor) -> Tensor:
    """Minus the maximum output, over single logits or features, (B,) float64 (section 4, MOS).

    On the logits of a cross-entropy network this is what Vaze et al. and Table 1 call the maximum logit score (MLS).
    """
    return -values_BD.double().amax(dim=1)


def distance(distances_BK: Tensor) -> Tensor:
    """Distance to the nearest anchor or class centre, (B,) float64 (section 3.2; CELR in section 4)."""
    return distances_BK.double().amin(dim=1)


def cac_gamma(distances_BK: Tensor, *, over_all: bool = False) -> Tensor:
    """Rejection score of every class, d * (1 - softmin(d)), (B, K) float64 (section 2.2; Miller et al. 2021).

    The softmin is over the classes of one image. The class with the least gamma is predicted.

    Args:
        distances_BK: Distances to the class centres.
        over_all: Take one softmin over all images and classes, as DIFAIR's public code does: gamma is nearly d then.
    """
    exact_BK = distances_BK.double()
    if over_all and len(exact_BK):
        return exact_BK * _one_minus_softmax(-exact_BK.reshape(1, -1)).reshape(exact_BK.shape)
    return exact_BK * _one_minus_softmax(-exact_BK)


def cac(gamma_BK: Tensor) -> Tensor:
    """Least rejection score of an image, (B,) float64 (section 2.2)."""
    return gamma_BK.double().amin(dim=1)
