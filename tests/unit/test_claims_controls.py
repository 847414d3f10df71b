"""Verdicts of the controls on made-up sweeps: C4 and C5 unconfounded, C11 and C16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep.claims import controls, over_regularisation, permitting, verdict
from largestep.claims.results import Results
from largestep.claims.summary import MATCHED
from largestep.claims.verdict import Measured, Row, decide
from largestep.specs.aggregates import StudyLeftOut
from tests.draws import DRAWS

SEEDS = 40
DECAYS = (0.1, 0.3, 0.5, 0.7, 0.9)
# The paper's test losses fall by this factor, as a natural logarithm, from a decay at 10% to one at 50%.
EFFECT = float(np.log(6.6e-4 / 1.5e-4))
SETTINGS: dict[str, Any] = {
    "step_size": 0.3,
    "warmup_from": 0.3,
    "decay_at": 0.5,
    "decayed_step_size": 0.1,
    "steps": 100.0,
    "batch_size": 1.0,
    "sampling": "with_replacement",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "label_noise": 0.0,
    "sam_radius": 0.0,
}


def sweep(
    lists: dict[str, list[Any]], name: str = "made_up", seeds: int = SEEDS, through_base: bool = True, **measures: Any
) -> xr.Dataset:
    """A study of one sweep; the first key is the varied one. Measures have shape (points, seeds), 1 unless given."""
    vary = next(iter(lists))
    points = len(lists[vary])
    columns = {key: lists.get(key, [value] * points) for key, value in SETTINGS.items()}

    def values(key: str, otherwise: float = 1.0) -> np.ndarray:
        return np.broadcast_to(np.asarray(measures.get(key, otherwise), dtype=float), (points, seeds)).copy()

    runs = ("point", "seed")
    return xr.Dataset(
        {key: ("point", np.array(column)) for key, column in columns.items()}
        | {
            "sweep": ("point", [name] * points),
            "vary": ("point", [vary] * points),
            "base": ("point", [np.int8(through_base), *[np.int8(0)] * (points - 1)]),
            "train_loss": (runs, values("train_loss")),
            "test_loss": (runs, values("test_loss")),
            "phase_loss": (runs, values("phase_loss")),
            "effective_rank": (runs, values("sparsity")),
            "rank": ((*runs, "rank_threshold"), values("sparsity")[..., None]),
            "feature_sparsity": ((*runs, "block", "correlation_threshold"), values("sparsity")[..., None, None]),
            "diverged_step": (runs, np.where(values("diverged", 0.0) == 1.0, 5, -1)),
            "dead": (runs, values("dead", 0.0).astype(np.int8)),
        },
        attrs={"kind": "sweep"},
    )


def results(*studies: xr.Dataset) -> Results:
    return Results(studies={f"s{index}": study for index, study in enumerate(studies)})


def verdict_of(measured: Iterable[Measured], text: str) -> Row:
    """The first row whose statistic holds the text, decided alone."""
    (row,) = decide([next(each for each in measured if text in each.statistic)])
    return row


@pytest.fixture
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the time; verdicts hardly change."""
    monkeypatch.setattr(verdict, "RESAMPLES", 2000)


def noise(rng: np.random.Generator, points: int, scale: float = 0.5) -> np.ndarray:
    """What the seeds differ in at every point, and what single runs do."""
    return np.exp(rng.standard_normal(SEEDS) + scale * rng.standard_normal((points, SEEDS)))


def duration(rng: np.random.Generator, effect: float) -> xr.Dataset:
    """Test loss and simplicity that fall by exp(effect) from a decay at 10% to one at 50%."""
    fall = np.exp(-effect * (np.array(DECAYS) - 0.1) / 0.4)[:, None]
    return sweep({"decay_at": list(DECAYS)}, test_loss=fall * noise(rng, 5), sparsity=fall * noise(rng, 5))


@pytest.mark.parametrize(("effect", "answer"), [(EFFECT, "supported"), (-EFFECT, "refuted"), (0.0, "undecided")])
def test_duration_alone_follows_the_effect(effect: float, answer: str) -> None:
    rows = decide(controls.measured(results(duration(np.random.default_rng(1), effect))))
    assert {row.claim for row in rows} == {"C4", "C5"}
    assert {row.verdict for row in rows if row.headline} == {answer}
    headlines = [row.statistic for row in rows if row.headline]
    assert len(headlines) == 3
    assert all("decay at up to 50%" in statistic for statistic in headlines)


