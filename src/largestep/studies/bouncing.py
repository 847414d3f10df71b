"""Proposition 2.2 by simulation: the one-dimensional model over ranges of gamma in and out of its interval.

The model is h(x) = x theta^2 with labels x theta*^2, trained by SGD with a fresh x each step; in units of theta* an
update is u + gamma u (1 - u^2), gamma = eta theta*^2 x^2. Here gamma is uniform over a range, and starts are equally
spaced in (0, theta*). A seed is a set of draws of the noise, other ones for each start but the same in all ranges.

The paper bounds F = 1/4 E (y - x theta^2)^2 by multiples of theta*^2. F scales as theta*^4 x^2, that is as
gamma theta*^2 / eta, so that the bounds can only be meant for eta = 1, or F in units of theta*^2 / eta. That is the
unit here: F = E[gamma] (1 - u^2)^2 / 4. (Division by E[gamma] gives F in units of theta*^4 E x^2.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from largestep.measures.bouncing import HIGHEST_ITERATE, HIGHEST_LOSS, LOWEST_ITERATE, gap
from largestep.store import variable
from largestep.toys import bouncing

if TYPE_CHECKING:
    from largestep.config.studies.bouncing import Attractor, Bouncing
    from largestep.specs.studies import StudySpec, UsedToy

Array = NDArray[np.float64]
# Columns of a summary that are (1 - u^2)^2, which E[gamma] / 4 turns into F.
LOSSES = ("lowest", "highest", "tail_lowest", "tail_highest", "tail_mean")
# For the pictures alone: runs shown step by step, and how the attractor is found.
SHOWN_STARTS = (0.01, 0.5, 0.99)
SHOWN_STEPS = 40
ATTRACTOR_START, ATTRACTOR_SKIPPED, ATTRACTOR_KEPT = 0.5, 1000, 48
# Purposes of the random streams.
NOISE, TRAJECTORY, ATTRACTOR = 0, 1, 2


def study(spec: StudySpec[Bouncing, UsedToy], threads: int) -> xr.Dataset:
    """Runs by range of gamma, seed and start, summed up over starts.

    Returns per range and seed the extremes of F and of the iterates, shares of runs, and the update from which they
    bounce, with dimensions (range, seed) and NaN for what never happens; example runs (range, shown_start, step); and
    the iterates that runs under one gamma end in, without and with noise, (gamma, iterate). Runs that left their side
    of 0 count in every share, as failing but in `left`, and in nothing else; in examples and attractors they are NaN
    from there on. `threads` does not matter.
    """
    settings = spec.settings
    ranges = np.array(settings.ranges)
    starts = (np.arange(settings.starts) + 0.5) / settings.starts
    gaps = gap(ranges[:, 0])
    summaries = np.empty((len(ranges), settings.seeds, len(starts), len(bouncing.COLUMNS)))
    for seed in tqdm(range(settings.seeds), desc=spec.study, unit="seed", mininterval=2.0, ascii=True):
        uniforms = np.random.default_rng([NOISE, seed]).random((len(starts), settings.steps))
        for index, (low, high) in enumerate(ranges):
            summaries[index, seed] = bouncing.summaries(
                starts, uniforms, low, high, settings.tail, LOWEST_ITERATE, HIGHEST_ITERATE, gaps[index]
            )
    return xr.Dataset(
        {
            "gamma_range": variable(("range", "end"), ranges, "1", "range of gamma = eta theta*^2 x^2"),
            "gap": variable(("range",), gaps, "1", "distance eps0 from theta* that iterates are to keep, in theta*"),
            **_by_seed(summaries, ranges, gaps, settings.steps - settings.tail),
            "trajectory": _trajectories(ranges),
            **_attractors(settings.attractor),
        },
        {
            "range": variable(("range",), [f"{low:g} to {high:g}" for low, high in ranges], "1", "range of gamma"),
            "end": variable(("end",), ["low", "high"], "1", "end of the range of gamma"),
            "seed": variable(("seed",), np.arange(settings.seeds), "1", "seed of the noise"),
            "shown_start": variable(("shown_start",), SHOWN_STARTS, "1", "where the example run starts, in theta*"),
            "step": variable(("step",), np.arange(SHOWN_STEPS + 1), "1", "updates"),
            "gamma": variable(("gamma",), _grid(settings.attractor), "1", "gamma, or its mean"),
        },
        {"starts": settings.starts, "steps": settings.steps, "tail": settings.tail},
    )


def _by_seed(summaries: Array, ranges: Array, gaps: Array, before_tail: int) -> dict[str, xr.Variable]:
    """Shares and extremes over the starts, from the columns of `bouncing.summaries` along the last axis."""
    column = dict(zip(bouncing.COLUMNS, np.moveaxis(summaries, -1, 0), strict=True))
    stayed = column["left"] < 0
    bounces = (column["settled"] > 0) & (column["settled"] <= before_tail + 1)
    settled = np.where(bounces, column["settled"], np.inf)
    for name in LOSSES:
        column[name] = column[name] * (ranges.mean(axis=1) / 4.0)[:, None, None]
    over, under = column["lowest"] > (gaps**2)[:, None, None], column["highest"] < HIGHEST_LOSS
    tail_over, tail_under = column["tail_lowest"] > (gaps**2)[:, None, None], column["tail_highest"] < HIGHEST_LOSS

    def least(name: str) -> Array:
        return np.asarray(np.min(column[name], axis=2, initial=np.inf, where=stayed))

    def largest(name: str) -> Array:
        return np.asarray(np.max(column[name], axis=2, initial=-np.inf, where=stayed))

    shares = {
        "left": (~stayed, "runs that left their side of 0"),
        "alternating": (column["alternation"] == 1.0, "runs that change sides of theta* at every update of the tail"),
        "bouncing": (bounces, "runs that bounce as stated all along the tail"),
        "over_lower_bound": (over, "runs whose F is above eps0^2 from the first update on"),
        "under_upper_bound": (under, "runs whose F is below 0.17 from the first update on"),
        "tail_within_bounds": (tail_over & tail_under, "runs whose F is between the two in the tail"),
    }
    times = {
        "median_settled": (np.median(settled, axis=2), "update from which half of the runs bounce as stated"),
        "last_settled": (settled.max(axis=2), "update from which all runs bounce as stated"),
    }
    losses = {
        "lowest_loss": (least("lowest"), "smallest F from the first update on"),
        "highest_loss": (largest("highest"), "largest F from the first update on"),
        "lowest_tail_loss": (least("tail_lowest"), "smallest F in the tail"),
        "highest_tail_loss": (largest("tail_highest"), "largest F in the tail"),
        "typical_tail_loss": (_over_runs(np.median, column["tail_mean"], stayed), "median of the tail's mean F"),
    }
    iterates = {
        "low_from": (least("low_from"), "smallest iterate below theta* in the tail"),
        "low_to": (largest("low_to"), "largest iterate below theta* in the tail"),
        "high_from": (least("high_from"), "smallest iterate above theta* in the tail"),
        "high_to": (largest("high_to"), "largest iterate above theta* in the tail"),
    }
    rate = _over_runs(np.mean, column["alternation"], stayed)
    dims = ("range", "seed")
    return (
        {name: variable(dims, values.mean(axis=2), "1", f"share of {what}") for name, (values, what) in shares.items()}
        | {"alternation": variable(dims, rate, "1", "share of the tail's updates that change sides of theta*")}
        | {name: variable(dims, _known(values), "1", what) for name, (values, what) in times.items()}
        | {
            name: variable(dims, _known(values), "1", f"{what}, in theta*^2/eta")
            for name, (values, what) in losses.items()
        }
        | {name: variable(dims, _known(values), "1", f"{what}, in theta*") for name, (values, what) in iterates.items()}
    )


def _over_runs(statistic: Callable[[Array], Any], values: Array, stayed: NDArray[np.bool_]) -> Array:
    """A statistic over the runs that stayed, (range, seed); NaN where none did."""
    statistics = np.full(values.shape[:2], np.nan)
    for index in np.ndindex(*statistics.shape):
        if stayed[index].any():
            statistics[index] = statistic(values[index][stayed[index]])
    return statistics


def _known(values: Array) -> Array:
    """NaN for an extreme of nothing and for what never happens."""
    return np.where(np.isfinite(values), values, np.nan)


def _trajectories(ranges: Array) -> xr.Variable:
    """A few runs step by step, all under the same draws."""
    uniforms = np.random.default_rng([TRAJECTORY]).random(SHOWN_STEPS)
    iterates = np.empty((len(ranges), len(SHOWN_STARTS), SHOWN_STEPS + 1))
    for index, (low, high) in enumerate(ranges):
        for place, start in enumerate(SHOWN_STARTS):
            iterates[index, place, 0] = start
            iterates[index, place, 1:] = bouncing.orbit(start, low + (high - low) * uniforms)
    return variable(("range", "shown_start", "step"), iterates, "1", "iterates of example runs, in theta*")


def _attractors(settings: Attractor) -> dict[str, xr.Variable]:
    """Where runs end under one gamma, and under noise of the given spread around it."""
    steps = ATTRACTOR_SKIPPED + ATTRACTOR_KEPT
    deviations = settings.spread * np.random.default_rng([ATTRACTOR]).uniform(-1.0, 1.0, steps)
    dims, gammas = ("gamma", "iterate"), _grid(settings)

    def tails(noise: Array) -> Array:
        return np.stack([bouncing.orbit(ATTRACTOR_START, gamma + noise)[ATTRACTOR_SKIPPED:] for gamma in gammas])

    return {
        "attractor": variable(dims, tails(np.zeros(steps)), "1", "last iterates under one gamma, in theta*"),
        "noisy_attractor": variable(
            dims,
            tails(deviations),
            "1",
            f"last iterates under gamma uniform within {settings.spread:g} of this, in theta*",
        ),
    }


def _grid(settings: Attractor) -> Array:
    return np.linspace(settings.lowest, settings.highest, settings.points)
