"""A toy network that is new: named in the table of `stages`, it is trained and studied by what is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from largestep import config, grid, stages
from largestep.studies import label_noise, sharpness
from largestep.toys.update import Course, Rule, State, Task
from tests.conftest import REPOSITORY
from tests.settings import as_settings, train

Array = NDArray[np.float64]
MODEL = {"kind": "linear"}


class Net:
    """h(x) = <w, x>, started at 0: plain steps, written in NumPy."""

    random_init = False

    def __init__(self, model: Mapping[str, Any], dimension: int) -> None:
        self._dimension = dimension

    def initial(self, seeds: NDArray[np.int64]) -> Array:
        return np.zeros((len(seeds), self._dimension))

    def outputs(self, parameters: Array, inputs: Array, data_set: NDArray[np.int64] | None = None) -> Array:
        which = np.zeros(len(parameters), dtype=np.int64) if data_set is None else data_set
        return np.einsum("rni,ri->rn", inputs[which], parameters)

    def advance(self, state: State, task: Task, course: Course, rule: Rule) -> int:
        assert rule == Rule()
        for step, size in enumerate(course.step_sizes):
            chosen = course.indices[step] if course.indices.shape[1] else slice(None)
            x, y = task.inputs[chosen], task.labels[chosen]
            if course.label_noise.shape[1]:
                y = y + course.label_noise[step]
            residuals = x @ state.parameters - y
            if not np.isfinite(residuals).all():
                return step
            state.parameters[:] -= size * task.residual_factor * x.T @ residuals / len(y)
        return len(course.step_sizes)

    def hessian_extremes(self, parameters: Array, task: Task) -> Array:
        hessian = task.residual_factor * task.inputs.T @ task.inputs / len(task.labels)
        return np.linalg.eigvalsh(hessian)[[0, -1]]

    def module(self, parameters: Array) -> torch.nn.Module:
        net = torch.nn.Linear(self._dimension, 1, bias=False).double()
        torch.nn.utils.vector_to_parameters(torch.tensor(parameters), net.parameters())
        return net


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("linear_net")
    module.Net = Net  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "linear_net", module)
    monkeypatch.setitem(stages.TOYS, "linear", "linear_net")


def spec_of(study: str) -> dict[str, Any]:
    tiny = config.load(REPOSITORY / "tests/tiny/config.yaml")
    spec: dict[str, Any] = json.loads(grid.study_spec(tiny, study))
    for experiment in spec["experiments"].values():
        experiment["model"] = MODEL
    return spec


def test_it_is_trained() -> None:
    tiny = config.load(REPOSITORY / "tests/tiny/config.yaml")
    spec = json.loads(grid.cells(tiny)["diagonal.small"].spec("train")) | {"model": MODEL}
    data = stages.worker("data", "sparse_regression").draw(as_settings(spec["data"]["data"]), spec["data"]["draws"])
    losses, snapshots = train(spec, data)
    assert (losses["diverged_step"] == -1).all()
    assert (losses["train_loss"].isel(step=-1) < 0.5 * losses["train_loss"].isel(step=0)).all()
    assert snapshots.sizes["parameter"] == 10


def test_its_sharpness_is_studied() -> None:
    spec = spec_of("sharpness")
    spec["settings"]["runs"] = {"gd": spec["settings"]["runs"]["gd"]}
    descent = sharpness.study(as_settings(spec), 1).sel(run="gd")
    assert not descent["linear"].item()
    # The loss is quadratic: one curvature everywhere, and no step beyond its edge of stability.
    np.testing.assert_allclose(descent["sharpness"], descent["sharpness"].values[:, :1].repeat(12, axis=1))
    assert (descent["loss_median"].isel(block=-1) < descent["loss_median"].isel(block=0)).all()


def test_proposition_2_1_holds_for_it() -> None:
    spec = spec_of("label_noise")
    spec["settings"]["networks"] = {"diagonal": spec["settings"]["networks"]["diagonal"]}
    errors = label_noise.study(as_settings(spec), 1)
    assert float(errors["update_error"].sel(precision="float64").max()) < 1e-12
