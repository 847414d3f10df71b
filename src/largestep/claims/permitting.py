"""C16 on toy networks: what acts like a large step size, and what permits one.

Data: the sweeps of batch size, momentum, label noise, sharpness-aware minimisation (SAM), warm-up and weight decay.
Statistics, paired within seeds that neither diverge nor end dead in both runs, at the end of training and at the
paper's threshold:

- Batch size with step size / batch size and epochs held, the smallest of the larger batches against batch size 1:
  share of seeds that diverge or end dead, to be within 0.1 of each other; log2 ratio of the loss before the decay, and
  of the sparsity, to be within a factor of 1.25. Where the loss at batch size 1 converges below 1e-8, or every unit is
  in use in both, there is nothing to compare, and the row says so. With the step size itself held, a larger batch is
  a smaller step, so the sparsity must not be the same: its log2 ratio is to be above 0, less sparse.
- Momentum with step size / (1 - momentum) held: log2 ratio of the sparsity, within the same factor.
- Label noise and SAM at a small step size: Spearman's correlation of their strength, 0 included, and sparsity.
  Criterion: below 0, the more of it the sparser.
- Warm-up and weight decay at a step size at which about half of the runs fail: share of seeds that diverge or end dead
  with it minus without it. Criterion: below 0. The longest warm-up, and the paper's weight decay of 5e-4.

The answer rests on all but momentum, of which the paper says nothing here, and the batch at a held step size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from largestep import elementary
from largestep.claims import controls
from largestep.claims.rank_correlation import finite, paired_spearman
from largestep.claims.results import Results
from largestep.claims.verdict import (
    Criterion,
    Measured,
    Values,
    above,
    below,
    between,
    missing,
    not_asked,
    within_factor,
)
from largestep.measures.outcomes import survived
from largestep.measures.stabilisation import NO_LEVEL

CLAIM = "C16"
CLAIMS = {
    CLAIM: "Warm-up, BatchNorm and weight decay permit larger steps; a batch of B acts as a step / B; noisy labels and "
    "SAM resemble them."
}
SAME = within_factor(1.25)
LESS_SPARSE, SPARSER, SAFER, AS_SAFE = above(0.0), below(0.0), below(0.0), between(-0.1, 0.1)
WEIGHT_DECAY = 5e-4
# A run on its way to infinity must not outweigh the others.
EXTREME = 10.0


def measured(results: Results) -> Iterator[Measured]:
    """The rows of every sweep of one of these quantities; those that no study has are said to be missing."""
    rows: dict[str, Callable[[str, xr.Dataset], Iterator[Measured]]] = {
        "batch_size": _batch,
        "momentum": _momentum,
        "label_noise": _strength,
        "sam_radius": _strength,
        "warmup_from": _warmup,
        "weight_decay": _weight_decay,
    }
    varied = set()
    for where, points in controls.sweeps(results):
        vary = str(points["vary"].values[0])
        if vary in rows:
            varied.add(vary)
            yield from rows[vary](where, points)
    yield from results.studies_not_run(CLAIM, controls.KIND, "controls", SAME)
    if any(results.of_kind(controls.KIND)):
        for vary in sorted(set(rows) - varied):
            why = f"not run: no study of config.yaml varies {vary}"
            yield missing(CLAIM, controls.KIND, vary, SAME, why)


def _batch(where: str, points: xr.Dataset) -> Iterator[Measured]:
    held = "step_size" not in controls.differs(points)
    one = points.isel(point=int(points["batch_size"].values.argmin()))
    larger = points.isel(point=np.flatnonzero(points["batch_size"].values > float(one["batch_size"])))
    least = larger.isel(point=int(larger["batch_size"].values.argmin()))
    name = controls.sparsity_name(points)
    given = "at one step size" if held else "at one step size / batch size"
    converged = float(np.nanmedian(one["phase_loss"])) <= NO_LEVEL
    if not held:
        which = f"batch {float(least['batch_size']):g} minus {float(one['batch_size']):g}, {given}"
        statistic = f"share of runs that diverge or end dead, {which}"
        yield Measured(CLAIM, where, statistic, _lost(least) - _lost(one), AS_SAFE, headline=True)
    which = f"batch {float(least['batch_size']):g} to {float(one['batch_size']):g}, {given}"
    if held:
        yield _ratio(where, f"{name}, {which}", least, one, _sparsity, LESS_SPARSE)
        return
    if converged:
        why = "the loss converges at batch size 1: there is no level"
        yield not_asked(CLAIM, where, f"log2 ratio of loss before the decay, {which}", SAME, why)
    else:
        yield _ratio(where, f"loss before the decay, {which}", least, one, _phase_loss, SAME, headline=True)
    yield _ratio(where, f"{name}, {which}", least, one, _sparsity, SAME, headline=True)


def _momentum(where: str, points: xr.Dataset) -> Iterator[Measured]:
    without = points.isel(point=int(points["momentum"].values.argmin()))
    most = points.isel(point=int(points["momentum"].values.argmax()))
    which = f"momentum {float(most['momentum']):g} to {float(without['momentum']):g}"
    given = "at one step size / (1 - momentum)"
    what = f"{controls.sparsity_name(points)}, {which}, {given}"
    yield _ratio(where, what, most, without, _sparsity, SAME)


def _strength(where: str, points: xr.Dataset) -> Iterator[Measured]:
    vary = str(points["vary"].values[0])
    left = controls.mostly_alive(points)
    complete = survived(left).all("point").values
    statistic = f"Spearman correlation of {vary} and {controls.sparsity_name(points)}, at a small step size"
    if left.sizes["point"] < 2:
        yield not_asked(CLAIM, where, statistic, SPARSER, "most runs diverge")
        return
    values = paired_spearman(left[vary].values, finite(controls.sparsity(left).values))
    note = controls.fate(left)
    yield Measured(CLAIM, where, statistic, values, SPARSER, ~complete, note, headline=True)


def _warmup(where: str, points: xr.Dataset) -> Iterator[Measured]:
    plain = points.isel(point=int(points["warmup_from"].values.argmax()))
    longest = points.isel(point=int(points["warmup_from"].values.argmin()))
    yield _safer(where, f"warm-up from {float(longest['warmup_from']):g}", longest, plain)


def _weight_decay(where: str, points: xr.Dataset) -> Iterator[Measured]:
    strengths = points["weight_decay"].values
    if not {0.0, WEIGHT_DECAY} <= set(strengths.tolist()):
        why = f"not run: the sweep has no weight decay of 0 and {WEIGHT_DECAY:g}"
        yield missing(CLAIM, where, "share of lost runs", SAFER, why)
        return
    plain, decayed = (points.isel(point=int(np.flatnonzero(strengths == x)[0])) for x in (0.0, WEIGHT_DECAY))
    yield _safer(where, f"weight decay {WEIGHT_DECAY:g}", decayed, plain)


def _safer(where: str, what: str, runs: xr.Dataset, plain: xr.Dataset) -> Measured:
    """Over all seeds, for divergence is what is measured."""
    values = _lost(runs) - _lost(plain)
    statistic = (
        f"share of runs that diverge or end dead at step size {float(plain['step_size']):g}, {what} minus without"
    )
    return Measured(CLAIM, where, statistic, values, SAFER, headline=True)


def _ratio(
    where: str,
    what: str,
    runs: xr.Dataset,
    plain: xr.Dataset,
    measure: Callable[[xr.Dataset], Values],
    criterion: Criterion,
    headline: bool = False,
) -> Measured:
    both = _lost(runs) + _lost(plain) == 0
    a, b = measure(runs), measure(plain)
    statistic = f"log2 ratio of {what}"
    if both.any() and np.ptp([a[both], b[both]]) == 0.0:
        return not_asked(CLAIM, where, statistic, criterion, f"{a[both][0]:g} in every run of both: nothing to compare")
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = elementary.log2(a / b)
    values = np.where(finite, np.clip(ratio, -EXTREME, EXTREME), np.nan)
    died = int(runs["dead"].sum() + plain["dead"].sum())
    note = f"{died} of the seeds left out end with a dead block" if died else ""
    return Measured(CLAIM, where, statistic, values, criterion, ~both, note, headline)


def _sparsity(runs: xr.Dataset) -> Values:
    return controls.sparsity(runs.expand_dims("point")).values[0]


def _phase_loss(runs: xr.Dataset) -> Values:
    return np.maximum(runs["phase_loss"].values, NO_LEVEL)


def _lost(runs: xr.Dataset) -> Values:
    return np.asarray((~survived(runs)).values | runs["dead"].values.astype(bool), dtype=np.float64)
