"""C4 and C5 unconfounded: the duration of the large step size alone, and its size alone, in toy networks.

The paper's schedules change the duration together with the peak (through a warm-up) and with the decayed step
size. Data: the sweeps that vary nothing but the time of the decay, or nothing but the large step size, and the
seeds that diverge at none of their points. Sizes at which more than half of the seeds diverge are left out.
Statistic: Spearman's rank correlation, within a seed, of the varied quantity and the measure at the end of
training, at the paper's threshold; feature sparsity is the mean over the hidden layers. Criterion: its mean over
seeds is below 0. The answers rest on duration alone within the range of the paper, up to 50% of training, in the
sweeps through the base of their study. Sweeps at a larger step, which were set up after a first look at results,
later decays, which leave less and less time to fit, the effective rank, which has no threshold, and the size of the
step are asked as well, and the test loss also at one training loss (`matched_loss`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from largestep.claims import matched_loss
from largestep.claims.duration import CLAIMS as CLAIMS
from largestep.claims.duration import GENERALISATION, REORDERED, SIMPLICITY
from largestep.claims.rank_correlation import finite, paired_spearman, ranked_worst
from largestep.claims.results import Results
from largestep.claims.summary import MATCHED, RESCALED
from largestep.claims.verdict import Measured, below, missing, not_asked
from largestep.measures.outcomes import survived
from largestep.threshold_sweep import at_paper

KIND = "sweep"
CRITERION = below(0.0)
LATEST_OF_PAPER = 0.5
# What may differ between the points of a sweep.
SETTINGS = (
    "step_size",
    "warmup_from",
    "decay_at",
    "decayed_step_size",
    "steps",
    "batch_size",
    "sampling",
    "momentum",
    "weight_decay",
    "label_noise",
    "sam_radius",
)
DURATION, SIZE = "duration alone", "size alone"


def measured(results: Results) -> Iterator[Measured]:
    """A row for every measure of every sweep of duration alone or of size alone."""
    varied = False
    for where, points in sweeps(results):
        if differs(points) == {"decay_at"}:
            varied = True
            yield from _duration(where, points)
        elif differs(points) <= {"step_size", "warmup_from"} and str(points["vary"].values[0]) == "step_size":
            yield from _size(where, points)
    for claim in (GENERALISATION, SIMPLICITY):
        statistic = f"Spearman correlation, {DURATION}"
        yield from results.studies_not_run(claim, KIND, statistic, CRITERION)
        if not varied and any(results.of_kind(KIND)):
            yield missing(claim, KIND, statistic, CRITERION, "not run: no study of config.yaml varies decay_at alone")


def sweeps(results: Results) -> Iterator[tuple[str, xr.Dataset]]:
    """Every sweep of every study, its name and its points in order."""
    for name, study in results.of_kind(KIND):
        for sweep in dict.fromkeys(study["sweep"].values.tolist()):
            yield f"{name}/{sweep}", study.isel(point=np.flatnonzero(study["sweep"].values == sweep))


def differs(points: xr.Dataset) -> set[str]:
    """The settings that are not the same at all points."""
    return {key for key in SETTINGS if len(set(points[key].values.tolist())) > 1}


def sparsity(points: xr.Dataset) -> xr.DataArray:
    """Non-zeros of a diagonal network, or the feature sparsity of a dense one over its layers: (point, seed)."""
    if "l0" in points:
        return at_paper(points["l0"]).transpose("point", "seed")
    return at_paper(points["feature_sparsity"]).mean("block").transpose("point", "seed")


def sparsity_name(points: xr.Dataset) -> str:
    """What `sparsity` is of these networks."""
    return "non-zeros" if "l0" in points else "feature sparsity"


def mostly_alive(points: xr.Dataset) -> xr.Dataset:
    """The points at which at most half of the seeds diverge."""
    return points.isel(point=np.flatnonzero(survived(points).mean("seed").values >= 0.5))


def fate(points: xr.Dataset) -> str:
    """How many of the runs compared are dead, for the note; nothing where none is."""
    died = int(points["dead"].sum())
    return f"{died} of these runs end with a dead block" if died else ""


def _duration(where: str, points: xr.Dataset) -> Iterator[Measured]:
    early = points.isel(point=np.flatnonzero(points["decay_at"].values <= LATEST_OF_PAPER))
    through_base = bool(points["base"].any())
    of_paper = f"{DURATION}, decay at up to {100 * LATEST_OF_PAPER:g}%"
    for claim, what, values, main in _measures(early):
        yield _row(claim, where, early, "decay_at", values, f"{what}, {of_paper}", headline=main and through_base)
    yield from _matched(where, early, "decay_at", of_paper, beside=MATCHED)
    if early.sizes["point"] < points.sizes["point"]:
        for claim, what, values, main in _measures(points):
            if _everywhere(what, main):
                yield _row(claim, where, points, "decay_at", values, f"{what}, {DURATION}, any decay")


def _size(where: str, points: xr.Dataset) -> Iterator[Measured]:
    left = mostly_alive(points)
    dropped = points.sizes["point"] - left.sizes["point"]
    note = f"without {dropped} sizes at which most runs diverge" if dropped else ""
    for claim, what, values, main in _measures(left):
        if _everywhere(what, main):
            yield _row(claim, where, left, "step_size", values, f"{what}, {SIZE}", note)
    yield from _matched(where, left, "step_size", SIZE)


def _matched(where: str, points: xr.Dataset, key: str, which: str, beside: str = "") -> Iterator[Measured]:
    """C4 at one training loss; none where there is no test set, or a single point."""
    if "test_loss_along" not in points or points.sizes["point"] < 2:
        return
    points = points.sortby(key)
    train, test = (
        points[f"{name}_along"].transpose("point", "seed", ...).values for name in ("train_loss", "test_loss")
    )
    yield from matched_loss.compared(
        GENERALISATION,
        where,
        points[key].values,
        (train, test),
        ~np.asarray(survived(points).all("point").values),
        correlation=f"Spearman correlation of {key} and test loss at matched training loss, {which}",
        ratio=f"log2 ratio of test loss, largest over smallest {key}, {which}",
        beside=beside,
    )


def _everywhere(what: str, main: bool) -> bool:
    """Whether a measure is asked in other comparisons than the one that the answers rest on."""
    return what == f"feature sparsity{RESCALED}" or (main and what != "rank")


def _measures(points: xr.Dataset) -> Iterator[tuple[str, str, xr.DataArray, bool]]:
    """Claim, name, values (point, seed) and whether the answer may rest on it."""
    if "test_loss" in points:
        yield GENERALISATION, "test loss", points["test_loss"], True
    yield SIMPLICITY, sparsity_name(points), sparsity(points), True
    yield SIMPLICITY, "rank", at_paper(points["rank"]), True
    yield SIMPLICITY, "effective rank", points["effective_rank"], False
    if "feature_sparsity_reordered" in points:
        reordered = at_paper(points["feature_sparsity_reordered"]).mean("block")
        yield SIMPLICITY, f"feature sparsity, {REORDERED}", reordered, False
    for name in ("feature_sparsity", "rank", "effective_rank"):
        if f"rescaled_{name}" in points:
            other = points[f"rescaled_{name}"]
            other = at_paper(other) if name != "effective_rank" else other
            other = other.mean("block") if "block" in other.dims else other
            yield SIMPLICITY, name.replace("_", " ") + RESCALED, other, False


def _row(
    claim: str,
    where: str,
    points: xr.Dataset,
    key: str,
    values: xr.DataArray,
    what: str,
    note: str = "",
    headline: bool = False,
) -> Measured:
    statistic = f"Spearman correlation of {key} and {what}"
    if points.sizes["point"] < 2:
        return not_asked(claim, where, statistic, CRITERION, "fewer than two points to compare")
    complete = survived(points).all("point").values
    if key == "decay_at":
        level = float(np.nanmedian(points["phase_loss"].values))
        note = "; ".join(filter(None, (note, f"median loss before the decay {level:.2g}")))
    note = "; ".join(filter(None, (note, fate(points))))
    by_seed = values.transpose("point", "seed").values
    gone = ~np.asarray(survived(points).transpose("point", "seed").values)
    return Measured(
        claim,
        where,
        statistic,
        paired_spearman(points[key].values, finite(by_seed)),
        CRITERION,
        ~complete,
        note,
        headline,
        worst=paired_spearman(points[key].values, ranked_worst(by_seed, gone)),
    )
