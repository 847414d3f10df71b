"""The parts of `compare`: fingerprints of values, the test of the largest difference, words, references."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from largestep import __version__
from largestep.compare import chance, identity, judge, reference
from largestep.compare.gather import Run
from largestep.compare.identity import Stored
from largestep.compare.samples import Sample, of_experiment, rounded
from largestep.compiled import CPU_NAME
from largestep.store import StoreError

CELL, STORE, KEY = "made_up.decay50", "cells/made_up.decay50/train.nc", "C4: a number (made_up/order)"
LOSS, RANK = "log10 test loss, at the end", "rank of the Jacobian, at the end"
LIBRARIES = {"numpy": "2.4.6"}


def values(seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return rounded(np.random.default_rng(seed).standard_normal(40) + shift)


def run(
    loss: np.ndarray | None = None, headline: np.ndarray | None = None, answer: str = "holds", **other: object
) -> Run:
    """A run of one cell and one claim, with other values than `run()` in what is given."""
    cells = {
        f"{CELL}/order": {
            LOSS: Sample(values() if loss is None else loss, -1),
            RANK: Sample(values(1)),
        }
    }
    headlines = {KEY: Sample(values(2) if headline is None else headline, -1)}
    store = Stored(STORE, {"test_loss": "a", "train_loss": "b"}, True, CPU_NAME, LIBRARIES)
    made = Run("laptop", CPU_NAME, LIBRARIES, [store], cells, headlines, {"C4": answer})
    return dataclasses.replace(made, **other)  # type: ignore[arg-type]


def stores(promised: bool = True, path: str = STORE, **variables: str) -> list[Stored]:
    return [Stored(path, {"test_loss": "a", "train_loss": "b"} | variables, promised, CPU_NAME, LIBRARIES)]


def compared(one: Run) -> judge.Report:
    return judge.judge(run().kept("0"), one)


def test_the_same_run_is_identical() -> None:
    report = compared(run())
    assert report.verdict == "identical"
    assert [each.verdict for each in (*report.cells, *report.claims)] == ["identical"] * 2
    assert report.text.endswith("identical: 0 of 3 statistics differ beyond chance, 0 of them for the better")


def test_the_first_store_that_differs_is_named() -> None:
    report = compared(run(stores=stores(train_loss="other")))
    assert report.verdict == "drift"
    assert f"{STORE} is the first that does not but must, in train_loss" in report.text
    assert report.cells[0].verdict == "agreement"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"libraries": {"numpy": "2.5.5"}}, "numpy 2.5.5 here, 2.4.6 in the reference"),
        ({"target": "aarch64"}, "kernels compiled for aarch64 here, for x86-64-v3 in the reference"),
        ({}, "image networks depend on the processor and its threads"),
    ],
)
def test_digits_may_differ(other: dict[str, object], why: str) -> None:
    """With other libraries, for another target, and of image networks; then statistics decide."""
    report = compared(run(stores=stores(promised=bool(other), train_loss="other"), **other))
    assert (report.digits.first, report.verdict) == (None, "agreement")
    assert f"0 of 1 stores hold the values of the reference; others may differ: {why}" in report.text


@pytest.mark.parametrize(
    ("shift", "verdict", "sense"),
    [(2.0, "disagreement", "worse"), (-2.0, "disagreement", "better"), (0.3, "drift", "worse"), (0.0, "identical", "")],
)
def test_a_cell_that_differs(shift: float, verdict: str, sense: str) -> None:
    """What is better beyond chance is found too; with the same seeds a shift of less than the spread is a drift."""
    report = compared(run(loss=values(shift=shift)))
    assert report.cells[0].verdict == report.verdict == verdict
    assert [each.sense for each in report.cells[0].found] == [sense] * bool(sense)
    if sense:
        assert f"{sense}: {LOSS} (order): median " in report.text
        assert f"{sense == 'better':d} of them for the better" in report.text


@pytest.mark.parametrize(
    ("shift", "answer", "verdict"),
    [
        (0.0, "holds", "identical"),
        (0.0, "mixed", "agreement"),
        (-0.5, "holds", "drift"),
        (1.0, "mixed", "disagreement"),
    ],
)
def test_a_claim(shift: float, answer: str, verdict: str) -> None:
    """Another answer is no disagreement unless a statistic differs beyond chance."""
    report = compared(run(headline=values(2, shift), answer=answer))
    assert report.claims[0].verdict == verdict
    assert (", as chance can have it" in report.text) == (verdict == "agreement")


def test_a_statistic_that_is_gone_is_named() -> None:
    report = compared(run(headlines={}))
    assert report.claims[0].verdict == "drift"
    assert f"this run has no statistic {KEY}" in report.text


@pytest.mark.parametrize("left", [{}, {LOSS: Sample(np.full(40, np.nan), -1)}])
def test_a_statistic_of_a_cell_that_is_gone_is_named(left: dict[str, Sample]) -> None:
    """Left out, or without a value though nothing diverged: there is nothing that could differ."""
    cells = {f"{CELL}/order": {RANK: Sample(values(1))} | left}
    for each in (cells, {}) if not left else (cells,):
        report = compared(run(cells=each))
        assert report.cells[0].verdict == report.verdict == "drift"
        assert f"this run has no statistic {LOSS} (order)" in report.text


def test_runs_that_all_diverged_lack_nothing() -> None:
    lost = np.full(40, np.nan)
    cells = {f"{CELL}/order": {RANK: Sample(values(1)), LOSS: Sample(lost, -1, diverged=40)}}
    assert compared(run(cells=cells)).cells[0].lacking == []


def test_other_values_of_a_store_are_not_identical() -> None:
    """Though every cell and claim is: those of image networks may differ, and of a study only headlines are kept."""
    of_study = Stored("studies/noise.nc", {"kernel": "a"}, False, None, LIBRARIES)
    known = run(stores=[*stores(), of_study]).kept("0")
    other = dataclasses.replace(of_study, variables={"kernel": "b"})
    assert judge.judge(known, run(stores=[*stores(), other])).verdict == "agreement"


def test_a_claim_with_another_statistic_or_count_is_not_identical() -> None:
    more = {KEY: Sample(values(2), -1), f"{KEY} at 30%": Sample(values(3), -1)}
    assert compared(run(headlines=more)).claims[0].verdict == "agreement"
    lost = {KEY: Sample(values(2), -1, diverged=5)}
    assert compared(run(headlines=lost)).claims[0].verdict == "agreement"


def test_other_cells_and_studies_are_named() -> None:
    more = run().cells | {"new.small/order": {LOSS: Sample(values())}}
    noise = Stored("studies/noise.nc", {"kernel": "a"}, False, None, LIBRARIES)
    text = compared(run(cells=more, stores=[*stores(), noise])).text
    assert "not in the reference: new.small, studies/noise" in text


def test_too_few_seeds_are_said() -> None:
    """Of five seeds nothing can be found, however far they lie apart."""
    few = run(loss=values()[:5])
    report = judge.judge(few.kept("0"), run(loss=values(shift=9.0)[:5], stores=stores(promised=False, train_loss="x")))
    assert (report.cells[0].few, report.cells[0].found) == (1, [])
    assert "agreement, statistics compared: 2 (1 with too few seeds to find a difference)" in report.text
    assert compared(run()).cells[0].few == 0
    assert json.loads(json.dumps(dataclasses.asdict(report)))["cells"][0]["few"] == 1


def test_seeds_that_lose_their_value_are_found() -> None:
    """Though those that keep one have the same, and nothing diverged."""
    loss = np.where(np.arange(40) < 12, np.nan, values())
    report = compared(run(loss=loss))
    assert [each.statistic for each in report.cells[0].found] == [f"{LOSS} (order): has a value"]
    assert report.verdict == "drift"


@pytest.mark.parametrize("seeds", [6, 20, 50])
def test_one_alarm_in_twenty_comparisons_without_a_difference(seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 statistics, some dependent, of normal values or of counts with many ties: in 5%, and two errors more."""
    monkeypatch.setattr(chance, "EXCHANGES", 999)
    generator, alarms = np.random.default_rng(seeds), 0
    for _ in range(60):
        both = generator.standard_normal((60, 2, seeds))
        both[20:40] = both[:20] + 0.3 * both[20:40]
        both[40:] = generator.poisson(1.0, (20, 2, seeds))
        both[50:, 1, 0] = np.nan
        alarms += min(each.p for each in chance.differences([tuple(pair) for pair in both])) <= chance.LEVEL
    assert alarms <= 60 * 0.05 + 2 * np.sqrt(60 * 0.05 * 0.95)


