"""The algorithms beside SGD against the cell's own training and a plain numpy solver; and what divergence leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from numpy.typing import NDArray

from largestep import config, grid, stages
from largestep.figures import flows as figure
from largestep.figures import sde_convergence as error_figure
from largestep.recording import LABEL_NOISE, ORDER
from largestep.schedules import Schedule
from largestep.store import StoreError
from largestep.studies import flows, sde_convergence
from tests.settings import as_settings, study_of, train

Array = NDArray[np.float64]
TINY = yaml.safe_load((Path(__file__).parents[1] / "tiny" / "config.yaml").read_text())


def spec_of(name: str = "flows", **changes: Any) -> dict[str, Any]:
    """The spec of a tiny study with some settings changed."""
    raw = TINY | {"studies": {name: TINY["studies"][name] | changes}}
    return json.loads(grid.study_spec(config.parse(raw, "tiny"), name))


DENSE = {"experiment": "points", "seeds": 3, "pairs": 3}


@pytest.mark.parametrize("changes", [{}, DENSE], ids=["diagonal", "dense"])
def test_sgd_is_the_cell(changes: dict[str, Any]) -> None:
    """Seed by seed the losses that the cell's training stage records."""
    spec = spec_of(**changes)
    sgd = flows.study(study_of(spec), 1).sel(algorithm="sgd")
    experiment = spec["experiments"][spec["settings"]["experiment"]]
    training = experiment["training"] | {"arms": ["order"], "snapshots": spec["settings"]["snapshots"]}
    cell = {
        "cell": "x",
        "model": experiment["model"],
        "training": training,
        "schedule": experiment["schedules"]["decay50"],
    }
    data = stages.worker("data", experiment["data"]["data"]["kind"]).draw(as_settings(experiment["data"]["data"]), 0)
    losses, _ = train(cell, data)
    expected = losses.isel(arm=0).sel(seed=sgd["seed"].values)
    np.testing.assert_array_equal(sgd["step"], expected["step"])
    np.testing.assert_allclose(sgd["train_loss"], expected["train_loss"], rtol=1e-9)
    if "test_loss" in expected:
        np.testing.assert_allclose(sgd["test_loss"], expected["test_loss"], rtol=1e-9)


def test_sde_is_euler_and_maruyama() -> None:
    """Against the formulas of the paper in plain numpy, with the same Brownian increments and nothing tuned."""
    spec = spec_of(pairs=2)
    dataset = flows.study(study_of(spec), 1)
    experiment, m = spec["experiments"]["diagonal"], spec["settings"]["substeps"]
    data = stages.worker("data", "sparse_regression").draw(as_settings(experiment["data"]["data"]), 0)
    x, y = data["train_inputs"].values[0], data["train_labels"].values[0]
    steps, n = experiment["training"]["steps"], len(y)
    sizes = Schedule(
        as_settings(experiment["schedules"]["decay50"]), steps, experiment["training"]["decay_after_update"]
    ).sizes
    seed = int(dataset["seed"][1])
    normal = np.random.default_rng([LABEL_NOISE, seed]).standard_normal(((steps - 1) * m, n))
    sgd = _sgd(x, y, sizes, seed)
    noiseless = np.zeros_like(normal)
    own, coupled, none = (
        _solve(x, y, sizes, m, z, level) for z, level in ((normal, None), (normal, sgd), (noiseless, sgd))
    )
    last = dataset.isel(step=-1, seed=1)["train_loss"]
    np.testing.assert_allclose(last.sel(algorithm="sgd"), sgd[-1], rtol=1e-9)
    np.testing.assert_allclose(last.sel(algorithm="sde"), own, rtol=1e-8)
    np.testing.assert_allclose(last.sel(algorithm="sde_coupled"), coupled, rtol=1e-8)
    np.testing.assert_allclose(last.sel(algorithm="flow"), none, rtol=1e-8)


def _loss(x: Array, y: Array, u: Array, v: Array) -> float:
    return float(0.5 * np.mean((x @ (u * v) - y) ** 2))


def _sgd(x: Array, y: Array, sizes: Array, seed: int) -> list[float]:
    """Losses before every step of SGD from the tiny init."""
    u, v = np.full(x.shape[1], 0.1), np.zeros(x.shape[1])
    order = np.random.default_rng([ORDER, seed]).integers(len(y), size=(len(sizes), 1))[:, 0]
    losses = [_loss(x, y, u, v)]
    for size, i in zip(sizes[:-1], order, strict=False):
        slope = (x[i] @ (u * v) - y[i]) * x[i]
        u, v = u - size * slope * v, v - size * slope * u
        losses.append(_loss(x, y, u, v))
    return losses


