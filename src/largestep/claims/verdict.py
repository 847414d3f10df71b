"""What all claims share: the measured statistic, its criterion, the interval over seeds, and the verdict.

A claim module yields `Measured`: one number per seed, and the criterion that this statistic was to meet.
`decide` turns all of them into the rows of the table: a bootstrap interval over seeds for each, and a verdict
that holds after Holm's correction: over the headline statistics of the same claim, and over its other ones. A headline
that leaves diverged seeds out has a verdict only where its companion over all seeds has the same (`survivors`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from largestep import elementary
from largestep.measures.small_step import small_step

Answer = Literal["supported", "refuted", "undecided", "not asked", "not run"]
Values = NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 20_000
# With fewer seeds a sign test cannot reach 5%: 2 * 2**-5 > 0.05.
FEWEST_SEEDS = 6
# Of memory for what is drawn.
DRAWS_AT_ONCE, STATISTICS_AT_ONCE = 2_000_000, 500


@dataclass(frozen=True)
class Criterion:
    """What the mean of a statistic over seeds was to be: between `low` and `high`, either of which may be infinite.

    unit: of the statistic, for the table; nothing for a pure number.
    """

    low: float = -np.inf
    high: float = np.inf
    unit: str = ""

    def met_by(self, values: Values) -> NDArray[np.bool_]:
        """Which of these numbers lie between the bounds; one at a bound does not."""
        return np.asarray((values > self.low) & (values < self.high))

    @property
    def text(self) -> str:
        """The criterion in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.low == -np.inf:
            return f"below {self.high:g}{unit}"
        if self.high == np.inf:
            return f"above {self.low:g}{unit}"
        return f"between {self.low:g} and {self.high:g}{unit}"


def below(bound: float, unit: str = "") -> Criterion:
    """The mean was to be below the bound."""
    return Criterion(high=bound, unit=unit)


def above(bound: float, unit: str = "") -> Criterion:
    """The mean was to be above the bound."""
    return Criterion(low=bound, unit=unit)


def between(low: float, high: float, unit: str = "") -> Criterion:
    """The mean was to lie between two bounds: a test of equivalence."""
    return Criterion(low, high, unit)


def within_factor(factor: float) -> Criterion:
    """The mean of a log2 ratio was to lie within a factor of 1: a test of equivalence."""
    return between(-math.log2(factor), math.log2(factor))


def log2_ratio(one: Values, other: Values) -> Values:
    """log2 of each value over the other's; NaN where either is not positive."""
    positive = (one > 0.0) & (other > 0.0)
    ratio = np.divide(one, other, out=np.full(len(one), np.nan), where=positive)
    return np.asarray(elementary.log2(ratio))


@dataclass(frozen=True)
class Measured:
    """One statistic of one claim in one experiment.

    values: (seeds,), of every seed, anything not finite where it has no value. diverged: (seeds,), which of them have
    none because a run diverged; left out where none did. worst: (seeds,), the same statistic where diverged runs take
    the worst rank of their seed, if it has such a form. headline: whether the answer in the summary rests on this
    statistic; the others show how it depends on thresholds and settings. missing: why there is nothing to measure,
    empty if there is; unasked: that the data are there, but the question has no meaning for them. beside: under which
    heading the summary counts it although the answer does not rest on it. unit: what the seeds replicate. companion:
    that it is the row over all seeds of the headline before it.
    """

    claim: str
    experiment: str
    statistic: str
    values: Values
    criterion: Criterion
    diverged: NDArray[np.bool_] | None = None
    note: str = ""
    headline: bool = False
    missing: str = ""
    unasked: bool = False
    worst: Values | None = None
    beside: str = ""
    unit: str = ""
    companion: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not a number for each seed: ValueError."""
        others = [each for each in (self.diverged, self.worst) if each is not None]
        if self.values.ndim != 1 or any(each.shape != self.values.shape for each in others):
            raise ValueError(f"{self.claim}, {self.experiment}, {self.statistic}: needs one number per seed")

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which seeds have no value because a run diverged, (seeds,)."""
        return np.zeros(len(self.values), dtype=np.bool_) if self.diverged is None else self.diverged

    @cached_property
    def usable(self) -> Values:
        """The finite values of the seeds that did not diverge."""
        return self.values[np.isfinite(self.values) & ~self.lost]


