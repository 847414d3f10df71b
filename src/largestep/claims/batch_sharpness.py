"""C18: while its step size is large, SGD is at the edge of stability of its own mini-batches.

Andreyev and Beneventano 2024 (arXiv 2412.20553): batch sharpness, E[g'Hg] / E[g'g] over mini-batches, settles at 2 over
the step size, also where the full-batch sharpness, which C17 asks for, stays far below. Data: the studies of kind
`batch_sharpness`, runs that have not diverged. Statistic, per seed: the median over the second half of the large-step
phase of batch sharpness x step size / 2, within the bounds in which C17 counts a run as at the edge. After the decay
it was to be below them; the answer does not rest on that.
Studies of kind `image_sharpness` are asked the same, of image classifiers in training mode, and C17's question beside
it: that the sharpness of the mean loss stays below the edge.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import regimes
from largestep.claims.regimes import EDGE
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, between
from largestep.measures.edge import of_edge

CLAIM = "C18"
CLAIMS = regimes.CLAIMS | {
    CLAIM: "While its step size is large, SGD is at its own edge of stability: batch sharpness is 2 / step size."
}
KINDS = ("batch_sharpness", "image_sharpness")
RATIO = "batch sharpness x step size / 2, median over"
LARGE, AFTER = f"{RATIO} the second half of the large-step phase", f"{RATIO} the time after the decay"
WHOLE = LARGE.replace("batch sharpness", "sharpness of the mean loss of mini-batches")


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every network of every study."""
    for kind in KINDS:
        for name, study in results.of_kind(kind):
            for network in study["network"].values:
                run = study.sel(network=network)
                run = run.isel(seed=slice(int(run["seeds_run"])))
                yield from _rows(f"{name}/{network}", run)
        yield from results.studies_not_run(CLAIM, kind, LARGE, between(*EDGE))


def _rows(where: str, run: xr.Dataset) -> Iterator[Measured]:
    lost = run["diverged_step"].values >= 0
    before = (run["point_step"] < run["decay_step"]).values
    yield Measured(CLAIM, where, LARGE, ratio(run, before), between(*EDGE), lost, headline=True)
    yield Measured(CLAIM, where, AFTER, ratio(run, ~before), below(EDGE[0]), lost)
    if "sharpness" in run:
        yield Measured(regimes.CLAIM, where, WHOLE, ratio(run, before, "sharpness"), below(EDGE[0]), lost)


def ratio(run: xr.Dataset, points: np.ndarray, of: str = "batch_sharpness") -> Values:
    """Median over some of the points of a sharpness x step size / 2, (seeds,)."""
    return np.asarray(np.median(of_edge(run, of)[:, points], axis=1), dtype=np.float64)
