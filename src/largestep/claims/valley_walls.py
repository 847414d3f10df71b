"""C24: while the step size is large, SGD bounces between the walls of a valley, also in more than one dimension.

Xing et al. 2018, whom the paper quotes; C2 asks it of the model with one parameter. Data: the studies of kind
`valley_walls`, runs that have not diverged, windows of successive updates in the second half of the large-step phase
and in that of what follows. Statistics, per seed: the share of updates on whose line the loss on all examples is lowest
between the ends, above one half; that share minus the one after the decay, above 0; the mean cosine of the angle
between successive updates by different examples, below 0. The answer rests on these. Beside them stand the cosine with
repeated examples, that minus the one after the decay, the share after the decay, and whether the loss is stabilised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.stabilisation import LEVEL
from largestep.claims.verdict import Measured, Values, above, below

CLAIM = "C24"
CLAIMS = {CLAIM: "While its step size is large, SGD bounces between the walls of a valley, in many dimensions too."}
KIND, MOST = "valley_walls", above(0.5)
SHARE = "share of updates whose line has its lowest loss between the ends"
COSINE = "mean cosine of successive updates"
LARGE, AFTER, MINUS = "large-step phase", "after the decay", "large-step phase minus after the decay"


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every network of every study."""
    for name, study in results.of_kind(KIND):
        for network in study["network"].values:
            yield from _rows(f"{name}/{network}", study.sel(network=network))
    yield from results.studies_not_run(CLAIM, KIND, f"{SHARE}, {LARGE}", MOST)


def _rows(where: str, run: xr.Dataset) -> Iterator[Measured]:
    lost = run["diverged_step"].values >= 0
    large = (run["window_step"] < run["decay_step"]).values
    died = int((run["dead"].values > 0).sum())
    note = f"{died} of these runs end with a dead block" if died else ""
    share = [_mean(run["crosses"], windows) for windows in (large, ~large)]
    others = run["cosine"].where(run["repeats"] == 0)
    cosine = [_mean(others, windows) for windows in (large, ~large)]
    different = f"{COSINE} by different examples"
    headlines = (
        (f"{SHARE}, {LARGE}", share[0], MOST),
        (f"{SHARE}, {MINUS}", share[0] - share[1], above(0.0)),
        (f"{different}, {LARGE}", cosine[0], below(0.0)),
    )
    beside = (
        (f"{SHARE}, {AFTER}", share[1], MOST),
        (f"{different}, {MINUS}", cosine[0] - cosine[1], below(0.0)),
        (f"{COSINE}, {LARGE}", _mean(run["cosine"], large), below(0.0)),
        ("change of log10 training loss, windows of the large-step phase", _change(run["train_loss"], large), LEVEL),
    )
    for rows, headline in ((headlines, True), (beside, False)):
        for statistic, values, criterion in rows:
            yield Measured(CLAIM, where, statistic, values, criterion, lost, note, headline=headline)


def _mean(of_updates: xr.DataArray, windows: NDArray[np.bool_]) -> Values:
    """Mean over the updates of these windows that have a value, (seeds,); NaN where none has."""
    values = of_updates.transpose("seed", "window", "update").values[:, windows].reshape(of_updates.sizes["seed"], -1)
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _change(losses: xr.DataArray, windows: NDArray[np.bool_]) -> Values:
    """log10 of the mean loss of the second half of these windows over that of the first, (seeds,)."""
    levels = losses.transpose("seed", "window", "update").values[:, windows].mean(axis=2)
    first, second = levels[:, : levels.shape[1] // 2], levels[:, levels.shape[1] // 2 :]
    return np.asarray(elementary.log10(second.mean(axis=1)) - elementary.log10(first.mean(axis=1)))
