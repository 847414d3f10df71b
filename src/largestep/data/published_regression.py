"""Sparse linear regression as the published code of the paper drew it for diagonal networks (Fig. 2 and 11).

The published test losses say how: NumPy's legacy generator seeded with 0 draws the training inputs, then the test
inputs and then theta*. Gradient descent at step size 2.0 with n = 40 and d = 100 then ends at the published test loss
of 0.168.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep.data import sparse_regression

if TYPE_CHECKING:
    from largestep.config.data import PublishedRegression


def draw(settings: PublishedRegression, draws: int) -> xr.Dataset:
    """The published problem (data set 0) and `draws` further ones, which share its test inputs.

    Returns the variables of `sparse_regression.draw`; the inputs of the Jacobian are those of that recipe.
    """
    n, d, m, r = settings.examples, settings.dimension, settings.test_examples, settings.support
    inputs, truths, tests = [], [], []
    for index in range(draws + 1):
        generator = np.random.RandomState(settings.seed + index)
        inputs.append(generator.standard_normal((n, d)))
        tests.append(generator.standard_normal((m, d)))
        truth = np.zeros(d)
        truth[:r] = np.abs(generator.standard_normal(r))
        truths.append(truth / np.sqrt(np.sum(truth**2)))
    train, truth, test = np.stack(inputs), np.stack(truths), tests[0]
    others = sparse_regression.draw(settings, draws)
    return others.assign(
        train_inputs=others["train_inputs"].copy(data=train),
        train_labels=others["train_labels"].copy(data=np.einsum("sni,si->sn", train, truth)),
        test_inputs=others["test_inputs"].copy(data=test),
        test_labels=others["test_labels"].copy(data=np.einsum("si,ni->sn", truth, test)),
        truth=others["truth"].copy(data=truth),
    )