@dataclass(frozen=True)
class Row:
    """One row of the table of claims; low and high bound the 95% interval of the estimate.

    seeds: those that have a value; diverged: those that have none because a run diverged; without_value: those whose
    value is not finite although no run diverged. survivors: the verdict of the seeds that did not diverge alone, empty
    where none did. For the summary alone, headline, beside and companion: as in `Measured`; margin: how far the
    estimate lies from the nearest bound of its criterion, in half-widths of its interval.
    """

    claim: str
    experiment: str
    statistic: str
    estimate: float
    low: float
    high: float
    seeds: int
    diverged: int
    without_value: int
    unit: str
    criterion: str
    verdict: Answer
    survivors: Answer | Literal[""]
    note: str
    headline: bool
    beside: str
    companion: bool
    margin: float


def missing(claim: str, experiment: str, statistic: str, criterion: Criterion, why: str) -> Measured:
    """A statistic whose data the run does not have."""
    return Measured(claim, experiment, statistic, np.empty(0), criterion, missing=why)


def not_asked(claim: str, experiment: str, statistic: str, criterion: Criterion, why: str) -> Measured:
    """A statistic that has no meaning for the data that the run has."""
    return Measured(claim, experiment, statistic, np.empty(0), criterion, missing=why, unasked=True)


def interval(values: Values) -> tuple[float, float, float]:
    """Mean over seeds and its 95% bootstrap interval; NaN for the interval below two seeds.

    values: (seeds,), finite. The interval is bias-corrected and accelerated (Efron 1987), which follows skewed
    values, and widened for few seeds so that its level is that of Student's t (Hesterberg 2015, "What teachers
    should know about the bootstrap", section 4.3).
    """
    mean = float(values.mean()) if len(values) else np.nan
    if len(values) < 2:
        return mean, np.nan, np.nan
    return mean, *_Bootstrap(values[None], _resampled_means(values[None], RESAMPLES)).intervals()[0]


def decide(measured: Iterable[Measured]) -> list[Row]:
    """The rows of the table, in the order given.

    A statistic is supported when its interval lies wholly where its criterion wants it, refuted when it lies
    wholly elsewhere, both at a level corrected by Holm's method over the headline statistics of the same claim, or
    over its other ones, so that no sweep blunts an answer. Those without enough seeds are undecided and do not count
    for the correction.
    """
    all_measured = with_companions(measured)
    return _rows(all_measured, _estimates(all_measured))


def decide_samples(samples: Sequence[list[Measured]], resamples: int) -> Iterator[list[Row]]:
    """What `decide` makes of each of many samples of seeds, without intervals and with fewer bootstrap resamples."""
    whole = [with_companions(sample) for sample in samples]
    estimates = iter(_estimates([each for sample in whole for each in sample], resamples, intervals=False))
    for sample in whole:
        yield _rows(sample, list(islice(estimates, len(sample))))


def with_companions(measured: Iterable[Measured]) -> list[Measured]:
    """The statistics, each headline that leaves diverged seeds out followed by its row over all seeds."""
    return [one for each in measured for one in (each, over_all_seeds(each)) if one is not None]


def over_all_seeds(each: Measured) -> Measured | None:
    """The companion of a headline that leaves diverged seeds out, free of that choice; None for other statistics.

    The statistic with diverged runs in the worst rank, where it has that form; otherwise the share of seeds that meet
    the criterion, a diverged one counting against it. A seed without a value for another reason stays without one.
    """
    if not each.headline or each.missing:
        return None
    whole = dataclasses.replace(each, diverged=None, worst=None, headline=False, note="", companion=True)
    if each.worst is not None:
        if np.array_equal(each.worst, each.values, equal_nan=True):
            return None
        return dataclasses.replace(whole, values=each.worst, statistic=f"{each.statistic}, diverged runs ranked worst")
    if not each.lost.any():
        return None
    met = np.where(np.isfinite(each.values), each.criterion.met_by(each.values), np.nan)
    return dataclasses.replace(
        whole,
        values=np.where(each.lost, 0.0, met),
        criterion=above(0.5),
        statistic=f"share of all seeds, diverged ones against it, with {each.criterion.text}: {each.statistic}",
    )


