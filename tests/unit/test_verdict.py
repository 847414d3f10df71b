"""Intervals cover, verdicts are right when there is an effect and rare when there is none, alone and in families."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, norm, ttest_1samp

from largestep.claims import verdict
from largestep.claims.verdict import Criterion, Measured, Row, above, below, between, decide, interval, missing

NEGATIVE = below(0.0)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
LAWS: dict[str, Draw] = {
    "normal": lambda generator, size: generator.standard_normal(size),
    "skewed": lambda generator, size: generator.exponential(size=size) - 1.0,
    # Spearman's correlation of three cells without a trend.
    "ranks": lambda generator, size: generator.choice([-1, -0.5, 0.5, 1], p=[1 / 6, 1 / 3, 1 / 3, 1 / 6], size=size),
}


def measured(values: np.ndarray | list[float], criterion: Criterion = NEGATIVE, claim: str = "C1") -> Measured:
    return Measured(claim, "made_up", "a number", np.asarray(values, dtype=np.float64), criterion)


def alone(draws: np.ndarray, criterion: Criterion = NEGATIVE) -> list[Row]:
    """A row for each draw of seeds, each as the only statistic of its claim."""
    return decide(measured(values, criterion, f"C{index}") for index, values in enumerate(draws))


@pytest.mark.parametrize(
    ("law", "coverage"), [("normal", (0.92, 0.92, 0.93, 0.93)), ("skewed", (0.86, 0.88, 0.89, 0.91))]
)
def test_intervals_cover(law: str, coverage: tuple[float, ...]) -> None:
    """95% for normal values from six seeds on; a skewed law needs more seeds, as for Student's t."""
    generator = np.random.default_rng(3)
    for seeds, least in zip((6, 10, 30, 100), coverage, strict=True):
        rows = alone(LAWS[law](generator, (400, seeds)))
        assert least <= np.mean([row.low <= 0.0 <= row.high for row in rows]) <= 0.985


