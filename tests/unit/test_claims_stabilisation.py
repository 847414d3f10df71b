"""C3 follows its data: a flat loss that drops supports it, a falling one or one that does not drop refutes it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from largestep.claims import stabilisation
from largestep.claims.results import Results
from largestep.claims.verdict import Row, decide
from largestep.measures import stabilisation as measures
from tests import made_up
from tests.draws import DRAWS

STEPS = np.arange(0, 1001, 5)
DURATIONS = np.array([0.0, 0.1, 0.5])
CELLS = ["small", "decay10", "decay50"]
# Of a diagonal network's log10 loss from one recorded step to the next.
SPREAD = 0.4


def experiment(
    trend: float = 0.0,
    drop: float = 1.5,
    seeds: int = 24,
    diverged: int = 0,
    spread: float = SPREAD,
    apart: float = 0.0,
) -> xr.Dataset:
    """Made-up losses that change by `trend` decades over the second half of the phase and drop at its end.

    apart: decades by which this change is larger in every second run and smaller in the others.
    """
    rng = np.random.default_rng(0)
    decay = DURATIONS[:, None, None, None] * 1001
    change = trend + apart * np.where(np.arange(seeds) % 2, 1.0, -1.0)[:, None]
    before = -1.0 + change * (STEPS - 500) / 250
    log_loss = np.where(decay >= STEPS, before, -1.0 - drop)
    log_loss = np.broadcast_to(log_loss, (3, 1, seeds, len(STEPS))) + spread * rng.standard_normal(
        (3, 1, seeds, len(STEPS))
    )
    diverged_step = np.full((3, 1, seeds), -1)
    diverged_step[1:, :, :diverged] = 300
    lost = (diverged_step >= 0)[..., None] & (STEPS > 300)
    dataset = made_up.experiment(
        dict(zip(CELLS, DURATIONS, strict=True)),
        STEPS,
        {"train_loss": (("step",), np.where(lost, np.nan, 10.0**log_loss))},
        diverged_step=diverged_step,
    )
    return dataset.merge(measures.stabilisation(dataset))


def of_images(evaluated: float, minibatches: float) -> xr.Dataset:
    """Of an image classifier, whose losses in evaluation mode and of mini-batches have trends of their own."""
    dataset = experiment(evaluated, 1.5)
    dataset["minibatch_loss"] = experiment(minibatches, 1.5)["train_loss"]
    dataset["test_error"] = xr.full_like(dataset["train_loss"], 10.0)
    return dataset.drop_vars(list(measures.VARIABLES)).merge(measures.stabilisation(dataset))


def rows(data: xr.Dataset) -> list[Row]:
    return decide(stabilisation.measured(Results({"made_up": data})))


def answers(trend: float, drop: float) -> list[list[str]]:
    """The verdicts on the two headline statistics in `DRAWS` draws, as if each were alone in its claim."""
    every = experiment(trend, drop, seeds=DRAWS * 24)
    measured = [
        dataclasses.replace(each, claim=f"C{index}{each.statistic}")
        for index in range(DRAWS)
        for each in stabilisation.rows("made_up", every.isel(seed=slice(24 * index, 24 * (index + 1))))
        if each.headline
    ]
    decided = [row.verdict for row in decide(measured)]
    return [list(decided[place::2]) for place in range(2)]


@pytest.mark.parametrize(
    ("trend", "drop", "expected"),
    [
        (0.0, 1.5, ["supported", "supported", "supported"]),
        (-1.0, 1.5, ["refuted", "supported", "supported"]),
        (1.0, 1.5, ["refuted", "supported", "supported"]),
        (0.0, 0.0, ["supported", "refuted", "refuted"]),
    ],
)
def test_needs_a_flat_loss_and_a_drop(trend: float, drop: float, expected: list[str]) -> None:
    decided = rows(experiment(trend, drop))
    assert [row.verdict for row in decided[:3]] == expected
    assert [row.headline for row in decided] == [True, True, False, False]
    assert decided[0].estimate == pytest.approx(trend, abs=0.15)
    assert {row.seeds for row in decided[:3]} == {24}


@pytest.mark.parametrize(("evaluated", "minibatches", "verdict"), [(0.0, -1.0, "supported"), (-1.0, 0.0, "refuted")])
def test_of_images_the_loss_in_evaluation_mode_is_asked(evaluated: float, minibatches: float, verdict: str) -> None:
    """As in the paper's figures, and not the mean over mini-batches."""
    row = rows(of_images(evaluated, minibatches))[0]
    assert (row.verdict, row.estimate) == (verdict, pytest.approx(evaluated, abs=0.15))


