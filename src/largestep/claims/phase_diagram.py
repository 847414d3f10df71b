"""C4 and C5 at matched step sizes: duration with its size held fixed, and size with its duration held fixed.

Data: the phase diagrams, in which every run decays to one step size. Only decay times up to 50% of training count,
the longest that the paper uses, since after later ones little of training is left to fit; another row takes all.
Statistic, duration: Spearman's rank correlation of decay time and the measure at the end of training within one
seed and one step size, averaged over the step sizes at which this seed survives all decay times and its loss keeps
its level: the claims speak of prolonging a stabilised loss. A phase diagram has one number for each phase and not its
curve, so that its mean before the latest decay is to be at least a tenth of that before the earliest. Another row
takes all step sizes at which the seed survives.
Statistic, size: the same correlation of step size and the measure at the latest of these decay times, over the step
sizes at which the seed survives it. Criterion of all: the mean over seeds is below 0.
The answers rest on duration where the loss keeps its level and the paper's threshold, the first of the list in
config.yaml; other thresholds are asked of the fixed data set alone. The row on the paper's own step size was added
after the first run had been seen, so that nothing rests on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.claims.duration import CLAIMS as CLAIMS
from largestep.claims.duration import CRITERION, GENERALISATION, SIMPLICITY
from largestep.claims.rank_correlation import finite, paired_spearman, ranked_worst
from largestep.claims.results import Results
from largestep.claims.verdict import Measured, Values, missing
from largestep.measures.outcomes import survived
from largestep.schedules import in_words
from largestep.threshold_sweep import paper_first

KIND = "phase_diagram"
MEASURES = {GENERALISATION: "test loss", SIMPLICITY: "l0"}
LONGEST = 0.5
# The loss before the latest decay that keeps its level, as a share of that before the earliest.
FALL = 0.1
STABLE, EVERY = "step sizes at which the loss keeps its level", "all step sizes"
# Of a step size of the grid, when it is compared with the paper's.
DIGITS = 9
# A rank correlation over fewer step sizes says nothing of a trend.
FEWEST_SIZES = 3


def measured(results: Results) -> Iterator[Measured]:
    """C4 and C5 for every phase diagram, those of larger scales as not run."""
    for name, study in results.of_kind(KIND):
        if (study["decay_at"] <= LONGEST).sum() < 2:
            why = f"not run: fewer than two decay times up to {100 * LONGEST:g}%"
            for claim, what in MEASURES.items():
                yield missing(claim, name, f"Spearman correlation of duration and {what}", CRITERION, why)
            continue
        yield from _rows(GENERALISATION, name, study, "test loss", study["test_loss"])
        non_zeros = paper_first(study["l0"])
        for place, threshold in enumerate(non_zeros["l0_threshold"].values):
            what = f"l0 at threshold {threshold:g}"
            at_threshold = non_zeros.isel(l0_threshold=place)
            if place == 0:
                yield from _rows(SIMPLICITY, name, study, what, at_threshold)
            elif study["arm"] == "order":
                yield _duration(SIMPLICITY, name, study, what, at_threshold)
    for claim, what in MEASURES.items():
        yield from results.studies_not_run(claim, KIND, f"Spearman correlation of duration and {what}", CRITERION)


def keeps_its_level(study: xr.Dataset, longest: float = LONGEST) -> xr.DataArray:
    """At which step sizes the loss of a seed keeps its level, of dimensions step_size and seed.

    longest: the latest decay time looked at, as a fraction of training.
    """
    level = study["phase_loss"].isel(decay_at=np.flatnonzero(study["decay_at"].values <= longest))
    return level.isel(decay_at=-1, drop=True) >= FALL * level.isel(decay_at=0, drop=True)


def kept_as_long_as_it_lasted(study: xr.Dataset, longest: float) -> NDArray[np.bool_]:
    """As `keeps_its_level`, by the latest decay before which a run had not diverged: (step_size, seed).

    A run that diverges before the second decay time has no level.
    """
    compared = study["decay_at"].values <= longest
    level = _ordered(study["phase_loss"])[:, compared]
    lasted = np.isfinite(level).sum(axis=1)
    last = np.take_along_axis(level, np.maximum(lasted - 1, 0)[:, None], axis=1)[:, 0]
    return (lasted > 1) & (last >= FALL * level[:, 0])


def _rows(claim: str, name: str, study: xr.Dataset, what: str, final: xr.DataArray) -> Iterator[Measured]:
    yield _duration(claim, name, study, what, final, headline=True)
    yield _duration(claim, name, study, what, final, longest=1.0)
    yield _duration(claim, name, study, what, final, sizes=EVERY)
    for size in np.intersect1d(study["step_size"].values.round(DIGITS), study["published_step_size"].values):
        yield _duration(claim, name, study, what, final, sizes=float(size))
    yield _size(claim, name, study, what, final)


def _duration(
    claim: str,
    name: str,
    study: xr.Dataset,
    what: str,
    final: xr.DataArray,
    *,
    longest: float = LONGEST,
    sizes: str | float = STABLE,
    headline: bool = False,
) -> Measured:
    """final: (step_size, decay_at, seed), the measure at the end of training. sizes: a kind of step sizes, or one."""
    times = study["decay_at"].values
    compared = times <= longest
    alive = _ordered(survived(study))[:, compared]
    usable, begun = np.logical_and.reduce(alive, axis=1), np.logical_or.reduce(alive, axis=1)
    if sizes == STABLE:
        usable &= keeps_its_level(study, longest).transpose("step_size", "seed").values
        begun &= kept_as_long_as_it_lasted(study, longest)
    elif sizes != EVERY:
        here = (study["step_size"].values.round(DIGITS) == sizes)[:, None]
        usable, begun = usable & here, begun & here
    values = _ordered(final)[:, compared]
    seeds = np.logical_or.reduce(usable, axis=0)
    alone = isinstance(sizes, float)
    which = f"at step size {sizes:g}" if alone else f"at one step size, mean over {sizes}"
    until = f"decay by {100 * times[compared][-1]:g}%"
    return Measured(
        claim,
        name,
        f"Spearman correlation of duration and {what} {which}, {until}",
        _mean_over_sizes(times[compared], finite(values), usable),
        CRITERION,
        diverged=~seeds,
        note=f"on average {usable[:, seeds].sum(axis=0).mean():.1f} of {len(usable)} step sizes"
        if seeds.any() and not alone
        else "",
        headline=headline,
        worst=_mean_over_sizes(times[compared], ranked_worst(values, ~alive), begun),
    )


def _mean_over_sizes(times: Values, values: Values, usable: NDArray[np.bool_]) -> Values:
    """Mean over the usable step sizes of a seed of the correlation there, NaN where it has none: (seeds,).

    values: (step_size, decay_at, seed); usable: (step_size, seed).
    """
    correlations = np.full(usable.shape, np.nan)
    correlations[usable] = paired_spearman(times, values.swapaxes(0, 1)[:, usable])
    means = np.full(usable.shape[1], np.nan)
    some = np.isfinite(correlations).any(axis=0)
    means[some] = np.nanmean(correlations[:, some], axis=0)
    return means


def _size(claim: str, name: str, study: xr.Dataset, what: str, final: xr.DataArray) -> Measured:
    place = int(np.flatnonzero(study["decay_at"].values <= LONGEST)[-1])
    alive, values = _ordered(survived(study))[:, place], _ordered(final)[:, place]
    sizes = study["step_size"].values
    seeds = np.flatnonzero(alive.sum(axis=0) >= FEWEST_SIZES)
    correlations = np.full(study.sizes["seed"], np.nan)
    for seed in seeds:
        correlations[seed] = paired_spearman(sizes[alive[:, seed]], finite(values[alive[:, seed], seed][:, None]))[0]
    return Measured(
        claim,
        name,
        f"Spearman correlation of step size and {what}, {in_words(float(study['decay_at'][place]))}",
        correlations,
        CRITERION,
        diverged=alive.sum(axis=0) < FEWEST_SIZES,
    )


def _ordered(values: xr.DataArray) -> NDArray[Any]:
    return np.asarray(values.transpose("step_size", "decay_at", "seed").values)
