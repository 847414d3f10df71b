"""C6 and C7 on made-up runs: the verdict follows the effect, and without one there is none."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ks_2samp

from largestep.claims import noise_needed, sde, verdict
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.specs.aggregates import StudyLeftOut
from largestep.studies.flows import ALGORITHMS
from tests.draws import DRAWS

SEEDS, SAMPLES = 16, 40
# Of the paper's single runs of a diagonal network (Fig. 9), as log2 ratios SDE / SGD.
PAPER = {"rank": np.log2(52 / 58), "l0": np.log2(62 / 71)}
# Over seeds, of log2 rank and non-zeros, in runs of a diagonal network.
SPREAD = 0.07
BOUND = float(np.log2(sde.FACTOR))


def study(
    seed: int = 0,
    ratios: dict[str, float] | None = None,
    level: float = 0.0,
    noiseless: float = 4.0,
    spread: float = 0.15,
    diverged: int = 0,
    lost: int = 0,
) -> xr.Dataset:
    """A diagonal network on which the SDE has these log2 ratios to SGD, and runs without noise `noiseless` times more.

    level: log2 ratio of the losses in the large-step phase. spread: of log2 measures over seeds. The first seeds
    of the coupled SDE diverge.
    """
    rng = np.random.default_rng(seed)
    ratios = ratios or {}
    is_sde = np.array([name.startswith("sde") for name in ALGORITHMS])[:, None]
    without = np.array([name in ("gd", "flow") for name in ALGORITHMS])[:, None]
    shape = (len(ALGORITHMS), SEEDS)

    def measure(typical: float, name: str) -> np.ndarray:
        shift = is_sde * ratios.get(name, 0.0) + without * np.log2(noiseless)
        return typical * 2.0 ** (shift + spread * rng.standard_normal(shape))

    loss = -5.0 + level * is_sde[..., None] + rng.standard_normal((*shape, SAMPLES))
    diverged_step = np.full(shape, -1)
    diverged_step[ALGORITHMS.index("sde_coupled"), :diverged] = 7
    runs = ("algorithm", "seed")
    end = {"rank": measure(58.0, "rank"), "l0": measure(71.0, "l0"), "test_loss": measure(1e-4, "test loss")}
    gone = diverged_step >= 0
    return xr.Dataset(
        {
            "train_loss": ((*runs, "step"), np.full((*shape, 3), [1.0, 0.1, 0.01])),
            "loss_sample": ((*runs, "sample"), np.where(gone[..., None], np.nan, 2.0**loss)),
            "rank": ((*runs, "snapshot_step", "rank_threshold"), np.where(gone, np.nan, end["rank"])[..., None, None]),
            "l0": ((*runs, "snapshot_step", "l0_threshold"), np.where(gone, np.nan, end["l0"])[..., None, None]),
            "test_loss": ((*runs, "step"), np.where(gone, np.nan, end["test_loss"])[..., None].repeat(3, axis=-1)),
            "diverged_step": (runs, diverged_step),
            "seeds_tried": ((), SEEDS + lost),
            "seeds_lost": ((), lost),
        },
        {"algorithm": list(ALGORITHMS), "seed": np.arange(SEEDS)},
        {"kind": "flows"},
    )


def verdicts(module: object, data: xr.Dataset) -> dict[str, str]:
    rows = decide(module.measured(Results(studies={"made_up": data})))  # type: ignore[attr-defined]
    return {row.statistic: row.verdict for row in rows if row.experiment == "made_up"}


def test_an_sde_like_sgd_describes_it() -> None:
    assert set(verdicts(sde, study(ratios=PAPER)).values()) == {"supported"}


def test_each_statistic_refuses_its_own_difference() -> None:
    """Everything four times as large, and the losses apart: all are refuted."""
    data = study(ratios={"rank": 2.0, "l0": 2.0, "test loss": 2.0}, level=4.0)
    assert set(verdicts(sde, data).values()) == {"refuted"}


def test_too_far_is_not_the_same_as_too_near() -> None:
    """An SDE that ends simpler than SGD does not describe it either."""
    answers = verdicts(sde, study(ratios={"rank": -2.0}))
    assert answers["log2 ratio SDE / SGD of the rank at the end"] == "refuted"
    assert answers["log2 ratio SDE / SGD of the l0 at the end"] == "supported"


def test_wide_scatter_is_undecided() -> None:
    answers = verdicts(sde, study(spread=3.0))
    assert answers["log2 ratio SDE / SGD of the rank at the end"] == "undecided"


def test_distance_counts_only_what_exceeds_that_among_seeds() -> None:
    """With few samples the distance of equal distributions is far above 0, and that does not count."""
    few = study(seed=3).isel(sample=slice(6))
    row = next(row for row in decide(sde.measured(Results(studies={"made_up": few}))) if row.statistic == sde.DISTANCE)
    assert abs(row.estimate) < 0.1
    assert row.verdict == "supported"


def test_distance_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for a, b in ((rng.random(7), rng.random(11)), (np.array([1.0, 1.0, 2.0]), np.array([1.0, 3.0]))):
        assert sde.distance(a, b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-15)


def test_diverged_runs_are_left_out_and_counted() -> None:
    rows = decide(sde.measured(Results(studies={"made_up": study(diverged=6, lost=5)})))
    coupled = [row for row in rows if row.experiment == "made_up" and not row.companion]
    assert {(row.seeds, row.diverged) for row in coupled} == {(SEEDS - 6, 6 + 5)}
    assert "SGD diverged on 5 of the 21 seeds tried" in coupled[0].note
    own = next(row for row in rows if row.experiment == "made_up/own loss")
    assert (own.seeds, own.diverged, own.headline) == (SEEDS, 5, False)


def test_power_of_c6(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's ratios are found to be equivalent, and ratios at the bound rarely so, in 200 draws each."""
    monkeypatch.setattr(verdict, "RESAMPLES", 2000)  # the time of a test; verdicts hardly change
    asked = [f"log2 ratio SDE / SGD of the {measure} at the end" for measure in PAPER]
    edge = dict.fromkeys(PAPER, BOUND)
    for ratios, meets in ((PAPER, lambda share: share >= 0.95), (edge, lambda share: share <= 0.05)):
        answers = [verdicts(sde, study(seed, ratios, spread=SPREAD)) for seed in range(DRAWS)]
        for statistic in asked:
            assert meets(sum(each[statistic] == "supported" for each in answers) / DRAWS), statistic


