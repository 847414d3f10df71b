"""scikit-learn's handwritten digits: 1797 grey images of 8x8 pixels, shipped with the library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from sklearn.datasets import load_digits

from largestep.store import variable


def draw(settings: Mapping[str, Any], draws: int) -> xr.Dataset:
    """A random split into training and test images; `draws` is 0 for image data sets.

    Returns train_images and test_images (example, channel, row, column), uint8 levels from 0 to
    `white_level`, and their labels.
    """
    digits = load_digits()
    order = np.random.RandomState(settings["seed"]).permutation(len(digits.target))
    images = digits.images[order, None].astype(np.uint8)
    labels = digits.target[order].astype(np.int64)
    n, m = settings["examples"], settings["test_examples"]
    pixels = ("channel", "row", "column")
    return xr.Dataset(
        {
            "train_images": variable(("example", *pixels), images[:n], "1", "training images, in grey levels"),
            "train_labels": variable(("example",), labels[:n], "1", "digit shown"),
            "test_images": variable(("test_example", *pixels), images[n : n + m], "1", "test images, in grey levels"),
            "test_labels": variable(("test_example",), labels[n : n + m], "1", "digit shown"),
            "white_level": variable((), 16, "1", "grey level of a fully inked pixel"),
        }
    )
