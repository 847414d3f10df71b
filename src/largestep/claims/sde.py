"""C6: the SDE describes SGD at a large step size.

Data: the studies of kind flows, the seeds on which neither SGD nor the SDE diverges; and those of kind sde_convergence.
The SDE is the paper's, with delta = (2/n) L from SGD's loss, on which the answer rests; the same is asked of the one
with delta from its own loss, which says whether the SDE stabilises by itself.
Statistics, per seed:
- log2 of the ratio SDE / SGD of the level, the geometric mean of the training loss over the second half of the
  large-step phase, and of the rank, the non-zeros or the feature sparsity, and the test loss at the end, at the
  paper's thresholds: within a factor of `FACTOR`; a ratio beyond 2**`EXTREME` counts as that, so that one run on its
  way to infinity or to 0 does not outweigh the others;
- the distance of Kolmogorov and Smirnov between the distributions of the training loss of SDE and SGD in that half,
  less its mean between the SGD runs of the other seeds and this one: how much further the SDE is from SGD than SGD
  from itself, below `FURTHER`. The answer does not rest on it, because SGD runs of other seeds start from other
  weights, which the SDE of a seed does not. Samples lie two autocorrelation times of log loss apart; the distance of
  equal distributions is above 0 for few samples, and cancels.
The discretisation is a method of weak order 1: jackknife pseudo-values over groups of paths of the slope of log change
against log time step, for the mean loss, between the bounds `ORDER`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, between, within_factor
from largestep.threshold_sweep import at_paper

CLAIM = "C6"
CLAIMS = {CLAIM: "An SDE with the noise of SGD at its loss describes SGD: its level, its rank and sparsity, its loss."}
Seeds = NDArray[np.bool_]
FACTOR, FURTHER, EXTREME = 1.25, 0.2, 10.0
TEST_LEVEL = 0.05
EQUIVALENT = within_factor(FACTOR)
CLOSE = below(FURTHER)
ORDER = between(0.8, 1.2)
LEVEL = "log2 ratio SDE / SGD of the loss in the large-step phase"
DISTANCE = "Kolmogorov-Smirnov distance of the losses of SDE and SGD, less that of SGD's seeds"
WEAK_ORDER = "weak order of the discretisation, mean loss"
# Below these a measure says nothing; they keep logarithms finite.
FLOORS = {"rank": 1.0, "l0": 1.0, "feature sparsity": 1e-4, "test loss": 1e-300}


def measured(results: Results) -> Iterator[Measured]:
    """C6 for every comparison of SGD and the SDE, and the order of every check of the discretisation."""
    for name, study in results.of_kind("flows"):
        yield from _comparison(name, study)
    yield from results.studies_not_run(CLAIM, "flows", LEVEL, EQUIVALENT)
    for name, study in results.of_kind("sde_convergence"):
        values = order_by_seed(study["halved_time_step"].values, study["loss_change"].values)
        lost = int(study["diverged"].max("level").sum())
        note = f"{lost} of {int(study['paths']) * study.sizes['seed']} paths diverged" if lost else ""
        yield Measured(CLAIM, name, WEAK_ORDER, values, ORDER, note=note)
    yield from results.studies_not_run(CLAIM, "sde_convergence", WEAK_ORDER, ORDER)


def final_measures(study: xr.Dataset) -> dict[str, xr.DataArray]:
    """Rank and non-zeros, or rank and feature sparsity, averaged over blocks, and the test loss: (algorithm, seed)."""
    end = study.isel(snapshot_step=-1)
    measures = {"rank": at_paper(end["rank"])}
    if "l0" in study:
        measures["l0"] = at_paper(end["l0"])
    if "feature_sparsity" in study:
        measures["feature sparsity"] = at_paper(end["feature_sparsity"]).mean("block")
    if "test_loss" in study:
        measures["test loss"] = study["test_loss"].isel(step=-1)
    return measures


def usable(study: xr.Dataset, *algorithms: str) -> Seeds:
    """Seeds on which none of the algorithms diverges, (seeds,)."""
    return np.asarray((study["diverged_step"].sel(algorithm=list(algorithms)) < 0).all("algorithm").values)


def of_seeds_tried(study: xr.Dataset, values: Values, both: Seeds) -> tuple[Values, Seeds]:
    """The values of all seeds that were tried, and which of them a divergence left without one, SGD's own included.

    values: of the seeds compared. both: which of these diverge under none of the algorithms.
    """
    of_all, diverged = np.full(int(study["seeds_tried"]), np.nan), np.ones(int(study["seeds_tried"]), dtype=np.bool_)
    of_all[study["seed"].values], diverged[study["seed"].values] = values, ~both
    return of_all, diverged


def lost(study: xr.Dataset) -> str:
    """How many seeds of SGD were left out before the comparison, in words."""
    return f"SGD diverged on {int(study['seeds_lost'])} of the {int(study['seeds_tried'])} seeds tried"


def distance(a: Values, b: Values) -> float:
    """The distance of Kolmogorov and Smirnov, the largest between two empirical distribution functions."""
    points = np.concatenate([a, b])
    shares = (np.searchsorted(np.sort(each), points, side="right") / len(each) for each in (a, b))
    return float(np.abs(np.subtract(*shares)).max())


def order_by_seed(time_steps: Values, changes: Values) -> Values:
    """Jackknife pseudo-values of the slope of log |mean change| against log time step, (seeds,).

    time_steps: (halvings,); changes: (seeds, halvings). Their mean is the slope without its bias of first order.
    """
    n = len(changes)
    without = (changes.sum(axis=0) - changes) / (n - 1)
    return np.asarray(n * _slope(time_steps, changes.mean(axis=0)[None]) - (n - 1) * _slope(time_steps, without))


def _slope(time_steps: Values, changes: Values) -> Values:
    x = elementary.log(time_steps) - elementary.log(time_steps).mean()
    return np.asarray((elementary.log(np.abs(changes)) * x).sum(axis=-1) / (x**2).sum())


def _comparison(name: str, study: xr.Dataset) -> Iterator[Measured]:
    levels = xr.apply_ufunc(elementary.log2, study["loss_sample"]).mean("sample")
    for algorithm, where in (("sde_coupled", name), ("sde", f"{name}/own loss")):
        both = usable(study, "sgd", algorithm)
        headline = algorithm == "sde_coupled"

        def ratio(values: xr.DataArray, a: str = algorithm, seeds: np.ndarray = both) -> tuple[Values, Seeds]:
            difference = values.sel(algorithm=a) - values.sel(algorithm="sgd")
            clipped = np.where(np.isfinite(difference), np.clip(difference, -EXTREME, EXTREME), np.nan)
            return of_seeds_tried(study, clipped, seeds)

        values, diverged = ratio(levels)
        yield Measured(CLAIM, where, LEVEL, values, EQUIVALENT, diverged, lost(study), headline)
        for measure, final in final_measures(study).items():
            statistic = f"log2 ratio SDE / SGD of the {measure} at the end"
            values, diverged = ratio(xr.apply_ufunc(elementary.log2, final.clip(min=FLOORS[measure])))
            yield Measured(CLAIM, where, statistic, values, EQUIVALENT, diverged, headline=headline)
        if headline:
            yield _distance(where, study, both)


def _distance(where: str, study: xr.Dataset, both: np.ndarray) -> Measured:
    samples = study["loss_sample"].transpose("algorithm", "seed", "sample")
    sgd, sde = (samples.sel(algorithm=a).values[both] for a in ("sgd", "sde_coupled"))
    seeds = np.full(len(both), np.nan)
    among = np.array([[distance(a, b) for b in sgd] for a in sgd]).reshape(len(sgd), -1)
    others = among.sum(axis=0) / max(len(sgd) - 1, 1)  # a run's distance from itself is 0
    seeds[both] = np.array([distance(a, b) for a, b in zip(sde, sgd, strict=True)]) - others
    rejected = sum(ks_2samp(a, b).pvalue < TEST_LEVEL for a, b in zip(sde, sgd, strict=True))
    note = f"{samples.sizes['sample']} samples; the two-sample test rejects at 5% on {rejected} of {len(sgd)} seeds"
    values, diverged = of_seeds_tried(study, seeds, both)
    return Measured(CLAIM, where, DISTANCE, values, CLOSE, diverged, note)
