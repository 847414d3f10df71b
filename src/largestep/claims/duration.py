"""C4 and C5: the longer the large step size lasts, the better the generalisation and the simpler the features.

Data: one cell per duration of the large-step phase, and the seeds that diverge in none of them.
Statistic: Spearman's rank correlation between duration and the measure at the end of training, over the
cells of one seed (which share data set, init and order of examples), averaged over seeds. It is taken
twice: over the large-step cells alone, which is what "longer" means, and with the constant small step as
duration 0, which is what the paper's figures compare and which mixes the size of the step with its duration.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from largestep.claims import verdict
from largestep.claims.verdict import Row, Values
from largestep.measures.outcomes import dead, survived

GENERALISATION, SIMPLICITY = "C4", "C5"
CRITERION = "below 0"


def generalisation(name: str, experiment: xr.Dataset) -> Iterator[Row]:
    """C4: duration against the test error, or the test loss in regression."""
    for measure in ("test_error", "test_loss"):
        if measure in experiment:
            yield from _rows(
                GENERALISATION, name, experiment, measure.replace("_", " "), experiment[measure].isel(step=-1)
            )
            return


def simplicity(name: str, experiment: xr.Dataset) -> Iterator[Row]:
    """C5: duration against the rank, the number of non-zeros and the feature sparsity, at every threshold."""
    for measure, threshold in (
        ("rank", "rank_threshold"),
        ("l0", "l0_threshold"),
        ("feature_sparsity", "correlation_threshold"),
    ):
        if measure not in experiment:
            continue
        final = experiment[measure].isel(snapshot_step=-1)
        for level in final[threshold].values:
            at_level = final.sel({threshold: level})
            title = f"{measure.replace('_', ' ')} at threshold {level:g}"
            for block in at_level["block"].values if "block" in at_level.dims else [None]:
                values = at_level if block is None else at_level.sel(block=block)
                what = title if block is None else f"{title}, block {block}"
                yield from _rows(SIMPLICITY, name, experiment, what, values)


def paired_spearman(durations: Values, values: Values) -> Values:
    """Spearman's correlation within each seed, shape (seeds,); 0 where the measure does not vary.

    durations: (cells,); values: (cells, seeds), finite.
    """
    x, y = rankdata(durations)[:, None], rankdata(values, axis=0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.divide((x * y).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0)


def _rows(claim: str, name: str, experiment: xr.Dataset, what: str, final: xr.DataArray) -> Iterator[Row]:
    every = verdict.by_duration(experiment)
    large = every.isel(cell=every["decay_fraction"].values > 0)
    comparisons = [("large-step cells only", large)]
    if every.sizes["cell"] > large.sizes["cell"]:
        comparisons.append(("small step included", every))
    for which, chosen in comparisons:
        durations = chosen["decay_fraction"].values
        if len(durations) < 2:
            continue
        for arm in chosen["arm"].values:
            runs = chosen.sel(arm=arm)
            complete = survived(runs).all("cell").values
            values = final.sel(cell=chosen["cell"], arm=arm).transpose("cell", "seed").values[:, complete]
            mean, low, high = verdict.interval(paired_spearman(durations, values))
            answer, note = verdict.enough_seeds(verdict.below(low, high, 0.0), int(complete.sum()), _dead(runs))
            statistic = f"Spearman correlation of duration and {what}, {which}"
            seeds, lost = int(complete.sum()), int((~complete).sum())
            where = verdict.label(name, arm)
            yield Row(claim, where, statistic, mean, low, high, seeds, lost, CRITERION, answer, note)


def _dead(runs: xr.Dataset) -> str:
    count = int(dead(runs).sum())
    return f"{count} of these runs end with a dead block" if count else ""