def test_few_seeds_neither_decide_nor_hide_what_many_show() -> None:
    few = (np.zeros(3), np.ones(3))
    many = (values(3), values(3) + 0.5)
    differences = chance.differences([few] * 50 + [many])
    assert differences[-1].p < chance.LEVEL < differences[0].p
    assert (differences[0].higher, 0.5 < differences[-1].higher < 0.8) == (1.0, True)
    nothing = chance.differences([(np.full(4, np.nan), np.ones(4)), (np.empty(0), np.ones(2))])
    assert [(each.p, each.higher) for each in nothing] == [(1.0, 0.5)] * 2


def test_fingerprints_are_of_values_alone() -> None:
    """A name, a unit or a note changes nothing; any value does, and its place."""
    one = xr.Variable(("seed",), np.array([1.0, 2.0, np.nan]), {"units": "1"})
    kept = identity.fingerprint(one)
    assert kept == identity.fingerprint(xr.Variable(("x",), one.values))
    for other in ([1.0, 2.0, 3.0], [2.0, 1.0, np.nan], [1.0, 2.0 + 1e-15, np.nan], [[1.0, 2.0, np.nan]]):
        array = np.array(other)
        assert kept != identity.fingerprint(xr.Variable(("a", "b")[: array.ndim], array))
    texts = [identity.fingerprint(xr.Variable(("arm",), each)) for each in (["order"], ["data"])]
    assert texts[0] != texts[1]
    assert identity.unlike({"a": "1", "b": "2"}, {"a": "1", "c": "2"}) == ["b", "c"]


