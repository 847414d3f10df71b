"""How often answers recur: always where they are clear, about half of the time at the edge, seeds drawn in pairs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from largestep.claims import recurrence, verdict
from largestep.claims.recurrence import recurrences, with_recurrence
from largestep.claims.summary import conclude, summarise
from largestep.claims.verdict import Measured, below, decide, missing


def measured(values: np.ndarray, experiment: str = "made_up/order", claim: str = "C1", diverged: int = 0) -> Measured:
    """diverged: seeds behind the others that have no value."""
    whole = np.concatenate([values, np.full(diverged, np.nan)])
    return Measured(claim, experiment, "a number", whole, below(0.0), diverged=np.isnan(whole), headline=True)


def alone(*family: Measured) -> float:
    """How often the answer recurs for the only claim there is."""
    return recurrences(family, {"C1": conclude(decide(family))})["C1"]


def at_edge(seeds: int = 20) -> np.ndarray:
    """Values whose interval ends at 0."""
    values = np.random.default_rng(1).standard_normal(seeds)
    return values - decide([measured(values)])[0].high


def test_a_clear_answer_always_recurs() -> None:
    assert alone(measured(np.linspace(-3.0, -2.0, 20))) == 1.0
    assert alone(measured(np.linspace(2.0, 3.0, 20))) == 1.0


def test_at_the_edge_half_of_the_samples_answer_otherwise() -> None:
    assert 0.4 < alone(measured(at_edge())) < 0.6


def test_seeds_of_one_experiment_are_drawn_together() -> None:
    """The arms of an experiment share their seeds; another experiment has others."""
    values = np.linspace(-1.0, 1.0, 20)
    order, data, other = (
        recurrence._drawn(measured(values, where)) for where in ("one/order", "one/data", "another/order")
    )
    assert order.shape == (recurrence.SAMPLES, 20)
    np.testing.assert_array_equal(order, data)
    assert (order == other).mean() < 0.1


def test_diverged_seeds_are_drawn_too() -> None:
    """Of 26 usable seeds among 34 some samples have too few to say anything of all seeds."""
    values = np.linspace(-3.0, -2.0, 26)
    assert alone(measured(values)) == 1.0
    assert 0.5 < alone(measured(values, diverged=8)) < 0.99


def test_statistics_that_lose_other_seeds_stay_paired_by_seed() -> None:
    """A seed without a value keeps its place: the others are drawn as if nothing were missing."""
    values = np.linspace(-1.0, 1.0, 20)
    holed = np.where(np.arange(20) == 3, np.nan, values)
    whole, lost = (Measured("C1", "s/order", "a number", each, below(0.0), headline=True) for each in (values, holed))
    indices = recurrence._drawn(whole)[0]
    np.testing.assert_array_equal(indices, recurrence._drawn(lost)[0])
    again = recurrence._again(lost, indices)
    np.testing.assert_array_equal(again.values, holed[indices])
    np.testing.assert_array_equal(np.isnan(again.values), indices == 3)


def test_only_headlines_count_and_the_draws_are_the_same_every_time() -> None:
    sweep = dataclasses.replace(measured(at_edge()), headline=False)
    edge = measured(at_edge())
    assert alone(edge) == alone(edge, sweep) == alone(sweep, edge)


def test_the_summary_says_it_in_percent() -> None:
    statistics = [measured(np.linspace(-3.0, -2.0, 20)), missing("C2", "later", "a number", below(0.0), "not run")]
    statistics.append(dataclasses.replace(measured(np.linspace(-3.0, -2.0, 3)), claim="C3"))  # too few seeds to say
    lines = summarise(decide(statistics), {"C1": "One.", "C2": "Two.", "C3": "Three."})
    assert [line.answer for line in lines] == ["holds", "not run", "undecided"]
    assert [line.recurs for line in with_recurrence(lines, statistics)] == ["100%", "", ""]


def test_fewer_resamples_within_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = measured(at_edge(12))
    fewer = alone(edge)
    monkeypatch.setattr(recurrence, "RESAMPLES", verdict.RESAMPLES)
    assert abs(fewer - alone(edge)) <= 0.02
