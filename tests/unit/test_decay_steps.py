"""The step at which the step size is divided: one, in what is trained, studied, measured and drawn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import animation, config, grid, stages
from largestep.claims import large_step_phase
from largestep.figures import curves, schedules
from largestep.figures import loss_slice as slice_figure
from largestep.figures import sharpness as sharpness_figure
from largestep.figures import stabilisation as stabilisation_figure
from largestep.measures.stabilisation import stabilisation
from largestep.recording import datasets
from largestep.schedules import PHASE_OF_IMAGES, Decay, Law, Rise, Schedule, is_large, second_half
from largestep.studies import flows, loss_slice, sharpness
from tests.conftest import REPOSITORY
from tests.settings import as_settings, study_of, train

# Of the 401 steps of the tiny diagonal network, which are divided at half.
DUE = 200
TINY = REPOSITORY / "tests/tiny/config.yaml"


def parsed(after_update: bool) -> Any:
    raw = config.read(TINY)
    raw["experiments"]["diagonal"]["training"]["decay_after_update"] = after_update
    return config.parse(raw, "tiny")


def dotted(axes: list[Any]) -> set[float]:
    """Where vertical dotted lines stand."""
    return {float(line.get_xdata()[0]) for ax in axes for line in ax.lines if line.get_linestyle() == ":"}


def spec_of(tiny: Any, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(grid.study_spec(tiny, name))
    return spec


@pytest.fixture(params=[False, True], ids=["before the update", "after it"])
def after_update(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def cell(tiny: Any) -> xr.Dataset:
    """The cell decay50 as the aggregate has it."""
    spec = json.loads(grid.cells(tiny)["diagonal.decay50"].spec("train"))
    data = stages.worker("data", "sparse_regression").draw(as_settings(spec["data"]["data"]), spec["data"]["draws"])
    losses, _ = train(spec | {"training": spec["training"] | {"evaluations": 400, "arms": ["order"]}}, data)
    dataset = losses.expand_dims(cell=["decay50"]).assign(decay_fraction=("cell", [0.5]))
    return dataset.merge(stabilisation(dataset)).assign_attrs(title="t", paper="p")


def test_training_measures_and_views_agree(after_update: bool) -> None:
    first = DUE + after_update
    dataset = cell(parsed(after_update))
    sizes = dataset["step_size"].isel(cell=0).values
    assert dataset["decay_step"].values.tolist() == [[first]]
    assert np.flatnonzero(np.diff(sizes) < 0).tolist() == [first - 1]
    assert dotted(curves.draw(dataset).axes) == {first}
    assert first in dotted(stabilisation_figure.draw(dataset).axes)
    line = schedules.draw(dataset).axes[0].lines[0]
    falls = np.flatnonzero(np.diff(line.get_ydata()) < 0)
    assert (line.get_xdata()[falls], line.get_xdata()[falls + 1]) == (first, first)
    steps = dataset["step"].values
    assert steps[is_large(steps, first)][-1] == first
    lasted = dataset["stabilisation_onset"] + dataset["stabilisation_steps"]
    assert set(lasted.values[np.isfinite(lasted.values)].tolist()) <= {first}
    at_all = dataset.isel(cell=0).assign_coords(snapshot_step=("snapshot_step", steps))
    assert steps[large_step_phase.snapshots_inside(at_all)][-1] == first


def test_studies_agree(after_update: bool) -> None:
    tiny, first = parsed(after_update), DUE + after_update
    along = flows.study(study_of(spec_of(tiny, "flows")), 1)
    assert along["decay_step"] == first
    assert along["sample"].min() == first // 2
    assert along["sample"].max() <= first
    spec = spec_of(tiny, "sharpness")
    spec["settings"]["runs"] = {"sgd": spec["settings"]["runs"]["sgd"] | {"evaluate_every": 1}}
    curvatures = sharpness.study(study_of(spec), 1)
    assert curvatures["decay_step"].values.tolist() == [first]
    assert curvatures["late_to"].values.tolist() == [first]
    assert dotted(sharpness_figure.draw(curvatures).axes) == {first}


def test_the_slice_of_the_loss_marks_the_step_that_is_divided() -> None:
    """Its diagonal network divides after the update."""
    spec = spec_of(parsed(True), "loss_slice")
    dataset = loss_slice.study(study_of(spec | {"settings": spec["settings"] | {"evaluations": 400}}), 1)
    assert dataset["decay_step"] == DUE + 1
    assert DUE + 1 in dotted(slice_figure.draw(dataset).axes)
    assert DUE + 1 in animation.frames(dataset)


def test_later_decays_have_their_steps_too() -> None:
    schedule = Schedule(Law(1.0, [Decay(0.5, 2.0), Decay(0.8, 2.0)]), 11, decay_after_update=True)
    assert schedule.decay_steps == [6, 9]
    np.testing.assert_array_equal(schedule.sizes, [1.0] * 6 + [0.5] * 3 + [0.25] * 2)
    np.testing.assert_array_equal(np.flatnonzero(second_half(np.arange(11), schedule.decay_step)), [3, 4, 5, 6])


def test_without_a_decay_no_step_is_of_the_phase() -> None:
    schedule = Schedule(Law(1.0), 5)
    assert not is_large(np.arange(5), schedule.decay_step).any()


def test_a_decay_before_the_first_update_divides_every_size() -> None:
    schedule = Schedule(Law(1.0, [Decay(0.05, 4.0)]), 12, phase=PHASE_OF_IMAGES)
    assert schedule.decay_steps == [0]
    np.testing.assert_array_equal(schedule.sizes, np.full(12, 0.25))


def test_stores_have_the_peak_even_where_it_is_not_recorded() -> None:
    schedule = Schedule(Law(1.0, [Decay(0.5, 2.0)], Rise(3.0)), 100)
    curves = {"train_loss": (np.ones((1, 3)), "1", "loss")}
    training = as_settings({"arms": ["order"], "seeds": 1, "evaluations": 2, "snapshots": 1})
    losses, _ = datasets(training, 100, schedule, curves, None, np.array([-1]), np.array([0]))
    assert losses["step"].values.tolist() == [0, 50, 99]
    assert losses["peak_step_size"] == schedule.sizes[49] > losses["step_size"].max()
