"""C11: too large a step over-regularises, so that the network no longer fits its training points (Fig. 12).

Data: sweeps of the large step size that a warm-up reaches, on one-dimensional points. A run fails to fit when its
final training loss is above 0.01: one of the twelve points missed by 0.35 costs as much, and the labels lie 0.5
apart or more. Statistics, paired within the seeds that survive both: failing (1 or 0) at the peak that the paper
calls too large, and at the largest peak at which at most half of the seeds diverge, minus failing at the
published peak; and the same difference of the rank, by which the larger step is to give the simpler function.
Criteria: failing more often, above 0; a lower rank, below 0. The answer rests on failing to fit at the peak that the
paper calls too large, with the published decay, which divides all peaks by 3; with one decayed step size for all, no
peak ends with larger steps than another.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import controls
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, above, below, missing
from largestep.measures.outcomes import survived
from largestep.threshold_sweep import at_paper

CLAIM = "C11"
CLAIMS = {CLAIM: "Too large a step size over-regularises: the network simplifies too much to fit the training set."}
FAILED = 0.01
# Warm-up factors 200 and 250 from 2e-4, at 50% of training.
PUBLISHED, TOO_LARGE = 0.0201, 0.0251
FAILING, RANK = above(0.0), below(0.0)
STATISTIC = f"share of runs with a final training loss above {FAILED:g}"


def measured(results: Results) -> Iterator[Measured]:
    """Rows for every sweep of peaks reached by a warm-up that has the published one among them."""
    varied = False
    for where, points in controls.sweeps(results):
        warm = (points["warmup_from"] < points["step_size"]).values.all()
        if str(points["vary"].values[0]) == "step_size" and warm and PUBLISHED in points["step_size"]:
            varied = True
            yield from _rows(where, points)
    yield from results.studies_not_run(CLAIM, controls.KIND, STATISTIC, FAILING)
    if not varied and any(results.of_kind(controls.KIND)):
        why = "not run: no study of config.yaml varies the peak of the published warm-up"
        yield missing(CLAIM, controls.KIND, STATISTIC, FAILING, why)


def _rows(where: str, points: xr.Dataset) -> Iterator[Measured]:
    peaks = points["step_size"].values
    headline = "decayed_step_size" in controls.differs(points)
    reference = points.isel(point=int(np.flatnonzero(peaks == PUBLISHED)[0]))
    left = controls.mostly_alive(points)
    larger = {peak for peak in (TOO_LARGE, float(left["step_size"].max())) if peak > PUBLISHED and peak in peaks}
    for peak in sorted(larger):
        runs = points.isel(point=int(np.flatnonzero(peaks == peak)[0]))
        lost = ~(survived(runs) & survived(reference)).values
        failing = _failing(runs) - _failing(reference)
        ranks = (at_paper(runs["rank"]) - at_paper(reference["rank"])).values
        at = f"at peak {peak:g} minus at {PUBLISHED:g}"
        yield Measured(CLAIM, where, f"{STATISTIC}, {at}", failing, FAILING, lost, "", headline and peak == TOO_LARGE)
        yield Measured(CLAIM, where, f"rank of the Jacobian {at}", ranks, RANK, lost)


def _failing(runs: xr.Dataset) -> Values:
    """1 for a run that does not fit, 0 for one that does, NaN where the loss is no number: (seeds,)."""
    loss = runs["train_loss"].values
    return np.where(np.isfinite(loss), loss > FAILED, np.nan)