def test_samples_of_an_experiment() -> None:
    """Losses by parts of training and at the end, without diverged runs; of these, when they diverged."""
    loss = np.tile(10.0 ** -np.arange(8.0), (1, 1, 3, 1))
    loss[0, 0, 2, 4:] = np.nan
    experiment = xr.Dataset(
        {
            "train_loss": (("cell", "arm", "seed", "step"), loss),
            "diverged_step": (("cell", "arm", "seed"), [[[-1, -1, 40]]]),
            # Measured at the end alone.
            "rescaled_rank": (("cell", "arm", "seed", "rank_threshold"), [[[[7.0], [9.0], [1.0]]]], {}),
        },
        {"cell": ["small"], "arm": ["order"], "step": np.arange(8) * 10, "rank_threshold": [1e-4]},
    )
    samples = of_experiment("made_up", experiment)["made_up.small/order"]
    np.testing.assert_array_equal(samples["step of divergence"].values, [71.0, 71.0, 40.0])
    parts = [samples[f"log10 training loss, part {part} of 4 of training"].values for part in (1, 2, 3, 4)]
    np.testing.assert_allclose(parts, [[mean, mean, np.nan] for mean in (-0.5, -2.5, -4.5, -6.5)])
    np.testing.assert_array_equal(samples["log10 training loss, at the end"].values, [-7.0, -7.0, np.nan])
    rank = samples["rank of the Jacobian, units rescaled, at the end"].values
    np.testing.assert_array_equal(rank, [7.0, 9.0, np.nan])


def test_what_is_kept_of_a_sample() -> None:
    """The interval of the median has a level of at least 95%: ranks 2 and 9 of 10."""
    kept = reference.Kept.of(Sample(np.array([*range(10), np.nan]), diverged=1))
    assert (kept.n, kept.diverged, kept.median, kept.low, kept.high, kept.spread) == (10, 1, 4.5, 1.0, 8.0, 4.5)
    alone = reference.Kept.of(Sample(np.array([3.0])))
    assert (alone.median, alone.low, alone.high, alone.spread) == (3.0, None, None, 0.0)


def test_a_reference_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    made = run().kept(__version__)
    reference.write(path, made)
    assert reference.read(path, "laptop") == made
    assert max(map(len, path.read_text().splitlines())) < 500


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": "0.0.9"}, f"is a reference of largestep 0.0.9, but this run is of {__version__}; name another"),
        ({"scale": "paper"}, "is a reference of scale paper, but this run is of laptop; name another"),
        ({"format": 0}, "is a reference of format 0, but this run is of 1; name another"),
        ({"target": 3}, "is no reference: made.target: Input should be a valid string; name another"),
    ],
)
def test_another_reference_is_refused(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    raw = run().kept(__version__).model_dump(mode="json")
    path.write_text(json.dumps(raw | {"made": raw["made"] | change}))
    with pytest.raises(StoreError) as refused:
        reference.read(path, "laptop")
    assert str(refused.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made": {"format": 1}}', "\ufffd"])
def test_what_is_no_reference_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"reference.json: is (no|a) reference.*; name another with --reference"):
        reference.read(path, "laptop")
    with pytest.raises(StoreError, match=r"none\.json: the reference cannot be read: No such file"):
        reference.read(tmp_path / "none.json", "laptop")
