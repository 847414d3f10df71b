"""C13: what holds for toy networks holds in deep ones, in every block.

Data: image classifiers trained by SGD, one cell per duration of the large-step phase, and the seeds that diverge
in none of them. Statistic and criterion are those of `duration`, for the feature sparsity of each block, over the
large-step cells. The answer rests on experiments whose large-step cells take the same step sizes and differ in
their duration alone, as long as the run has one: on the paper's own schedules the longer warm-up also reaches the
larger peak, and the decayed step sizes differ too. Other thresholds are asked of the last block alone, the
small step as duration 0 of the paper's own schedules alone.

Beside the paper's order of deletion the mean over random orders of the units is asked. A block with negative values is
no output of a ReLU; its rows say so, and no answer rests on them.

The paper reports blocks 3 and 4. The run that the authors' repository stores (ResNet-18 on CIFAR-10 with momentum, one
seed) has all five, and speaks against "every" in block 1, which is denser after longer large steps: its sparsity is
0.688, 0.723 and 0.719 after 10, 30 and 50% of them. In block 4 the order of 30 and 50% rests on correlated units
counting as one: of all units 0.480 and 0.499 are active (`published` in config.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from largestep.claims import verdict
from largestep.claims.duration import CRITERION, REORDERED, correlations
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, missing
from largestep.measures.outcomes import has_negative, survived
from largestep.stages import TOYS
from largestep.threshold_sweep import at_paper, paper_first

CLAIM = "C13"
CLAIMS = {CLAIM: "The same holds in deep networks: the longer the large steps last, the sparser every block."}


def measured(results: Results) -> Iterator[Measured]:
    """C13 for every block of every image classifier, those of larger scales as not run."""
    groups = {name: group for name, group in results.stochastic() if "test_error" in group}
    decisive = verdict.decisive(groups)
    asked = False
    for name, group in groups.items():
        for each in rows(name, group, headline=name in decisive):
            asked = True
            yield each
    statistic = "Spearman correlation of duration and feature sparsity of every block"
    for name, model in sorted(results.later_comparisons.items()):
        if model not in TOYS:
            asked = True
            yield missing(CLAIM, name, statistic, CRITERION, results.why_not_run(name))
    if not asked:
        why = "not run: no experiment of config.yaml compares durations on images"
        yield missing(CLAIM, "none", statistic, CRITERION, why)


def rows(name: str, experiment: xr.Dataset, *, headline: bool) -> Iterator[Measured]:
    """The statistics of one experiment: of every block, and of the last one at further thresholds."""
    final = paper_first(experiment["feature_sparsity"]).isel(snapshot_step=-1)
    blocks, negative = final["block"].values, has_negative(experiment)
    for place, level in enumerate(final["correlation_threshold"].values):
        at_level = final.isel(correlation_threshold=place)
        for block in blocks if place == 0 else blocks[-1:]:
            what = f"feature sparsity at threshold {level:g}, block {int(block)}"
            values, note = at_level.sel(block=block), ""
            of_relu = int(block) not in negative
            if not of_relu:
                note = "the block has negative values: these are its distinct units, active or not"
            elif _never_off(experiment, block):
                note = "no activation of the block is 0 in any run: is it the output of a ReLU?"
            note = "; ".join(filter(None, (note, _of_a_draw(experiment, level, block))))
            decides = headline and place == 0 and of_relu
            yield from correlations(CLAIM, name, experiment, what, values, headline=decides, note=note)
            if place == 0 and not verdict.matched(experiment):
                yield from correlations(CLAIM, name, experiment, what, values, small=True, note=note)
            if place == 0 and "feature_sparsity_reordered" in experiment:
                reordered = at_paper(experiment["feature_sparsity_reordered"]).isel(snapshot_step=-1).sel(block=block)
                yield from correlations(CLAIM, name, experiment, f"{what}, {REORDERED}", reordered, note=note)


def _never_off(experiment: xr.Dataset, block: int) -> bool:
    """Whether every unit of a block is active on every image in all runs, as behind a sigmoid."""
    return "active_fraction" in experiment and float(experiment["active_fraction"].sel(block=block).min()) == 1.0


def _of_a_draw(experiment: xr.Dataset, level: float, block: int) -> str:
    """By how much the sparsity of a block at the end depends on which of its units are looked at."""
    if "feature_sparsity_error" not in experiment:
        return ""
    error = experiment["feature_sparsity_error"].isel(snapshot_step=-1).sel(correlation_threshold=level, block=block)
    largest = 100 * float(error.where(survived(experiment)).median("seed").max())
    return f"standard error by the draw of units up to {largest:.2g} points" if largest > 0 else ""