def _rows(measured: list[Measured], estimates: list[_Estimate]) -> list[Row]:
    paired = {index - 1: index for index, each in enumerate(measured) if each.companion}
    both = [
        _agreeing(estimate, estimates[paired[index]]) if index in paired else estimate
        for index, estimate in enumerate(estimates)
    ]
    alone, answers = _answers(measured, estimates), _answers(measured, both)
    rows = []
    for index, each in enumerate(measured):
        (answer, note), survivors = answers[index], alone[index][0] if index in paired else ""
        if survivors not in ("", answer):
            note = _joined(each.note, f"{survivors} among survivors alone")
        rows.append(_row(each, estimates[index], answer, survivors, note))
    return rows


def _agreeing(survivors: _Estimate, everyone: _Estimate) -> _Estimate:
    """What survivors and all seeds say together: their answer where it is the same, at the coarser level."""
    if survivors.answer != everyone.answer:
        return dataclasses.replace(survivors, level=1.0, answer="undecided")
    return dataclasses.replace(survivors, level=max(survivors.level, everyone.level))


def _answers(measured: list[Measured], estimates: list[_Estimate]) -> dict[int, tuple[Answer, str]]:
    answers: dict[int, tuple[Answer, str]] = {}
    for shared in dict.fromkeys((each.claim, each.headline) for each in measured):
        family = [index for index, each in enumerate(measured) if (each.claim, each.headline) == shared]
        answers |= _family(family, measured, estimates)
    return answers


@dataclass(frozen=True)
class _Estimate:
    """Mean and interval of a statistic; the smallest error level at which it decides, and its answer there."""

    mean: float
    low: float = np.nan
    high: float = np.nan
    level: float = 1.0
    answer: Answer = "undecided"


class _Bootstrap:
    """The resampled means of statistics with the same number of seeds, and what they say about the means.

    values: (statistics, seeds), two seeds or more. means: (statistics, resamples).
    """

    def __init__(self, values: Values, means: Values) -> None:
        self._mean, self._seeds, self._means = values.mean(axis=1), values.shape[1], means
        self._error = values.std(axis=1) / np.sqrt(self._seeds)
        # Resampled means that meet a bound, but for rounding, speak against any answer.
        self._slack = 1e-12 * np.abs(values).max(axis=1)
        deviations = values - self._mean[:, None]
        spread = np.where(self._error > self._slack, (deviations**2).sum(axis=1), 0.0)
        self._bias = norm.ppf((self._share_below(self._mean) + 1.0 - self._share_above(self._mean)) / 2.0)
        third = (deviations * deviations**2).sum(axis=1)
        self._acceleration = np.divide(
            third, 6.0 * spread * np.sqrt(spread), out=np.zeros_like(third), where=spread > 0.0
        )

    def intervals(self) -> list[tuple[float, float]]:
        """The ends of each 95% interval."""
        n = self._seeds
        score = np.sqrt(n / (n - 1)) * student.isf((1.0 - CONFIDENCE) / 2.0, n - 1)
        ends = (np.quantile(*each) for each in zip(self._means, self._ends(score), strict=True))
        return [(float(low), float(high)) for low, high in ends]

    def _ends(self, score: float) -> Values:
        """Which quantiles of the means the ends are, (statistics, 2); score: of both tails, of a normal law."""
        scores = self._bias[:, None] + np.array([-score, score])
        shift = scores / (1.0 - self._acceleration[:, None] * scores)
        return np.asarray(norm.cdf(self._bias[:, None] + shift))

    def level_below(self, bound: float) -> Values:
        """The smallest error level at which each interval lies wholly below a bound; 1 if it never does."""
        return self._level(self._share_above(bound), bound, 1.0)

    def level_above(self, bound: float) -> Values:
        """The smallest error level at which each interval lies wholly above a bound; 1 if it never does."""
        return self._level(self._share_below(bound), bound, -1.0)

    def level_unseen(self, criterion: Criterion) -> Values:
        """The level at which seeds that are all equal decide about two bounds; 0 where they differ.

        If a share q of seeds lay a unit off, q being the distance to the nearer bound, the mean would lie on it; n
        equal seeds then come up with probability (1 - q)^n, however narrow their interval is.
        """
        nearer = np.minimum(np.abs(self._mean - criterion.low), np.abs(criterion.high - self._mean))
        chance = elementary.power(1.0 - np.minimum(nearer, 1.0), float(self._seeds))
        return np.where(self._error > self._slack, 0.0, chance)

    def _share_above(self, bound: float | Values) -> Values:
        return np.count_nonzero(self._means >= (bound - self._slack)[:, None], axis=1) / self._means.shape[1]

    def _share_below(self, bound: float | Values) -> Values:
        return np.count_nonzero(self._means <= (bound + self._slack)[:, None], axis=1) / self._means.shape[1]

    def _level(self, share: Values, bound: float, side: float) -> Values:
        """share: of resampled means that lie beyond the bound, above it where side is 1, below it where it is -1."""
        n, spreads = self._seeds, self._error > self._slack
        # Farther out than any resample the tail is taken for normal.
        distance = np.divide(np.abs(bound - self._mean), self._error, out=np.full_like(share, np.inf), where=spreads)
        farthest = np.maximum(norm.isf(1.0 / self._means.shape[1]), distance)
        score = side * np.where(share > 0.0, norm.isf(share), farthest) - self._bias
        finite = np.where(np.isfinite(score), score, 0.0)
        stretch = 1.0 + self._acceleration * finite
        certain = np.isinf(score) | (stretch <= 0.0)
        shift = finite / np.where(certain, 1.0, stretch)
        level = 2.0 * student.sf(side * (shift - self._bias) / np.sqrt(n / (n - 1)), n - 1)
        level = np.where(certain, _finest(n), np.clip(level, _finest(n), 1.0))
        return np.where(share >= 0.5, 1.0, level)


