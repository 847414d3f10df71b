"""C18: while its step size is large, SGD is at the edge of stability of its own mini-batches.

Andreyev and Beneventano 2024 (arXiv 2412.20553): batch sharpness, E[g'Hg] / E[g'g] over mini-batches, settles at 2 over
the step size, also where the full-batch sharpness, which C17 asks for, stays far below. Data: the studies of kind
`batch_sharpness`, runs that have not diverged. Statistic, per seed: the median over the second half of the large-step
phase of batch sharpness x step size / 2, within the bounds in which C17 counts a run as at the edge. After the decay
it was to be below them; the answer does not rest on that.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims.regimes import EDGE
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, between

CLAIM = "C18"
CLAIMS = {CLAIM: "While its step size is large, SGD is at its own edge of stability: batch sharpness is 2 / step size."}
KIND = "batch_sharpness"
RATIO = "batch sharpness x step size / 2, median over"
LARGE, AFTER = f"{RATIO} the second half of the large-step phase", f"{RATIO} the time after the decay"


def measured(results: Results) -> Iterator[Measured]:
    """Both rows for every network of every study."""
    for name, study in results.of_kind(KIND):
        for network in study["network"].values:
            run = study.sel(network=network)
            run = run.isel(seed=slice(int(run["seeds_run"])))
            lost = run["diverged_step"].values >= 0
            before = (run["point_step"] < run["decay_step"]).values
            where = f"{name}/{network}"
            yield Measured(CLAIM, where, LARGE, ratio(run, before), between(*EDGE), lost, headline=True)
            yield Measured(CLAIM, where, AFTER, ratio(run, ~before), below(EDGE[0]), lost)
    yield from results.studies_not_run(CLAIM, KIND, LARGE, between(*EDGE))


def ratio(run: xr.Dataset, points: np.ndarray) -> Values:
    """Median over some of the points of batch sharpness x step size / 2, (seeds,)."""
    found = (run["batch_sharpness"] * run["step_size"] / 2.0).transpose("seed", "point").values
    return np.asarray(np.median(found[:, points], axis=1), dtype=np.float64)