def along(lists: dict[str, list[Any]], worth: float) -> xr.Dataset:
    """Runs of which later points fit less far, and predict as they fit, but for a factor worth the more the later."""
    points = len(next(iter(lists.values())))
    rates = 9.0 - np.arange(points)[:, None, None] + 0.2 * np.random.default_rng(1).standard_normal((points, SEEDS, 1))
    train = np.exp(-rates * np.linspace(0.0, 1.0, 51))
    test = (20.0 + np.log(train)) * np.exp(-worth * np.arange(points))[:, None, None]
    study = sweep(lists, train_loss=train[..., -1], test_loss=test[..., -1])
    for name, values in (("train_loss", train), ("test_loss", test)):
        study[f"{name}_along"] = (("point", "seed", "evaluation"), values)
    return study


@pytest.mark.parametrize(("worth", "matched"), [(0.0, 0.0), (0.2, -1.0), (-0.2, 1.0)])
@pytest.mark.parametrize(
    ("lists", "which", "beside"),
    [
        ({"decay_at": list(DECAYS)}, "decay_at", MATCHED),
        ({"step_size": [0.3, 0.1, 0.2], "warmup_from": [0.3, 0.1, 0.2]}, "step_size", ""),
    ],
)
def test_sweeps_are_compared_at_one_training_loss_too(
    lists: dict[str, list[Any]], which: str, beside: str, worth: float, matched: float
) -> None:
    """What fit alone does is taken away; the rows are no headlines, and those of duration count as matched ones."""
    study = along({key: sorted(values) for key, values in lists.items()}, worth).isel(point=slice(None, None, -1))
    rows = [each for each in controls.measured(results(study)) if "at matched training loss" in each.statistic]
    assert [(each.claim, each.headline, each.beside) for each in rows] == [("C4", False, beside)] * 2
    # Where fit explains all, what is left is rounding, whose ranks say nothing.
    assert worth == 0.0 or (rows[0].values == matched).all()
    assert which in rows[0].statistic
    # Up to 50% there are three durations; there are three sizes too.
    np.testing.assert_allclose(rows[1].values, -2.0 * worth / np.log(2.0), atol=1e-9)


def test_a_seed_that_diverges_has_no_matched_loss() -> None:
    study = along({"decay_at": list(DECAYS)}, 0.0)
    study["diverged_step"][1, :7] = 3
    for name in ("train_loss_along", "test_loss_along"):
        study[name][1, :7, 5:] = np.nan
    row = verdict_of(controls.measured(results(study)), "test loss at matched training loss")
    assert (row.seeds, row.diverged) == (SEEDS - 7, 7)
    assert not any("matched" in each.statistic for each in controls.measured(results(sweep({"decay_at": [0.1, 0.2]}))))


@pytest.mark.usefixtures("fewer_resamples")
def test_power_and_false_support_of_duration_alone() -> None:
    rng = np.random.default_rng(1)
    text = "test loss, duration alone, decay at up to"
    verdicts = [verdict_of(controls.measured(results(duration(rng, EFFECT))), text).verdict for _ in range(DRAWS)]
    assert verdicts.count("supported") >= 0.95 * DRAWS
    none = [verdict_of(controls.measured(results(duration(rng, 0.0))), text).verdict for _ in range(DRAWS)]
    assert none.count("supported") <= 0.05 * DRAWS


def test_schedules_that_change_more_than_the_duration_do_not_count() -> None:
    confounded = sweep({"decay_at": list(DECAYS), "step_size": [0.1, 0.2, 0.3, 0.4, 0.5]})
    rows = decide(controls.measured(results(confounded)))
    assert {row.verdict for row in rows} == {"not run"}
    assert {row.claim for row in rows} == {"C4", "C5"}


def test_seeds_that_diverge_anywhere_are_left_out_of_all_points() -> None:
    diverged = np.zeros((5, SEEDS))
    diverged[4, :15] = 1
    lost = np.where(diverged == 1, np.nan, 1.0)
    study = sweep({"decay_at": list(DECAYS)}, diverged=diverged, test_loss=lost, sparsity=lost)
    every = verdict_of(controls.measured(results(study)), "test loss, duration alone, any decay")
    assert (every.seeds, every.diverged) == (SEEDS - 15, 15)
    early = verdict_of(controls.measured(results(study)), "test loss, duration alone, decay at up to")
    assert (early.seeds, early.diverged) == (SEEDS, 0)


