"""The slice of the loss: its plane, its three paths against plain references, its figure and its animation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from docutils.core import publish_parts
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy.integrate import solve_ivp

from largestep import animation, captions, config, grid, store
from largestep.data import sparse_regression
from largestep.figures import loss_slice as figure
from largestep.figures import style
from largestep.recording import ORDER
from largestep.studies import loss_slice
from tests.conftest import REPOSITORY
from tests.drawn import said
from tests.settings import as_settings, study_of

Array = np.ndarray


def spec_of(**settings: Any) -> dict[str, Any]:
    """The spec of the tiny slice, with other settings."""
    tiny = config.load(REPOSITORY / "tests/tiny/config.yaml")
    spec: dict[str, Any] = json.loads(grid.study_spec(tiny, "loss_slice"))
    spec["settings"] |= settings
    return spec


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    own: dict[str, Any] = spec_of()["settings"]
    return own


@pytest.fixture(scope="module")
def problem(settings: dict[str, Any]) -> tuple[Array, Array, Array]:
    """Inputs, labels and truth."""
    data = sparse_regression.draw(as_settings(settings["data"]), 0)
    return data["train_inputs"].values[0], data["train_labels"].values[0], data["truth"].values[0]


@pytest.fixture(scope="module")
def sliced() -> xr.Dataset:
    return loss_slice.study(study_of(spec_of()), 1)


def gradient(w: Array, x: Array, y: Array) -> Array:
    """Of half the mean square error, by the product rule."""
    u, v = np.split(w, 2)
    slope = x.T @ (x @ (u * v) - y) / len(y)
    return np.concatenate([slope * v, slope * u])


def loss(w: Array, x: Array, y: Array) -> float:
    u, v = np.split(w, 2)
    return float(0.5 * np.mean((x @ (u * v) - y) ** 2))


def start(problem: tuple[Array, Array, Array]) -> Array:
    d = len(problem[2])
    return np.concatenate([np.full(d, 0.1), np.zeros(d)])


def test_flow_follows_the_differential_equation(sliced: xr.Dataset, problem: tuple[Array, Array, Array]) -> None:
    x, y, _ = problem
    time = 0.03 * sliced["step"].values
    exact = solve_ivp(
        lambda _, w: -gradient(w, x, y), (0, time[-1]), start(problem), t_eval=time, rtol=1e-8, atol=1e-10
    )
    expected = (exact.y.T - start(problem)) @ sliced["direction"].values.T
    reach = np.abs(sliced["mark_position"].values).max()
    np.testing.assert_allclose(sliced["flow_position"], expected, atol=0.01 * reach)


@pytest.mark.parametrize("seed", [0, 2])
def test_paths_against_plain_loops(
    sliced: xr.Dataset, settings: dict[str, Any], problem: tuple[Array, Array, Array], seed: int
) -> None:
    """Position, distance from the plane, loss and distance from the truth, also after the decay."""
    x, y, truth = problem
    order = np.random.default_rng([ORDER, seed]).integers(len(y), size=(settings["steps"] - 1, 1))
    directions = sliced["direction"].values
    for name in ("gd", "sgd"):
        w, size = start(problem), settings["step_sizes"][name]
        record = sliced.sel(seed=seed) if name == "sgd" else sliced
        for step in range(settings["steps"]):
            if step in sliced["step"].values:
                here = record.sel(step=step)
                away = w - start(problem)
                inside = directions @ away
                u, v = np.split(w, 2)
                np.testing.assert_allclose(here[f"{name}_position"], inside, rtol=1e-8, atol=1e-9)
                left = np.sqrt(max(away @ away - inside @ inside, 0.0))
                np.testing.assert_allclose(here[f"{name}_distance"], left, rtol=1e-6, atol=1e-7)
                np.testing.assert_allclose(here[f"{name}_loss"], loss(w, x, y), rtol=1e-7, atol=1e-12)
                np.testing.assert_allclose(here[f"{name}_error"], np.linalg.norm(u * v - truth), rtol=1e-7)
            if step == settings["steps"] - 1:
                break
            chosen = slice(None) if name == "gd" else order[step]
            # Divided after the update of the step at half of training.
            now = size if step <= settings["steps"] // 2 else size / settings["divide_by"]
            w = w - now * gradient(w, x[chosen], y[chosen])


def test_the_plane_goes_through_its_three_points(sliced: xr.Dataset, problem: tuple[Array, Array, Array]) -> None:
    directions, spots = sliced["direction"].values, sliced["mark_position"]
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    truth = np.concatenate([np.sqrt(problem[2])] * 2)
    np.testing.assert_allclose(start(problem) + spots.sel(mark="truth").values @ directions, truth, atol=1e-12)
    np.testing.assert_array_equal(spots.sel(mark="start"), [0.0, 0.0])
    np.testing.assert_allclose(spots.sel(mark="flow_end"), sliced["flow_position"].isel(step=-1))
    # Gram-Schmidt: the first direction is towards the end of the flow, the second leaves it to the truth's side.
    assert spots.sel(mark="flow_end")[0] > 0
    assert abs(float(spots.sel(mark="flow_end")[1])) < 1e-12
    assert spots.sel(mark="truth")[1] > 0
    assert float(sliced["flow_distance"][-1]) < 1e-12


def test_loss_on_the_plane(sliced: xr.Dataset, problem: tuple[Array, Array, Array]) -> None:
    x, y, _ = problem
    for i, j in ((0, 0), (3, 11), (14, 2)):
        place = sliced.isel(first=i, second=j)
        w = start(problem) + np.array([place["first"], place["second"]]) @ sliced["direction"].values
        assert float(place["plane_loss"]) == pytest.approx(loss(w, x, y), rel=1e-10)
    spots = sliced["mark_position"].values
    for axis, name in enumerate(("first", "second")):
        assert sliced[name].min() < spots[:, axis].min()
        assert sliced[name].max() > spots[:, axis].max()


def test_diverged_runs_are_nan_and_named() -> None:
    study = loss_slice.study(study_of(spec_of(step_sizes={"flow": 0.03, "gd": 9.0, "sgd": 0.6})), 1)
    lost = study["diverged_step"].sel(path="sgd") >= 0
    assert lost.any()
    assert not (study["diverged_step"].sel(path="flow") >= 0).any()
    assert (study["sgd_loss"].isel(step=-1).isnull() == lost).all()
    assert study["gd_position"].isel(step=-1).isnull().all()
    assert f"{int(lost.sum())} of 3 runs diverged" in figure.label("sgd", study)
    assert f"diverged at step {int(study['diverged_step'].sel(path='gd')[0])}" in figure.label("gd", study)
    with style.house():
        figure.draw(study).draw_without_rendering()


def test_the_first_surviving_seed_stands_for_all(sliced: xr.Dataset) -> None:
    study = sliced.copy(deep=True)
    study["diverged_step"].loc[{"path": "sgd", "seed": 0}] = 9
    assert figure.shown_seed(sliced) == 0
    assert figure.shown_seed(study) == 1
    np.testing.assert_array_equal(figure.run("sgd", study, "loss"), study["sgd_loss"].sel(seed=1))


def test_figure_says_what_it_shows(sliced: xr.Dataset) -> None:
    with style.house():
        drawn = figure.draw(sliced)
        drawn.draw_without_rendering()
    words_of_figure = said(drawn)
    for words in (
        "gradient flow, η = 0.03",
        "gradient descent, η = 0.5",
        "SGD, η = 0.2 (0 of 3 runs diverged)",
        "truth",
    ):
        assert words in words_of_figure


def test_caption() -> None:
    text = captions.of_study(config.load(REPOSITORY / "config.yaml").studies["loss_slice"])
    assert "60 parameters" in text
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2})


def test_animation(sliced: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes every time; it moves, and its colours mean the same in all images."""
    monkeypatch.setattr(animation, "BEFORE", 4)
    monkeypatch.setattr(animation, "AFTER", 3)
    monkeypatch.setattr(animation, "STILL", 2)
    source = tmp_path / "study.nc"
    attributes = {"title": "Slice", "stage": "studies", "spec": "{}", "code": "0", "seeds": "0 to 2"}
    store.write(source, sliced, clock=store.Clock(), **attributes)
    written = []
    for name in ("one.gif", "two.gif"):
        command = ["animation", "--input", str(source), "--output", str(tmp_path / name)]
        monkeypatch.setattr(sys, "argv", command)
        animation.main()
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    with Image.open(tmp_path / "one.gif") as picture:
        colours = []
        for frame in range(picture.n_frames):
            picture.seek(frame)
            colours.append({colour for _, colour in picture.convert("RGB").getcolors(1 << 24) or []})
    # The still images at the end are one.
    assert len(colours) == len(set(animation.frames(sliced)))
    assert len(set.union(*colours)) <= 256


