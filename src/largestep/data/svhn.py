"""SVHN, cropped digits of house numbers: 99289 colour images of 32x32 pixels in 10 classes, as MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from largestep.data.archives import ARCHIVES, fetch
from largestep.data.image_set import ImageSet, from_arrays, one_line
from largestep.store import StoreError

if TYPE_CHECKING:
    from largestep.config.data import PublishedImages

CLASSES, SHAPE = 10, (32, 32, 3)
EXAMPLES = {"train_32x32.mat": 73257, "test_32x32.mat": 26032}
# The files give the digit 0 this label.
ZERO = 10


def prepare(settings: PublishedImages, root: Path, mirror: str | None) -> ImageSet:
    """The published training and test images, the labels being the digits; the extra images are left out.

    Raises StoreError when a file cannot be fetched or does not hold what it should.
    """
    train, test = (
        _read(fetch(settings.kind, ARCHIVES[settings.kind][file], root, mirror), count)
        for file, count in EXAMPLES.items()
    )
    return from_arrays(train, test, classes=CLASSES)


def _read(path: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images of (n, channel, row, column) and labels of (n,) from X (row, column, channel, n) and y (n, 1)."""
    try:
        content = loadmat(path, variable_names=["X", "y"])
    except MemoryError as error:
        raise StoreError(f"{path}: its content does not fit into memory; free some and run again") from error
    # SciPy's reader fails in any way on a damaged file.
    except Exception as error:
        raise StoreError(f"{path}: is damaged ({one_line(error)}); delete it and run again") from error
    images, labels = content.get("X", np.empty(0)), content.get("y", np.empty(0))
    if images.dtype != np.uint8 or images.shape != (*SHAPE, count) or labels.shape != (count, 1):
        raise StoreError(f"{path}: lacks {count} images X of 32x32x3 bytes with labels y; delete it and run again")
    if labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > ZERO:
        raise StoreError(f"{path}: has labels other than 1 to 10; delete it and run again")
    digits = labels[:, 0].astype(np.int64)
    return images.transpose(3, 2, 0, 1), np.where(digits == ZERO, 0, digits)
