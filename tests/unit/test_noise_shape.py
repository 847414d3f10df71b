"""C21: the steps against autograd and the usual kernels, the study, its claim and its figure."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep import config, stages
from largestep.claims import noise_shape as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import noise_shape as figure
from largestep.studies import noise_shape as study
from largestep.toys.network import shapable
from largestep.toys.noise_shapes import ISOTROPIC, LABELS, PENALTY
from largestep.toys.runs import Problem, Runs
from tests import tiny_studies
from tests.settings import as_settings, law, train
from tests.tiny_studies import TINY

STEP = 0.05


@pytest.fixture(scope="module", params=["half_mse", "mse"])
def problem(request: pytest.FixtureRequest) -> Problem:
    settings = config.parse(TINY, "tiny").experiments["diagonal"]
    return Problem(settings.model, stages.worker("data", "sparse_regression").draw(settings.data, 1), request.param)


@pytest.fixture(scope="module")
def start(problem: Problem) -> NDArray[np.float64]:
    parameters = problem.net.initial(np.array([0]))[0]
    return parameters + 0.3 * np.random.default_rng(0).standard_normal(parameters.shape)


def of_examples(problem: Problem, parameters: NDArray[np.float64]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The flat parameters in torch, and the gradient of every example's loss, with its graph."""
    flat = torch.tensor(parameters, requires_grad=True)
    u, v = flat.split(len(parameters) // 2)
    task = problem.task(1)
    gradients = []
    for x, y in zip(torch.tensor(task.inputs), torch.tensor(task.labels), strict=True):
        loss = task.residual_factor / 2.0 * ((u * v * x).sum() - y) ** 2
        gradients.append(torch.autograd.grad(loss, flat, create_graph=True)[0])
    return flat, gradients


def trace(problem: Problem, parameters: NDArray[np.float64]) -> float:
    """That of the covariance of the gradient of an example drawn at random."""
    gradients = np.stack([each.detach().numpy() for each in of_examples(problem, parameters)[1]])
    return float(np.trace(np.cov(gradients, rowvar=False, bias=True)))


def step(problem: Problem, start: NDArray[np.float64], normal: NDArray[np.float64], shape: int) -> NDArray[np.float64]:
    end = start.copy()
    assert shapable(problem.net).advance_shaped(end, problem.task(1), np.array([STEP]), normal[None], shape) == 1
    return end


def descended(problem: Problem, start: NDArray[np.float64], noise: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """A full-batch step by the usual kernel, with that noise on the labels."""
    runs = Runs(problem, start[None], np.array([1]))
    runs.advance(np.array([STEP]), None, None if noise is None else noise[None, None])
    return np.asarray(runs.parameters[0])


def test_isotropic_noise_has_the_trace_of_the_gradients_of_examples(
    problem: Problem, start: NDArray[np.float64]
) -> None:
    normal = np.random.default_rng(1).standard_normal(len(start))
    noise = (step(problem, start, normal, ISOTROPIC) - descended(problem, start, None)) / -STEP
    np.testing.assert_allclose(noise, np.sqrt(trace(problem, start) / len(start)) * normal, rtol=1e-9)


def test_label_noise_has_it_too(problem: Problem, start: NDArray[np.float64]) -> None:
    """The usual kernel with the same noise on the labels; its trace, over all normal labels, from one step for each."""
    quiet, columns = descended(problem, start, None), []
    for example in range(problem.examples):
        normal = np.zeros(problem.examples)
        normal[example] = 1.0
        columns.append((step(problem, start, normal, LABELS) - quiet) / STEP)
    assert np.sum(np.square(columns)) == pytest.approx(trace(problem, start), rel=1e-9)
    unit = (descended(problem, start, np.eye(problem.examples)[0]) - quiet) / STEP
    deviation = np.linalg.norm(columns[0]) / np.linalg.norm(unit)
    normal = np.random.default_rng(2).standard_normal(problem.examples)
    np.testing.assert_allclose(
        step(problem, start, normal, LABELS), descended(problem, start, deviation * normal), rtol=1e-9
    )


def test_the_penalty_is_descended_as_autograd_does(problem: Problem, start: NDArray[np.float64]) -> None:
    flat, gradients = of_examples(problem, start)
    whole = torch.stack(gradients).mean(dim=0).detach()
    penalty = STEP / 4.0 * torch.stack([each.square().sum() for each in gradients]).mean()
    expected = start - STEP * (whole + torch.autograd.grad(penalty, flat)[0]).numpy()
    np.testing.assert_allclose(step(problem, start, np.empty(0), PENALTY), expected, rtol=1e-10)
    assert np.abs(expected - descended(problem, start, None)).max() > 1e-6


def test_a_run_that_diverges_says_when(problem: Problem, start: NDArray[np.float64]) -> None:
    steps, end = 200, start.copy()
    sizes, normal = np.full(steps, 100.0), np.empty((steps, 0))
    with np.errstate(over="ignore", invalid="ignore"):
        assert 0 < shapable(problem.net).advance_shaped(end, problem.task(1), sizes, normal, PENALTY) < steps


raw = partial(tiny_studies.raw, "noise_shape")
run = partial(tiny_studies.run, "noise_shape")


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    return run(raw())


@pytest.mark.parametrize(("arm", "batch"), [("sgd", 1), ("gd", "full")])
def test_plain_arms_are_those_of_the_cells(tiny: xr.Dataset, arm: str, batch: int | str) -> None:
    settings = config.parse(raw(), "tiny").experiments["diagonal"].model_dump(mode="json")
    own = {"arms": ["data"], "seeds": 6, "steps": 201, "batch_size": batch, "evaluations": 5, "snapshots": 1}
    data = stages.worker("data", "sparse_regression").draw(as_settings(settings["data"]), 6)
    schedule = law(0.1, decays=[{"at": 0.5, "divide_by": 5.0}])
    cell = {"cell": "c", "model": settings["model"], "training": settings["training"] | own, "schedule": vars(schedule)}
    losses, _ = train(cell, data)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(tiny[name].sel(arm=arm), losses[name].isel(arm=0), rtol=1e-9)


def test_every_arm_takes_steps_of_its_own(tiny: xr.Dataset) -> None:
    assert tiny["arm"].values.tolist() == ["sgd", "isotropic", "label_noise", "penalty", "gd"]
    assert (tiny["diverged_step"] < 0).all()
    ends = tiny["train_loss"].isel(step=-1).values
    assert len(np.unique(ends)) == ends.size
    assert np.ptp(tiny["train_loss"].isel(step=0).values, axis=0).max() == 0.0


def test_a_diverged_run_is_counted_and_has_no_end() -> None:
    lost = run(raw(step_size=50.0))
    assert (lost["diverged_step"].sel(arm=["sgd", "isotropic"]) >= 0).all()
    rows = decide(claim.measured(Results(studies={"s": lost.assign_attrs(kind="noise_shape")})))
    assert {(row.seeds, row.diverged, row.verdict) for row in rows if row.headline} == {(0, 6, "undecided")}
    assert all(ax.texts for ax in figure.draw(lost.sel(seed=[0])).axes)


def made_up(more: float, worse: float, labels: float, diverged: int = 0) -> xr.Dataset:
    """Twenty seeds with 30 non-zeros of SGD, and so many more of the others; `worse`: decades of test loss."""
    rng, seeds = np.random.default_rng(0), 20
    extra = np.array([0.0, more, 30.0 * (labels - 1.0), more, more])[:, None]
    noise = rng.standard_normal((5, seeds))
    decades = np.array([0.0, worse, 0.0, worse, worse])[:, None] + 0.1 * noise
    gone = np.where((np.arange(seeds) < diverged) & (np.arange(5)[:, None] == 1), 9, -1)
    counts = np.stack([30.0 + extra + 40.0 + noise, 30.0 + extra + noise], axis=-1)
    return xr.Dataset(
        {
            "l0": (("arm", "seed", "l0_threshold"), counts),
            "test_loss": (("arm", "seed", "step"), 10.0 ** decades[..., None]),
            "diverged_step": (("arm", "seed"), gone),
        },
        {"arm": list(study.ARMS), "l0_threshold": [1e-50, 1e-4], "seed": np.arange(seeds)},
        {"kind": "noise_shape"},
    )


@pytest.mark.parametrize(
    ("more", "worse", "labels", "answer"),
    [(20.0, 0.5, 1.0, "supported"), (-10.0, -0.5, 1.6, "refuted"), (0.0, 0.0, 1.25, "undecided")],
)
def test_the_verdict_follows_the_arms(more: float, worse: float, labels: float, answer: str) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(more, worse, labels)})))
    headlines = [row for row in rows if row.headline]
    assert [row.verdict for row in headlines] == [answer] * 5
    assert {row.seeds for row in headlines} == {20}
    assert sum("threshold 0.0001" in row.statistic for row in headlines) == 3


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(20.0, 0.5, 1.0, diverged=12)})))
    isotropic = [row for row in rows if row.headline and "isotropic" in row.statistic]
    assert [(row.survivors, row.verdict, row.diverged) for row in isotropic] == [("supported", "undecided", 12)] * 2


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    assert [row.note for row in rows] == ["not run: config.yaml has no study of kind noise_shape"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 2, "batch_size 2, the study follows single examples"),
        ("momentum", 0.5, "has momentum, but the noise is that of plain steps"),
    ],
)
def test_training_that_does_not_suit(key: str, value: object, message: str) -> None:
    changed = raw()
    changed["experiments"]["diagonal"]["training"][key] = value
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


