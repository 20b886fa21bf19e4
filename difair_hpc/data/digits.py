"""scikit-learn's handwritten digits (1,797 images of 8 x 8 pixels, UCI optdigits): a benchmark without a download."""

from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits

from difair_hpc.data.sets import ImageSet, chosen, spread_share

TEST_SHARE = 0.2
"""Share of each class that serves as test images, every fifth in file order: the set has no official test part.
Writers are mixed over both parts, as in the random splits that are customary with this set."""


def read(part: Literal["train", "test"]) -> ImageSet:
    """Return the training or the test images, labelled 0 to 9, in file order; (B, 1, 8, 8).

    The ink values 0 to 16 become the grey values round(255 * ink / 16).
    """
    digits = load_digits()
    grey_BHW = np.rint(digits.images * 255 / 16).astype(np.uint8)
    images = ImageSet(
        images_BCHW=torch.from_numpy(grey_BHW).unsqueeze(1),
        labels_B=torch.from_numpy(digits.target.astype(np.int64)),
    )
    test_B = spread_share(images.labels_B, TEST_SHARE)
    return chosen(images, test_B if part == "test" else ~test_B)
