"""scikit-learn's handwritten digits: 1797 grey images of 8x8 pixels, shipped with the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits

from largestep.data.image_set import ImageSet, from_arrays

if TYPE_CHECKING:
    from largestep.config.data import PublishedImages

CLASSES, WHITE_LEVEL = 10, 16
# The data set has no split of its own: the first TRAIN images of a fixed permutation train, the others test.
SPLIT_SEED, TRAIN = 0, 1297


def prepare(settings: PublishedImages, root: Path, mirror: str | None) -> ImageSet:
    """1297 training and 500 test images of levels from 0 to 16; nothing of the settings, root or mirror is used."""
    digits = load_digits()
    order = np.random.RandomState(SPLIT_SEED).permutation(len(digits.target))
    images, labels = digits.images[order, None], digits.target[order]
    return from_arrays(
        (images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:]), classes=CLASSES, white_level=WHITE_LEVEL
    )
