"""Feature sparsity from per-unit statistics against the greedy deletion that it replaces."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from largestep import sparsity
from largestep.config.measures import Thresholds
from largestep.measures.units import (
    ORDERS,
    feature_sparsity,
    normalised,
    orders,
    reordered_sparsity,
    unit_statistics,
    unit_statistics_of,
)

Array = NDArray[np.floating]
THRESHOLDS = (0.5, 0.9, 0.95, 0.99, 0.999)


def _random_activations(generator: np.random.Generator) -> Array:
    """ReLU activations with dead, constant, duplicated, rescaled and nearly duplicated units."""
    examples, units = generator.integers(3, 40), generator.integers(1, 25)
    activations = np.maximum(generator.standard_normal((examples, units)), 0.0)
    for unit in range(units):
        other, kind = generator.integers(units), generator.choice(["dead", "constant", "copy", "near", "as drawn"])
        if kind == "dead":
            activations[:, unit] = 0.0
        elif kind == "constant":
            activations[:, unit] = generator.choice([0.1, 1.0])
        elif kind == "copy":
            activations[:, unit] = generator.choice([0.3, 1.0, 7.0]) * activations[:, other]
        elif kind == "near":
            noise = 10.0 ** generator.uniform(-3, 0) * generator.standard_normal(examples)
            activations[:, unit] = np.maximum(activations[:, other] + noise, 0.0)
    return activations


def _by_greedy_deletion(activations: Array, threshold: float) -> float:
    """Delete, from the first to the last, each unit that correlates with another that remains."""
    remaining = [unit for unit in range(activations.shape[1]) if (activations[:, unit] > 0).any()]
    for unit in list(remaining):
        for other in remaining:
            if other != unit and abs(_correlation(activations[:, unit], activations[:, other])) > threshold:
                remaining.remove(unit)
                break
    return float(np.count_nonzero(activations[:, remaining]) / activations.size)


def _correlation(a: Array, b: Array) -> float:
    """Pearson correlation; 0 where a unit is constant, for which it is not defined."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _sparsity(activations: Array, threshold: float) -> float:
    return float(feature_sparsity(*unit_statistics(activations)[:2], len(activations), threshold))


