"""C4 and C5: the longer the large step size lasts, the better the generalisation and the simpler the network.

Data: experiments trained by SGD whose large-step phase has two or more durations, one cell for each, and the
seeds that diverge in none of them. Image classifiers count for C4 only; `blocks` asks for their sparsity. Of them C4
rests on those whose large-step cells differ in duration alone, if there are any, as C13 does.
The answers rest on comparisons in which duration alone differs, its peak and final step sizes being the same: on
matched experiments, and on the sweeps (`controls`) and phase diagrams where a run has them. The paper's own schedules
of toy networks, in which peak and final size differ too, are then counted beside. `matched_loss` asks C4 at one
training loss.
Statistic: Spearman's rank correlation between duration and the measure at the end of training, over the cells of
one seed (which share data set, init and order of examples). Criterion: its mean over seeds is below 0.
It is taken over the large-step cells alone, which is what "longer" means, and with the constant small step as
duration 0, which is what the paper's figures compare and which mixes the size of the step with its duration.
The answers may rest on the first, in every arm, at the paper's threshold, the first of each list in config.yaml. Other
thresholds and the effective rank, which has none, are asked of the large-step cells alone, the other thresholds
on the fixed data set alone: they show whether the answer depends on the threshold. Feature sparsity as a mean over
random orders of the units, and ranks and sparsity with rescaled units, show whether it depends on these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from largestep.claims import matched_loss, verdict
from largestep.claims.rank_correlation import finite, paired_spearman, ranked_worst
from largestep.claims.results import Results
from largestep.claims.summary import PUBLISHED, RESCALED
from largestep.claims.verdict import Measured, below, missing
from largestep.measures.outcomes import dead, survived
from largestep.stages import TOYS
from largestep.threshold_sweep import at_paper, paper_first

GENERALISATION, SIMPLICITY = "C4", "C5"
CLAIMS = {
    GENERALISATION: "The longer SGD keeps its large step size, the better the network predicts new data.",
    SIMPLICITY: "The longer SGD keeps its large step size, the simpler the network: lower rank, fewer non-zeros, "
    "sparser features.",
}
CRITERION = below(0.0)
REORDERED = "mean over orders of the units"
# Measures of simplicity and what their threshold is called.
THRESHOLDS = {"rank": "rank_threshold", "l0": "l0_threshold", "feature_sparsity": "correlation_threshold"}


def measured(results: Results) -> Iterator[Measured]:
    """C4 and C5 for every experiment that compares durations, those of larger scales as not run."""
    groups = dict(results.stochastic())
    decisive = verdict.decisive({name: group for name, group in groups.items() if "test_error" in group})
    toys = {name: group for name, group in groups.items() if "test_error" not in group}
    alone = varies_duration_alone(results)
    decisive |= {name for name, group in toys.items() if verdict.matched(group) or not alone}
    compared = [
        each
        for name, group in groups.items()
        for each in (
            *generalisation(name, group, headline=name in decisive),
            *simplicity(name, group, headline=name in decisive),
        )
    ]
    yield from compared
    for claim, measure in ((GENERALISATION, "test error"), (SIMPLICITY, "simplicity")):
        statistic = f"Spearman correlation of duration and {measure}"
        later = [
            name
            for name, model in sorted(results.later_comparisons.items())
            if claim == GENERALISATION or model in TOYS
        ]
        for name in later:
            yield missing(claim, name, statistic, CRITERION, results.why_not_run(name))
        if not later and not any(each.claim == claim for each in compared):
            why = "not run: no experiment of config.yaml compares durations"
            yield missing(claim, "none", statistic, CRITERION, why)


def varies_duration_alone(results: Results) -> bool:
    """Whether there is a study that varies the duration of the large steps of toy networks and nothing else."""
    sweeps = (study for _, study in results.of_kind("sweep"))
    return any(results.of_kind("phase_diagram")) or any((study["vary"] == "decay_at").any() for study in sweeps)


def generalisation(name: str, experiment: xr.Dataset, *, headline: bool = True) -> Iterator[Measured]:
    """C4: duration against the test error, or the test loss in regression."""
    for measure in ("test_error", "test_loss"):
        if measure in experiment:
            final, what = experiment[measure].isel(step=-1), measure.replace("_", " ")
            yield from _both(GENERALISATION, name, experiment, what, final, headline=headline)
            yield from matched_loss.rows(GENERALISATION, name, experiment, measure)
            return


def simplicity(name: str, experiment: xr.Dataset, *, headline: bool = True) -> Iterator[Measured]:
    """C5: duration against the rank, the number of non-zeros and the feature sparsity of a toy network."""
    if "test_error" in experiment:
        return
    fixed = experiment.sel(arm=["order"]) if "order" in experiment["arm"] else experiment.isel(arm=[0])
    for measure, threshold in THRESHOLDS.items():
        if measure not in experiment:
            continue
        final = paper_first(experiment[measure]).isel(snapshot_step=-1)
        for place, level in enumerate(final[threshold].values):
            for block in range(final.sizes.get("block", 1)):
                at_level = final.isel({threshold: place}).isel(block=block, missing_dims="ignore")
                what = f"{measure.replace('_', ' ')} at threshold {level:g}"
                if final.sizes.get("block", 1) > 1:
                    what += f", block {int(final['block'][block])}"
                if place > 0:
                    yield from correlations(SIMPLICITY, name, fixed, what, at_level)
                    continue
                yield from _both(SIMPLICITY, name, experiment, what, at_level, headline=headline)
                here: dict[str, Any] = {"block": block, "missing_dims": "ignore"}
                if f"{measure}_reordered" in experiment:
                    other = at_paper(experiment[f"{measure}_reordered"]).isel(snapshot_step=-1).isel(**here)
                    yield from correlations(SIMPLICITY, name, experiment, f"{what}, {REORDERED}", other)
                if f"rescaled_{measure}" in experiment:
                    other = at_paper(experiment[f"rescaled_{measure}"]).isel(**here)
                    for small in (False, True):
                        yield from correlations(SIMPLICITY, name, experiment, what + RESCALED, other, small=small)
    for measure, what in (
        ("effective_rank", "effective rank"),
        ("rescaled_effective_rank", f"effective rank{RESCALED}"),
    ):
        if measure in experiment:
            final = experiment[measure].isel(snapshot_step=-1, missing_dims="ignore")
            yield from correlations(SIMPLICITY, name, experiment, what, final)


def _both(
    claim: str, name: str, experiment: xr.Dataset, what: str, final: xr.DataArray, *, headline: bool
) -> Iterator[Measured]:
    """Without the small step, on which the answer may rest, and with it."""
    beside = "" if headline or "test_error" in experiment else PUBLISHED
    yield from correlations(claim, name, experiment, what, final, headline=headline, beside=beside)
    yield from correlations(claim, name, experiment, what, final, small=True)


def correlations(
    claim: str,
    name: str,
    experiment: xr.Dataset,
    what: str,
    final: xr.DataArray,
    *,
    small: bool = False,
    headline: bool = False,
    beside: str = "",
    note: str = "",
) -> Iterator[Measured]:
    """Duration against a measure, a row per arm; none where the large steps have fewer than two durations.

    final: (cell, arm, seed), the measure at the end of training. small: with the constant small step as duration 0.
    note: what the table says of each row.
    """
    cells = verdict.by_duration(experiment)
    large = cells.isel(cell=cells["decay_fraction"].values > 0)
    chosen = cells if small else large
    if large.sizes["cell"] < 2 or (small and cells.sizes["cell"] == large.sizes["cell"]):
        return
    which = "small step included" if small else "large-step cells only"
    for arm in chosen["arm"].values:
        runs = chosen.sel(arm=arm)
        gone = ~np.asarray(survived(runs).transpose("cell", "seed").values)
        durations = chosen["decay_fraction"].values
        values = final.sel(cell=chosen["cell"], arm=arm).transpose("cell", "seed").values
        died = int(dead(runs).sum())
        yield Measured(
            claim,
            verdict.label(name, arm),
            f"Spearman correlation of duration and {what}, {which}",
            paired_spearman(durations, finite(values)),
            CRITERION,
            diverged=np.logical_or.reduce(gone, axis=0),
            note="; ".join(filter(None, (note, f"{died} of these runs end with a dead block" if died else ""))),
            headline=headline,
            beside=beside,
            worst=paired_spearman(durations, ranked_worst(values, gone)),
        )
