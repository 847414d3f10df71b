"""C14: a small step size leaves the early and middle layers at the init.

Data: networks of three layers and more at the end of training: the small step and, beside it, the cell whose large step
size lasts longest, seeds paired. Early and middle layers are the first two thirds, from the input on. Distances are
those of a layer's weights from the init, relative to their norm there. Statistics, per seed and layer:
- the distance at the small step, below `LAZY`;
- log2 of its ratio to the distance at the large step, below 0;
- log2 of its ratio to the distance of the last layer, also at the small step, below 0: late layers move, early ones do
  not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import phases
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, below, label, missing

CLAIM = "C14"
CLAIMS = {CLAIM: "A small step size leaves the early and middle layers at the init."}
EXPERIMENTS = ("three_layer", "digits", "digits_matched")
# As in C12: what a layer moves is the smaller part of what it was.
LAZY = 0.5
STAYS = "relative distance from the init at the small step"
NEARER = "log2 ratio of the distances from the init, small step over large step"
EARLIER = "log2 ratio of the distances from the init at the small step, layer over last layer"
LESS = below(0.0)


def measured(results: Results) -> Iterator[Measured]:
    """C14 for the networks with early and middle layers; those that are not run say so."""
    for name in EXPERIMENTS:
        if name in results.experiments:
            yield from rows(name, results.experiments[name])
        else:
            yield missing(CLAIM, name, NEARER, LESS, results.why_not_run(name))


def rows(name: str, experiment: xr.Dataset) -> Iterator[Measured]:
    """The statistics of one experiment, for each arm and each layer of the first two thirds."""
    large, small = phases.longest(experiment), phases.small_step(experiment)
    layers = experiment["layer"].values
    if small is None or float(large["decay_fraction"]) == 0 or len(layers) < 3:
        why = "not run: needs three layers, a cell with a large step and one with a small step"
        yield missing(CLAIM, name, NEARER, LESS, why)
        return
    for arm in experiment["arm"].values:
        where, headline = label(name, arm), phases.is_headline(experiment, arm)
        runs, beside = large.sel(arm=arm), small.sel(arm=arm)
        both, alone = phases.complete(runs, beside), phases.complete(beside)
        lost, lost_alone = int((~both).sum()), int((~alone).sum())
        far, near = (each["distance"].isel(snapshot_step=-1).values for each in (runs, beside))
        for index, layer in enumerate(layers[: 2 * len(layers) // 3]):
            at = near[:, index]
            ratio, against_last = np.log2(at / far[:, index])[both], np.log2(at / near[:, -1])[alone]
            yield Measured(CLAIM, where, f"{STAYS}, {layer}", at[alone], below(LAZY), lost_alone, headline=headline)
            yield Measured(CLAIM, where, f"{NEARER}, {layer}", ratio, LESS, lost, headline=headline)
            yield Measured(CLAIM, where, f"{EARLIER}, {layer}", against_last, LESS, lost_alone)
