"""scikit-learn's handwritten digits (1,797 images of 8 x 8 pixels, UCI optdigits): a benchmark without a download."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from difair_hpc.data.published import scikit_learn
from difair_hpc.data.sets import ImageSet, chosen, spread_share

TEST_SHARE = 0.2
"""Share of each class that serves as test images, every fifth in file order: the set has no official test part.
Writers are mixed over both parts, as in the random splits that are customary with this set."""


def read(part: Literal["train", "test"]) -> ImageSet:
    """Return the training or the test images, labelled 0 to 9, in file order; (B, 1, 8, 8).

    The ink values 0 to 16 become the grey values round(255 * ink / 16).
    """
    ink_BHW, labels_B = _read()
    grey_BHW = np.rint(ink_BHW * 255 / 16).astype(np.uint8)
    images = ImageSet(
        images_BCHW=torch.from_numpy(grey_BHW).unsqueeze(1),
        labels_B=torch.from_numpy(labels_B.astype(np.int64)),
    )
    test_B = spread_share(images.labels_B, TEST_SHARE)
    return chosen(images, test_B if part == "test" else ~test_B)


def _read() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ink values (B, 8, 8) and digits (B,).

    From scikit-learn's file, since importing scikit-learn takes a second of every run's start; through its function in
    a version that keeps the file elsewhere.
    """
    file = scikit_learn() / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        rows = np.loadtxt(file, delimiter=",")
        return rows[:, :64].reshape(-1, 8, 8), rows[:, 64]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target
