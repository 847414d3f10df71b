"""C4 and C5: the longer the large step size lasts, the better the generalisation and the simpler the network.

Data: experiments trained by SGD whose large-step phase has two or more durations, one cell for each, and the
seeds that diverge in none of them. Image classifiers count for C4 only; `blocks` asks for their sparsity. Of them C4
rests on those whose large-step cells differ in duration alone, if there are any, as C13 does.
Statistic: Spearman's rank correlation between duration and the measure at the end of training, over the cells of
one seed (which share data set, init and order of examples). Criterion: its mean over seeds is below 0.
It is taken over the large-step cells alone, which is what "longer" means, and with the constant small step as
duration 0, which is what the paper's figures compare and which mixes the size of the step with its duration.
The answers rest on the first, in every arm, at the paper's threshold, the first of each list in config.yaml. Other
thresholds and the effective rank, which has none, are asked of the large-step cells alone, the other thresholds
on the fixed data set alone: they show whether the answer depends on the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from largestep.claims import verdict
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, missing
from largestep.measures.outcomes import dead, survived
from largestep.stages import TOYS

GENERALISATION, SIMPLICITY = "C4", "C5"
CLAIMS = {
    GENERALISATION: "The longer SGD keeps its large step size, the better the network predicts new data.",
    SIMPLICITY: "The longer SGD keeps its large step size, the simpler the network: lower rank, fewer non-zeros, "
    "sparser features.",
}
CRITERION = below(0.0)
# Measures of simplicity and what their threshold is called.
THRESHOLDS = {"rank": "rank_threshold", "l0": "l0_threshold", "feature_sparsity": "correlation_threshold"}


def measured(results: Results) -> Iterator[Measured]:
    """C4 and C5 for every experiment that compares durations, those of larger scales as not run."""
    groups = dict(results.stochastic())
    decisive = verdict.decisive({name: group for name, group in groups.items() if "test_error" in group})
    found = [
        each
        for name, group in groups.items()
        for each in (
            *generalisation(name, group, headline="test_error" not in group or name in decisive),
            *simplicity(name, group),
        )
    ]
    yield from found
    for claim, measure in ((GENERALISATION, "test error"), (SIMPLICITY, "simplicity")):
        statistic = f"Spearman correlation of duration and {measure}"
        later = [
            name
            for name, model in sorted(results.later_comparisons.items())
            if claim == GENERALISATION or model in TOYS
        ]
        for name in later:
            yield missing(claim, name, statistic, CRITERION, results.why_not_run(name))
        if not later and not any(each.claim == claim for each in found):
            why = "not run: no experiment of config.yaml compares durations"
            yield missing(claim, "none", statistic, CRITERION, why)


def generalisation(name: str, experiment: xr.Dataset, *, headline: bool = True) -> Iterator[Measured]:
    """C4: duration against the test error, or the test loss in regression."""
    for measure in ("test_error", "test_loss"):
        if measure in experiment:
            final = experiment[measure].isel(step=-1)
            for small in (False, True):
                what = measure.replace("_", " ")
                yield from correlations(
                    GENERALISATION, name, experiment, what, final, small=small, headline=headline and not small
                )
            return


def simplicity(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """C5: duration against the rank, the number of non-zeros and the feature sparsity of a toy network."""
    if "test_error" in experiment:
        return
    fixed = experiment.sel(arm=["order"]) if "order" in experiment["arm"] else experiment.isel(arm=[0])
    for measure, threshold in THRESHOLDS.items():
        if measure not in experiment:
            continue
        final = experiment[measure].isel(snapshot_step=-1)
        for place, level in enumerate(final[threshold].values):
            for block in range(final.sizes.get("block", 1)):
                at_level = final.isel({threshold: place}).isel(block=block, missing_dims="ignore")
                what = f"{measure.replace('_', ' ')} at threshold {level:g}"
                if final.sizes.get("block", 1) > 1:
                    what += f", block {int(final['block'][block])}"
                if place == 0:
                    for small in (False, True):
                        yield from correlations(
                            SIMPLICITY, name, experiment, what, at_level, small=small, headline=not small
                        )
                else:
                    yield from correlations(SIMPLICITY, name, fixed, what, at_level)
    if "effective_rank" in experiment:
        yield from correlations(
            SIMPLICITY, name, experiment, "effective rank", experiment["effective_rank"].isel(snapshot_step=-1)
        )


def correlations(
    claim: str,
    name: str,
    experiment: xr.Dataset,
    what: str,
    final: xr.DataArray,
    *,
    small: bool = False,
    headline: bool = False,
) -> Iterator[Measured]:
    """Duration against a measure, a row per arm; none where the large steps have fewer than two durations.

    final: (cell, arm, seed), the measure at the end of training. small: with the constant small step as duration 0.
    """
    cells = verdict.by_duration(experiment)
    large = cells.isel(cell=cells["decay_fraction"].values > 0)
    chosen = cells if small else large
    if large.sizes["cell"] < 2 or (small and cells.sizes["cell"] == large.sizes["cell"]):
        return
    which = "small step included" if small else "large-step cells only"
    for arm in chosen["arm"].values:
        runs = chosen.sel(arm=arm)
        complete = survived(runs).all("cell").values
        values = final.sel(cell=chosen["cell"], arm=arm).transpose("cell", "seed").values[:, complete]
        died = int(dead(runs).sum())
        yield Measured(
            claim,
            verdict.label(name, arm),
            f"Spearman correlation of duration and {what}, {which}",
            paired_spearman(chosen["decay_fraction"].values, values),
            CRITERION,
            diverged=int((~complete).sum()),
            note=f"{died} of these runs end with a dead block" if died else "",
            headline=headline,
        )


def paired_spearman(durations: Values, values: Values) -> Values:
    """Spearman's correlation within each seed, shape (seeds,); 0 where one of the two does not vary.

    durations: (cells,), or (cells, seeds) where they differ between seeds; values: (cells, seeds), finite.
    """
    x, y = rankdata(durations.reshape(len(durations), -1), axis=0), rankdata(values, axis=0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.divide((x * y).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0)
