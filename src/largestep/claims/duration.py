"""C4 and C5: the longer the large step size lasts, the better the generalisation and the simpler the features.

Data: one cell per duration of the large-step phase, the constant small step counting as duration 0.
Statistic: Spearman's rank correlation between duration and the measure at the end of training, over the
cells of one seed (which share data set, init and order of examples), averaged over seeds. A seed counts
with the cells in which it has not diverged, if they are at least two.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from largestep.claims import verdict
from largestep.claims.verdict import Row, Values
from largestep.figures.labels import survived

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
    """Spearman's correlation within each seed.

    durations: (cells,); values: (cells, seeds), NaN where a run diverged. Returns one correlation for
    each seed with at least two cells left; 0 where the measure does not vary.
    """
    found = []
    for column in values.T:
        left = np.isfinite(column)
        if left.sum() < 2:
            continue
        x, y = rankdata(durations[left]), rankdata(column[left])
        x, y = x - x.mean(), y - y.mean()
        scale = np.sqrt((x**2).sum() * (y**2).sum())
        found.append((x * y).sum() / scale if scale > 0 else 0.0)
    return np.array(found)


def _rows(claim: str, name: str, experiment: xr.Dataset, what: str, final: xr.DataArray) -> Iterator[Row]:
    chosen = verdict.by_duration(experiment)
    durations = chosen["decay_fraction"].values
    if len(durations) < 2:
        return
    final = final.sel(cell=chosen["cell"])
    alive = survived(chosen)
    for arm in chosen["arm"].values:
        values = final.where(alive).sel(arm=arm).transpose("cell", "seed").values
        correlations = paired_spearman(durations, values)
        mean, low, high = verdict.interval(correlations)
        answer, note = verdict.enough_seeds(verdict.below(low, high, 0.0), len(correlations))
        yield Row(
            claim,
            verdict.label(name, arm),
            f"Spearman correlation of duration and {what}",
            mean,
            low,
            high,
            len(correlations),
            int((~alive.sel(arm=arm)).sum()),
            CRITERION,
            answer,
            note,
        )
