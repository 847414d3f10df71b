"""Bands over runs of which some are infinite or no number, against scipy's quantiles of the others; and their count."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats.mstats import mquantiles

from largestep.figures.labels import outcomes
from largestep.figures.style import QUANTILES, quartiles


def test_of_finite_values_they_are_those_of_numpy_and_scipy() -> None:
    runs = np.random.default_rng(0).standard_normal((11, 7))
    np.testing.assert_array_equal(quartiles(runs), np.quantile(runs, QUANTILES, axis=0))
    np.testing.assert_allclose(quartiles(runs), mquantiles(runs, QUANTILES, alphap=1, betap=1, axis=0), rtol=1e-12)


@pytest.mark.parametrize("count", [5, 6, 8, 9])
def test_a_run_that_is_no_number_takes_no_band_away(count: int) -> None:
    runs = np.random.default_rng(count).standard_normal((count, 3))
    runs[2, 1] = np.nan
    levels = quartiles(runs)
    np.testing.assert_allclose(levels[:, 1], np.quantile(np.delete(runs[:, 1], 2), QUANTILES), rtol=1e-12)
    np.testing.assert_allclose(levels[:, [0, 2]], np.quantile(runs[:, [0, 2]], QUANTILES, axis=0), rtol=1e-12)
    assert np.isnan(quartiles(np.full((4, 1), np.nan))).all()


def test_one_infinite_run_leaves_the_middle() -> None:
    """np.quantile gives NaN for all three."""
    runs = np.array([1.0, 2.0, 3.0, 4.0, np.inf])
    np.testing.assert_array_equal(quartiles(runs), [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(quartiles(np.append(runs, -np.inf)), [1.25, 2.5, 3.75])
    np.testing.assert_array_equal(quartiles(np.array([1.0, np.inf])), [np.inf] * 3)


def test_runs_without_a_test_loss_are_counted_by_the_legend() -> None:
    dims, runs = ("cell", "arm", "seed"), (1, 1, 5)
    test_loss = np.ones((*runs, 2))
    test_loss[0, 0, 1:4, -1] = [np.nan, np.inf, np.nan]
    diverged = np.array([[[-1, -1, -1, 3, 3]]])
    data = xr.Dataset(
        {"test_loss": ((*dims, "step"), test_loss), "diverged_step": (dims, diverged)},
        {"cell": ["small"], "arm": ["order"], "step": [0, 1]},
    )
    assert outcomes(data, "small", "order") == "2 of 5 diverged, 2 not finite"