def _estimates(measured: list[Measured], resamples: int | None = None, *, intervals: bool = True) -> list[_Estimate]:
    """One estimate for each statistic; those with the same number of seeds share the resamples."""
    resamples = resamples or RESAMPLES
    usable = [each.usable for each in measured]
    estimates = [_Estimate(float(values.mean()) if len(values) else np.nan) for values in usable]
    alike: dict[tuple[int, Criterion], list[int]] = {}
    for index, each in enumerate(measured):
        if len(usable[index]) > 1:
            alike.setdefault((len(usable[index]), each.criterion), []).append(index)
    for (_, criterion), members in alike.items():
        for start in range(0, len(members), STATISTICS_AT_ONCE):
            part = members[start : start + STATISTICS_AT_ONCE]
            values = np.stack([usable[index] for index in part])
            bootstrap = _Bootstrap(values, _resampled_means(values, resamples))
            ends = bootstrap.intervals() if intervals else [(np.nan, np.nan)] * len(part)
            for index, end, decided in zip(part, ends, _levels(bootstrap, criterion), strict=True):
                estimates[index] = _Estimate(estimates[index].mean, *end, *decided)
    return estimates


def _levels(bootstrap: _Bootstrap, criterion: Criterion) -> Iterator[tuple[float, Answer]]:
    """The smallest error level at which each interval decides, and its answer there."""
    supported, refuted = [], []
    if np.isfinite(criterion.high):
        supported.append(bootstrap.level_below(criterion.high))
        refuted.append(bootstrap.level_above(criterion.high))
    if np.isfinite(criterion.low):
        supported.append(bootstrap.level_above(criterion.low))
        refuted.append(bootstrap.level_below(criterion.low))
    least = bootstrap.level_unseen(criterion) if len(supported) == 2 else 0.0
    both = np.maximum(np.max(supported, axis=0), least), np.maximum(np.min(refuted, axis=0), least)
    for for_it, against in zip(*both, strict=True):
        yield (float(for_it), "supported") if for_it <= against else (float(against), "refuted")


