"""C1: a step of SGD is a step of gradient descent on labels with noise of variance 2 L (Proposition 2.1).

Data: the studies of kind label_noise, which take both steps for every example of a network's training set, from
the points of a run of each seed.
Statistics, per network, the largest over examples and points: the distance of the two steps' ends over the norm of
SGD's end, in float64 and in float32; and, in float64, the relative error of the first two moments of the noise,
E xi = 0 and E|xi|^2 / (n (n - 1)) = 2 L, by enumeration.
Criteria: the identity is exact, so that only rounding may be left: 1e-12 in float64, 1e-6 in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims.results import Results
from largestep.claims.verdict import Criterion, Measured, Values, below

CLAIM = "C1"
CLAIMS = {CLAIM: "A step of SGD is a step of gradient descent with label noise, whose variance is twice the loss."}
UPDATE, MOMENTS = "relative difference of SGD's step and gradient descent's", "relative error of the noise's moments"
ROUNDING = {"float64": below(1e-12), "float32": below(1e-6)}


def measured(results: Results) -> Iterator[Measured]:
    """A row for the steps in each precision and one for the moments, for every network."""
    for name, study in results.of_kind("label_noise"):
        for network in study["network"].values:
            where, runs = f"{name}/{network}", study.sel(network=network)
            for precision, criterion in ROUNDING.items():
                values = runs["update_error"].sel(precision=precision).values
                yield _row(where, f"{UPDATE}, {precision}", values, criterion, runs)
            exact = runs.sel(precision="float64")
            values = np.maximum(exact["mean_error"].values, exact["variance_error"].values)
            yield _row(where, f"{MOMENTS}, float64", values, ROUNDING["float64"], runs)
    yield from results.studies_not_run(CLAIM, "label_noise", f"{UPDATE}, float64", ROUNDING["float64"])


def _row(where: str, statistic: str, values: Values, criterion: Criterion, runs: xr.Dataset) -> Measured:
    """A statistic of one network; a seed without a point to take steps from has diverged before it."""
    usable, gone = np.isfinite(values), runs["diverged_step"].values >= 0
    cut = int((gone & usable).sum())
    note = f"{cut} of these runs diverged later: the points before count" if cut else ""
    return Measured(CLAIM, where, statistic, values, criterion, gone & ~usable, note, headline=True)