@pytest.mark.parametrize("seeds", [6, 10, 30])
def test_the_level_is_near_that_of_student(seeds: int) -> None:
    """For values without skewness."""
    half = np.random.default_rng(4).standard_normal((20, seeds // 2))
    for values in np.concatenate([half, -half], axis=1) - 0.4:
        student = max(ttest_1samp(values, 0.0).pvalue, 2.0 ** (1 - seeds))
        assert verdict._estimates([measured(values)])[0].level == pytest.approx(student, rel=0.25)


@pytest.mark.parametrize(
    ("law", "seeds"), [("normal", 6), ("normal", 30), ("ranks", 6), ("ranks", 30), ("skewed", 100)]
)
def test_without_an_effect_a_claim_rarely_has_a_verdict(law: str, seeds: int) -> None:
    """Among five statistics without an effect, any support in at most 5% of 200 claims, and any refutation.

    Values as skewed as those of an exponential law need many seeds for that; with 30, it is a tenth.
    """
    draws = LAWS[law](np.random.default_rng(5), (200, 5 * seeds)).reshape(200, 5, seeds)
    rows = decide(measured(values, claim=f"C{claim}") for claim, family in enumerate(draws) for values in family)
    families = np.array([row.verdict for row in rows]).reshape(200, 5)
    assert (families == "supported").any(axis=1).sum() <= 10
    assert (families == "refuted").any(axis=1).sum() <= 10


def test_without_a_correction_it_often_has_one() -> None:
    answers = np.array([row.verdict for row in alone(np.random.default_rng(5).standard_normal((1000, 30)))])
    assert (answers.reshape(200, 5) != "undecided").any(axis=1).sum() > 20


@pytest.mark.parametrize(
    ("criterion", "shift", "answer"),
    [
        (below(0.0), -0.6, "supported"),
        (below(0.0), 0.6, "refuted"),
        (above(0.0), 0.6, "supported"),
        (above(0.0), -0.6, "refuted"),
        (between(-0.7, 0.7), 0.0, "supported"),
        (between(-0.7, 0.7), 1.3, "refuted"),
        (between(-0.7, 0.7), -1.3, "refuted"),
        (between(-0.1, 0.1), 0.0, "undecided"),
        (between(-0.7, 0.7), 0.7, "undecided"),
    ],
)
def test_power(criterion: Criterion, shift: float, answer: str) -> None:
    """The right answer in 95% of 200 draws; at a bound, or with an interval wider than the criterion, none."""
    rows = alone(np.random.default_rng(6).standard_normal((200, 60)) + shift, criterion)
    assert [row.verdict for row in rows].count(answer) >= (185 if answer == "undecided" else 190)


def test_holm_is_the_closed_test() -> None:
    """A statistic has a verdict if every set of statistics that holds it has one by Bonferroni's correction."""
    generator = np.random.default_rng(7)
    seen = set()
    for _ in range(30):
        family = [measured(generator.standard_normal(20) - shift) for shift in (0.0, 0.45, 0.55, 0.6, 1.0)]
        levels = [each.level for each in verdict._estimates(family)]
        sets = [s for size in range(1, 6) for s in itertools.combinations(range(5), size)]
        passed = {s: min(levels[index] for index in s) <= 0.05 / len(s) for s in sets}
        expected = [all(passed[s] for s in sets if index in s) for index in range(5)]
        assert [row.verdict != "undecided" for row in decide(family)] == expected
        seen.add(sum(expected))
    assert len(seen) >= 3


def test_families_are_claims() -> None:
    """Statistics of another claim do not count for the correction."""
    clear, vague = np.linspace(-1.0, -0.2, 12), np.linspace(-1.7, 0.45, 12)
    noise = [measured(np.linspace(-1.0, 1.0, 12), claim="C2") for _ in range(9)]
    for others, answer in (
        ([], "supported"),
        (noise, "supported"),
        ([measured(each.values) for each in noise], "undecided"),
    ):
        rows = decide([measured(clear), measured(vague), *others])
        assert rows[0].verdict == "supported"
        assert rows[1].verdict == answer
    assert rows[1].note == "undecided only after correction over 11 statistics"


def test_sweeps_do_not_blunt_headlines() -> None:
    vague = dataclasses.replace(measured(np.linspace(-1.7, 0.45, 12)), headline=True)
    sweep = [measured(np.linspace(-1.0, 1.0, 12)) for _ in range(9)]
    assert decide([vague, *sweep])[0].verdict == "supported"
    assert decide([vague, *(dataclasses.replace(each, headline=True) for each in sweep)])[0].verdict == "undecided"


def test_few_seeds_decide_nothing_and_do_not_count() -> None:
    rows = decide([measured([-5.0, -5.1, -5.2, -5.3, -5.4])] * 20 + [measured(np.linspace(-3, -2, 8))])
    assert {row.verdict for row in rows[:-1]} == {"undecided"}
    assert rows[0].note == "5 usable seeds, 6 are needed for a verdict"
    assert rows[0].low < rows[0].estimate < rows[0].high
    assert rows[-1].verdict == "supported"


def test_six_seeds_cannot_decide_among_many() -> None:
    """Six signs agree by chance once in 32 times, whatever their sizes."""
    same = measured([-1.0] * 6)
    assert decide([same])[0].verdict == "supported"
    row = decide([same, same])[0]
    assert row.verdict == "undecided"
    assert row.note == "6 seeds are too few to decide among 2 statistics"


@pytest.mark.parametrize("seeds", [1, 0])
def test_without_a_spread_there_is_no_interval(seeds: int) -> None:
    mean, low, high = interval(np.full(seeds, 2.0))
    np.testing.assert_equal([mean, low, high], [2.0 if seeds else np.nan, np.nan, np.nan])
    assert decide([measured(np.full(seeds, 2.0))])[0].verdict == "undecided"


@pytest.mark.parametrize("value", [0.1, 0.3, 1e-9, 1e6])
def test_equal_values(value: float) -> None:
    """On a bound, rounding included, nothing is decided; beside it everything is."""
    values = [value] * 11
    assert decide([measured(values, above(0.9 * value))])[0].verdict == "supported"
    for criterion in (below(value), above(value), between(value, 2 * value), between(0.0, value)):
        assert decide([measured(values, criterion)])[0].verdict == "undecided"
    row = decide([measured(values, between(value - 0.5, value + 0.5))])[0]
    assert row.verdict == "supported"
    assert (row.low, row.high) == (pytest.approx(value), pytest.approx(value))
    assert decide([measured(values, below(0.9 * value))])[0].verdict == "refuted"


def test_missing_data_is_not_run() -> None:
    row, other = decide([missing("C1", "later", "a number", below(0.0), "why"), measured(np.linspace(-3, -2, 8))])
    assert (row.verdict, row.note, row.seeds) == ("not run", "why", 0)
    assert np.isnan(row.estimate)
    assert other.verdict == "supported"


def test_order_of_seeds_and_rows_does_not_matter() -> None:
    generator = np.random.default_rng(8)
    family = [measured(generator.standard_normal(n) - 0.3) for n in (9, 20, 9, 35)]
    forward, backward = decide(family), decide(family[::-1])[::-1]
    assert forward == backward
    assert interval(family[1].values) == (forward[1].estimate, forward[1].low, forward[1].high)


def test_what_is_no_number_per_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="C1, made_up, a number: needs one number per seed"):
        measured([[1.0, 2.0]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="needs one number per seed"):
        dataclasses.replace(measured([1.0, 2.0]), diverged=np.array([True]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_never_counts(value: float) -> None:
    """It is counted and named, and the statistic is that of the others."""
    clear = np.linspace(-3.0, -2.0, 9)
    row, alone = decide([measured([*clear, value], claim="C1"), measured(clear, claim="C2")])
    assert (row.seeds, row.diverged, row.without_value) == (9, 0, 1)
    assert (row.estimate, row.low, row.high, row.verdict) == (alone.estimate, alone.low, alone.high, "supported")
    (nothing,) = decide([measured([value] * 9)])
    assert (nothing.seeds, nothing.without_value, nothing.verdict) == (0, 9, "undecided")
    assert np.isnan(nothing.estimate)


def headline(values: np.ndarray, diverged: int, worst: np.ndarray | None = None, **other: Criterion) -> Measured:
    """A headline whose last seeds diverged."""
    whole = np.concatenate([values, np.full(diverged, np.nan)])
    return dataclasses.replace(
        measured(whole, **other), headline=True, diverged=np.arange(len(whole)) >= len(values), worst=worst
    )


@pytest.mark.parametrize(("diverged", "answer"), [(0, "supported"), (4, "supported"), (20, "undecided")])
def test_a_headline_of_survivors_needs_all_seeds(diverged: int, answer: str) -> None:
    """Without a form in ranks: more than half of all seeds are to meet the criterion, diverged ones against it."""
    rows = decide([headline(np.linspace(-3.0, -2.0, 20), diverged)])
    assert rows[0].verdict == answer
    assert len(rows) == (2 if diverged else 1)
    if diverged:
        assert (rows[0].survivors, rows[0].seeds, rows[0].diverged) == ("supported", 20, diverged)
        assert rows[1].companion
        assert (rows[1].seeds, rows[1].diverged, rows[1].headline) == (20 + diverged, 0, False)
        assert rows[1].estimate == pytest.approx(20 / (20 + diverged))
    assert rows[0].note == ("supported among survivors alone" if answer == "undecided" else "")


def test_a_refutation_of_survivors_needs_all_seeds_too() -> None:
    rows = decide([headline(np.linspace(2.0, 3.0, 20), 4)])
    assert [row.verdict for row in rows] == ["refuted", "refuted"]


@pytest.mark.parametrize(("last", "answer"), [(-1.0, "supported"), (1.0, "undecided")])
def test_worst_ranks_are_the_companion_where_there_are_any(last: float, answer: str) -> None:
    worst = np.concatenate([np.full(20, -0.8), np.full(16, last)])
    rows = decide([headline(np.full(20, -0.8), 16, worst)])
    assert rows[0].verdict == answer
    assert rows[1].statistic == "a number, diverged runs ranked worst"
    assert rows[1].estimate == pytest.approx(worst.mean())


def test_the_joint_verdict_has_the_coarser_level() -> None:
    """With as many others in the family that one of the two alone would pass."""
    clear, vague = np.linspace(-3.0, -2.0, 20), np.linspace(-1.3, 0.3, 20)
    others = [dataclasses.replace(measured(np.linspace(-1.0, 1.0, 12)), headline=True) for _ in range(400)]
    assert decide([headline(clear, 1, np.append(clear, -2.0)), *others])[0].verdict == "supported"
    assert decide([headline(clear, 1, np.append(vague, -0.5)), *others])[0].verdict == "undecided"


@pytest.mark.parametrize("seeds", [6, 32])
@pytest.mark.parametrize("bound", [0.1, 0.32])
def test_equal_values_rarely_support_an_equivalence_that_is_false(seeds: int, bound: float) -> None:
    """A share of seeds, the bound, lies a unit off: the mean lies on it. Equal values are common, support rare.

    Which seeds these are does not count, so that the level is a sum over how many there are.
    """
    counts = np.arange(seeds + 1)
    probability = binom.pmf(counts, seeds, bound)
    answers = [row.verdict for row in alone(1.0 * (np.arange(seeds) < counts[:, None]), between(-bound, bound))]
    assert probability[np.array(answers) == "supported"].sum() <= 0.05
    if seeds == 6:
        assert probability[0] > 0.05  # what was supported before


def test_many_equal_values_support_an_equivalence() -> None:
    assert [row.verdict for row in alone(np.zeros((1, 64)), between(-0.1, 0.1))] == ["supported"]
    assert [row.verdict for row in alone(np.zeros((1, 6)), between(-0.1, 0.1))] == ["undecided"]
    assert [row.verdict for row in alone(np.ones((1, 64)), between(-0.1, 0.1))] == ["refuted"]


def test_margin_counts_half_widths() -> None:
    row = decide([measured(np.linspace(-3.0, -1.0, 30), between(-2.5, 0.0))])[0]
    assert row.margin == pytest.approx(0.5 / ((row.high - row.low) / 2.0))
    assert decide([measured([-1.0] * 9)])[0].margin == np.inf


@pytest.mark.parametrize(
    ("criterion", "text"),
    [
        (below(1e-6), "below 1e-06"),
        (above(0.3, "decades"), "above 0.3 decades"),
        (between(-0.5, 2.0, "%"), "between -0.5 and 2 %"),
    ],
)
def test_criterion_in_words(criterion: Criterion, text: str) -> None:
    assert criterion.text == text


@pytest.mark.parametrize("law", ["normal", "skewed", "lattice"])
@pytest.mark.parametrize("seeds", [6, 10, 25, 60])
def test_without_the_widening_the_interval_is_that_of_scipy(law: str, seeds: int) -> None:
    """scipy.stats.bootstrap, by BCa and with the same resamples: to all digits, at every level, ties included.

    Values are multiples of 1/1024, of which sums are exact: resamples that are the sample itself in another order then
    have its very mean in scipy too, which takes what rounding makes of them for smaller or larger.
    """
    generator = np.random.default_rng([seeds, len(law)])
    values = generator.choice([-1.0, 0.5, 1.0], size=seeds) if law == "lattice" else LAWS[law](generator, (1, seeds))[0]
    values = np.round(1024.0 * values) / 1024.0
    ours = verdict._Bootstrap(values[None], verdict._resampled_means(values[None], verdict.RESAMPLES))
    for confidence in (0.8, 0.95, 0.99):
        theirs = bootstrap(
            (values,),
            np.mean,
            n_resamples=verdict.RESAMPLES,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
        ends = np.quantile(ours._means[0], ours._ends(norm.isf((1.0 - confidence) / 2.0))[0])
        np.testing.assert_allclose(ends, [theirs.low, theirs.high], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seeds", [6, 10, 30])
def test_the_level_is_that_at_which_the_interval_ends_at_the_bound(seeds: int) -> None:
    values = np.random.default_rng(seeds).exponential(size=seeds)
    one = verdict._Bootstrap(values[None], verdict._resampled_means(values[None], verdict.RESAMPLES))
    (low, high), beyond = one.intervals()[0], 2.0 * float(values.std())
    for level, bound, outside in ((one.level_above, low, low - beyond), (one.level_below, high, high + beyond)):
        assert level(bound)[0] == pytest.approx(0.05, rel=0.05)
        assert level(outside)[0] < 0.05


def test_many_samples_are_decided_as_each_alone() -> None:
    generator = np.random.default_rng(9)
    samples = [
        [measured(generator.standard_normal(n) - 0.5, claim=f"C{n % 2}") for n in (5, 8, 8, 20)] for _ in range(5)
    ]
    for rows, sample in zip(verdict.decide_samples(samples, verdict.RESAMPLES), samples, strict=True):
        assert [row.verdict for row in rows] == [row.verdict for row in decide(sample)]
