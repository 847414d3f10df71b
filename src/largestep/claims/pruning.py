"""C20: what the measure of sparsity calls redundant the network can do without, and large steps leave more of it.

Data: the studies of kind `pruning` and `image_pruning`, whose schedules differ in the duration of the large step alone;
runs that have not diverged. The rise is that of the training loss by a deletion, over the loss of the best constant.
Statistics, per seed: at the longest duration within the paper's range the rise where redundant units are deleted, below
`TOLERANCE`, and that of as many units at random minus it, above 0; Spearman's correlation of duration, within the
range, and the share of units that are needed, below 0. The answer rests on these, at the paper's threshold. Beside them
stand the other thresholds, the small step, the test loss, and the units needed at the longest duration minus those at
the small step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.claims.rank_correlation import finite, paired_spearman, ranked_worst
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, above, below
from largestep.measures.pruning import TOLERANCE
from largestep.threshold_sweep import paper_first

CLAIM = "C20"
CLAIMS = {
    CLAIM: "Units that the measure of sparsity calls redundant can be deleted; "
    "the longer large steps last, the fewer units are needed."
}
KINDS = ("pruning", "image_pruning")
LATEST_OF_PAPER = 0.5
RISE = "rise of the training loss without redundant units, over that of a constant"
NEEDED = "share of units needed"


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every network of every study."""
    for kind in KINDS:
        for name, study in results.of_kind(kind):
            for network in dict.fromkeys(study["network"].values.tolist()):
                runs = study.isel(run=np.flatnonzero(study["network"].values == network))
                runs = runs.isel(seed=slice(int(runs["seeds_run"].max())))
                yield from _rows(f"{name}/{network}", runs.sortby("decay_fraction"))
        yield from results.studies_not_run(CLAIM, kind, RISE, below(TOLERANCE))


def _rows(where: str, runs: xr.Dataset) -> Iterator[Measured]:
    durations = runs["decay_fraction"].values
    large = runs.isel(run=np.flatnonzero((durations > 0.0) & (durations <= LATEST_OF_PAPER)))
    if large.sizes["run"]:
        yield from _deletions(where, large.isel(run=-1), headline=True)
    small = runs.isel(run=np.flatnonzero(durations == 0.0))
    if small.sizes["run"]:
        yield from _deletions(where, small.isel(run=0), headline=False)
    if large.sizes["run"] > 1:
        yield _duration(where, large)
    if large.sizes["run"] and small.sizes["run"]:
        statistic = f"{NEEDED}, longest large step minus small step"
        pair = (large.isel(run=-1), small.isel(run=0))
        lost = np.logical_or(_gone(pair[0]), _gone(pair[1]), dtype=np.bool_)
        yield Measured(CLAIM, where, statistic, np.subtract(*(one["needed"].values for one in pair)), below(0.0), lost)


def _deletions(where: str, run: xr.Dataset, headline: bool) -> Iterator[Measured]:
    lost, fraction = _gone(run), float(run["decay_fraction"])
    step = f"large step until {100 * fraction:g}%" if headline else "small step"
    run = run.drop_vars("run", errors="ignore")
    rises = [paper_first(run[f"{name}_rise"]) for name in ("redundant", "random", "redundant_test")]
    for place, threshold in enumerate(rises[0]["correlation_threshold"].values):
        redundant, at_random, test = (rise.isel(correlation_threshold=place).values for rise in rises)
        paper, after = headline and place == 0, f", threshold {threshold:g}, {step}"
        yield Measured(CLAIM, where, RISE + after, redundant, below(TOLERANCE), lost, headline=paper)
        more = "rise without as many units at random minus that without redundant ones"
        yield Measured(CLAIM, where, more + after, at_random - redundant, above(0.0), lost, headline=paper)
        if np.isfinite(test).any():
            yield Measured(CLAIM, where, RISE.replace("training", "test") + after, test, below(TOLERANCE), lost)


def _duration(where: str, runs: xr.Dataset) -> Measured:
    durations, needed = runs["decay_fraction"].values, runs["needed"].transpose("run", "seed").values
    gone = np.stack([_gone(runs.isel(run=place)) for place in range(runs.sizes["run"])])
    return Measured(
        CLAIM,
        where,
        f"Spearman correlation of duration and {NEEDED}",
        paired_spearman(durations, finite(needed)),
        below(0.0),
        np.logical_or.reduce(gone),
        headline=True,
        worst=paired_spearman(durations, ranked_worst(needed, gone)),
    )


def _gone(run: xr.Dataset) -> NDArray[np.bool_]:
    return np.asarray(run["diverged_step"].values >= 0, dtype=np.bool_)