def test_the_effect_of_the_paper_is_found() -> None:
    """A flat loss with the noise of a diagonal network, which drops by a decade and a half."""
    for statistic in answers(0.0, 1.5):
        assert statistic.count("supported") >= 0.95 * DRAWS


def test_at_the_edge_of_the_criteria_support_is_rare() -> None:
    """A loss that just falls by 0.3 decades is not flat, and one that just drops by 0.3 does not drop."""
    # The mean over the half lies above its end, where the drop begins.
    drop = stabilisation.DROP - measures.FLAT / 2
    trends, drops = answers(-measures.FLAT, drop)
    assert trends.count("supported") <= 0.05 * DRAWS
    assert drops.count("supported") <= 0.05 * DRAWS


@pytest.mark.parametrize(("apart", "verdict", "share"), [(0.0, "supported", 1.0), (1.0, "refuted", 0.0)])
def test_runs_that_rise_and_runs_that_fall_are_not_flat(apart: float, verdict: str, share: float) -> None:
    """In both, the mean trend is 0."""
    decided = rows(experiment(apart=apart, spread=0.1))
    assert decided[0].verdict == "supported" if apart == 0 else decided[0].estimate == pytest.approx(0.0, abs=0.05)
    assert (decided[3].verdict, decided[3].estimate) == (verdict, share)
    assert "0 of 24 runs does not decide" in decided[3].note


def test_noisy_runs_alone_decide_nothing() -> None:
    decided = rows(experiment(spread=0.6))
    assert decided[3].seeds < 6
    assert decided[3].verdict == "undecided"
    assert f"the interval of {24 - decided[3].seeds} of 24 runs does not decide" in decided[3].note


def test_diverged_runs_are_counted_and_left_out() -> None:
    for row in [row for row in rows(experiment(diverged=4)) if not row.companion][:3]:
        assert (row.seeds, row.diverged, row.verdict) == (20, 4, "supported")
    for row in [row for row in rows(experiment(diverged=24)) if not row.companion]:
        assert (row.seeds, row.diverged, row.verdict) == (0, 24, "undecided")


def test_runs_that_never_stabilise_are_counted_in_the_note() -> None:
    assert rows(experiment())[0].note == ""
    assert rows(experiment(trend=-2.0))[0].note == "24 of these runs never stabilise"


def test_the_longest_phase_is_asked() -> None:
    """A loss that does not stabilise in the shorter phase does not count."""
    data = experiment()
    data["stabilisation_slope"] = data["stabilisation_slope"].where(data["cell"] != "decay10", -9.0)
    assert rows(data)[0].verdict == "supported"


def test_says_why_there_is_nothing_to_ask() -> None:
    no_phase, short = experiment().isel(cell=[0]), experiment().isel(cell=[0, 1])
    for name in measures.VARIABLES:
        short[name] = short[name] * np.nan
    for data, why in ((no_phase, "no cell has a large-step phase"), (short, "fewer than 10 recorded steps")):
        (row,) = rows(data)
        assert row.verdict == "not asked"
        assert why in row.note


def test_gradient_descent_and_larger_scales() -> None:
    descent = experiment().assign_attrs(algorithm="GD")
    (row,) = rows(descent)
    assert (row.verdict, row.experiment) == ("not run", "none")
    decided = decide(stabilisation.measured(Results({"gd": descent, "sgd": experiment()}, later={"deep": "paper"})))
    assert {row.experiment for row in decided} == {"sgd/order", "deep"}
    assert [row.verdict for row in decided if row.experiment == "deep"] == ["not run"]