def test_no_answer_rests_on_a_sweep_away_from_the_base() -> None:
    study = sweep({"decay_at": list(DECAYS)}, through_base=False)
    rows = decide(controls.measured(results(study)))
    assert any("duration alone" in row.statistic for row in rows)
    assert not any(row.headline for row in rows)


def test_sizes_beyond_the_edge_are_left_out() -> None:
    diverged = np.zeros((3, SEEDS))
    diverged[2, : SEEDS - 5] = 1
    fall = np.array([3.0, 2.0, np.nan])[:, None]
    study = sweep({"step_size": [0.1, 0.2, 0.9]}, diverged=diverged, test_loss=fall, sparsity=fall)
    rows = decide(controls.measured(results(study)))
    sizes = [row for row in rows if "size alone" in row.statistic]
    assert [row.verdict for row in sizes] == ["supported", "supported"]
    assert all(row.seeds == SEEDS and row.note.startswith("without 1 sizes") and not row.headline for row in sizes)


PEAKS = [0.0101, 0.0201, 0.0251, 0.0401]


def warmups(rng: np.random.Generator, failing: float, larger: float) -> xr.Dataset:
    """Runs that fail to fit with one probability up to the published peak and with another beyond it."""
    shares = np.array([failing, failing, larger, larger])[:, None]
    loss = np.where(rng.random((4, SEEDS)) < shares, 0.3, 1e-4)
    ranks = np.array([30.0, 20.0, 15.0, 12.0])[:, None] + rng.standard_normal((4, SEEDS))
    lists = {"step_size": PEAKS, "decayed_step_size": [peak / 3 for peak in PEAKS], "warmup_from": [2e-4] * 4}
    return sweep(lists, train_loss=loss, sparsity=ranks)


@pytest.mark.parametrize(
    ("failing", "larger", "answer"), [(0.0, 0.6, "supported"), (0.6, 0.0, "refuted"), (0.3, 0.3, "undecided")]
)
def test_over_regularisation(failing: float, larger: float, answer: str) -> None:
    rows = decide(over_regularisation.measured(results(warmups(np.random.default_rng(0), failing, larger))))
    asked = [row for row in rows if row.headline]
    assert [row.statistic.split(", ")[-1] for row in asked] == ["at peak 0.0251 minus at 0.0201"]
    assert {row.verdict for row in asked} == {answer}
    assert {row.verdict for row in rows if row.statistic.startswith("rank")} == {"supported"}


@pytest.mark.usefixtures("fewer_resamples")
def test_power_and_false_support_of_over_regularisation() -> None:
    rng = np.random.default_rng(2)
    text = "above 0.01, at peak 0.0251"

    def answers(failing: float, larger: float) -> list[str]:
        studies = (warmups(rng, failing, larger) for _ in range(DRAWS))
        return [verdict_of(over_regularisation.measured(results(study)), text).verdict for study in studies]

    assert answers(0.1, 0.5).count("supported") >= 0.95 * DRAWS
    assert answers(0.2, 0.2).count("supported") <= 0.05 * DRAWS


def test_peaks_without_a_warm_up_say_nothing_of_over_regularisation() -> None:
    (row,) = decide(over_regularisation.measured(results(sweep({"step_size": PEAKS, "warmup_from": PEAKS}))))
    assert row.verdict == "not run"


BATCH = {"batch_size": [1.0, 2.0, 8.0], "step_size": [0.1, 0.2, 0.8], "steps": [80.0, 40.0, 10.0]}


def batches(rng: np.random.Generator, factor: float) -> xr.Dataset:
    ratio = np.array([1.0, factor, 9.0])[:, None]  # only the smallest of the larger batches is compared
    shared = {"phase_loss": ratio * noise(rng, 3, 0.2), "sparsity": 0.2 * ratio * noise(rng, 3, 0.2)}
    return sweep(BATCH, **shared)


@pytest.mark.parametrize(("factor", "answer"), [(1.0, "supported"), (2.0, "refuted"), (0.5, "refuted")])
def test_batch_collapse(factor: float, answer: str) -> None:
    rows = decide(permitting.measured(results(batches(np.random.default_rng(0), factor))))
    verdicts = {row.statistic: row.verdict for row in rows if row.experiment.startswith("s0")}
    given = "at one step size / batch size"
    assert verdicts == {
        f"share of runs that diverge or end dead, batch 2 minus 1, {given}": "supported",
        f"log2 ratio of loss before the decay, batch 2 to 1, {given}": answer,
        f"log2 ratio of feature sparsity, batch 2 to 1, {given}": answer,
    }


