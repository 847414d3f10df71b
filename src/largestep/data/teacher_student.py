"""Unit-norm inputs labelled by a random ReLU teacher (paper, Fig. 5, 10, 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep.models import dense, flat
from largestep.store import variable

if TYPE_CHECKING:
    from largestep.config.data import TeacherStudent


def draw(settings: TeacherStudent, draws: int) -> xr.Dataset:
    """The problem of the given seed (data set 0) and `draws` further ones, which share its test inputs.

    Data set 0 is drawn in the order of the published code, in float32, so that a published seed gives
    the published problem. Returns the variables of `sparse_regression.draw` without truth, and teacher
    (data_set, teacher_parameter), and
    teacher_neurons (data_set, teacher_neuron, input).
    """
    n, d, m = settings.examples, settings.dimension, settings.test_examples
    layers = settings.teacher
    train, teachers = [], []
    test_inputs = np.empty((m, d))
    for index in range(draws + 1):
        seed = settings.seed if index == 0 else 1000 * settings.seed + index
        generator = np.random.RandomState(seed)
        train.append(_on_sphere(generator.multivariate_normal(np.zeros(d), np.eye(d), n)))
        if index == 0:
            test_inputs = _on_sphere(generator.multivariate_normal(np.zeros(d), np.eye(d), m))
        teachers.append(dense.draw(d, layers, seed))
    inputs, teacher = np.stack(train), np.stack(teachers)
    which = np.arange(draws + 1)
    layout = flat.layout_of(d, layers)
    neurons, _ = flat.layers_of(teacher, layout)[0]
    test_labels = flat.predict(teacher, test_inputs[None], np.zeros_like(which), layout)
    return xr.Dataset(
        {
            "train_inputs": variable(("data_set", "example", "input"), inputs, "1", "training inputs, of unit norm"),
            "train_labels": variable(
                ("data_set", "example"), flat.predict(teacher, inputs, which, layout), "1", "training labels"
            ),
            "test_inputs": variable(
                ("test_example", "input"), test_inputs, "1", "test inputs, shared by all data sets"
            ),
            "test_labels": variable(("data_set", "test_example"), test_labels, "1", "test labels"),
            "rank_inputs": variable(("rank_example", "input"), test_inputs, "1", "fresh inputs of the Jacobian"),
            "teacher": variable(("data_set", "teacher_parameter"), teacher, "1", "parameters of the teacher"),
            "teacher_neurons": variable(
                ("data_set", "teacher_neuron", "input"), neurons, "1", "weights of the teacher's first layer"
            ),
        }
    )


def _on_sphere(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    single = rows.astype(np.float32)
    return (single / np.sqrt(np.sum(single**2, axis=1, keepdims=True))).astype(float)
