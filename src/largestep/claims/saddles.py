"""C15: after the decay, SGD on a diagonal network passes by saddles.

Data: SGD on networks that are linear in their inputs, as diagonal ones are, in studies of kind `sharpness`; runs that
have not diverged.
Statistics, per seed:
- the smallest eigenvalue of the Hessian over the largest, averaged over the points within the first hundredth of the
  phase after the decay, or at the first point after it. A saddle has a direction in which the loss curves down: below
  -0.01 it does so by more than a hundredth of how it curves up elsewhere. So it does before the decay and along
  gradient descent too, wherever residuals are large, so that the answer does not rest on it;
- by how much that ratio has risen at the end of the run, when the saddles were to be left behind;
- whether the loss has a plateau after the decay (see `plateau`): more than half of the runs were to have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, above, below, missing
from largestep.measures.spikes import FLOOR

CLAIM = "C15"
CLAIMS = {CLAIM: "After the decay of the step size, SGD on a diagonal network goes from saddle to saddle."}
RIGHT_AFTER = 0.01
SADDLE = -0.01
# A plateau, in parts of the phase after the decay: so many of them in a row fall by less than this fraction of what
# as many later ones fall by, which is at least so many decades.
PARTS, LENGTH = 20, 3
FRACTION, DROP = 0.25, 0.3


def measured(results: Results) -> Iterator[Measured]:
    """Three rows for each study that trains a linear network by SGD with a decay, and shows what comes after it."""
    decayed = [(name, run) for name, study in results.of_kind("sharpness") if (run := _decayed(study)) is not None]
    for text, values, criterion, headline in STATISTICS:
        for name, run in decayed:
            alive = run["diverged_step"].values < 0
            yield Measured(CLAIM, f"{name}/sgd", text, values(run), criterion, ~alive, headline=headline)
        yield from results.studies_not_run(CLAIM, "sharpness", text, criterion)
        if not decayed and any(results.of_kind("sharpness")):
            why = f"not run: no study of kind sharpness shows a linear network in {PARTS} blocks after a decay"
            yield missing(CLAIM, "sharpness", text, criterion, why)


def right_after(run: xr.Dataset) -> Values:
    """Smallest over largest eigenvalue, mean over the points right after the decay: (seeds,)."""
    since = (run["point_step"] - run["decay_step"]).values
    soon = (since >= 0) & (since <= max(RIGHT_AFTER * float(run["steps"] - run["decay_step"]), since[since >= 0].min()))
    return np.asarray(_relative(run)[:, soon].mean(axis=1), dtype=np.float64)


def risen(run: xr.Dataset) -> Values:
    """Rise of that ratio from right after the decay to the end: (seeds,)."""
    return np.asarray(_relative(run)[:, -1] - right_after(run), dtype=np.float64)


def plateau(run: xr.Dataset) -> Values:
    """Whether the loss has a plateau after the decay, 1 or 0, NaN where it is no number: (seeds,).

    The loss is that of PARTS equal parts of the phase, each the median over its blocks. On a plateau it stays nearly
    constant and falls faster later: an exponential fall has none, and nor has one that only slows down.
    """
    after = (run["block_step"] >= run["decay_step"]).values
    loss = elementary.log10(np.maximum(run["loss_median"].transpose("seed", "block").values[:, after], FLOOR))
    parts = np.stack([np.median(part, axis=1) for part in np.array_split(loss, PARTS, axis=1)], axis=1)
    fall = parts[:, :-LENGTH] - parts[:, LENGTH:]
    # The largest fall that begins where this one ends, or later.
    later = np.maximum.accumulate(fall[:, ::-1], axis=1)[:, ::-1][:, LENGTH:]
    now = fall[:, : later.shape[1]]
    seen = ((later >= DROP) & (np.abs(now) < FRACTION * later)).any(axis=1)
    return np.where(np.isfinite(loss).all(axis=1), seen, np.nan)


def _decayed(study: xr.Dataset) -> xr.Dataset | None:
    if "sgd" not in study["run"]:
        return None
    run = study.sel(run="sgd")
    if not run["linear"] or run["decay_step"] < 0:
        return None
    return run if (run["block_step"] >= run["decay_step"]).sum() >= PARTS else None


def _relative(run: xr.Dataset) -> Values:
    return np.asarray((run["smallest"] / run["sharpness"]).transpose("seed", "point").values, dtype=np.float64)


STATISTICS: tuple[tuple[str, Callable[[xr.Dataset], Values], Criterion, bool], ...] = (
    ("smallest eigenvalue of the Hessian over the largest, right after the decay", right_after, below(SADDLE), False),
    ("its rise from there to the end of training", risen, above(0.0), False),
    ("share of runs whose loss has a plateau after the decay", plateau, above(0.5), True),
)