def test_data_without_new_sets_is_refused() -> None:
    changed = raw()
    changed["experiments"] = {"diagonal": changed["experiments"]["diagonal"] | {"views": ["curves"]}}
    changed["experiments"]["diagonal"]["data"]["kind"] = "published_regression"
    changed["experiments"]["diagonal"]["training"]["arms"] = ["order"]
    with pytest.raises(config.ConfigError, match="data published_regression of diagonal has no new set for a seed"):
        config.parse(changed, "tiny")


def test_settings_that_do_not_fit() -> None:
    for settings, message in (
        ({"evaluations": 201}, "evaluations: 201 are not fewer than the 201 steps"),
        ({"experiment": "points"}, "needs a model of kind"),
        ({"decayed_step_size": 0.1}, r"noise_shape\.decayed_step_size: must be below step_size 0\.1"),
        ({"decay_at": 1e-6}, r"noise_shape\.decay_at: 1e-06 of 201 steps leaves no large step"),
    ):
        with pytest.raises(config.ConfigError, match=message):
            config.parse(raw(**settings), "tiny")


def test_a_decay_behind_the_last_step_is_refused() -> None:
    """That of step 200 divides at 201, where the decay comes after the update."""
    changed = raw(decay_at=0.996)
    config.parse(changed, "tiny")
    changed["experiments"]["diagonal"]["training"]["decay_after_update"] = True
    with pytest.raises(config.ConfigError, match=r"decay_at: 0\.996 of 201 steps leaves no small step"):
        config.parse(changed, "tiny")


def test_the_figure_has_every_arm(tiny: xr.Dataset) -> None:
    drawn = figure.draw(tiny)
    assert [len(ax.lines) for ax in drawn.axes] == [5 + 1, 2 * 5, 2 * 5]
    np.testing.assert_allclose(drawn.axes[0].lines[0].get_ydata(), tiny["train_loss"].sel(arm="sgd").median("seed"))
