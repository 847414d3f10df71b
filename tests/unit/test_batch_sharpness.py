"""C18: batch sharpness against autograd and by hand, its study, its claim and its figure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep import config, grid, stages
from largestep.claims import batch_sharpness as claim
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from largestep.figures import batch_sharpness as figure
from largestep.specs.studies import StudySpec
from largestep.studies import batch_sharpness as study
from largestep.toys.network import curved
from largestep.toys.runs import Problem
from tests import tiny_studies
from tests.settings import as_settings, train
from tests.tiny_studies import TINY


def problem(name: str) -> Problem:
    settings = config.parse(TINY, "tiny").experiments[name]
    data = stages.worker("data", settings.data.kind).draw(settings.data, 0)
    return Problem(settings.model, data, settings.training.loss)


def by_autograd(one: Problem, parameters: NDArray[np.float64], chosen: NDArray[np.int64]) -> tuple[float, float]:
    """g'Hg and g'g of a mini-batch, by double backward in float64."""
    net = one.net.module(parameters)
    inputs, labels = (torch.tensor(each[0][chosen]) for each in (one.inputs, one.labels))
    loss = one.residual_factor / 2.0 * (net(inputs)[:, 0] - labels).square().mean()
    weights = [each for each in net.parameters() if each.requires_grad]
    gradient = torch.autograd.grad(loss, weights, create_graph=True)
    square = sum(each.square().sum() for each in gradient)
    # H g is the gradient of g'g over 2.
    turned = torch.autograd.grad(square / 2.0, weights)
    along = sum((a * b).sum() for a, b in zip(gradient, turned, strict=True))
    return float(along.detach()), float(square.detach())


@pytest.mark.parametrize("name", ["diagonal", "points", "teacher"])
@pytest.mark.parametrize("size", [1, 3])
def test_it_is_that_of_autograd(name: str, size: int) -> None:
    one, generator = problem(name), np.random.default_rng(0)
    start = one.net.initial(np.arange(2))
    for parameters in start + 0.1 * generator.standard_normal(start.shape):
        for _ in range(3):
            chosen = generator.choice(one.examples, size, replace=False)
            products = curved(one.net).along_gradients(parameters, one.task(0), chosen[None])
            np.testing.assert_allclose(np.ravel(products), by_autograd(one, parameters, chosen), rtol=1e-10)


def test_it_is_a_ratio_of_means_over_each_batch_and_its_own_hessian() -> None:
    one = problem("points")
    parameters = one.net.initial(np.array([0]))[0]
    batches = np.arange(one.examples)[:, None]
    pairs = np.array([by_autograd(one, parameters, batch) for batch in batches])
    expected = pairs[:, 0].mean() / pairs[:, 1].mean()
    assert study.batch_sharpness(one, parameters, batches) == pytest.approx(expected, rel=1e-10)
    whole = study.batch_sharpness(one, parameters, np.arange(one.examples)[None])
    assert abs(whole / expected - 1.0) > 0.1  # the full batch has another one


def test_where_there_is_no_gradient_there_is_none() -> None:
    one = problem("diagonal")
    assert np.isnan(study.batch_sharpness(one, np.zeros(len(one.net.initial(np.array([0]))[0])), np.array([[0]])))


raw = partial(tiny_studies.raw, "batch_sharpness")


@pytest.fixture(scope="module")
def measured() -> xr.Dataset:
    return tiny_studies.run("batch_sharpness", raw())


def test_runs_are_those_of_the_cells(measured: xr.Dataset) -> None:
    """Before the first point, by the same orders and step sizes."""
    run = measured.sel(network="diagonal")
    parsed = config.parse(raw(), "tiny").experiments["diagonal"].model_dump(mode="json")
    parsed["training"] |= {"seeds": 6, "arms": ["order"], "evaluations": 400, "snapshots": 400}
    data = stages.worker("data", "sparse_regression").draw(as_settings(parsed["data"]), 0)
    cell = {"cell": "c", "model": parsed["model"], "training": parsed["training"]}
    _, snapshots = train(cell | {"schedule": parsed["cells"]["decay50"]}, data)
    one, times = problem("diagonal"), run["point_step"].values
    at = snapshots["parameters"].isel(arm=0).sel(snapshot_step=times).values
    for seed in np.flatnonzero(run["diverged_step"].values < 0):
        expected = [study.batch_sharpness(one, each, np.arange(one.examples)[:, None]) for each in at[seed]]
        np.testing.assert_allclose(run["batch_sharpness"].values[seed], expected, rtol=1e-9)
    assert (times[:4] < int(run["decay_step"])).all()
    assert (times[4:] > int(run["decay_step"])).all()


def test_seeds_that_a_network_does_not_have_are_not_there(measured: xr.Dataset) -> None:
    fewer = measured.sel(network="points")
    assert int(fewer["seeds_run"]) == 3
    assert np.isnan(fewer["batch_sharpness"].values[3:]).all()
    rows = decide(claim.measured(Results(studies={"made_up": measured.assign_attrs(kind="batch_sharpness")})))
    assert {row.seeds + row.diverged for row in rows if row.experiment == "made_up/points"} == {3}


def test_the_expectation_over_larger_batches_is_by_draws() -> None:
    changed = raw(networks={"points": {"cell": "decay50", "seeds": 1}})
    changed["experiments"]["points"]["training"]["batch_size"] = 2
    spec = StudySpec.read(grid.study_spec(config.parse(changed, "tiny"), "batch_sharpness"))
    larger = study.study(spec, 1)
    assert np.isfinite(larger["batch_sharpness"]).all()


def made_up(large: float, after: float, seeds: int = 20, diverged: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(0)
    ratio = np.array([large] * 6 + [after] * 2) * np.exp(0.05 * rng.standard_normal((1, seeds, 8)))
    gone = np.where(np.arange(seeds) < diverged, 5, -1)[None]
    return xr.Dataset(
        {
            "batch_sharpness": (("network", "seed", "point"), np.where(gone[..., None] >= 0, np.nan, 20.0 * ratio)),
            "step_size": (("network", "point"), np.full((1, 8), 0.1)),
            "point_step": (("network", "point"), 10 * np.arange(8)[None]),
            "decay_step": (("network",), [60]),
            "steps": (("network",), [80]),
            "seeds_run": (("network",), [seeds]),
            "diverged_step": (("network", "seed"), gone),
        },
        {"network": ["net"], "seed": np.arange(seeds)},
        {"kind": "batch_sharpness"},
    )


@pytest.mark.parametrize(
    ("large", "after", "answers"),
    [
        (1.0, 0.2, ["supported", "supported"]),
        (0.5, 0.2, ["refuted", "supported"]),
        (1.5, 1.5, ["refuted", "refuted"]),
        (0.9, 0.9, ["undecided", "undecided"]),
    ],
)
def test_the_verdict_follows_the_ratio(large: float, after: float, answers: list[str]) -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(large, after)})))
    rows = [row for row in rows if row.verdict != "not run"]
    assert [(row.verdict, row.headline) for row in rows] == list(zip(answers, [True, False], strict=True))


def test_where_most_diverge_survivors_do_not_decide() -> None:
    rows = decide(claim.measured(Results(studies={"s": made_up(1.0, 0.2, seeds=50, diverged=40)})))
    assert (rows[0].survivors, rows[0].verdict) == ("supported", "undecided")


def test_what_is_not_there_is_said() -> None:
    rows = decide(claim.measured(Results()))
    why = [f"not run: config.yaml has no study of kind {kind}" for kind in ("batch_sharpness", "image_sharpness")]
    assert [(row.verdict, row.note) for row in rows] == [("not run", each) for each in why]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {"diagonal": {"cell": "small", "seeds": 3}}}, "networks.diagonal: cell small has no decay"),
        ({"points": 500}, "cell decay50 has fewer steps before or after its decay than points"),
        ({"networks": {"digits": {"cell": "decay50", "seeds": 3}}}, "needs a model of kind"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**change), "tiny")


def test_additions_and_full_batches_are_refused() -> None:
    for key, value, message in (("momentum", 0.9, "has momentum"), ("batch_size", "full", "no mini-batch")):
        changed = raw(networks={"diagonal": {"cell": "decay50", "seeds": 3}})
        changed["experiments"]["diagonal"]["training"][key] = value
        changed["experiments"]["diagonal"]["training"]["arms"] = ["data"]
        with pytest.raises(config.ConfigError, match=message):
            config.parse(changed, "tiny")


def test_the_figure_shows_every_network(measured: xr.Dataset) -> None:
    drawn = figure.draw(measured)
    assert len(drawn.axes) == 2
    middle = drawn.axes[0].lines[1].get_ydata()
    run = measured.sel(network="diagonal")
    alive = run["diverged_step"].values < 0
    ratio = (run["batch_sharpness"] * run["step_size"] / 2.0).values[alive]
    np.testing.assert_allclose(middle, np.median(ratio, axis=0))
    assert figure.draw(made_up(1.0, 0.2, seeds=4, diverged=4)).axes[0].texts  # says that there is nothing
