"""C15 and C17 on made-up runs: the verdict follows the effect, and without one there is none."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from largestep.claims import regimes, saddles, verdict
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.specs.aggregates import StudyLeftOut
from tests.draws import DRAWS

BLOCKS, STEPS, DECAY = 200, 1000, 500
RUNS = ["sgd", "gd", "catapult"]
BLOCK_STEP = np.arange(0, STEPS, STEPS // BLOCKS)
POINT_STEP = np.concatenate([np.linspace(0, DECAY - 1, 10), DECAY + np.geomspace(1, 499, 12) - 1]).astype(int)


def study(
    seed: int = 0,
    seeds: int = 10,
    spikes: float = 50.0,
    trend: float = 0.0,
    ratio: float = 0.2,
    edge: float = 1.0,
    catapult: float = 1.0,
    rise: float = 0.0,
    flat: float = 0.5,
    negative: float = -0.1,
    end: float = -0.001,
    plateaus: float = 1.0,
    diverged: int = 0,
) -> xr.Dataset:
    """Runs of all three kinds, whose statistics scatter about the given ones; the first seeds of SGD diverge."""
    rng = np.random.default_rng(seed)
    shape = (seeds, BLOCKS)
    late = np.clip((BLOCK_STEP - DECAY / 2) / (DECAY / 2), 0, 1)
    since = np.clip((BLOCK_STEP - DECAY) / DECAY, 0, 1)
    exponential, stays = -2.0 * since, -2.0 * np.clip((since - 0.6) / 0.1, 0, 1)
    has_plateau = rng.random((seeds, 1)) < plateaus
    slope = trend + 0.1 * rng.standard_normal((seeds, 1))
    decades = -1.0 + slope * late + np.where(has_plateau, stays, exponential) + 0.02 * rng.standard_normal(shape)
    smallest = np.where(POINT_STEP < DECAY, -0.2, np.where(POINT_STEP < DECAY + 100, negative, end))
    loss = np.broadcast_to(10.0**decades, (3, *shape))
    levels = np.array([ratio, edge, flat])[:, None, None]
    sharpness = 2.0 * levels * np.exp(0.05 * rng.standard_normal((3, seeds, len(POINT_STEP))))
    sharpness[2, :, 0] = 3.0
    diverged_step = np.full((3, seeds), -1)
    diverged_step[0, :diverged] = 7
    whole = spikes + rng.standard_normal(seeds)
    runs, curve, points = ("run", "seed"), ("run", "seed", "block"), ("run", "seed", "point")
    return xr.Dataset(
        {
            "block_step": (("run", "block"), np.tile(BLOCK_STEP, (3, 1))),
            "loss_median": (curve, np.where(diverged_step[..., None] < 0, loss, np.nan)),
            "point_step": (("run", "point"), np.tile(POINT_STEP, (3, 1))),
            "sharpness": (points, sharpness),
            "smallest": (points, smallest * sharpness * np.exp(0.3 * rng.standard_normal(sharpness.shape))),
            "step_size": (points, np.ones_like(sharpness)),
            "spikes": (runs, np.stack([whole, whole, np.round(catapult + 0.2 * rng.standard_normal(seeds))])),
            "late_spikes": (runs, np.tile(whole, (3, 1))),
            "rise_after_peak": (runs, np.tile(rise + np.abs(0.02 * rng.standard_normal(seeds)), (3, 1))),
            "late_from": ("run", [DECAY // 2, STEPS // 2, STEPS // 2]),
            "late_to": ("run", [DECAY, STEPS, STEPS]),
            "steps": ("run", [STEPS] * 3),
            "decay_step": ("run", [DECAY, -1, -1]),
            "linear": ("run", [True] * 3),
            "diverged_step": (runs, diverged_step),
        },
        {"run": RUNS, "seed": np.arange(seeds)},
        {"kind": "sharpness"},
    )


def verdicts(module: ModuleType, made_up: xr.Dataset) -> list[str]:
    return [row.verdict for row in decide(module.measured(Results(studies={"made_up": made_up})))]


def test_the_effects_are_supported() -> None:
    assert verdicts(regimes, study()) == ["supported"] * 7
    assert verdicts(saddles, study()) == ["supported"] * 3


@pytest.mark.parametrize(
    ("reversed_effect", "row"),
    [
        ({"spikes": -2.0}, 0),
        ({"trend": -2.0}, 1),
        ({"ratio": 1.0}, 2),
        ({"edge": 0.5}, 3),
        ({"edge": 1.5}, 3),
        ({"catapult": 4.0}, 4),
        ({"rise": 1.0}, 5),
        ({"flat": 1.1}, 6),
    ],
)
def test_regimes_that_are_alike_are_refuted(reversed_effect: dict[str, float], row: int) -> None:
    answers = verdicts(regimes, study(**reversed_effect))
    assert answers[row] == "refuted"
    assert answers.count("supported") == 6


@pytest.mark.parametrize(
    ("reversed_effect", "row"),
    [({"negative": -1e-4, "end": 0.0}, 0), ({"end": -0.5}, 1), ({"plateaus": 0.0}, 2)],
)
def test_minima_after_the_decay_are_refuted(reversed_effect: dict[str, float], row: int) -> None:
    assert verdicts(saddles, study(**reversed_effect))[row] == "refuted"


# Where a statistic has no effect its mean is at the bound of its criterion; the smallest eigenvalue is log-normal, and
# the change over the window is that between the middles of its first and last block.
NO_EFFECT = {
    "regimes": {"spikes": 1.0, "trend": 0.3 * 50 / 49, "ratio": 0.9, "edge": 1.2, "rise": 0.285, "flat": 0.9},
    "saddles": {"negative": saddles.SADDLE / np.exp(0.3**2 / 2), "end": saddles.SADDLE, "plateaus": 0.5},
}
WEAK = {
    "regimes": {"spikes": 3.0, "trend": 0.1, "ratio": 0.5, "edge": 1.1, "rise": 0.1, "flat": 0.7},
    "saddles": {"negative": -0.02, "end": -0.001, "plateaus": 0.95},
}


@pytest.mark.parametrize("module", [regimes, saddles], ids=["C17", "C15"])
def test_power_and_false_support(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 20 seeds, about as many as survive in the study of the diagonal network."""
    monkeypatch.setattr(verdict, "RESAMPLES", 2000)  # a tenth of the time, and as good for a level of a few percent
    name = module.__name__.split(".")[-1]
    for settings, meets in ((WEAK, lambda share: share >= 0.95), (NO_EFFECT, lambda share: share <= 0.05)):
        answers = [verdicts(module, study(seed, seeds=20, **settings[name])) for seed in range(DRAWS)]
        shares = [sum(answer == "supported" for answer in row) / DRAWS for row in zip(*answers, strict=True)]
        if settings is NO_EFFECT and module is regimes:
            del shares[4]  # a number of spikes is whole: there is no mean on the bound
        assert all(map(meets, shares)), shares