def _family(family: list[int], measured: list[Measured], estimates: list[_Estimate]) -> dict[int, tuple[Answer, str]]:
    """Answer and note of every statistic of one family, by Holm's method."""
    answers: dict[int, tuple[Answer, str]] = {}
    tested = [index for index in family if len(measured[index].usable) >= FEWEST_SEEDS]
    for index in set(family) - set(tested):
        each, seeds = measured[index], len(measured[index].usable)
        if each.missing:
            answers[index] = "not asked" if each.unasked else "not run", each.missing
        else:
            why = f"{seeds} usable seeds, {FEWEST_SEEDS} are needed for a verdict"
            answers[index] = "undecided", _joined(each.note, why)
    holds = True
    for place, index in enumerate(sorted(tested, key=lambda index: estimates[index].level)):
        level, seeds = estimates[index].level, len(measured[index].usable)
        holds = holds and level <= (1.0 - CONFIDENCE) / (len(tested) - place)
        why = ""
        if not holds and level <= _finest(seeds):
            why = f"{seeds} seeds are too few to decide among {len(tested)} statistics"
        elif not holds and level <= 1.0 - CONFIDENCE:
            why = f"undecided only after correction over {len(tested)} statistics"
        answers[index] = estimates[index].answer if holds else "undecided", _joined(measured[index].note, why)
    return answers


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _finest(n: int) -> float:
    """The smallest error level that n seeds can reach: that of a sign test on which all of them agree."""
    return math.ldexp(2.0, -n)


def _resampled_means(values: Values, resamples: int) -> Values:
    """Means over seeds drawn with replacement, (statistics, resamples); values: (statistics, seeds).

    The draws depend on the number of seeds alone.
    """
    n = values.shape[1]
    generator = np.random.default_rng(0)
    means = np.empty((len(values), resamples))
    # In parts, so that many seeds do not need much memory.
    size = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, resamples, size):
        part = means[:, start : start + size]
        drawn = generator.integers(n, size=(part.shape[1], n)) + n * np.arange(part.shape[1])[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        # Rounding, which is BLAS's, stays far below the slack of the bounds and the digits that are printed.
        part[:] = values @ counts.T / n
    return means


def _row(each: Measured, estimate: _Estimate, answer: Answer, survivors: Answer | Literal[""], note: str) -> Row:
    seeds, diverged = len(each.usable), int(each.lost.sum())
    return Row(
        each.claim,
        each.experiment,
        each.statistic,
        estimate.mean,
        estimate.low,
        estimate.high,
        seeds,
        diverged,
        len(each.values) - seeds - diverged,
        each.unit,
        each.criterion.text,
        answer,
        survivors,
        note,
        each.headline,
        each.beside,
        each.companion,
        _margin(estimate, each.criterion),
    )


def _margin(estimate: _Estimate, criterion: Criterion) -> float:
    distance = min(abs(estimate.mean - bound) for bound in (criterion.low, criterion.high))
    half = (estimate.high - estimate.low) / 2.0
    return distance / half if half > 0 else np.inf if half == 0 else np.nan


def by_duration(experiment: xr.Dataset) -> xr.Dataset:
    """The cells that differ in how long the large step size is kept: one per duration, small step included.

    Annealed cells, which keep no step size, are left out, and so is a constant step size beside large ones that are no
    larger (`small_step`): it is no duration of 0. Where several cells share a duration, the one with the smallest peak
    step size stays. Without a large-step phase the constant cell with the smallest step size is all there is.
    """
    durations = experiment["decay_fraction"].values
    kept = (durations > 0) | small_step(experiment).values if (durations > 0).any() else durations == 0
    experiment = experiment.isel(cell=kept)
    peak = experiment["peak_step_size"].values
    durations = experiment["decay_fraction"].values
    order = np.lexsort((peak, durations))
    first = [
        index for place, index in enumerate(order) if place == 0 or durations[index] != durations[order[place - 1]]
    ]
    return experiment.isel(cell=first)


def matched(experiment: xr.Dataset) -> bool:
    """Whether an experiment compares durations by cells that take the same step sizes, warm-up and decay included."""
    cells = by_duration(experiment)
    sizes = [np.unique(cell) for cell in cells["step_size"].values[cells["decay_fraction"].values > 0]]
    return len(sizes) > 1 and all(np.array_equal(each, sizes[0]) for each in sizes)


def decisive(classifiers: Mapping[str, xr.Dataset]) -> set[str]:
    """Of the image classifiers, by name, those that the answers rest on: the matched ones, or all where none is.

    On the paper's own schedules the longer warm-up also reaches the larger peak.
    """
    of_matched = {name for name, group in classifiers.items() if matched(group)}
    return of_matched or set(classifiers)


def label(name: str, arm: str) -> str:
    """How the table names an experiment's arm."""
    return f"{name}/{arm}"
