"""Spearman's correlation within seeds against scipy, on fixed and random samples, with and without missing values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr

from largestep.claims import support
from largestep.claims.matched_loss import at_largest_final_loss
from largestep.claims.rank_correlation import finite, paired_spearman, ranked_worst

DURATIONS = np.array([0.1, 0.3, 0.5, 0.7])


@pytest.mark.parametrize("ties", [False, True])
def test_it_is_that_of_scipy(ties: bool) -> None:
    generator = np.random.default_rng(0)
    values = generator.standard_normal((4, 200))
    values = np.round(values) if ties else values
    varied = np.ptp(values, axis=0) > 0
    expected = [spearmanr(DURATIONS, column).statistic for column in values[:, varied].T]
    correlations = paired_spearman(DURATIONS, values)
    np.testing.assert_allclose(correlations[varied], expected, rtol=1e-13, atol=1e-15)
    assert (correlations[~varied] == 0.0).all()


def test_durations_may_differ_between_seeds() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal((2, 5, 30))
    expected = [spearmanr(a, b).statistic for a, b in zip(x.T, y.T, strict=True)]
    np.testing.assert_allclose(paired_spearman(x, y), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_seed_that_lacks_a_number_has_no_correlation(value: float) -> None:
    """Two of six are lost: the other four are -1, and so is their mean. It was -0.67 when NaN counted as 0."""
    values = np.tile([4.0, 3.0, 2.0, 1.0], (6, 1)).T
    values[2, :2] = value
    correlations = paired_spearman(DURATIONS, finite(values))
    np.testing.assert_array_equal(np.isnan(correlations), [True, True, False, False, False, False])
    assert np.nanmean(correlations) == -1.0
    assert np.isnan(paired_spearman(DURATIONS, np.full((4, 6), np.nan))).all()


def test_a_diverged_run_ranks_worst() -> None:
    values = np.tile([4.0, 3.0, 2.0, 1.0], (4, 1)).T
    gone = np.zeros((4, 4), dtype=bool)
    gone[3, 1] = gone[2:, 2] = gone[:, 3] = True
    values[gone] = np.nan
    correlations = paired_spearman(DURATIONS, ranked_worst(values, gone))
    expected = [
        -1.0,
        spearmanr(DURATIONS, [3, 2, 1, 4]).statistic,
        spearmanr(DURATIONS, [2, 1, 3.5, 3.5]).statistic,
        0.0,
    ]
    np.testing.assert_allclose(correlations, expected)
    values[0, 0] = np.nan  # not because it diverged
    assert np.isnan(paired_spearman(DURATIONS, ranked_worst(values, gone))[0])


def test_straight_lines_are_those_of_scipy() -> None:
    """The slopes and R² of C8."""
    steps, values = np.arange(3.0, 11.0) ** 2, np.random.default_rng(2).standard_normal((40, 8))
    lines = [linregress(steps, row) for row in values]
    np.testing.assert_allclose(support._slopes(steps, values), [1000.0 * line.slope for line in lines], rtol=1e-11)
    np.testing.assert_allclose(support._r_squared(steps, values), [line.rvalue**2 for line in lines], rtol=1e-10)
    assert np.isnan(support._r_squared(steps, np.full((1, 8), np.nan))).all()


def test_runs_are_read_at_the_largest_of_their_final_losses() -> None:
    """By hand: the test loss is linear in the logarithm of the training loss, and falls as it falls."""
    train = 10.0 ** -np.array([[0.0, 1.0, 2.0, 3.0], [0.0, 0.5, 1.0, 1.5], [0.0, 2.0, 1.0, 4.0]])
    test = np.array([[8.0, 6.0, 4.0, 2.0], [9.0, 7.0, 5.0, 3.0], [5.0, 4.0, 3.0, 2.0]])
    read = at_largest_final_loss(train[:, None], test[:, None])[:, 0]
    # The third comes back above the level, which counts from where it is below for good.
    np.testing.assert_allclose(read, [5.0, 3.0, 3.0 - 0.5 / 3.0])


def test_matched_fit_takes_away_what_fit_alone_does() -> None:
    """The test loss is a function of the training loss, which longer phases leave higher: no effect at one fit."""
    rates = np.array([3.0, 2.0, 1.0])[:, None, None]
    train = np.exp(-rates * np.linspace(0.0, 1.0, 101)[None, None])
    test = np.sqrt(train)
    assert (np.diff(test[:, 0, -1]) > 0.1).all()
    assert np.ptp(at_largest_final_loss(train, test)) < 1e-4


def test_diverged_runs_have_no_matched_loss() -> None:
    train = np.exp(-np.linspace(0.0, 1.0, 11)) * np.ones((3, 4, 1))
    train[2, 1, 5:] = np.nan
    read = at_largest_final_loss(train, train)
    np.testing.assert_array_equal(np.isnan(read).any(axis=0), [False, True, False, False])
