"""Extreme eigenvalues of Hessians against autograd, finite differences and Lanczos; spikes of made-up curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from largestep.measures.spikes import rise_after_peak, spikes
from largestep.models import dense
from largestep.toys.network import network
from largestep.toys.update import Task
from tests.settings import as_settings

Array = NDArray[np.float64]
LAW = {"law": "gaussian", "scale": 0.7}
FACTORS = [pytest.param(1.0, id="half_mse"), pytest.param(2.0, id="mse")]


def _layers(*units: int, biased: tuple[bool, ...]) -> list[Any]:
    return as_settings(
        [{"units": n, "weight": LAW, "bias": LAW if b else None} for n, b in zip(units, biased, strict=True)]
    )


NETS = {
    "1-30-1, hidden bias": (1, _layers(30, 1, biased=(True, False))),
    "2-20-1, no biases": (2, _layers(20, 1, biased=(False, False))),
    "5-6-6-1, biases": (5, _layers(6, 6, 1, biased=(True, True, True))),
}


def _problem(d: int, n: int = 12) -> tuple[Array, Array]:
    generator = np.random.default_rng(3)
    return generator.standard_normal((n, d)), generator.standard_normal(n)


def diagonal_extremes(flat: Array, x: Array, y: Array, residual_factor: float) -> Array:
    net = network(as_settings({"kind": "diagonal", "u": 0.0, "v": 0.0}), x.shape[1])
    return net.hessian_extremes(flat, Task(x, y, residual_factor))


def dense_extremes(flat: Array, x: Array, y: Array, layers: list[Any], residual_factor: float) -> Array:
    net = network(as_settings({"kind": "dense", "layers": layers}), x.shape[1])
    return net.hessian_extremes(flat, Task(x, y, residual_factor))


@pytest.mark.parametrize("residual_factor", FACTORS)
def test_diagonal_against_autograd(residual_factor: float) -> None:
    x, y = _problem(7)
    flat = np.random.default_rng(4).standard_normal(14)

    def loss(parameters: torch.Tensor) -> torch.Tensor:
        outputs = torch.from_numpy(x) @ (parameters[:7] * parameters[7:])
        return residual_factor / 2 * (outputs - torch.from_numpy(y)).square().mean()

    full = torch.autograd.functional.hessian(loss, torch.from_numpy(flat)).numpy()
    expected = np.linalg.eigvalsh(full)[[0, -1]]
    np.testing.assert_allclose(diagonal_extremes(flat, x, y, residual_factor), expected, rtol=1e-12)


@pytest.mark.parametrize("residual_factor", FACTORS)
@pytest.mark.parametrize("net", NETS)
def test_dense_against_finite_differences(net: str, residual_factor: float) -> None:
    d, layers = NETS[net]
    x, y = _problem(d)
    flat = dense.draw(d, layers, 1)
    model = dense.network(d, layers)

    def gradient(parameters: Array) -> Array:
        torch.nn.utils.vector_to_parameters(torch.tensor(parameters), model.parameters())
        model.zero_grad()
        outputs = model(torch.from_numpy(x)).squeeze(1)
        (residual_factor / 2 * (outputs - torch.from_numpy(y)).square().mean()).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).numpy()

    step = 1e-6  # too short to switch a unit on or off
    columns = [(gradient(flat + step * unit) - gradient(flat - step * unit)) / (2 * step) for unit in np.eye(len(flat))]
    full = np.stack(columns)
    extremes = dense_extremes(flat, x, y, layers, residual_factor)
    np.testing.assert_allclose(extremes, np.linalg.eigvalsh((full + full.T) / 2)[[0, -1]], rtol=1e-6)

    def product(vector: Array) -> Array:
        return (gradient(flat + step * vector.ravel()) - gradient(flat - step * vector.ravel())) / (2 * step)

    start = np.random.default_rng(0).standard_normal(len(flat))
    operator = LinearOperator(full.shape, matvec=product, dtype=np.float64)
    lanczos = eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)
    np.testing.assert_allclose(extremes[1], lanczos[0], rtol=1e-6)


def test_a_hessian_that_overflows_has_no_eigenvalues() -> None:
    x, y = _problem(5)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(diagonal_extremes(np.full(10, 1e200), x, y, 1.0)).all()
    d, layers = NETS["5-6-6-1, biases"]
    wide = np.random.default_rng(0).standard_normal((12, d))
    assert np.isnan(dense_extremes(1e200 * dense.draw(d, layers, 0), wide, y, layers, 2.0)).all()


def test_two_over_step_size_is_where_gradient_descent_turns_unstable() -> None:
    """At a minimum, a step just below 2/sharpness comes back and one just above it does not."""
    x, truth = np.random.default_rng(5).standard_normal((6, 4)), np.array([0.5, 1.0, 1.5, 2.0])
    minimum = np.sqrt(np.concatenate([truth, truth]))
    for residual_factor in (1.0, 2.0):
        sharpness = diagonal_extremes(minimum, x, x @ truth, residual_factor)[1]
        distances = []
        for step_size in (1.95 / sharpness, 2.05 / sharpness):
            flat = minimum + 1e-9 * np.random.default_rng(6).standard_normal(8)
            for _ in range(300):
                u, v = flat[:4], flat[4:]
                slope = residual_factor * x.T @ (x @ (u * v) - x @ truth) / 6
                flat = flat - step_size * np.concatenate([slope * v, slope * u])
            distances.append(np.abs(x @ (flat[:4] * flat[4:]) - x @ truth).max())
        assert distances[0] < 1e-10 < 1e-6 < distances[1]


def test_monotone_curves_have_no_spikes() -> None:
    steps = np.arange(2000)
    for losses in (np.exp(-steps / 10.0), np.exp(steps / 400.0), 1.0 / (1.0 + steps), np.ones(2000)):
        assert spikes(losses, 1) == 0
    assert rise_after_peak(np.exp(-steps / 10.0)) == 0.0


def test_spikes_are_counted_by_prominence_and_distance() -> None:
    losses = np.ones(3000)
    losses[500], losses[1000], losses[1030], losses[2000] = 3.0, 5.0, 4.0, 1.9
    assert spikes(losses, 1) == 2  # that at 1030 is one with that at 1000, and the last is too low
    assert spikes(losses, 10) == 3  # evaluated every 10 updates, 1000 and 1030 lie far apart
    assert rise_after_peak(losses) == pytest.approx(np.log10(4.0))


def test_a_catapult_has_one_spike() -> None:
    steps = np.arange(500)
    losses = np.where(steps < 8, 2.0**steps, 2.0**8 * np.exp(-(steps - 8) / 20.0))
    assert spikes(losses, 1) == 1
    assert rise_after_peak(losses) == 0.0