def _solve(x: Array, y: Array, sizes: Array, m: int, normal: Array, sgd: list[float] | None) -> float:
    """Loss at the end of theta+ = theta - g grad L + sqrt(g) sqrt(eta delta) phi^T Z, g = eta / m, delta = (2/n) L."""
    n = len(y)
    u, v = np.full(x.shape[1], 0.1), np.zeros(x.shape[1])
    for t, z in enumerate(normal):
        eta, level = sizes[t // m], _loss(x, y, u, v) if sgd is None else sgd[t // m]
        g, delta = eta / m, 2.0 / n * level
        push = -g * x.T @ (x @ (u * v) - y) / n + np.sqrt(g) * np.sqrt(eta * delta) * x.T @ z
        u, v = u + push * v, v + push * u
    return _loss(x, y, u, v)


def test_seeds_on_which_sgd_diverges_are_replaced_and_counted() -> None:
    """The next ones take their place; with none left there is nothing to compare."""
    raw = json.loads(json.dumps(TINY))
    raw["experiments"]["diagonal"]["cells"]["decay50"]["step_size"] = 0.7
    raw["studies"] = {"flows": TINY["studies"]["flows"] | {"seeds": 40, "pairs": 4}}
    spec = json.loads(grid.study_spec(config.parse(raw, "tiny"), "flows"))
    dataset = flows.study(study_of(spec), 1)
    assert dataset["seeds_lost"] > 0
    assert dataset["seeds_tried"] == dataset["seed"].max() + 1 == dataset["seeds_lost"] + 4
    assert (dataset["diverged_step"].sel(algorithm="sgd") == -1).all()
    lost = dataset["diverged_step"].values >= 0
    np.testing.assert_array_equal(np.isnan(dataset["train_loss"].values[..., -1]), lost)
    assert figure.draw(dataset).axes
    raw["experiments"]["diagonal"]["cells"]["decay50"]["step_size"] = 50.0
    spec = json.loads(grid.study_spec(config.parse(raw, "tiny"), "flows"))
    with pytest.raises(StoreError, match=r"SGD diverges on all 40 seeds of diagonal\.decay50"):
        flows.study(study_of(spec), 1)


def test_autocorrelation_time_of_an_autoregression() -> None:
    """(1 + a) / (1 - a), and 1 for white noise and for a constant."""
    noise = np.random.default_rng(0).standard_normal(200_000)
    series = np.zeros_like(noise)
    for t in range(1, len(noise)):
        series[t] = 0.8 * series[t - 1] + noise[t]
    assert flows.autocorrelation_time(series) == pytest.approx(9.0, rel=0.1)
    assert flows.autocorrelation_time(noise) == pytest.approx(1.0, abs=0.05)
    assert flows.autocorrelation_time(np.ones(10)) == 1.0


@pytest.mark.parametrize(
    ("key", "value"), [("batch_size", 2), ("momentum", 0.5), ("label_noise", 0.1), ("sampling", "reshuffled")]
)
def test_only_plain_sgd_has_this_sde(key: str, value: object) -> None:
    raw = json.loads(json.dumps(TINY))
    raw["experiments"]["diagonal"]["training"][key] = value
    raw["studies"] = {"flows": TINY["studies"]["flows"]}
    with pytest.raises(config.ConfigError, match=rf"studies\.flows\.experiment.*{key}"):
        config.parse(raw, "tiny")


def test_levels_share_their_brownian_paths() -> None:
    """Every level in plain numpy, with increments that are sums of the finest level's."""
    spec = spec_of("sde_convergence", paths=3, seeds=2)
    settings = spec["settings"]
    dataset = sde_convergence.study(study_of(spec), 1)
    data = stages.worker("data", "sparse_regression").draw(as_settings(settings["data"]), 0)
    x, y = data["train_inputs"].values[0], data["train_labels"].values[0]
    finest = settings["substeps"] * 2 ** (settings["levels"] - 1)
    shape = settings["paths"], settings["horizon"] * finest, len(y)
    fine = np.random.default_rng([LABEL_NOISE, 1]).standard_normal(shape)
    sizes = np.full(settings["horizon"], settings["step_size"])
    for level in range(settings["levels"]):
        m = settings["substeps"] * 2**level
        together = finest // m
        normal = fine.reshape(len(fine), -1, together, len(y)).sum(axis=2) / np.sqrt(together)
        mean = np.mean([_solve(x, y, sizes, m, path, None) for path in normal])
        np.testing.assert_allclose(dataset["loss"].sel(seed=1).values[level], mean, rtol=1e-9)
    np.testing.assert_allclose(-np.diff(dataset["loss"].values), dataset["loss_change"].values, rtol=1e-6)


def test_weak_order_is_one() -> None:
    dataset = sde_convergence.study(study_of(spec_of("sde_convergence", seeds=10, paths=60, levels=4)), 1)
    assert not dataset["diverged"].any()
    changes = np.abs(dataset["loss_change"].mean("seed").values)
    slope = np.polyfit(np.log(dataset["halved_time_step"].values), np.log(changes), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.2)


def test_figure_needs_what_the_study_has() -> None:
    dataset = flows.study(study_of(spec_of(**DENSE)), 1)
    assert set(figure.NEEDS) <= set(dataset.variables)
    drawn = figure.draw(dataset)
    assert [ax.get_title(loc="left")[4:] for ax in drawn.axes] == [
        "training loss",
        "rank of Jacobian",
        "feature sparsity",
        "loss in the large-step phase",
    ]


def test_diverged_paths_count_at_no_level(tmp_path: Path) -> None:
    """A coarse step that lets some paths explode: means stay finite, over the paths that no level loses."""
    dataset = sde_convergence.study(study_of(spec_of("sde_convergence", step_size=0.9, paths=40, horizon=40)), 1)
    assert 0 < int(dataset["diverged"].max()) < 40
    assert np.isfinite(dataset["loss"]).all()
    assert isinstance(dataset, xr.Dataset)


def test_figure_of_the_weak_error() -> None:
    """The dotted line goes through the change at the smallest time step."""
    dataset = sde_convergence.study(study_of(spec_of("sde_convergence")), 1)
    assert set(error_figure.NEEDS) <= set(dataset.variables)
    for ax, name in zip(error_figure.draw(dataset).axes, error_figure.TITLES, strict=True):
        line = ax.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), dataset["halved_time_step"])
        assert line.get_ydata()[-1] == pytest.approx(abs(float(dataset[f"{name}_change"][:, -1].mean())))
