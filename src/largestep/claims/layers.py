"""C14: a small step size leaves the early and middle layers at the init.

Data: three_layer and every image classifier, at the end of training: the small step and, beside it, the cell whose
large step size lasts longest, seeds paired. Early and middle layers are the first two thirds of the layers, or of the
parts of an image classifier, from the input on. Distances are those of their weights from the init, relative to their
norm there.
Statistics, per seed and layer:
- the distance at the small step, below `LAZY`;
- log2 of its ratio to the distance at the large step, below 0;
- log2 of its ratio to the distance of the last layer, also at the small step, below 0: late layers move, early ones do
  not.
The answer rests on the first two in three_layer and, as in C13, in the image classifiers whose durations are compared
at matched step sizes, in all of them where none is: the other controls would only blunt it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep import elementary
from largestep.claims import large_step_phase
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, below, label, matched, missing, not_asked
from largestep.stages import TOYS

CLAIM = "C14"
CLAIMS = {CLAIM: "A small step size leaves the early and middle layers at the init."}
TOY = "three_layer"
# As in C12: what a layer moves is the smaller part of what it was.
LAZY = 0.5
# A layer that moves less than a rounding error of its weights does not move.
LEAST = float(np.finfo(np.float32).eps)
STAYS = "relative distance from the init at the small step"
NEARER = "log2 ratio of the distances from the init, small step over large step"
EARLIER = "log2 ratio of the distances from the init at the small step, layer over last layer"
LESS = below(0.0)


def measured(results: Results) -> Iterator[Measured]:
    """C14 for the networks with early and middle layers; those that are not run say so."""
    if TOY in results.experiments:
        yield from rows(TOY, results.experiments[TOY], headline=True)
    else:
        yield missing(CLAIM, TOY, NEARER, LESS, results.why_not_run(TOY))
    groups = {name: group for name, group in results.stochastic() if "test_error" in group}
    controlled = [name for name, group in groups.items() if matched(group) and compared(group) is not None]
    for name, group in groups.items():
        yield from rows(name, group, headline=name in controlled or not controlled)
    for name, model in sorted(results.later_comparisons.items()):
        if model not in TOYS:
            yield missing(CLAIM, name, NEARER, LESS, results.why_not_run(name))


def compared(experiment: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset] | None:
    """The cell whose large step size lasts longest, and the small step; None without either or without three layers."""
    large, small = large_step_phase.longest(experiment), large_step_phase.small_step(experiment)
    if small is None or not large_step_phase.ends(large) or experiment.sizes["layer"] < 3:
        return None
    return large, small


def rows(name: str, experiment: xr.Dataset, *, headline: bool) -> Iterator[Measured]:
    """The statistics of one experiment, for each arm and each layer of the first two thirds.

    headline: whether the answer may rest on them; it does on the paper's arm.
    """
    sides = compared(experiment)
    if sides is None:
        why = "needs three layers, a cell with a large step and one with a small step"
        yield not_asked(CLAIM, name, NEARER, LESS, why)
        return
    large, small = sides
    layers = experiment["layer"].values
    for arm in experiment["arm"].values:
        where, rests = label(name, arm), headline and large_step_phase.is_headline(experiment, arm)
        runs, beside = large.sel(arm=arm), small.sel(arm=arm)
        both, alone = large_step_phase.complete(runs, beside), large_step_phase.complete(beside)
        far, near = (each["distance"].isel(snapshot_step=-1).values for each in (runs, beside))
        for index, layer in enumerate(layers[: 2 * len(layers) // 3]):
            at = near[:, index]
            ratio, against_last = log2_ratio(at, far[:, index]), log2_ratio(at, near[:, -1])
            yield Measured(CLAIM, where, f"{STAYS}, {layer}", at, below(LAZY), ~alone, headline=rests)
            yield Measured(CLAIM, where, f"{NEARER}, {layer}", ratio, LESS, ~both, headline=rests)
            yield Measured(CLAIM, where, f"{EARLIER}, {layer}", against_last, LESS, ~alone)


def log2_ratio(distances: Values, others: Values) -> Values:
    """log2 of the ratio of two distances, both (seeds,), NaN where one is."""
    return np.asarray(elementary.log2(np.maximum(distances, LEAST) / np.maximum(others, LEAST)))