@pytest.mark.parametrize(("order", "answer"), [(1.0, "supported"), (0.5, "refuted"), (2.0, "refuted")])
def test_order_of_the_discretisation(order: float, answer: str) -> None:
    steps = 0.1 / 2.0 ** np.arange(4)
    noise = np.random.default_rng(0).standard_normal((20, 4))
    changes = steps**order * (1.0 + 0.1 * noise)
    np.testing.assert_allclose(sde.order_by_seed(steps, np.tile(steps**order, (20, 1))), order, rtol=1e-9)
    data = xr.Dataset(
        {
            "halved_time_step": ("halving", steps),
            "loss_change": (("seed", "halving"), changes),
            "diverged": (("seed", "level"), np.zeros((20, 5), dtype=int)),
            "paths": ((), 10),
        },
        {"seed": np.arange(20)},
        {"kind": "sde_convergence"},
    )
    (row,) = (r for r in decide(sde.measured(Results(studies={"made_up": data}))) if r.experiment == "made_up")
    assert row.verdict == answer


@pytest.mark.parametrize(("noiseless", "answer"), [(4.0, "supported"), (0.25, "refuted"), (1.0, "undecided")])
def test_c7_follows_the_effect(noiseless: float, answer: str) -> None:
    answers = verdicts(noise_needed, study(noiseless=noiseless, spread=0.5))
    assert len(answers) == 5
    assert set(answers.values()) == {answer}


def test_c7_without_an_effect_is_rarely_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "RESAMPLES", 2000)
    for noiseless, meets in ((1.0, lambda share: share <= 0.05), (2.0, lambda share: share >= 0.95)):
        answers = [verdicts(noise_needed, study(seed, noiseless=noiseless)) for seed in range(DRAWS)]
        assert meets(sum("supported" in each.values() for each in answers) / DRAWS)


def matched(l0: float, seeds: int, diverged: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(int(l0))
    diverged_step = np.full((1, 1, seeds), -1)
    diverged_step[..., :diverged] = 7
    runs = ("cell", "arm", "seed")
    scatter = np.exp(0.1 * rng.standard_normal((1, 1, seeds)))
    return xr.Dataset(
        {
            "l0": ((*runs, "snapshot_step", "l0_threshold"), (l0 * scatter)[..., None, None]),
            "rank": ((*runs, "snapshot_step", "rank_threshold"), (l0 * scatter)[..., None, None]),
            "test_loss": ((*runs, "step"), (0.01 * l0 * scatter)[..., None]),
            "diverged_step": (runs, diverged_step),
        },
        {"cell": ["decay50"], "arm": ["data"], "seed": np.arange(seeds)},
    )


@pytest.mark.parametrize(("gd", "answer"), [(78.0, "supported"), (15.0, "refuted")])
def test_gradient_descent_at_its_own_step_size(gd: float, answer: str) -> None:
    """Paired by data set: the seeds that both have and on which neither diverges."""
    results = Results(
        {noise_needed.GD: matched(gd, 30, diverged=4), noise_needed.SGD: matched(33.0, 20)},
        later_studies={"flows": StudyLeftOut(scale="workstation", kind="flows")},
    )
    rows = decide(noise_needed.measured(results))
    asked = [row for row in rows if row.experiment == "diagonal_gd/data" and not row.companion]
    assert [row.verdict for row in asked] == [answer] * 3
    assert {(row.seeds, row.diverged) for row in asked} == {(16, 4)}
    assert rows[0].verdict == "not run"
    assert "scale=workstation" in rows[0].note


def test_what_is_not_there_says_so() -> None:
    results = Results(later={noise_needed.GD: "workstation"})
    for module in (sde, noise_needed):
        rows = decide(module.measured(results))
        assert rows
        assert {row.verdict for row in rows} == {"not run"}
    assert "diagonal_gd is of scale workstation" in rows[-1].note


def test_a_flow_whose_loss_rises_is_not_asked_about() -> None:
    data = study()
    data["train_loss"].loc[{"algorithm": "flow"}] = np.array([1.0, 0.01, 0.1])
    answers = {row.statistic: row.verdict for row in decide(noise_needed.measured(Results(studies={"s": data})))}
    assert {verdict for text, verdict in answers.items() if "gradient flow" in text} == {"not asked"}
    assert {verdict for text, verdict in answers.items() if text.startswith("l0 of gradient descent minus")} == {
        "supported"
    }