def test_images_are_those_of_whole_drawings(sliced: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "BEFORE", 2)
    monkeypatch.setattr(animation, "AFTER", 2)
    monkeypatch.setattr(animation, "STILL", 0)
    with style.house():
        quick = [np.asarray(image) for image in animation._images(sliced)]
        monkeypatch.setattr(animation, "_from", lambda ax, moving: [])
        monkeypatch.setattr(FigureCanvasAgg, "restore_region", lambda canvas, region: canvas.draw())
        whole = [np.asarray(image) for image in animation._images(sliced)]
    np.testing.assert_array_equal(quick, whole)


def test_frames_reach_from_the_first_step_to_the_last(sliced: xr.Dataset) -> None:
    shown = animation.frames(sliced)
    assert (shown[0], shown[-1]) == (0, sliced.sizes["step"] - 1)
    assert (np.diff(shown) >= 0).all()
    assert sliced.sizes["step"] // 2 in shown  # the decay


def test_other_stores_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "study.nc"
    attributes = {"title": "Other", "stage": "studies", "spec": "{}", "code": "0", "seeds": "none"}
    store.write(source, xr.Dataset({"a": store.variable((), 1.0, "1", "a")}), clock=store.Clock(), **attributes)
    monkeypatch.setattr(sys, "argv", ["animation", "--input", str(source), "--output", str(tmp_path / "a.gif")])
    with pytest.raises(store.StoreError, match="has no variable plane_loss"):
        animation.main()
    assert not (tmp_path / "a.gif").exists()
