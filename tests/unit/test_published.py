"""The published two-layer baseline, from its own seeds, through the public functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from largestep.data import teacher_student
from largestep.models import dense
from largestep.toys.runs import Problem, Runs

# The last evaluation of the published run, and its losses, from a rerun of the published code.
UPDATES = 14_032
TRAIN_LOSS, TEST_LOSS = 1.35384e-5, 6.09822e-4


def _layer(units: int, law: str, scale: float = 1.0) -> dict[str, Any]:
    return {"units": units, "weight": {"law": law, "scale": scale}, "bias": None}


def test_two_layer_baseline() -> None:
    problem = {
        "examples": 15,
        "dimension": 2,
        "test_examples": 1000,
        "seed": 1,
        "teacher": [_layer(3, "sphere"), _layer(1, "rademacher")],
    }
    data = teacher_student.draw(problem, draws=0)
    labels = data["train_labels"].values
    np.testing.assert_allclose(labels[0, :4], [0.9664, -0.5862, 0.4440, 0.9520], atol=5e-5)

    layers = [_layer(20, "gaussian", 0.5), _layer(1, "gaussian", 0.0)]
    parameters = dense.draw(2, layers, seed=0)[None]
    order = np.random.RandomState(0)
    indices = np.array([order.choice(15, size=1, replace=False) for _ in range(UPDATES)])[None]
    # The loss is the mean square, without a half.
    runs = Runs(Problem({"kind": "dense", "layers": layers}, data, "mse"), parameters)
    runs.advance(np.full(UPDATES, 0.13), indices)

    assert runs.diverged_step[0] == -1
    assert runs.loss()[0] == pytest.approx(TRAIN_LOSS, rel=1e-3)
    assert runs.test_loss()[0] == pytest.approx(TEST_LOSS, rel=1e-3)
