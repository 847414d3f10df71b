"""The study of sharpness against the trainer of cells and closed forms; its settings and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, grid, stages
from largestep.figures import sharpness as figure
from largestep.specs.studies import StudySpec
from largestep.studies import sharpness
from tests.drawn import said
from tests.settings import as_settings, train

TINY = Path(__file__).parents[1] / "tiny" / "config.yaml"
SGD = {"experiment": "diagonal", "arm": "order", "cell": "decay50", "evaluate_every": 5}
GD = {"experiment": "diagonal", "arm": "data", "step_over_sharpness": 1.0, "steps": 60, "evaluate_every": 1}
CATAPULT = GD | {"experiment": "points", "arm": "order", "step_over_sharpness": 2.5}


def _raw(runs: dict[str, Any], **settings: Any) -> dict[str, Any]:
    raw = config.read(TINY)
    study = {"kind": "sharpness", "title": "t", "paper": "p", "scale": "laptop", "seeds": 2, "blocks": 12}
    raw["studies"] = {"made_up": study | {"hessians": 12, "runs": runs} | settings}
    return raw


def _study(runs: dict[str, Any], **settings: Any) -> xr.Dataset:
    parsed = config.parse(_raw(runs, **settings), "made up")
    return sharpness.study(StudySpec.read(grid.study_spec(parsed, "made_up")), 1)


def test_sgd_is_that_of_the_cells() -> None:
    sgd = _study({"sgd": SGD}, blocks=81).sel(run="sgd")
    parsed = config.parse(_raw({"sgd": SGD}), "made up")
    settings = parsed.experiments["diagonal"].model_dump(mode="json")
    settings["training"] |= {"evaluations": 80, "seeds": 2, "arms": ["order"]}
    data = stages.worker("data", "sparse_regression").draw(as_settings(settings["data"]), 0)
    schedule = settings["cells"]["decay50"]
    spec = {"cell": "c", "model": settings["model"], "training": settings["training"], "schedule": schedule}
    cell, _ = train(spec, data)
    np.testing.assert_array_equal(sgd["block_step"], cell["step"])
    # With one evaluation in each block, median and maximum are the loss itself.
    for name in ("loss_median", "loss_max"):
        np.testing.assert_allclose(sgd[name], cell["train_loss"].isel(arm=0), rtol=1e-12)
    at_points = cell["step_size"].sel(step=sgd["point_step"].values).values
    np.testing.assert_array_equal(sgd["step_size"], np.broadcast_to(at_points, sgd["step_size"].shape))


def test_curvatures_do_not_depend_on_how_often_the_loss_is_evaluated() -> None:
    often, seldom = (_study({"sgd": SGD | {"evaluate_every": every}}) for every in (1, 5))
    shared, here, there = np.intersect1d(often["point_step"].values[0], seldom["point_step"].values[0], False, True)
    assert len(shared) >= 2
    for name in ("sharpness", "smallest"):
        expected = often[name].isel(point=here).values
        np.testing.assert_allclose(seldom[name].isel(point=there).values, expected, rtol=1e-10)


def test_points_are_dense_after_the_decay() -> None:
    run = _study({"sgd": SGD}, hessians=20).sel(run="sgd")
    step, decay = run["point_step"].values, int(run["decay_step"])
    assert (step[0], step[-1], decay) == (0, 400, 200)
    assert (np.diff(step) >= 0).all()
    after = step[step >= decay]
    assert after[0] == decay  # the first evaluation at the decayed step size
    assert np.median(after) < (decay + 400) / 2
    assert (int(run["late_from"]), int(run["late_to"])) == (100, 200)


@pytest.mark.parametrize(("name", "run", "multiple"), [("gd", GD, 1.0), ("catapult", CATAPULT, 2.5)])
def test_step_sizes_follow_the_sharpness_at_the_start(name: str, run: dict[str, Any], multiple: float) -> None:
    started = _study({name: run}).sel(run=name)
    product = (started["sharpness"] * started["step_size"]).isel(point=0)
    np.testing.assert_allclose(product, multiple, rtol=1e-12)
    assert float(started["sharpness"].isel(point=0).std()) > 0  # the seeds differ in data or init
    assert (started["step_size"] == started["step_size"].isel(point=0)).all()


def test_first_step_of_gradient_descent() -> None:
    descent = _study({"gd": GD}, blocks=60).sel(run="gd")
    parsed = config.parse(_raw({"gd": GD}), "made up")
    drawn = parsed.experiments["diagonal"].data.model_dump(mode="json")
    data = stages.worker("data", "sparse_regression").draw(as_settings(drawn), 2)
    for seed in range(2):
        x, y = (data[f"train_{name}"].values[seed + 1] for name in ("inputs", "labels"))
        u, v = np.full(10, 0.1), np.zeros(10)
        for losses in descent["loss_max"].values[seed, :5]:
            residuals = x @ (u * v) - y
            assert losses == pytest.approx(0.5 * np.mean(residuals**2), rel=1e-12)
            slope = float(descent["step_size"][seed, 0]) * x.T @ residuals / len(y)
            u, v = u - slope * v, v - slope * u


def test_diverged_runs_are_counted_and_drawn() -> None:
    dataset = _study({"sgd": SGD, "gd": GD | {"step_over_sharpness": 60.0}})
    lost = dataset.sel(run="gd")
    assert (lost["diverged_step"] >= 0).all()
    assert np.isnan(lost["spikes"]).all()
    assert np.isnan(lost["sharpness"].isel(point=-1)).all()
    assert (dataset.sel(run="sgd")["diverged_step"] == -1).all()
    picture = figure.draw(dataset)
    # What a panel shows stands in its title, and how its runs ended below: a legend would say it once more.
    assert not picture.legends
    assert [ax.get_title(loc="left").splitlines()[0] for ax in picture.axes] == [
        f"{letter}   {name}" for letter, name in zip("abcdef", 3 * ["SGD", "gradient descent"], strict=True)
    ]
    assert "gradient descent, η = 60/sharpness at the start (2 of 2 diverged)" in said(picture)
    assert [ax.texts[0].get_text() for ax in picture.axes if ax.texts] == ["every run diverged"] * 3


def test_figure_shows_the_largest_losses() -> None:
    dataset = _study({"sgd": SGD, "gd": GD, "catapult": CATAPULT})
    dataset["loss_max"][0, 0, 2] = 1234.5
    picture = figure.draw(dataset)
    assert len(picture.axes) == 9
    assert any(1234.5 in np.asarray(line.get_ydata()) for line in picture.axes[0].lines)


@pytest.mark.parametrize(
    ("runs", "settings", "message"),
    [
        ({"sgd": SGD | {"step_over_sharpness": 1.0}}, {}, "runs.sgd: give either cell or step_over_sharpness"),
        ({"sgd": SGD | {"steps": 7}}, {}, "runs.sgd: steps goes with step_over_sharpness"),
        ({"sgd": SGD | {"cel": "decay50"}}, {}, "runs.sgd.cel: unknown key"),
        ({"sgd": GD}, {}, "runs.sgd: needs a cell"),
        ({"gd": GD | {"arm": "order"}}, {}, "runs.gd.arm: full-batch runs of a diagonal network differ only"),
        ({"gd": GD}, {"blocks": 61}, "runs.gd: 60 evaluations are fewer than blocks or hessians"),
        ({"sgd": SGD}, {"blocks": 11}, "blocks: 11 are too few: runs.sgd needs 6 until its decay"),
        ({"gd": GD | {"experiment": "digits"}}, {}, "needs a model of kind"),
        ({"sgd": SGD | {"cell": "decay51"}}, {}, "has no cell decay51"),
    ],
)
def test_unsuitable_settings(runs: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=r"^made up: ") as caught:
        config.parse(_raw(runs, **settings), "made up")
    assert "studies.made_up" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plain_steps_only() -> None:
    raw = _raw({"sgd": SGD})
    raw["experiments"]["diagonal"]["training"]["momentum"] = 0.9
    with pytest.raises(config.ConfigError, match=r"runs\.sgd: diagonal has momentum"):
        config.parse(raw, "made up")
