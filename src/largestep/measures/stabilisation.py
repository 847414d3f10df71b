"""Where, at which level and how flat the training loss is while the step size is large (paper, sections 1 and 2).

A cell whose step size is divided has a large-step phase: all recorded steps up to the first division. For every
run with such a phase:

- Slope: the change of log10 of the loss over the second half of the phase, by least squares, in decades. This half
  is fixed beforehand and not looked for in the loss, so that a slope near 0 is a finding. Its interval is a
  block bootstrap of the residuals.
- Onset: the recorded step from which the mean of log10 of the loss is known best when all before is dropped. This is
  the marginal standard error rule for the end of a transient (MSER, White 1997), which has no band or width
  to choose. A loss that keeps falling is known best from its last points alone: a run whose onset would lie in the
  second half of the phase has none, and neither has one whose slope lies beyond `FLAT` with its whole interval, or
  one whose loss has converged to rounding error. It never stabilises.
- Level: the mean of the loss itself, not of its logarithm, from the onset to the decay. By Proposition 2.1 the
  variance of the noise is proportional to the loss, so that this mean stands for the noise of the whole stretch:
  it is the delta of the paper's SDE.
- Drops, in decades: from the mean of log10 of the loss over the second half of the phase to that shortly after the
  decay, and to that at the end of training. They do not need an onset, so no run is left out, and means of logarithms
  are not biased by how many steps they are taken over.

Phase diagrams keep one mean for each phase and no curve, from which none of this follows. What they can tell has
another name: there a loss *keeps its level* if that mean hardly falls from the shortest phase to the longest
(`largestep.claims.phase_diagram`).
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.measures.outcomes import survived
from largestep.registered import Measure, Row
from largestep.schedules import is_large, second_half
from largestep.store import variable

MEASURES = {
    "stabilisation_onset": Measure(panel=None, row=Row("training loss stabilises at", "step", phase=True)),
    "stabilisation_level": Measure(panel=None, row=Row("level of the stable training loss", phase=True)),
    "stabilisation_fraction": Measure(panel=None, row=Row("training with a stable loss", "%", phase=True)),
    "stabilisation_slope": Measure(
        panel=None, row=Row("change of the training loss before the decay", "decades", phase=True)
    ),
    "decay_drop": Measure(panel=None, row=Row("fall of the training loss at the decay", "decades", phase=True)),
    "final_drop": Measure(panel=None, row=Row("fall of the training loss until the end", "decades", phase=True)),
}
Array = NDArray[np.float64]
RUNS = ("cell", "arm", "seed")
# Decades: a loss that "remains approximately constant" stays within a factor of two over half the phase.
FLAT = 0.3
# Recorded steps: in a shorter phase there is too little to fit a line to half of.
FEWEST_POINTS = 10
# Share of training that counts as shortly after the decay, and as the end.
SHORTLY = 0.05
# Later truncations are not tried: means of a few points are close by chance.
LATEST_TRUNCATION = 0.75
# Of the loss at the start: residuals below a hundred rounding errors of float64 are no level that noise keeps up.
CONVERGED = (100 * np.finfo(np.float64).eps) ** 2
# Where studies keep one mean for each phase and no curve: a mean loss below this has converged and has no level.
NO_LEVEL = 1e-8
CONFIDENCE = 0.95
RESAMPLES = 2000
VARIABLES = {
    "stabilisation_onset": ("1", "recorded step at which the training loss has stabilised; NaN if it never has"),
    "stabilisation_level": ("1", "mean training loss from the onset to the decay"),
    "stabilisation_steps": ("1", "steps from the onset to the decay, 0 if the loss never stabilises"),
    "stabilisation_fraction": ("1", "the same as a fraction of training"),
    "stabilisation_slope": ("1", "decades that the loss changes by over the second half of the large-step phase"),
    "stabilisation_slope_low": ("1", "lower end of the slope's 95% block-bootstrap interval"),
    "stabilisation_slope_high": ("1", "upper end of the slope's 95% block-bootstrap interval"),
    "decay_drop": ("1", "decades from the loss over the second half of the large-step phase to shortly after its end"),
    "final_drop": ("1", "decades from the loss over the second half of the large-step phase to the end of training"),
}


def stabilisation(experiment: xr.Dataset) -> xr.Dataset:
    """The variables of `VARIABLES`, each of dimensions (cell, arm, seed), for an experiment of the aggregate.

    NaN for runs that diverged, and for cells whose large-step phase has fewer than `FEWEST_POINTS` recorded steps or
    that have none.
    """
    steps = experiment["step"].values
    loss = experiment["train_loss"].transpose(*RUNS, "step").values
    alive = survived(experiment).transpose(*RUNS).values
    columns = {name: np.full(alive.shape, np.nan) for name in VARIABLES}
    for cell, decay in enumerate(experiment["decay_step"].isel(decay=0).values):
        if not alive[cell].any() or is_large(steps, decay).sum() < FEWEST_POINTS:
            continue
        for name, values in of_runs(loss[cell][alive[cell]], steps, int(decay)).items():
            columns[name][cell][alive[cell]] = values
    return xr.Dataset({name: variable(RUNS, columns[name], *words) for name, words in VARIABLES.items()})


def of_runs(loss: Array, steps: NDArray[np.int64], decay: int) -> dict[str, Array]:
    """The measures of runs that did not diverge, by name, each of shape (runs,).

    loss: (runs, steps), at these recorded steps of the whole of training. decay: the first step after the phase.
    """
    length, phase, half = steps[-1] + 1, is_large(steps, decay), second_half(steps, decay)
    # The first recorded step from the decay on is left out: it may be that of the decay, which ends the phase.
    first = min(int(np.searchsorted(steps, decay)) + 1, len(steps) - 1)
    after = slice(first, max(first + 1, int(np.searchsorted(steps, decay + SHORTLY * length, side="right"))))
    end = steps >= (1 - SHORTLY) * steps[-1]
    logarithm = elementary.log10(np.maximum(loss, np.finfo(float).tiny))

    before = logarithm[:, half].mean(axis=1)
    slope, low, high = slopes(logarithm[:, half], steps[half])
    onset = truncation(logarithm[:, phase])
    converged = before < logarithm[:, 0] + math.log10(CONVERGED)
    stable = (onset >= 0) & (high >= -FLAT) & (low <= FLAT) & ~converged
    kept = np.where(np.arange(phase.sum()) >= onset[:, None], loss[:, phase], np.nan)
    lasted = np.where(stable, decay - steps[phase][onset], 0)
    return {
        "stabilisation_onset": np.where(stable, steps[phase][onset], np.nan),
        "stabilisation_level": np.where(stable, np.nanmean(kept, axis=1), np.nan),
        "stabilisation_steps": lasted.astype(np.float64),
        "stabilisation_fraction": lasted / length,
        "stabilisation_slope": slope,
        "stabilisation_slope_low": low,
        "stabilisation_slope_high": high,
        "decay_drop": before - logarithm[:, after].mean(axis=1),
        "final_drop": before - logarithm[:, end].mean(axis=1),
    }


def truncation(values: Array) -> NDArray[np.int64]:
    """How many of the first values to drop so that the mean of the others has the smallest standard error (MSER).

    values: (runs, n), evenly spaced. Returns (runs,), at most n // 2; -1 where that would not be enough.
    """
    n = values.shape[1]
    last = int(LATEST_TRUNCATION * n)
    # Sums over all values from each one on; centred, so that the difference of squares keeps its digits.
    centred = values - values.mean(axis=1, keepdims=True)
    left = n - np.arange(last + 1)
    total = np.cumsum(centred[:, ::-1], axis=1)[:, ::-1][:, : last + 1]
    squares = np.cumsum(centred[:, ::-1] ** 2, axis=1)[:, ::-1][:, : last + 1]
    marginal = np.maximum(squares - total**2 / left, 0.0) / left**2
    best = marginal.argmin(axis=1)
    return np.where(best <= n // 2, best, -1)


def slopes(values: Array, steps: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Change of a straight line, fitted by least squares, from the first to the last step, and its 95% interval.

    values: (runs, n); steps: (n,). Returns three arrays of shape (runs,): estimate, lower and upper end.
    The interval is a circular block bootstrap of the residuals (Politis and Romano 1992) with blocks of
    `block_length`. All runs share the resamples, so that they are one sum of products. As few blocks vary
    less than their source, the deviations are widened to Student's t with one degree of freedom less than there
    are blocks.
    """
    # Late, because it takes a third of a second and figures want the constants alone.
    from scipy.special import ndtri, stdtrit

    n = len(steps)
    time = steps - steps.mean()
    weights = time * (steps[-1] - steps[0]) / (time**2).sum()
    centred = values - values.mean(axis=1, keepdims=True)
    slope = np.einsum("rn,n->r", centred, weights)
    residuals = centred - np.outer(slope, time / (steps[-1] - steps[0]))
    block = block_length(residuals)
    generator = np.random.default_rng(0)
    starts = generator.integers(n, size=(RESAMPLES, -(-n // block), 1))
    drawn = ((starts + np.arange(block)) % n).reshape(RESAMPLES, -1)[:, :n]
    # What weight each residual gets in each resample.
    places = drawn + n * np.arange(RESAMPLES)[:, None]
    received = np.bincount(places.ravel(), np.tile(weights, RESAMPLES), RESAMPLES * n).reshape(RESAMPLES, n)
    tail = (1.0 - CONFIDENCE) / 2.0
    # Quantiles of Student's t and of the normal distribution; scipy.stats, which wraps them, takes a second to import.
    widening = stdtrit(max(n / block - 1.0, 1.0), tail) / ndtri(tail) * np.sqrt(n / (n - 2))
    low, high = np.quantile(np.einsum("rn,bn->rb", residuals, received), [tail, 1.0 - tail], axis=1) * widening
    return slope, slope + low, slope + high


def block_length(residuals: Array) -> int:
    """Length of the blocks for residuals of shape (runs, n).

    That of Andrews (1991) for the Bartlett kernel and an AR(1) process: 1 for white noise, growing as n^(1/3). The
    lag-1 autocorrelation is that of all runs together, corrected for the bias that the fitted line leaves in it, to
    first order; at most half of the residuals go into a block.
    """
    n = residuals.shape[1]
    squares = (residuals**2).sum()
    measured = (residuals[:, 1:] * residuals[:, :-1]).sum() / squares if squares > 0 else 0.0
    correlation = np.clip(measured + (2.0 + 4.0 * measured) / n, 0.0, 0.97)
    length = 1.1447 * math.pow(4.0 * correlation**2 / (1.0 - correlation**2) ** 2 * n, 1.0 / 3.0)
    return int(np.clip(np.ceil(length), 1, n // 2))
