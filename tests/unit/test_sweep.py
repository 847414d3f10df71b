"""Sweeps: what their points are, how examples are ordered, and that a point is trained like a cell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, stages
from largestep.config.studies.sweep import Held, Varied
from largestep.figures import style
from largestep.figures import sweep as figure
from largestep.schedules import Schedule
from largestep.specs.studies import StudySpec
from largestep.studies import sweep
from largestep.toys.orders import Order
from tests.settings import CONSTANT, as_settings, study_of, train

EXAMPLES = 6


def order(sampling: str, batch: int | str = 1, seed: int = 3) -> Order:
    return Order(np.random.default_rng(seed), EXAMPLES, batch, sampling)


def test_streams_of_old_are_kept() -> None:
    """Results from before `sampling` was a choice stay what they were."""
    one = np.random.default_rng(3).integers(EXAMPLES, size=(50, 4))
    np.testing.assert_array_equal(order("with_replacement", 4).take(50), one)
    single = np.random.default_rng(3).integers(EXAMPLES, size=(50, 1))
    np.testing.assert_array_equal(order("without_replacement", 1).take(50), single)
    rows = np.random.default_rng(3).permuted(np.tile(np.arange(EXAMPLES), (50, 1)), axis=1)[:, :4]
    np.testing.assert_array_equal(order("without_replacement", 4).take(50), rows)


@pytest.mark.parametrize("batch", [1, 4])
def test_reshuffled_visits_every_example_once_an_epoch(batch: int) -> None:
    stream = order("reshuffled", batch).take(10 * EXAMPLES).ravel()
    epochs = stream[: len(stream) // EXAMPLES * EXAMPLES].reshape(-1, EXAMPLES)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(EXAMPLES), (len(epochs), 1)))
    assert len(np.unique(epochs, axis=0)) > 1


@pytest.mark.parametrize("batch", [1, 4])
def test_cyclic_repeats_its_first_epoch(batch: int) -> None:
    stream = order("cyclic", batch).take(3 * EXAMPLES).ravel()
    np.testing.assert_array_equal(stream, np.resize(stream[:EXAMPLES], len(stream)))
    assert sorted(stream[:EXAMPLES]) == list(range(EXAMPLES))
    assert {tuple(order("cyclic", seed=seed).take(EXAMPLES).ravel()) for seed in range(5)} != {tuple(stream[:EXAMPLES])}


@pytest.mark.parametrize("sampling", ["with_replacement", "without_replacement", "reshuffled", "cyclic"])
@pytest.mark.parametrize("batch", [1, 4])
def test_cutting_into_blocks_changes_nothing(sampling: str, batch: int) -> None:
    whole, parts = order(sampling, batch), order(sampling, batch)
    cut = np.concatenate([parts.take(count) for count in (1, 7, 2, 20)])
    np.testing.assert_array_equal(cut, whole.take(30))


@pytest.mark.parametrize("sampling", ["with_replacement", "reshuffled", "cyclic"])
def test_a_full_batch_has_nothing_to_sample(sampling: str) -> None:
    assert order(sampling, "full").take(9).shape == (9, 0)


def test_schedule_of_a_point() -> None:
    point = point_of(step_size=0.3, decay_at=0.4, decayed_step_size=0.02)
    np.testing.assert_allclose(Schedule(sweep.law(point), 10).sizes, [0.3] * 4 + [0.02] * 6)
    warm = Schedule(sweep.law(replace(point, warmup_from=0.1)), 10).sizes
    np.testing.assert_allclose(warm, [0.1, 0.15, 0.2, 0.25] + [0.02] * 6)
    same = Schedule(sweep.law(replace(point, warmup_from=0.3)), 10).sizes
    np.testing.assert_allclose(same, [0.3] * 4 + [0.02] * 6)


def test_lists_go_side_by_side_with_what_is_held() -> None:
    varied = Varied(batch_size=[1, 2], step_size=[0.1, 0.2], hold=Held(weight_decay=0.5))
    assert sweep.points_of(varied) == [
        {"weight_decay": 0.5, "batch_size": 1, "step_size": 0.1},
        {"weight_decay": 0.5, "batch_size": 2, "step_size": 0.2},
    ]


DIAGONAL = {
    "data": {
        "data": {
            "kind": "sparse_regression",
            "examples": 8,
            "dimension": 10,
            "support": 2,
            "test_examples": 20,
            "seed": 0,
        },
        "draws": 0,
    },
    "model": {"kind": "diagonal", "u": 0.1, "v": 0.0},
    "training": {
        "steps": 300,
        "batch_size": 1,
        "loss": "half_mse",
        "sampling": "with_replacement",
        "decay_after_update": True,
        "label_noise": 0.0,
        "sam_radius": 0.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "seeds": 3,
        "arms": ["order"],
        "evaluations": 10,
        "snapshots": 2,
    },
    "measures": {"rank_thresholds": [1e-15, 1e-4], "l0_thresholds": [1e-50, 1e-4], "correlation_thresholds": []},
    "schedules": {},
}
BASE = {"step_size": 0.1, "decay_at": 0.5, "decayed_step_size": 0.05}


def point_of(**settings: Any) -> sweep.Point:
    training = DIAGONAL["training"]
    return sweep.Point(**{key: training[key] for key in sweep.TRAINING}, **settings)


def spec(arm: str, sweeps: dict[str, Any], seeds: int = 3) -> StudySpec[Any, Any]:
    settings = {"kind": "sweep", "experiment": "diagonal", "arm": arm, "seeds": seeds, "base": BASE, "sweeps": sweeps}
    return study_of({"study": "made_up", "settings": settings, "experiments": {"diagonal": DIAGONAL}})


@pytest.fixture(scope="module")
def study() -> xr.Dataset:
    return sweep.study(
        spec(
            "data",
            {
                "duration": {"vary": "decay_at", "decay_at": [0.3, 0.5], "hold": {}},
                "size": {"vary": "step_size", "step_size": [0.1, 50.0], "hold": {}},
                "sharp": {"vary": "sam_radius", "sam_radius": [0.0, 0.1], "hold": {"step_size": 0.05}},
            },
        ),
        threads=1,
    )


def test_a_point_is_trained_like_a_cell(study: xr.Dataset) -> None:
    training = DIAGONAL["training"] | {"arms": ["data"]}
    schedule = CONSTANT | {"step_size": 0.1, "decays": [{"at": 0.3, "divide_by": 2.0}]}
    data = stages.worker("data", "sparse_regression").draw(as_settings(DIAGONAL["data"]["data"]), 3)
    cell = {"cell": "x", "model": DIAGONAL["model"], "training": training, "schedule": schedule}
    losses, kept = train(cell, data)
    point = study.isel(point=0)
    np.testing.assert_array_equal(point["train_loss"], losses["train_loss"].isel(arm=0, step=-1))
    np.testing.assert_allclose(point["test_loss"], losses["test_loss"].isel(arm=0, step=-1), rtol=1e-12)
    u, v = np.split(kept["parameters"].values[0, :, -1], 2, axis=-1)
    np.testing.assert_array_equal(point["l0"].sel(l0_threshold=1e-4), np.sum(np.abs(u * v) > 1e-4, axis=-1))


def test_losses_along_training_are_those_of_a_cell(study: xr.Dataset) -> None:
    """In sweeps of duration and of size; the base, which others share, has them too."""
    training = DIAGONAL["training"] | {"arms": ["data"], "evaluations": sweep.EVALUATIONS, "snapshots": 1}
    schedule = CONSTANT | {"step_size": 0.1, "decays": [{"at": 0.3, "divide_by": 2.0}]}
    data = stages.worker("data", "sparse_regression").draw(as_settings(DIAGONAL["data"]["data"]), 3)
    losses, _ = train({"cell": "x", "model": DIAGONAL["model"], "training": training, "schedule": schedule}, data)
    for name in ("train_loss", "test_loss"):
        along = study[f"{name}_along"].transpose("point", "seed", "evaluation")
        np.testing.assert_array_equal(along[0], losses[name].isel(arm=0).transpose("seed", "step"))
        np.testing.assert_allclose(along.isel(evaluation=-1)[:2], study[name][:2], rtol=1e-12)
        assert along[[0, 1, 4]].notnull().all()
        assert along[[2, 3]].isnull().all()
        short = sweep._along(losses.isel(arm=0, step=slice(7)), name, 3, follow=True)
        assert short.shape == (3, sweep.EVALUATIONS + 1)
        np.testing.assert_array_equal(np.unique(short[0]), np.unique(along[0, 0, :7]))


def test_equal_points_have_equal_results_and_are_the_base(study: xr.Dataset) -> None:
    assert study["base"].values.tolist() == [0, 1, 0, 0, 1, 0]
    assert study["sweep"].values.tolist() == ["duration"] * 2 + ["sharp"] * 2 + ["size"] * 2
    np.testing.assert_array_equal(study["train_loss"][1], study["train_loss"][4])
    assert np.any(study["train_loss"][0] != study["train_loss"][1])


def test_diverged_runs_are_nan_and_named(study: xr.Dataset) -> None:
    lost = study.isel(point=5)
    assert (lost["diverged_step"] >= 0).all()
    for name in ("train_loss", "test_loss", "rank", "l0", "effective_rank", "phase_loss"):
        assert lost[name].isnull().all(), name
    assert not lost["dead"].any()


def test_level_is_the_mean_over_the_second_half_of_the_phase(study: xr.Dataset) -> None:
    training = DIAGONAL["training"] | {"arms": ["data"], "evaluations": sweep.EVALUATIONS, "snapshots": 1}
    data = stages.worker("data", "sparse_regression").draw(as_settings(DIAGONAL["data"]["data"]), 3)
    schedule = CONSTANT | {"step_size": 0.1, "decays": [{"at": 0.5, "divide_by": 2.0}]}
    cell = {"cell": "x", "model": DIAGONAL["model"], "training": training, "schedule": schedule}
    losses, _ = train(cell, data)
    steps = losses["step"].values
    inside = (steps >= 75) & (steps <= 150)
    assert inside.sum() > 5
    wanted = losses["train_loss"].values[0][:, inside].mean(axis=1)
    np.testing.assert_allclose(study["phase_loss"].values[1], wanted)


def test_sharpness_aware_steps_by_hand() -> None:
    """Training with `sam_radius` is a plain loop in NumPy over the same examples."""
    radius, size = 0.1, 0.05
    training = DIAGONAL["training"] | {"sam_radius": radius, "steps": 40, "seeds": 1}
    data = stages.worker("data", "sparse_regression").draw(as_settings(DIAGONAL["data"]["data"]), 0)
    schedule = CONSTANT | {"step_size": size}
    cell = {"cell": "x", "model": DIAGONAL["model"], "training": training, "schedule": schedule}
    _, kept = train(cell, data)
    x, y = data["train_inputs"].values[0], data["train_labels"].values[0]
    u, v = np.full(10, 0.1), np.zeros(10)
    for i in np.random.default_rng([1, 0]).integers(8, size=39):
        r = x[i] @ (u * v) - y[i]
        gu, gv = r * x[i] * v, r * x[i] * u
        length = np.sqrt(gu @ gu + gv @ gv)
        au, av = u + radius * gu / length, v + radius * gv / length
        r = x[i] @ (au * av) - y[i]
        u, v = u - size * r * x[i] * av, v - size * r * x[i] * au
    np.testing.assert_allclose(kept["parameters"].values[0, 0, -1], np.concatenate([u, v]), rtol=1e-10)


def test_figure_has_a_panel_for_every_sweep_on_a_page_for_every_measure(study: xr.Dataset) -> None:
    drawn = figure.draw(study)
    assert isinstance(drawn, style.Book)
    assert len(drawn.pages) == len(figure.panels_of(study)) + 1
    for page in drawn.pages:
        titles = [ax.get_title(loc="left").split("\n")[0][4:] for ax in page.axes]
        assert titles == ["duration", "sharp", "size"]
        assert len({ax.get_ylim() for ax in page.axes}) == 1


def test_pages_of_one_measure_have_the_same_ticks(study: xr.Dataset) -> None:
    """Nine sweeps: two pages for every measure, of which the first is a loss on a logarithmic axis."""
    more = [study.assign(sweep=("point", [f"{name}{part}" for name in study["sweep"].values])) for part in range(3)]
    first, second, *_ = figure.draw(xr.concat(more, "point", data_vars="minimal", coords="minimal")).pages
    assert len(first.axes) + len(second.axes) == 9
    for ax in (*first.axes, *second.axes):
        assert ax.get_yscale() == "log"
        assert ax.get_ylim() == first.axes[0].get_ylim()
        assert not len(ax.yaxis.get_minorticklocs())


Change = Callable[[dict[str, Any]], object]


def sweep_of(study: dict[str, Any]) -> dict[str, Any]:
    return next(iter(study["sweeps"].values()))


BROKEN: list[tuple[str, Change, str, str]] = [
    ("misspelt key", lambda s: s.update(seed=3), "seed", "unknown key"),
    ("no base", lambda s: s["base"].pop("decay_at"), "base.decay_at", "missing"),
    ("misspelt quantity", lambda s: sweep_of(s).update(batchsize=[1, 2]), "sweeps.one.batchsize", "unknown key"),
    ("one value", lambda s: sweep_of(s).update(decay_at=[0.5]), "sweeps.one.decay_at", "at least 2 items"),
    ("not a list", lambda s: sweep_of(s).update(decay_at=0.5), "sweeps.one.decay_at", "must be a list; write [0.5]"),
    ("nothing varied", lambda s: s["sweeps"].update(one={}), "sweeps.one", "varies nothing"),
    (
        "two quantities",
        lambda s: sweep_of(s).update(momentum=[0.0, 0.9]),
        "sweeps.one",
        "varies decay_at and momentum",
    ),
    ("lists that do not match", lambda s: sweep_of(s).update(step_size=[0.1] * 3), "sweeps.one", "of one length"),
    (
        "varied and held",
        lambda s: sweep_of(s).update(hold={"decay_at": 0.2}),
        "sweeps.one",
        "both varies and holds decay_at",
    ),
    ("unknown order", lambda s: s["base"].update(sampling="random"), "base.sampling", "random"),
]


@pytest.fixture(scope="module")
def tiny(repository: Path) -> dict[str, Any]:
    raw = config.read(repository / "tests/tiny/config.yaml")
    raw["studies"] = {
        "controls": {
            "title": "x",
            "paper": "none",
            "scale": "laptop",
            "kind": "sweep",
            "experiment": "diagonal",
            "arm": "order",
            "seeds": 2,
            "base": dict(BASE),
            "sweeps": {"one": {"decay_at": [0.1, 0.5]}},
        }
    }
    config.parse(raw, source="config.yaml")
    return raw


@pytest.mark.parametrize(("change", "key", "message"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_refused_in_one_line(tiny: dict[str, Any], change: Change, key: str, message: str) -> None:
    raw = copy.deepcopy(tiny)
    change(raw["studies"]["controls"])
    with pytest.raises(config.ConfigError) as caught:
        config.parse(raw, source="config.yaml")
    text = str(caught.value)
    assert text.startswith(f"config.yaml: studies.controls.{key}"), text
    assert message in text
    assert "\n" not in text


def test_batch_larger_than_the_data(tiny: dict[str, Any]) -> None:
    raw = copy.deepcopy(tiny)
    raw["studies"]["controls"]["sweeps"]["one"] = {"batch_size": [1, 9]}
    with pytest.raises(config.ConfigError, match=r"studies\.controls\.sweeps\.one: batch_size 9 exceeds the 8"):
        config.parse(raw, source="config.yaml")


def test_step_sizes_may_follow(tiny: dict[str, Any]) -> None:
    raw = copy.deepcopy(tiny)
    raw["studies"]["controls"]["sweeps"]["one"] = {"step_size": [0.1, 0.2], "batch_size": [1, 2], "steps": [400, 200]}
    parsed = config.parse(raw, source="config.yaml").studies["controls"]
    assert parsed.model_dump(mode="json")["sweeps"]["one"]["vary"] == "batch_size"
