"""The measures of a stabilised loss on made-up runs whose onset, level and slope are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from largestep.measures import stabilisation as measures
from largestep.measures.stabilisation import FEWEST_POINTS, FLAT, VARIABLES
from largestep.schedules import NO_DECAY, is_large
from tests import made_up

Array = NDArray[np.float64]
STEPS = np.arange(0, 1001, 5)
LENGTH = 1001


def noise(runs: int, points: int, correlation: float = 0.0, seed: int = 0) -> Array:
    """A stationary AR(1) process of unit variance for each run."""
    generator = np.random.default_rng(seed)
    values = np.empty((runs, points))
    values[:, 0] = generator.standard_normal(runs)
    for index in range(1, points):
        fresh = np.sqrt(1.0 - correlation**2) * generator.standard_normal(runs)
        values[:, index] = correlation * values[:, index - 1] + fresh
    return values


def experiment(log_loss: Array, fractions: tuple[float, ...] = (0.5,)) -> xr.Dataset:
    """The same runs in every cell; log_loss: (seeds, steps) of log10 of the loss."""
    losses = np.broadcast_to(10.0**log_loss, (len(fractions), 1, *log_loss.shape)).copy()
    cells = {f"cell {place}": fraction for place, fraction in enumerate(fractions)}
    return made_up.experiment(cells, STEPS, {"train_loss": (("step",), losses)})


def residuals(points: int, correlation: float = 0.0) -> Array:
    """What a straight line leaves of the noise of 500 runs."""
    time, values = np.arange(points), noise(500, points, correlation)
    return values - np.outer(*np.polyfit(time, values.T, 1)[:1], time) - np.polyfit(time, values.T, 1)[1][:, None]


def falling(onset: int, level: float = -1.0, rate: float = 2.0) -> Array:
    """Log loss that falls by `rate` decades until the onset, stays at a level, and drops by 2 at step 500."""
    log_loss = level + rate * np.maximum(1.0 - STEPS / max(onset, 1), 0.0)
    return np.where(STEPS <= 500, log_loss, level - 2.0)


def test_known_onset_level_and_drop() -> None:
    measured = measures.stabilisation(experiment(falling(100) + 0.02 * noise(20, len(STEPS)))).isel(cell=0, arm=0)
    assert set(measured) == set(VARIABLES)
    np.testing.assert_allclose(measured["stabilisation_onset"], 100, atol=40)
    assert float(measured["stabilisation_onset"].median()) == pytest.approx(100, abs=5)
    np.testing.assert_allclose(measured["stabilisation_level"], 0.1, rtol=0.02)
    np.testing.assert_allclose(measured["stabilisation_steps"], 500 - measured["stabilisation_onset"])
    np.testing.assert_allclose(measured["stabilisation_fraction"], measured["stabilisation_steps"] / LENGTH)
    np.testing.assert_allclose(measured["stabilisation_slope"], 0.0, atol=0.05)
    np.testing.assert_allclose(measured["decay_drop"], 2.0, atol=0.02)
    np.testing.assert_allclose(measured["final_drop"], 2.0, atol=0.02)


def test_level_is_the_mean_of_the_loss_and_not_of_its_logarithm() -> None:
    log_loss = np.where(np.arange(len(STEPS)) % 2, -1.0, -3.0)[None]
    measured = measures.stabilisation(experiment(log_loss))
    assert float(measured["stabilisation_onset"].squeeze()) == 0.0
    phase = 10.0 ** log_loss[0, STEPS <= 500]
    assert float(measured["stabilisation_level"].squeeze()) == pytest.approx(phase.mean())


def test_a_loss_that_keeps_falling_never_stabilises() -> None:
    log_loss = np.where(STEPS <= 500, -2.0 * STEPS / 500, -4.0) + 0.1 * noise(20, len(STEPS))
    measured = measures.stabilisation(experiment(log_loss)).isel(cell=0, arm=0)
    assert measured["stabilisation_onset"].isnull().all()
    assert measured["stabilisation_level"].isnull().all()
    assert (measured["stabilisation_steps"] == 0).all()
    np.testing.assert_allclose(measured["stabilisation_slope"], -1.0, atol=0.15)
    assert measured["final_drop"].notnull().all()


def test_a_loss_at_rounding_error_is_no_level() -> None:
    log_loss = np.where(STEPS <= 100, -31.0 * STEPS / 100, -31.0) + 0.05 * noise(5, len(STEPS))
    measured = measures.stabilisation(experiment(log_loss)).isel(cell=0, arm=0)
    assert (np.abs(measured["stabilisation_slope"]) < 0.1).all()
    assert measured["stabilisation_onset"].isnull().all()
    higher = measures.stabilisation(experiment(log_loss / 2)).isel(cell=0, arm=0)
    assert higher["stabilisation_onset"].notnull().all()


def test_a_slow_trend_is_told_by_its_interval() -> None:
    """Too slow against the noise for the rule of the onset alone, yet beyond what counts as flat."""
    log_loss = np.where(STEPS <= 500, -1.4 * STEPS / 500, -4.0) + 0.25 * noise(40, len(STEPS))
    phase = is_large(STEPS, 500)
    assert (measures.truncation(log_loss[:, phase]) >= 0).sum() >= 10
    measured = measures.stabilisation(experiment(log_loss)).isel(cell=0, arm=0)
    shown_falling = (measured["stabilisation_slope_high"] < -FLAT).values
    assert shown_falling.sum() >= 20
    assert measured["stabilisation_onset"].isnull().values[shown_falling].all()


def test_truncation_equals_the_definition() -> None:
    values = 0.5 * noise(8, 41, 0.5) + np.maximum(1.0 - np.arange(41) / 10, 0.0)
    for row, truncated in zip(values, measures.truncation(values), strict=True):
        marginal = [row[d:].var() / (41 - d) for d in range(31)]
        best = int(np.argmin(marginal))
        assert truncated == (best if best <= 20 else -1)


def test_slope_equals_that_of_polyfit() -> None:
    steps = np.array([0, 5, 10, 12, 15, 20, 25, 30])
    values = noise(5, len(steps))
    slope, low, high = measures.slopes(values, steps)
    np.testing.assert_allclose(slope, 30 * np.polyfit(steps, values.T, 1)[0])
    assert ((low < slope) & (slope < high)).all()


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.93), (0.5, 0.86)])
def test_interval_covers_the_slope(correlation: float, least: float) -> None:
    """Nominally 95%; a bootstrap of 50 correlated points falls short, but far less than one that ignores it."""
    steps = np.arange(50)
    _, low, high = measures.slopes(noise(2000, 50, correlation) + 0.4 * steps / 49, steps)
    assert least <= np.mean((low <= 0.4) & (high >= 0.4)) <= 0.98
    # All runs white: one residual at a time, an interval of the width that theory gives.
    if correlation == 0:
        assert np.mean(high - low) == pytest.approx(2 * 1.96 * np.sqrt(12 / 50), rel=0.08)


def test_blocks_grow_with_the_correlation_and_the_length() -> None:
    assert measures.block_length(residuals(50)) <= 2
    # Andrews: 1.1447 (4 * 0.49 / 0.51**2 * n)**(1/3) is 8.3 for 50 and 16.5 for 400.
    assert measures.block_length(residuals(50, 0.7)) == pytest.approx(9, abs=1)
    assert measures.block_length(residuals(400, 0.7)) == pytest.approx(17, abs=1)


def test_a_constant_loss_is_flat_without_doubt() -> None:
    measured = measures.stabilisation(experiment(np.full((2, len(STEPS)), -1.0))).isel(cell=0, arm=0)
    assert (measured["stabilisation_onset"] == 0).all()
    for end in ("", "_low", "_high"):
        np.testing.assert_allclose(measured[f"stabilisation_slope{end}"], 0.0, atol=1e-12)


def test_diverged_runs_and_cells_without_a_phase_have_no_measures() -> None:
    made = experiment(falling(50) + 0.02 * noise(4, len(STEPS)), fractions=(0.0, 0.02, 0.5))
    made["diverged_step"][2, 0, 1] = 700
    made["train_loss"][2, 0, 1, 141:] = np.nan
    measured = measures.stabilisation(made)
    assert is_large(STEPS, 20).sum() < FEWEST_POINTS
    for name in VARIABLES:
        assert measured[name].isel(cell=[0, 1]).isnull().all(), name
        assert list(measured[name].isel(cell=2, arm=0).isnull().values) == [False, True, False, False], name


def test_other_runs_of_a_cell_leave_the_measures_of_a_run_alone_but_for_its_interval() -> None:
    log_loss = falling(100) + 0.1 * noise(6, len(STEPS), 0.5)
    every, one = (measures.stabilisation(experiment(runs)).isel(seed=0) for runs in (log_loss, log_loss[:1]))
    for name in set(VARIABLES) - {"stabilisation_slope_low", "stabilisation_slope_high"}:
        np.testing.assert_allclose(every[name], one[name], rtol=1e-12, atol=1e-12)


def test_the_phase_ends_where_the_step_size_is_divided() -> None:
    phase = is_large(STEPS, 500)
    assert STEPS[phase][-1] == 500  # int(0.5 * 1001): 500 updates at the large step size lie before it
    assert not is_large(STEPS, NO_DECAY).any()


def test_the_first_mean_after_the_decay_that_reaches_into_the_phase_is_left_out() -> None:
    """Recorded at steps 500 and 505 with the decay at step 502: the mean over 500 to 505 is of both."""
    log_loss = np.where(STEPS <= 505, -1.0, -3.0)[None]
    measured = measures.of_runs(10.0**log_loss, STEPS, 502)
    assert measured["decay_drop"][0] == pytest.approx(2.0)
