"""One-dimensional regression on a fixed set of points (paper, Fig. 4, 12, 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep.store import variable

if TYPE_CHECKING:
    from largestep.config.data import Points


def draw(settings: Points, draws: int) -> xr.Dataset:
    """The given points (data set 0) and `draws` further sets with the same labels in random order.

    There is no test set: the paper gives no ground truth between the points. rank_inputs are uniform
    over the range of the inputs.
    """
    x, y = np.array(settings.inputs, dtype=float), np.array(settings.labels, dtype=float)
    labels = [y, *(np.random.RandomState([settings.seed, i + 1]).permutation(y) for i in range(draws))]
    rank_inputs = np.random.RandomState(settings.seed).uniform(x.min(), x.max(), (settings.rank_inputs, 1))
    train = np.broadcast_to(x[None, :, None], (draws + 1, len(x), 1))
    return xr.Dataset(
        {
            "train_inputs": variable(("data_set", "example", "input"), train, "1", "training inputs"),
            "train_labels": variable(("data_set", "example"), np.stack(labels), "1", "training labels"),
            "rank_inputs": variable(("rank_example", "input"), rank_inputs, "1", "fresh inputs of the Jacobian"),
        }
    )
