"""A verdict follows its data: supported, refuted when the effect is reversed, undecided when there is none."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from largestep.claims import duration, stabilisation, verdict
from largestep.claims.__main__ import verdicts

CELLS = ["small", "decay10", "decay30", "decay50"]
DURATIONS = np.array([0.0, 0.1, 0.3, 0.5])


def experiment(
    effect: float, seeds: int = 30, trend: float = 0.0, drop: float = 2.0, seed: int = 0, diverged: int = 0
) -> xr.Dataset:
    """Made-up results: `effect` of duration on log test loss and rank, `trend` of log10 loss before the decay."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, 1001, 5)
    shape = (4, 1, seeds, len(steps))
    decay = np.where(DURATIONS == 0, 0, DURATIONS * 1001)[:, None, None, None]
    log_loss = np.where(steps < decay, trend * steps / 250, -drop) + 0.05 * rng.standard_normal(shape)
    simplicity = effect * DURATIONS[:, None, None] + 0.3 * rng.standard_normal((4, 1, seeds))
    test = np.repeat(np.exp(simplicity)[..., None], len(steps), axis=-1)
    diverged_step = np.full((4, 1, seeds), -1)
    diverged_step[1:, :, :diverged] = 100
    runs = ("cell", "arm", "seed")
    return xr.Dataset(
        {
            "train_loss": ((*runs, "step"), 10.0**log_loss),
            "test_loss": ((*runs, "step"), test),
            "rank": ((*runs, "snapshot_step", "rank_threshold"), 100 * np.exp(simplicity)[..., None, None]),
            "diverged_step": (runs, diverged_step),
            "decay_fraction": ("cell", DURATIONS),
            "step_size": (("cell", "step"), np.ones((4, len(steps)))),
        },
        {
            "cell": CELLS,
            "arm": ["order"],
            "seed": np.arange(seeds),
            "step": steps,
            "snapshot_step": [1000],
            "rank_threshold": [1e-4],
        },
        {"algorithm": "SGD"},
    )


@pytest.mark.parametrize(("effect", "answer"), [(-3.0, "supported"), (3.0, "refuted")])
def test_duration_follows_the_effect(effect: float, answer: str) -> None:
    data = experiment(effect)
    for rows in (duration.generalisation("made_up", data), duration.simplicity("made_up", data)):
        large, every = rows
        assert large.statistic.endswith("large-step cells only")
        assert every.statistic.endswith("small step included")
        for row in (large, every):
            assert row.verdict == answer
            assert row.low <= row.estimate <= row.high
            assert row.seeds == 30


def test_size_is_told_from_duration() -> None:
    """The small step is worst, but among large steps longer is worse: the first must not hide the second."""
    data = experiment(3.0)
    data["test_loss"] = data["test_loss"].where(data["cell"] != "small", 1e3)
    large, every = duration.generalisation("made_up", data)
    assert large.verdict == "refuted"
    assert every.estimate < large.estimate


def test_no_effect_is_rarely_decided() -> None:
    answers = [list(duration.generalisation("made_up", experiment(0.0, seed=seed)))[1].verdict for seed in range(60)]
    assert answers.count("undecided") >= 54
    assert answers.count("supported") <= 3


def test_diverged_runs_are_counted_and_left_out() -> None:
    data = experiment(-3.0, diverged=12)
    data["test_loss"] = data["test_loss"].where(data["diverged_step"] < 0)
    for row in duration.generalisation("made_up", data):
        assert (row.seeds, row.diverged) == (18, 12)
        assert row.verdict == "supported"


def test_dead_runs_are_named() -> None:
    data = experiment(-3.0)
    data["active_fraction"] = xr.zeros_like(data["rank"].isel(rank_threshold=0, drop=True)).expand_dims(
        block=[1], axis=-1
    )
    row = next(duration.generalisation("made_up", data))
    assert row.note == "90 of these runs end with a dead block"


def test_few_seeds_decide_nothing() -> None:
    for row in duration.generalisation("made_up", experiment(-9.0, seeds=3)):
        assert row.verdict == "undecided"
        assert "3 usable seeds" in row.note


@pytest.mark.parametrize(
    ("trend", "drop", "answers"),
    [
        (0.0, 2.0, ["supported", "supported"]),
        (-1.0, 2.0, ["refuted", "supported"]),
        (0.0, 0.0, ["supported", "refuted"]),
    ],
)
def test_stabilisation_needs_a_flat_loss_and_a_drop(trend: float, drop: float, answers: list[str]) -> None:
    """A loss that falls by a decade over half the phase is not flat; one that ends where it was does not drop."""
    found = [row.verdict for row in stabilisation.rows("made_up", experiment(0.0, trend=trend, drop=drop))]
    assert found == answers


def test_paired_spearman_by_hand() -> None:
    values = np.array([[4.0, 1.0, 1.0], [3.0, 2.0, 1.0], [2.0, 3.0, 1.0], [1.0, 4.0, 1.0]])
    np.testing.assert_allclose(duration.paired_spearman(DURATIONS, values), [-1.0, 1.0, 0.0])


def test_one_cell_per_duration() -> None:
    data = experiment(0.0)
    doubled = xr.concat([data, data.isel(cell=[3]).assign_coords(cell=["larger"])], dim="cell")
    doubled["step_size"] = doubled["step_size"] * xr.DataArray([1.0, 1, 1, 1, 2], dims="cell")
    assert list(verdict.by_duration(doubled)["cell"].values) == CELLS


def test_gradient_descent_is_left_out() -> None:
    table = verdicts({"sgd": experiment(0.0), "gd": experiment(0.0).assign_attrs(algorithm="GD")})
    assert set(table["experiment"]) == {"sgd/order"}
    assert list(table.columns[:6]) == ["claim", "experiment", "statistic", "estimate", "low", "high"]
