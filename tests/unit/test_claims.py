"""C4, C5 and C13: verdicts follow the effect of duration, whose rows say what they compare; and the table of claims."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from largestep import config, grid
from largestep.claims import __main__ as command
from largestep.claims import blocks, duration, verdict
from largestep.claims.own import with_own
from largestep.claims.rank_correlation import paired_spearman
from largestep.claims.results import Results
from largestep.claims.summary import summarise
from largestep.claims.verdict import Measured, Row, below, decide, missing
from largestep.measures.small_step import small_step
from tests import made_up
from tests.draws import DRAWS
from tests.made_up import RUN, set_peaks, with_schedules

CELLS = ["small", "decay10", "decay30", "decay50"]
DURATIONS = np.array([0.0, 0.1, 0.3, 0.5])
STEPS = np.arange(0, 1001, 50)
SCHEDULES = ["train_loss", "diverged_step", "decay_fraction", "decay_step", "peak_step_size", "step_size"]
# Values of the paper's single runs after the small step and decays at 10, 30 and 50%.
PAPER = {"test_loss": [3.5e-3, 6.6e-4, 2.8e-4, 1.5e-4], "l0": [200.0, 156.0, 89.0, 71.0]}


def trend(effect: float) -> dict[str, list[float]]:
    """Measures that change by this many e-folds over the whole of training."""
    return {measure: list(np.exp(effect * DURATIONS)) for measure in PAPER}


def experiment(
    levels: dict[str, list[float]],
    seeds: int = 30,
    seed: int = 0,
    noise: float = 0.3,
    diverged: int = 0,
    arms: tuple[str, ...] = ("order",),
) -> xr.Dataset:
    """Made-up results around the level of each measure in each cell, over which seeds spread by `noise` e-folds.

    The last rank threshold has no effect. The first seeds diverge at the large step size.
    """
    rng = np.random.default_rng(seed)
    shape = (len(CELLS), len(arms), seeds)

    def final(measure: str) -> np.ndarray:
        spread = np.exp(noise * rng.standard_normal(shape))
        return np.asarray(levels[measure])[:, None, None] * spread

    diverged_step = np.full(shape, -1)
    diverged_step[1:, :, :diverged] = 100
    test_loss = np.where(diverged_step < 0, final("test_loss"), np.nan)
    l0, flat = final("l0"), np.exp(noise * rng.standard_normal(shape))
    # All runs fit alike, so that at matched training loss they are compared at the end.
    train_loss = np.where(diverged_step[..., None] < 0, np.exp(-STEPS / 100.0), np.nan)
    return made_up.experiment(
        dict(zip(CELLS, DURATIONS, strict=True)),
        STEPS,
        {
            "train_loss": (("step",), train_loss),
            "test_loss": (("step",), np.repeat(test_loss[..., None], len(STEPS), axis=-1)),
            "l0": (("snapshot_step", "l0_threshold"), l0[..., None, None]),
            "rank": (("snapshot_step", "rank_threshold"), np.stack([l0, flat], axis=-1)[..., None, :]),
            "effective_rank": (("snapshot_step",), l0[..., None]),
        },
        {"snapshot_step": [1000], "rank_threshold": [1e-4, 1e-8], "l0_threshold": [1e-50]},
        arms=arms,
        diverged_step=diverged_step,
    )


def images(effects: tuple[float, ...], seeds: int = 12, matched: bool = True, seed: int = 0) -> xr.Dataset:
    """An image classifier whose block k has the k-th effect of duration on its sparsity."""
    base = experiment(trend(0.0), seeds, seed)
    rng = np.random.default_rng(seed)
    log = np.array(effects) * DURATIONS[:, None, None, None] + 0.1 * rng.standard_normal((4, 1, seeds, len(effects)))
    sparsity = np.stack([0.3 * np.exp(log)] * 2, axis=-1)[:, :, :, None]
    dataset = base[SCHEDULES].assign(
        feature_sparsity=((*RUN, "snapshot_step", "block", "correlation_threshold"), sparsity),
        test_error=base["test_loss"],
    )
    if not matched:
        dataset["step_size"] = dataset["step_size"] * xr.DataArray([1.0, 1.0, 2.0, 4.0], dims="cell")
        set_peaks(dataset)
    return dataset.assign_coords(
        block=np.arange(1, len(effects) + 1),
        correlation_threshold=("correlation_threshold", [0.95, 0.99], {"paper": 0.95}),
    )


def rows(data: xr.Dataset, claim: str = "C4") -> list[Row]:
    """Of duration at the end of training, without the companions over all seeds."""
    measured = duration.measured(Results({"made_up": data}))
    return [
        row
        for row in decide(measured)
        if row.claim == claim and not row.companion and "matched" not in row.statistic and "log2" not in row.statistic
    ]


@pytest.mark.parametrize(("effect", "answer"), [(-3.0, "supported"), (3.0, "refuted")])
@pytest.mark.parametrize("claim", ["C4", "C5"])
def test_duration_follows_the_effect(claim: str, effect: float, answer: str) -> None:
    decided = rows(experiment(trend(effect)), claim)
    assert {row.headline for row in decided if row.statistic.endswith("small step included")} == {False}
    assert {row.verdict for row in decided if row.headline} == {answer}
    for row in decided:
        assert row.low <= row.estimate <= row.high
        assert row.seeds == 30


def test_answers_are_given_without_own_networks_too() -> None:
    """An own network that varies the duration alone takes the place of schedules that do not, even with few seeds."""
    paper, own = images((-3.0,), matched=False), images((3.0,), seeds=3)
    said = {}
    for names in (["theirs"], []):
        results = Results({"digits": paper, "theirs": own}, own=names)
        counted = decide(blocks.measured(results))
        others = summarise(decide(blocks.measured(results.without_own())), blocks.CLAIMS)
        said[bool(names)] = with_own(summarise(counted, blocks.CLAIMS), counted, names, others)[0]
    assert said[True].verdict == "undecided"
    assert said[True].evidence.endswith(
        "Your own networks or images (theirs) leave no headline that counts; without these: holds."
    )
    assert "own" not in said[False].evidence
    results = Results({"theirs": images((3.0,))}, own=["theirs"])
    counted = decide(blocks.measured(results))
    others = summarise(decide(blocks.measured(results.without_own())), blocks.CLAIMS)
    line = with_own(summarise(counted, blocks.CLAIMS), counted, ["theirs"], others)[0]
    assert line.evidence.endswith("own networks or images (theirs) are 1 of its 1 headlines; without these: not run.")


def test_a_block_that_is_never_off_says_so() -> None:
    """A sigmoid has no negative values by which it would be told from a ReLU."""
    data = images((-3.0, -3.0))
    active = np.ones((*data["test_error"].shape[:3], 1, 2))
    active[0, 0, 0, 0, 0] = 0.99
    data["active_fraction"] = ((*RUN, "snapshot_step", "block"), active)
    first, second = (row.note for row in decide(blocks.rows("own", data, headline=True)) if row.headline)
    assert "is it the output of a ReLU?" not in first
    assert second == "no activation of the block is 0 in any run: is it the output of a ReLU?"


def test_what_is_of_own_networks_and_images(repository: Path) -> None:
    raw = config.read(repository / "tests/tiny/config.yaml")
    assert json.loads(grid.claims_spec(config.parse(raw, "config.yaml")))["own"] == []
    raw["experiments"]["digits"]["data"] = {"kind": "folder", "folder": "pictures", "sha256": "0" * 64, "size": [8, 8]}
    raw["experiments"]["digits"]["data"] |= {"examples": 64}
    settings = config.parse(raw, "config.yaml")
    used = [name for name, study in settings.studies_at_scale().items() if "digits" in study.uses()]
    assert json.loads(grid.claims_spec(settings))["own"] == ["digits", *used]


def test_size_is_told_from_duration() -> None:
    """The small step is worst, but among large steps longer is worse: the first must not hide the second."""
    data = experiment(trend(3.0))
    data["test_loss"] = data["test_loss"].where(data["cell"] != "small", 1e3)
    large, every = rows(data)
    assert large.verdict == "refuted"
    assert every.estimate < large.estimate


def answers(draws: Iterable[xr.Dataset], measure: str) -> list[str]:
    """The verdict on one measure in each draw, over large-step cells, as if it were alone in its claim."""
    ask = duration.generalisation if measure == "test_loss" else duration.simplicity
    headlines = [
        dataclasses.replace(next(ask("made_up", data[[measure, *SCHEDULES]])), claim=f"C{index}")
        for index, data in enumerate(draws)
    ]
    assert {each.statistic.rpartition(", ")[2] for each in headlines} == {"large-step cells only"}
    return [row.verdict for row in decide(headlines)]


@pytest.mark.parametrize("measure", ["test_loss", "l0"])
def test_the_effect_of_the_paper_is_found(measure: str) -> None:
    """With the seeds that survive in diagonal networks, and a spread of half an e-fold."""
    draws = (experiment(PAPER, seeds=24, seed=seed, noise=0.5) for seed in range(DRAWS))
    assert answers(draws, measure).count("supported") >= 0.95 * DRAWS


def test_no_effect_is_rarely_decided() -> None:
    verdicts = answers((experiment(trend(0.0), seeds=24, seed=seed) for seed in range(DRAWS)), "test_loss")
    assert verdicts.count("undecided") >= 0.92 * DRAWS
    assert verdicts.count("supported") <= 0.05 * DRAWS


def test_diverged_runs_are_counted_and_left_out() -> None:
    for row in rows(experiment(trend(-3.0), diverged=12)):
        assert (row.seeds, row.diverged) == (18, 12)
        assert row.verdict == "supported"


def test_without_survivors_nothing_is_decided() -> None:
    for row in rows(experiment(trend(-3.0), diverged=30)):
        assert (row.seeds, row.diverged, row.verdict) == (0, 30, "undecided")


def test_dead_runs_are_named() -> None:
    data = experiment(trend(-3.0))
    active = xr.zeros_like(data["rank"].isel(rank_threshold=0, drop=True)).expand_dims(block=[1], axis=-1)
    large, every = rows(data.assign(active_fraction=active))
    assert large.note == "90 of these runs end with a dead block"
    assert every.note == "120 of these runs end with a dead block"


def test_few_seeds_decide_nothing() -> None:
    for row in rows(experiment(trend(-9.0), seeds=3)):
        assert row.verdict == "undecided"
        assert "3 usable seeds" in row.note


def test_the_answer_rests_on_the_first_threshold_in_every_arm() -> None:
    decided = rows(experiment(trend(-3.0), arms=("data", "order")), "C5")
    assert {(row.experiment, row.statistic.partition(" of duration and ")[2]) for row in decided if row.headline} == {
        (f"made_up/{arm}", f"{measure}, {which}")
        for arm in ("order", "data")
        for measure in ("rank at threshold 0.0001", "l0 at threshold 1e-50")
        for which in ("large-step cells only",)
    }
    others = [(row.experiment, row.statistic.partition(" of duration and ")[2]) for row in decided if not row.headline]
    small = [
        (f"made_up/{arm}", f"{measure}, small step included")
        for arm in ("data", "order")
        for measure in ("rank at threshold 0.0001", "l0 at threshold 1e-50")
    ]
    assert sorted(others) == sorted(
        [
            *small,
            ("made_up/data", "effective rank, large-step cells only"),
            ("made_up/order", "effective rank, large-step cells only"),
            ("made_up/order", "rank at threshold 1e-08, large-step cells only"),
        ]
    )


def test_one_large_duration_cannot_be_asked() -> None:
    decided = rows(experiment(trend(-3.0)).isel(cell=[0, 3]))
    assert [(row.verdict, row.note) for row in decided] == [
        ("not run", "not run: no experiment of config.yaml compares durations")
    ]


def test_gradient_descent_is_left_out() -> None:
    groups = {"sgd": experiment(trend(0.0)), "gd": experiment(trend(0.0)).assign_attrs(algorithm="GD")}
    assert {each.experiment for each in duration.measured(Results(groups))} == {"sgd/order"}


def test_larger_scales_are_not_run() -> None:
    results = Results(
        {"made_up": experiment(trend(0.0))},
        later={"toy": "workstation", "deep": "paper", "control": "paper"},
        later_comparisons={"toy": "dense", "deep": "resnet18"},
    )
    not_run = [each for module in (duration, blocks) for each in module.measured(results) if each.missing]
    assert [(each.claim, each.experiment) for each in not_run] == [
        ("C4", "deep"),
        ("C4", "toy"),
        ("C5", "toy"),
        ("C13", "deep"),
    ]
    assert "scale=paper" in not_run[0].missing


def test_where_units_are_a_sample_the_table_says_how_far_another_draw_would_be() -> None:
    data = images((-3.0, 3.0))
    error = xr.full_like(data["feature_sparsity"], 0.0)
    error.loc[{"block": 2, "correlation_threshold": 0.95, "cell": "decay30"}] = 0.0061
    error.loc[{"block": 2, "correlation_threshold": 0.99, "cell": "decay30"}] = 0.02
    error.loc[{"block": 2, "seed": 3}] = np.nan  # diverged
    data["diverged_step"].loc[{"seed": 3}] = 1
    decided = decide(blocks.measured(Results({"digits": data.assign(feature_sparsity_error=error)})))
    notes = {row.statistic: row.note for row in decided if row.statistic.endswith("large-step cells only")}
    assert len(notes) == 3
    for statistic, note in notes.items():
        points = "" if "block 1" in statistic else "2" if "0.99" in statistic else "0.61"
        assert ("draw of units" in note) == bool(points)
        assert not points or f"standard error by the draw of units up to {points} points" in note


def test_paired_spearman_by_hand() -> None:
    values = np.array([[4.0, 1.0, 1.0], [3.0, 2.0, 1.0], [2.0, 3.0, 1.0], [1.0, 4.0, 1.0]])
    np.testing.assert_allclose(paired_spearman(DURATIONS, values), [-1.0, 1.0, 0.0])


def test_one_cell_per_duration() -> None:
    data = experiment(trend(0.0))
    doubled = xr.concat([data, data.isel(cell=[3]).assign_coords(cell=["larger"])], dim="cell")
    doubled["step_size"] = doubled["step_size"] * xr.DataArray([1.0, 1, 1, 1, 2], dims="cell")
    set_peaks(doubled)
    assert list(verdict.by_duration(doubled)["cell"].values) == CELLS


def beside(data: xr.Dataset, cell: str, duration: float, size: float) -> xr.Dataset:
    """The data with one more cell, whose measures are those of the small step, at a step size that is constant."""
    more = data.isel(cell=[0]).assign_coords(cell=[cell])
    more["step_size"] = more["step_size"] * 0 + size
    more = with_schedules(more, [duration])
    return xr.concat([data, more], dim="cell")


def test_annealed_cells_are_no_duration() -> None:
    data = experiment(trend(-3.0))
    annealed = beside(data, "cosine", np.nan, 1.0)
    assert list(verdict.by_duration(annealed)["cell"].values) == CELLS
    assert rows(annealed) == rows(data)
    assert rows(annealed, "C5") == rows(data, "C5")
    low = beside(data, "cosine", np.nan, 0.01)  # the small step is compared with divided step sizes
    assert list(verdict.by_duration(low)["cell"].values) == CELLS


@pytest.mark.parametrize("size", [1.0, 2.0])
def test_a_constant_step_as_large_as_the_others_is_not_the_small_one(size: float) -> None:
    data = beside(experiment(trend(-3.0)).isel(cell=[1, 2, 3]), "constant", 0.0, size)
    assert not small_step(data).any()
    assert list(verdict.by_duration(data)["cell"].values) == CELLS[1:]
    assert {row.statistic.rpartition(", ")[2] for row in rows(data)} == {"large-step cells only"}
    both = beside(experiment(trend(-3.0)), "constant", 0.0, size)
    assert small_step(both)["cell"].values[small_step(both).values].tolist() == ["small"]
    assert list(verdict.by_duration(both)["cell"].values) == CELLS
    only = data.sel(cell=["constant"])
    assert list(verdict.by_duration(only)["cell"].values) == ["constant"]


def test_blocks_leave_out_what_keeps_no_large_step() -> None:
    plain = images((-3.0, 3.0))
    whole = beside(beside(plain, "cosine", np.nan, 1.0), "constant", 0.0, 1.0)
    assert verdict.matched(whole)
    assert decide(blocks.measured(Results({"d": whole}))) == decide(blocks.measured(Results({"d": plain})))
    others = whole.sel(cell=["constant", "decay50", "cosine"])
    assert not verdict.matched(others)
    (row,) = decide(blocks.measured(Results({"d": others})))
    assert row.verdict == "not run"


def test_every_block_has_its_answer() -> None:
    decided = decide(blocks.measured(Results({"digits": images((-3.0, 3.0))})))
    assert [(row.verdict, row.headline) for row in decided] == [
        ("supported", True),
        ("refuted", True),
        ("refuted", False),
    ]
    assert "threshold 0.95, block 1, large-step cells only" in decided[0].statistic
    assert "threshold 0.99, block 2, large-step cells only" in decided[2].statistic


def test_blocks_without_an_effect_are_rarely_decided() -> None:
    draws = [
        dataclasses.replace(each, claim=f"C{seed}")
        for seed in range(DRAWS)
        for each in blocks.measured(Results({"digits": images((0.0, 0.0), seed=seed)}))
    ]
    supported = {row.claim for row in decide(draws) if row.verdict == "supported"}
    assert len(supported) <= 0.05 * DRAWS


def test_matched_step_sizes_are_what_the_answer_rests_on() -> None:
    paper, control = images((-3.0,), matched=False), images((3.0,))
    assert verdict.matched(control)
    assert not verdict.matched(paper)
    both = list(blocks.measured(Results({"digits": paper, "digits_matched": control})))
    assert {each.experiment for each in both if each.headline} == {"digits_matched/order"}
    alone = list(blocks.measured(Results({"digits": paper}, later_comparisons={"deep": "resnet18"})))
    assert [(each.experiment, each.headline) for each in alone if "0.95, block 1, large" in each.statistic] == [
        ("digits/order", True)
    ]
    assert [each.experiment for each in alone if each.missing] == ["deep"]
    assert any("small step included" in each.statistic for each in alone)


def test_toy_networks_are_not_deep() -> None:
    (only,) = blocks.measured(Results({"made_up": experiment(trend(-3.0))}))
    assert only.missing == "not run: no experiment of config.yaml compares durations on images"
    assert not any(
        each.claim == "C5" and not each.missing for each in duration.measured(Results({"d": images((1.0,))}))
    )


def test_what_larger_scales_compare(repository: Path) -> None:
    """Controls with one duration have no row of their own; gradient descent has none either."""
    settings = config.load(repository / "config.yaml")
    spec = json.loads(grid.claims_spec(settings))
    assert spec["experiments"]["digits_matched"] == "workstation"
    assert spec["comparisons"]["digits_matched"] == "resnet18"
    assert "digits_sam" in spec["experiments"]
    assert "digits_sam" not in spec["comparisons"]
    assert not set(spec["comparisons"]) & set(settings.at_scale())


def test_table_has_the_columns_of_the_contract() -> None:
    decided = decide(
        [Measured("C4", "made_up", "|x|", np.linspace(-3, -2, 9), below(0.0)), missing(*"ab", "|c|", below(0.0), "d")]
    )
    table = command.as_table(decided)
    assert ",".join(table.columns) == (
        "claim,experiment,statistic,estimate,low,high,seeds,diverged,without_value,unit,criterion,verdict,survivors,note,"
        "headline"
    )
    lines = command.as_markdown(table).splitlines()
    assert "\\|x\\|" in lines[2]
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(table.columns) + 1}


def test_every_claim_of_the_paper_is_stated_once() -> None:
    assert len(set(command.MODULES)) == len(command.MODULES)
    assert set(command.statements(command.MODULES)) == {f"C{number}" for number in range(1, 25)}
    for sentence in command.statements(command.MODULES).values():
        assert sentence.endswith(".")
        assert len(sentence) <= 130


def test_a_claim_stated_in_two_ways_is_an_error() -> None:
    one, other = SimpleNamespace(CLAIMS={"C1": "a"}), SimpleNamespace(CLAIMS={"C1": "b"}, __name__="other")
    assert command.statements([one, one]) == {"C1": "a"}  # type: ignore[list-item]
    with pytest.raises(ValueError, match="other: C1 is stated differently"):
        command.statements([one, other])  # type: ignore[list-item]