def _falls(decades: Callable[[np.ndarray], np.ndarray], noise: float = 0.05) -> np.ndarray:
    """Whether each of many runs, whose log10 loss after the decay is a function of time in [0, 1], has a plateau."""
    made_up = study()
    since = np.clip((BLOCK_STEP - DECAY) / DECAY, 0, 1)
    scatter = noise * np.random.default_rng(0).standard_normal(made_up["loss_median"].shape)
    made_up["loss_median"] = (made_up["loss_median"].dims, 10.0 ** (decades(since) + scatter))
    return saddles.plateau(made_up.sel(run="sgd"))


def test_plateaus_are_told_from_falls_that_are_steady_or_slow_down() -> None:
    assert not _falls(lambda t: -4.0 * t).any()
    assert not _falls(lambda t: -np.log10(1.0 + 1e4 * t)).any()
    assert not _falls(lambda t: -2.0 * np.clip(t / 0.1, 0, 1)).any()  # what follows the plateau has to be a fall
    assert _falls(lambda t: -2.0 * np.clip((t - 0.5) / 0.1, 0, 1)).all()
    assert _falls(lambda t: -1.0 * (t > 0.3) - 1.0 * (t > 0.7)).all()


def test_diverged_runs_are_left_out_and_counted() -> None:
    for module in (regimes, saddles):
        rows = [
            row
            for row in decide(module.measured(Results(studies={"s": study(diverged=3)})))
            if "sgd" in row.experiment and not row.companion
        ]
        assert {(row.seeds, row.diverged, row.survivors or row.verdict) for row in rows} == {(7, 3, "supported")}


def test_what_is_not_there_is_said() -> None:
    later = Results(later_studies={"sharpness_large": StudyLeftOut(scale="paper", kind="sharpness")})
    for module, count in ((regimes, 7), (saddles, 3)):
        rows = list(decide(module.measured(later)))
        assert len(rows) == count
        assert all("scale=paper" in row.note for row in rows)
        rows = list(decide(module.measured(Results())))
        assert all("no study of kind sharpness" in row.note for row in rows)
        part = study().sel(run=["catapult"])
        notes = [row.note for row in decide(module.measured(Results(studies={"s": part}))) if row.verdict == "not run"]
        assert len(notes) == (4 if module is regimes else 3)
        assert all("no study of kind sharpness" in note for note in notes)


def test_another_network_has_no_say_in_c15() -> None:
    dense = study()
    dense["linear"] = ("run", [False] * 3)
    assert verdicts(saddles, dense) == ["not run"] * 3