def test_batches_without_a_level_have_none_to_compare() -> None:
    study = sweep(BATCH, phase_loss=np.array([[1e-20], [1e-18], [1e-12]]))
    rows = [row for row in decide(permitting.measured(results(study))) if row.experiment.startswith("s0")]
    level = next(row for row in rows if "before the decay" in row.statistic)
    assert (level.verdict, level.headline) == ("not asked", False)
    assert "converges" in level.note


@pytest.mark.usefixtures("fewer_resamples")
def test_power_and_false_support_of_the_batch_collapse() -> None:
    """A ratio at the bound itself must not pass for the same."""
    rng = np.random.default_rng(3)

    def answers(factor: float) -> list[str]:
        studies = (batches(rng, factor) for _ in range(DRAWS))
        return [verdict_of(permitting.measured(results(study)), "log2 ratio of feature").verdict for study in studies]

    assert answers(1.0).count("supported") >= 0.95 * DRAWS
    assert answers(1.25).count("supported") <= 0.05 * DRAWS


def test_larger_batches_that_diverge_refute_the_collapse() -> None:
    diverged = np.array([[0.0], [1.0], [1.0]]) * np.ones(SEEDS)
    rows = decide(permitting.measured(results(sweep(BATCH, diverged=diverged))))
    verdicts = {
        row.statistic.split(",")[0]: row.verdict
        for row in rows
        if row.experiment.startswith("s0") and not row.companion
    }
    assert verdicts == {
        "share of runs that diverge or end dead": "refuted",
        "log2 ratio of loss before the decay": "undecided",  # without a seed that survives both
        "log2 ratio of feature sparsity": "undecided",
    }


@pytest.mark.parametrize("vary", ["label_noise", "sam_radius"])
@pytest.mark.parametrize(("effect", "answer"), [(1.0, "supported"), (-1.0, "refuted"), (0.0, "undecided")])
def test_noise_that_resembles_a_large_step(vary: str, effect: float, answer: str) -> None:
    strengths = np.array([0.0, 0.1, 0.3])
    values = np.exp(-5 * effect * strengths)[:, None] * noise(np.random.default_rng(4), 3)
    rows = decide(permitting.measured(results(sweep({vary: strengths.tolist()}, sparsity=values))))
    assert [row.verdict for row in rows if row.experiment.startswith("s0")] == [answer]


@pytest.mark.parametrize(
    "lists",
    [
        {"warmup_from": [0.3, 0.1, 0.01]},
        {"weight_decay": [0.0, 1e-4, 5e-4]},
    ],
)
@pytest.mark.parametrize(("without", "answer"), [(0.6, "supported"), (0.0, "refuted"), (0.3, "undecided")])
def test_what_permits_a_larger_step(lists: dict[str, list[Any]], without: float, answer: str) -> None:
    """Diverged and dead runs both count as lost."""
    rng = np.random.default_rng(5)
    lost = rng.random((3, SEEDS)) < np.array([without, 0.3, 0.6 - without])[:, None]
    died = rng.random((3, SEEDS)) < 0.5
    study = sweep(lists, diverged=lost & ~died, dead=lost & died)
    (row,) = [row for row in decide(permitting.measured(results(study))) if row.experiment.startswith("s0")]
    assert row.verdict == answer
    assert row.seeds == SEEDS


def test_quantities_that_no_study_varies_are_said_to_be_missing() -> None:
    rows = decide(permitting.measured(results(sweep({"momentum": [0.0, 0.9]}))))
    missing = {row.statistic for row in rows if row.verdict == "not run"}
    assert missing == {"batch_size", "label_noise", "sam_radius", "warmup_from", "weight_decay"}


@pytest.mark.parametrize("module", [controls, over_regularisation, permitting])
def test_without_any_study_every_claim_has_a_row(module: Any) -> None:
    rows = decide(module.measured(Results()))
    assert {row.claim for row in rows} == set(module.CLAIMS)
    assert {row.verdict for row in rows} == {"not run"}
    later = Results(later_studies={"big": StudyLeftOut(scale="paper", kind="sweep")})
    assert all("scale=paper" in row.note for row in decide(module.measured(later)))
