"""C7: the noise is needed: without it neither gradient descent nor gradient flow finds a sparse solution.

Data: the studies of kind flows, the seeds on which none of the algorithms compared diverges; and, for gradient descent
at its own large step size, where its loss is stabilised too, the experiments diagonal_gd and diagonal_gd_beside_sgd
at the cell decay50, paired by data set in the arm `data`.
Statistics, per seed, at the end of training and at the paper's thresholds: the rank, and the non-zeros or the
feature sparsity, of gradient flow minus those of SGD, and of gradient flow minus those of the SDE, which is gradient
flow with noise; the non-zeros or the sparsity of gradient descent at SGD's step sizes minus those of SGD; rank,
non-zeros and log10 test loss of gradient descent at its own large step size minus those of SGD. All were to be
above 0. The loss of a gradient flow never rises: where that of its discretisation rises by more than `RISE` decades
on more than half of the seeds, it is gradient descent and nothing is asked of it as a flow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep import elementary
from largestep.claims.results import Results
from largestep.claims.sde import final_measures, lost, of_seeds_tried, usable
from largestep.claims.verdict import Measured, Values, above, missing, not_asked
from largestep.measures.outcomes import dead
from largestep.threshold_sweep import at_paper

CLAIM = "C7"
CLAIMS = {CLAIM: "Without noise, gradient descent and gradient flow do not reach low rank and sparsity."}
MORE = above(0.0)
NAMES = {"sgd": "SGD", "gd": "gradient descent", "flow": "gradient flow", "sde_coupled": "SDE"}
# Of each pair the first was to end less simple; the rank of gradient descent would repeat that of gradient flow.
PAIRS = {
    ("flow", "sgd"): ("rank", "l0", "feature sparsity"),
    ("flow", "sde_coupled"): ("rank", "l0", "feature sparsity"),
    ("gd", "sgd"): ("l0", "feature sparsity"),
}
# Below the second the loss is rounding error.
RISE, LEAST = 0.1, 1e-20
GD, SGD, CELL, ARM = "diagonal_gd", "diagonal_gd_beside_sgd", "decay50", "data"


def measured(results: Results) -> Iterator[Measured]:
    """C7 under the schedule of SGD, and at gradient descent's own large step size."""
    for name, study in results.of_kind("flows"):
        measures, rise = final_measures(study), float(np.median(_rise(study)))
        for (noiseless, noisy), asked in PAIRS.items():
            both = usable(study, noiseless, noisy)
            for measure in asked:
                if measure not in measures:
                    continue
                values = measures[measure].sel(algorithm=noiseless) - measures[measure].sel(algorithm=noisy)
                statistic = f"{measure} of {NAMES[noiseless]} minus that of {NAMES[noisy]}"
                if noiseless == "flow" and rise > RISE:
                    why = f"the time step is too large for a flow: its loss rises by {rise:.2g} decades"
                    yield not_asked(CLAIM, name, statistic, MORE, why)
                    continue
                note = _note(study, noiseless, noisy)
                of_all, diverged = of_seeds_tried(study, values.values, both)
                yield Measured(CLAIM, name, statistic, of_all, MORE, diverged, note, headline=True)
    yield from results.studies_not_run(CLAIM, "flows", "rank of gradient flow minus that of SGD", MORE)
    yield from _matched(results)


def _rise(study: xr.Dataset) -> Values:
    """The largest rise of log10 training loss of gradient flow above the least before it, (seeds,)."""
    loss = study["train_loss"].sel(algorithm="flow").transpose("seed", "step").values
    logarithm = elementary.log10(np.maximum(loss, LEAST))
    rise = logarithm - np.minimum.accumulate(logarithm, axis=1)
    return np.asarray(np.nan_to_num(rise, nan=np.inf).max(axis=1))


def _note(study: xr.Dataset, *algorithms: str) -> str:
    """How many seeds were left out, and how many runs end with a block that no example activates."""
    died = dead(study).sel(algorithm=list(algorithms)).sum("seed").values
    said = [f"{count} of {NAMES[name]} end dead" for name, count in zip(algorithms, died, strict=True) if count]
    return "; ".join([lost(study), *said])


def _matched(results: Results) -> Iterator[Measured]:
    where, statistic = f"{GD}/{ARM}", "{} of gradient descent at its own large step size minus that of SGD"
    absent = [name for name in (GD, SGD) if name not in results.experiments]
    if absent:
        later = [f"{name} is of scale {results.later[name]}" for name in absent if name in results.later]
        why = f"not run: {'; '.join(later) or 'config.yaml has no ' + ' and '.join(absent)}"
        yield missing(CLAIM, where, statistic.format("l0"), MORE, why)
        return
    gd, sgd = (results.experiments[name].sel(cell=CELL, arm=ARM) for name in (GD, SGD))
    seeds = np.intersect1d(gd["seed"].values, sgd["seed"].values)
    gd, sgd = gd.sel(seed=seeds), sgd.sel(seed=seeds)
    gone = [(runs["diverged_step"] >= 0).values for runs in (gd, sgd)]
    both = ~(gone[0] | gone[1])
    note = f"{gone[0].sum()} of gradient descent and {gone[1].sum()} of SGD diverged"
    without, with_noise = (_final(runs) for runs in (gd, sgd))
    for measure, values in without.items():
        difference = values - with_noise[measure]
        headline = measure == "l0"
        yield Measured(CLAIM, where, statistic.format(measure), difference, MORE, ~both, note, headline=headline)


def _final(runs: xr.Dataset) -> dict[str, Values]:
    """The measures at the end, at the paper's thresholds, (seeds,)."""
    end = runs.isel(step=-1, snapshot_step=-1)
    return {
        "l0": at_paper(end["l0"]).values,
        "rank": at_paper(end["rank"]).values,
        "log10 test loss": elementary.log10(end["test_loss"].values),
    }
