"""Jacobians against one backward pass per example; singular values and ranks against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from largestep.measures.thresholds import rank
from largestep.models import dense
from largestep.toys.dense import Net
from largestep.toys.network import network
from tests.settings import as_settings

Array = NDArray[np.float64]
LAW = {"law": "gaussian", "scale": 0.7}


def _layers(*units: int, biased: tuple[bool, ...]) -> list[Any]:
    return as_settings(
        [{"units": n, "weight": LAW, "bias": LAW if b else None} for n, b in zip(units, biased, strict=True)]
    )


DIAGONAL = {"kind": "diagonal", "u": 0.0, "v": 0.0}
NETS = {
    "1-100-1, hidden bias": (1, _layers(100, 1, biased=(True, False))),
    "2-20-1, no biases": (2, _layers(20, 1, biased=(False, False))),
    "5-10-10-1, biases": (5, _layers(10, 10, 1, biased=(True, True, True))),
}


def _net(inputs: int, layers: Any) -> Net:
    return Net(as_settings({"layers": layers}), inputs)


def _one_backward_per_example(flat: Array, inputs: Array, layers: Any) -> Array:
    model = dense.network(inputs.shape[1], layers)
    torch.nn.utils.vector_to_parameters(torch.tensor(flat), model.parameters())
    rows = []
    for x in torch.from_numpy(inputs):
        model.zero_grad()
        model(x).squeeze().backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("net", NETS)
def test_dense_jacobian(net: str) -> None:
    d, layers = NETS[net]
    inputs = np.random.default_rng(0).standard_normal((40, d))
    parameters = np.stack([dense.draw(d, layers, seed) for seed in range(3)])
    expected = np.stack([_one_backward_per_example(flat, inputs, layers) for flat in parameters])
    jacobian = _net(d, layers).jacobian(parameters, inputs)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rows", [40, 350], ids=["fewer inputs than parameters", "more"])
@pytest.mark.parametrize("net", NETS)
def test_dense_singular_values(net: str, rows: int) -> None:
    d, layers = NETS[net]
    inputs = np.random.default_rng(0).standard_normal((rows, d))
    parameters = np.stack([dense.draw(d, layers, seed) for seed in range(4)])
    output = -layers[-2].units - (layers[-1].bias is not None)  # where the output weights start
    parameters[1, output : output + 3] = 0.0
    parameters[2, output : output + 3] *= 1e6
    parameters[3, : output + 1] = 0.0
    expected = np.linalg.svd(_net(d, layers).jacobian(parameters, inputs), compute_uv=False)
    values = _net(d, layers).singular_values(parameters, inputs)
    assert values.shape == expected.shape
    assert (np.abs(values - expected) <= 1e-14 * expected[:, :1]).all()
    for threshold in (1e-2, 1e-4):
        np.testing.assert_array_equal(rank(values, threshold), rank(expected, threshold))


def test_diverged_checkpoint_leaves_the_others() -> None:
    d, layers = NETS["2-20-1, no biases"]
    good = dense.draw(d, layers, 0)
    inputs = np.random.default_rng(0).standard_normal((50, d))
    values = _net(d, layers).singular_values(np.stack([good, np.full_like(good, np.nan)]), inputs)
    np.testing.assert_array_equal(values[0], _net(d, layers).singular_values(good[None], inputs)[0])
    assert np.isnan(values[1]).all()


def test_diagonal_singular_values() -> None:
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((60, 30))
    # Coordinates span many orders of magnitude, as at the end of training.
    parameters = generator.standard_normal((2, 4, 60)) * 10.0 ** generator.uniform(-6, 0, (2, 4, 60))
    expected = np.empty((2, 4, 30))
    for index in np.ndindex(2, 4):
        u, v = np.split(parameters[index], 2)
        expected[index] = np.linalg.svd(np.hstack([inputs * u, inputs * v]), compute_uv=False)[:30]
    values = network(as_settings(DIAGONAL), inputs.shape[1]).singular_values(parameters, inputs)
    np.testing.assert_allclose(values, expected, atol=1e-13 * expected.max())
    for threshold in (1e-2, 1e-4):
        np.testing.assert_array_equal(rank(values, threshold), rank(expected, threshold))


def test_rank_of_sparse_zero_and_diverged_runs() -> None:
    inputs = np.random.default_rng(2).standard_normal((20, 10))
    parameters = np.zeros((3, 20))
    parameters[0, [1, 4, 14, 17]] = 1.0  # coordinates 1, 4 and 7
    parameters[2, 3] = np.nan
    values = network(as_settings(DIAGONAL), inputs.shape[1]).singular_values(parameters, inputs)
    np.testing.assert_array_equal(rank(values, 1e-12), [3.0, 0.0, np.nan])
    np.testing.assert_array_equal(rank(np.full((2, 3), np.nan), 1e-4), [np.nan, np.nan])


def test_rank_threshold_is_relative_and_strict() -> None:
    values = np.array([[10.0, 1.0, 0.1], [1.0, 0.1, 0.05]])
    np.testing.assert_array_equal(rank(values, 0.1), [1, 1])
    np.testing.assert_array_equal(rank(values, 0.01), [2, 3])
