"""Sparse linear regression without label noise (paper, section 3.1 and Fig. 2, 3, 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep.store import variable

if TYPE_CHECKING:
    from largestep.config.data import SparseRegression


def draw(settings: SparseRegression, draws: int) -> xr.Dataset:
    """The fixed problem (data set 0) and `draws` further ones, which share their test inputs.

    X is standard normal, theta* = |N(0, 1)| on the first coordinates, zero elsewhere, of unit norm.
    Returns train_inputs (data_set, example, input), train_labels (data_set, example), test_inputs
    (test_example, input), test_labels (data_set, test_example), rank_inputs and truth.
    """
    n, d, m = settings.examples, settings.dimension, settings.test_examples
    # RandomState's stream is frozen, so a data set keeps its meaning across NumPy releases.
    test_inputs = np.random.RandomState(settings.seed).standard_normal((max(m, 2 * d), d))
    inputs, truths = [], []
    for draw_index in range(draws + 1):
        generator = np.random.RandomState([settings.seed, draw_index])
        inputs.append(generator.standard_normal((n, d)))
        truth = np.zeros(d)
        truth[: settings.support] = np.abs(generator.standard_normal(settings.support))
        truths.append(truth / np.sqrt(np.sum(truth**2)))
    train, truth = np.stack(inputs), np.stack(truths)
    return xr.Dataset(
        {
            "train_inputs": variable(("data_set", "example", "input"), train, "1", "training inputs"),
            "train_labels": variable(
                ("data_set", "example"), np.einsum("sni,si->sn", train, truth), "1", "training labels"
            ),
            "test_inputs": variable(
                ("test_example", "input"), test_inputs[:m], "1", "test inputs, shared by all data sets"
            ),
            "test_labels": variable(
                ("data_set", "test_example"), np.einsum("si,ni->sn", truth, test_inputs[:m]), "1", "test labels"
            ),
            "rank_inputs": variable(
                ("rank_example", "input"), test_inputs[: 2 * d], "1", "fresh inputs of the Jacobian, one per parameter"
            ),
            "truth": variable(("data_set", "input"), truth, "1", "ground truth theta*"),
        }
    )