@pytest.mark.parametrize("seed", range(4))
def test_equals_greedy_deletion(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(75):
        activations = _random_activations(generator)
        for threshold in THRESHOLDS:
            assert _sparsity(activations, threshold) == pytest.approx(_by_greedy_deletion(activations, threshold))


def test_batches_and_single_precision() -> None:
    generator = np.random.default_rng(9)
    cases = [np.maximum(generator.standard_normal((30, 8)), 0.0).astype(np.float32) for _ in range(6)]
    statistics = [unit_statistics(case) for case in cases]
    count, later, *_ = (np.stack(parts) for parts in zip(*statistics, strict=True))
    sparsity_of_cases = feature_sparsity(count, later, 30, 0.3)
    assert sparsity_of_cases.tolist() == pytest.approx([_by_greedy_deletion(case, 0.3) for case in cases])


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_small_blocks(threshold: float) -> None:
    active = np.array([[0.0], [1.0], [2.0], [0.0]])
    assert _sparsity(np.zeros((4, 3)), threshold) == 0.0
    assert _sparsity(active, threshold) == 0.5
    assert _sparsity(np.hstack([active, np.zeros((4, 1))]), threshold) == 0.25
    assert _sparsity(np.hstack([active, 3.0 * active]), threshold) == 0.25
    assert _sparsity(np.hstack([active, 2.0 - active]), threshold) == 0.375  # anticorrelated: the first goes


def test_a_chain_keeps_what_no_later_unit_covers() -> None:
    # The first two are alike and the last two are alike: deleting in order leaves the last alone.
    first, last = np.array([1.0, 0.0, 0.0, 1.0, 3.0]), np.array([1.0, 0.0, 2.0, 1.0, 3.0])
    chain = np.stack([first, (first + last) / 2, last], axis=1)
    threshold = 0.9
    assert abs(_correlation(first, last)) < threshold
    assert _sparsity(chain, threshold) == pytest.approx(_by_greedy_deletion(chain, threshold)) == pytest.approx(4 / 15)


@pytest.mark.parametrize("examples", [100, 1000, 1797])
def test_constant_units_are_no_copies(examples: int) -> None:
    """The mean of equal numbers may be off by a rounding error, of which np.corrcoef makes a correlation of 1."""
    _, later, *_ = unit_statistics(np.tile([0.1, 0.2, 0.3, 0.7], (examples, 1)))
    np.testing.assert_array_equal(later, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_run_is_nan(bad: float) -> None:
    activations = np.ones((4, 3))
    activations[2, 1] = bad
    assert np.isnan(_sparsity(activations, 0.95))


def test_normalised() -> None:
    activations = np.array([[3.0, 4.0], [0.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(normalised(activations), [[0.6, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize("seed", range(2))
def test_in_another_order_it_is_the_deletion_of_units_in_that_order(seed: int) -> None:
    generator = np.random.default_rng(100 + seed)
    for _ in range(20):
        activations = _random_activations(generator)
        count, _, reordered, _ = unit_statistics(activations)
        threshold = generator.choice(THRESHOLDS)
        one_by_one = [
            _by_greedy_deletion(activations[:, np.argsort(places)], threshold)
            for places in orders(activations.shape[1])
        ]
        mean, spread = reordered_sparsity(count, reordered, len(activations), threshold)
        assert mean == pytest.approx(np.mean(one_by_one))
        assert spread == pytest.approx(np.std(one_by_one, ddof=1))


def test_the_mean_over_orders_is_near_that_over_all_orders() -> None:
    """A unit stays in the share 1 / (1 + d) of all orders, d being the number of units that it correlates with."""
    generator = np.random.default_rng(0)
    centres = np.maximum(generator.standard_normal((60, 8)), 0.0)
    activations = np.maximum(np.repeat(centres, 6, axis=1) + 0.2 * generator.standard_normal((60, 48)), 0.0)
    correlation = np.abs(np.corrcoef(activations.T))
    others = (correlation > 0.9).sum(axis=0) - 1
    assert 0 < np.median(others) < 6  # some of the copies are alike enough, not all
    expected = np.mean((activations > 0).mean(axis=0) / (1 + others))
    count, _, reordered, _ = unit_statistics(activations)
    mean, spread = reordered_sparsity(count, reordered, 60, 0.9)
    assert spread > 0
    assert abs(mean - expected) < 3.0 * spread / np.sqrt(ORDERS)


def _block(activations: Array) -> tuple[float, float, float]:
    """Active and dead fraction and feature sparsity of two runs, the first of which has these activations."""
    features = unit_statistics_of([[activations], [np.abs(activations)]], (1, 2, 1), len(activations), "block")
    features = features.assign_coords(arm=["order"], seed=[0, 1], snapshot_step=[0])
    measures = sparsity.measures(features, Thresholds(correlation_thresholds=[0.99])).isel(
        arm=0, snapshot_step=0, block=0
    )
    first = measures.isel(seed=0, correlation_threshold=0, missing_dims="ignore")
    assert bool(measures["active_fraction"].isnull()[1]) == bool((activations < 0).any())  # for all runs or for none
    return tuple(float(first[name]) for name in ("active_fraction", "dead_fraction", "feature_sparsity"))


def test_a_block_with_negative_values_has_no_dead_and_no_active_units() -> None:
    """A unit below zero on all examples is not dead, and counts as one that is distinct."""
    activations = np.array([[1.0, 0.5, 0.0], [2.0, 0.4, 0.0], [0.0, 0.3, 0.0]])
    assert _block(activations) == (pytest.approx(5 / 9), pytest.approx(1 / 3), pytest.approx(5 / 9))
    activations[:, 1] = [-0.1, -0.5, -0.2]
    active, dead, distinct = _block(activations)
    assert np.isnan([active, dead]).all()
    assert distinct == pytest.approx(5 / 9)
