"""The training kernels against a plain float64 autograd loop, and what a diverging run may not touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep.models import dense as architecture
from largestep.toys.runs import Problem
from largestep.toys.runs import Runs as Trained
from largestep.toys.update import Rule
from tests.settings import as_settings

Array = NDArray[np.float64]
STEPS = 100
EXAMPLES = 12


def _layers(*units: int, biased: tuple[bool, ...]) -> list[Any]:
    law = {"law": "gaussian", "scale": 0.5}
    return as_settings(
        [{"units": n, "weight": law, "bias": law if b else None} for n, b in zip(units, biased, strict=True)]
    )


@dataclass(frozen=True)
class Net:
    """A network under test: layers is empty for the diagonal one."""

    inputs: int
    layers: list[Any]
    step_size: float

    def initial(self, seed: int) -> Array:
        if self.layers:
            return architecture.draw(self.inputs, self.layers, seed)
        return 0.3 * np.random.default_rng(seed).standard_normal(2 * self.inputs)

    def problem(self, inputs: Array, labels: Array, residual_factor: float) -> Problem:
        data = xr.Dataset(
            {
                "train_inputs": (("data_set", "example", "input"), inputs),
                "train_labels": (("data_set", "example"), labels),
            }
        )
        model = {"kind": "dense", "layers": self.layers} if self.layers else {"kind": "diagonal", "u": 0.0, "v": 0.0}
        return Problem(as_settings(model), data, {1.0: "half_mse", 2.0: "mse"}[residual_factor])


NETS = {
    "diagonal": Net(30, [], 0.05),
    "1-100-1, hidden bias": Net(1, _layers(100, 1, biased=(True, False)), 0.002),
    "1-100-1, no biases": Net(1, _layers(100, 1, biased=(False, False)), 0.002),
    "2-20-1, no biases": Net(2, _layers(20, 1, biased=(False, False)), 0.02),
    "2-20-1, biases": Net(2, _layers(20, 1, biased=(True, True)), 0.02),
    "5-10-10-1, biases": Net(5, _layers(10, 10, 1, biased=(True, True, True)), 0.01),
    "5-10-10-1, no biases": Net(5, _layers(10, 10, 1, biased=(False, False, False)), 0.01),
}
VARIANTS = {
    "plain": {},
    "label noise": {"label_noise": 0.3},
    "momentum": {"momentum": 0.5},
    "weight decay": {"weight_decay": 0.05},
    "noise that follows the loss": {"label_noise": 0.3, "noise_follows_loss": True},
    "sharpness-aware": {"sam_radius": 0.1},
    "all": {
        "label_noise": 0.3,
        "momentum": 0.5,
        "weight_decay": 0.05,
        "noise_follows_loss": True,
        "sam_radius": 0.1,
    },
}


class Runs:
    """Runs of a network that differ in initial parameters, data set, example order and label noise."""

    def __init__(
        self,
        net: Net,
        seeds: range = range(2),
        batch: int = 1,
        label_noise: float = 0.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        noise_follows_loss: bool = False,
        sam_radius: float = 0.0,
    ) -> None:
        generator = np.random.default_rng(17)
        self.net, self.rule = net, Rule(momentum, weight_decay, sam_radius, noise_follows_loss)
        self.residual_factor = 2.0 if net.layers else 1.0
        self.inputs = generator.standard_normal((2, EXAMPLES, net.inputs))
        self.labels = generator.standard_normal((2, EXAMPLES))
        self.dataset = np.array(seeds) % 2
        self.initial = np.stack([net.initial(seed) for seed in seeds])
        self.indices = generator.integers(EXAMPLES, size=(len(seeds), STEPS, batch))
        self.noise = label_noise * generator.standard_normal(
            (len(seeds), STEPS, (batch or EXAMPLES) if label_noise else 0)
        )
        self.step_sizes = net.step_size * np.linspace(1.0, 0.5, STEPS)

    def kernel(self, blocks: tuple[int, ...] = (STEPS,), runs: list[int] | None = None) -> tuple[Array, Array]:
        """Final parameters and diverged_step of the given runs (all by default), taken in blocks of steps."""
        which = np.arange(len(self.initial)) if runs is None else np.array(runs)
        started = self.started(which)
        start = 0
        for steps in blocks:
            block = slice(start, start + steps)
            started.advance(self.step_sizes[block], self.indices[which, block], self.noise[which, block])
            start += steps
        return started.parameters, started.diverged_step

    def started(self, which: NDArray[np.int64]) -> Trained:
        """The given runs at their start."""
        problem = self.net.problem(self.inputs, self.labels, self.residual_factor)
        return Trained(problem, self.initial[which].copy(), self.dataset[which], self.rule)

    def reference(self, run: int) -> tuple[Array, int]:
        """Final parameters of one run by autograd, and the first step whose residual is not finite, or -1."""
        inputs = torch.from_numpy(self.inputs[self.dataset[run]])
        labels = torch.from_numpy(self.labels[self.dataset[run]])
        trained: list[torch.nn.Parameter]
        if self.net.layers:
            model = architecture.network(self.net.inputs, self.net.layers)
            torch.nn.utils.vector_to_parameters(torch.tensor(self.initial[run]), model.parameters())
            trained = list(model.parameters())
        else:
            trained = [torch.nn.Parameter(torch.tensor(half)) for half in np.split(self.initial[run], 2)]
        optimiser = torch.optim.SGD(trained, lr=1.0, momentum=self.rule.momentum, weight_decay=self.rule.weight_decay)
        for step in range(STEPS):
            chosen = torch.from_numpy(self.indices[run, step] if self.indices.shape[2] else np.arange(EXAMPLES))
            x, y = inputs[chosen], labels[chosen]

            def residual(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
                return (model(x).squeeze(1) if self.net.layers else x @ (trained[0] * trained[1])) - y

            if self.noise.size:
                scale = residual().detach().square().mean().sqrt() if self.rule.noise_follows_loss else 1.0
                y = y + scale * torch.from_numpy(self.noise[run, step])
            # Away from theta by the radius along the gradient there, and back before the update.
            for uphill in (False, True) if self.rule.sam_radius else (False,):
                if uphill:
                    before = [p.detach().clone() for p in trained]
                    length = torch.sqrt(sum(p.grad.square().sum() for p in trained))  # type: ignore[union-attr,misc]
                    reach = self.rule.sam_radius / length if length > 0 else 0.0
                    with torch.no_grad():
                        for p in trained:
                            p += reach * p.grad
                residuals = residual(x, y)
                if not torch.isfinite(residuals).all():
                    return np.full_like(self.initial[run], np.nan), step
                optimiser.zero_grad()
                (self.residual_factor / 2 * residuals.square().mean()).backward()
                if uphill:
                    with torch.no_grad():
                        for p, value in zip(trained, before, strict=True):
                            p.copy_(value)
            optimiser.param_groups[0]["lr"] = self.step_sizes[step]
            optimiser.step()
        return torch.nn.utils.parameters_to_vector(trained).detach().numpy(), -1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [1, 4, EXAMPLES, 0], ids=["batch 1", "batch 4", "full batch", "all examples"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("net", NETS)
def test_equals_autograd(net: str, variant: str, batch: int) -> None:
    runs = Runs(NETS[net], batch=batch, **VARIANTS[variant])
    if batch == EXAMPLES:
        runs.indices[:] = np.arange(EXAMPLES)
    parameters, diverged_step = runs.kernel()
    assert (diverged_step == -1).all()
    for run in range(2):
        expected, _ = runs.reference(run)
        assert np.linalg.norm(expected - runs.initial[run]) > 1e-2 * np.linalg.norm(expected)  # it has moved
        assert np.linalg.norm(parameters[run] - expected) <= 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("batch", [1, 0])
@pytest.mark.parametrize("variant", ["plain", "all"])
@pytest.mark.parametrize("net", NETS)
def test_blocks_equal_one_call(net: str, variant: str, batch: int) -> None:
    runs = Runs(NETS[net], batch=batch, **VARIANTS[variant])
    np.testing.assert_array_equal(runs.kernel((37, STEPS - 37))[0], runs.kernel()[0])


@pytest.mark.parametrize("variant", ["plain", "all"])
@pytest.mark.parametrize("net", NETS)
def test_divergence_is_recorded_and_stays_in_its_run(net: str, variant: str) -> None:
    runs = Runs(NETS[net], range(4), **VARIANTS[variant])
    runs.initial[1] *= 30.0
    parameters, diverged_step = runs.kernel((10, STEPS - 10))
    expected = [runs.reference(run)[1] for run in range(4)]
    assert expected[1] > 0
    np.testing.assert_array_equal(diverged_step, expected)
    np.testing.assert_array_equal(np.isnan(parameters).any(axis=1), diverged_step >= 0)
    assert np.isnan(parameters[1]).all()
    np.testing.assert_array_equal(parameters[[0, 2, 3]], runs.kernel((10, STEPS - 10), runs=[0, 2, 3])[0])


@pytest.mark.parametrize("net", NETS)
def test_watched_steps_are_the_plain_ones(net: str) -> None:
    """The same bits, and at every step the fit that the parameters before it have."""
    runs = Runs(NETS[net], range(3))
    runs.initial[1] *= 30.0
    started = runs.started(np.arange(3))
    scales = started.advance_watched(runs.step_sizes, runs.indices)
    parameters, diverged_step = started.parameters, started.diverged_step
    expected, expected_diverged = runs.kernel()
    np.testing.assert_array_equal(diverged_step, expected_diverged)
    np.testing.assert_array_equal(parameters, expected)
    assert diverged_step[1] >= 0
    assert np.isnan(scales[1, diverged_step[1] + 1 :]).all()
    for steps in (0, 37):
        before = Runs(NETS[net], range(3))
        if steps:
            before.initial[0] = before.kernel((steps,))[0][0]
        residuals = _jacobian_and_residuals(before, 0)[1]
        np.testing.assert_allclose(scales[0, steps], np.sqrt(np.mean(residuals**2)), rtol=1e-12)


@pytest.mark.parametrize("net", NETS)
def test_no_ascent_where_the_gradient_is_zero(net: str) -> None:
    """With exact labels a sharpness-aware run stays where it is."""
    runs = Runs(NETS[net], batch=0, sam_radius=0.1)
    runs.initial[:], runs.labels[:] = 0.0, 0.0
    parameters, diverged_step = runs.kernel()
    assert (diverged_step == -1).all()
    np.testing.assert_array_equal(parameters, 0.0)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("residual_factor", [1.0, 2.0])
def test_euler_maruyama_step_of_the_sde(net: str, residual_factor: float) -> None:
    """theta - g grad L + sqrt(g) sqrt(eta delta) phi^T Z, delta = (2/n) L, L half the mean square (paper, section 2.3).

    With the mean square as the loss, g and eta are twice the step sizes.
    """
    runs = Runs(NETS[net], batch=0, noise_follows_loss=True, label_noise=1.0)
    runs.residual_factor, substeps = residual_factor, 10
    normal = runs.noise[0, 0].copy()
    runs.noise *= np.sqrt(substeps * EXAMPLES)
    eta = runs.step_sizes[0] * residual_factor
    runs.step_sizes[0] /= substeps
    jacobian, residuals = _jacobian_and_residuals(runs, 0)
    g, loss = eta / substeps, 0.5 * np.mean(residuals**2)
    drift = jacobian.T @ residuals / EXAMPLES
    diffusion = np.sqrt(eta * (2.0 / EXAMPLES) * loss) * jacobian.T @ normal
    expected = runs.initial[0] - g * drift + np.sqrt(g) * diffusion
    parameters, _ = runs.kernel((1,))
    np.testing.assert_allclose(parameters[0], expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def _jacobian_and_residuals(runs: Runs, run: int) -> tuple[Array, Array]:
    """phi (n, p) and h(x) - y (n,) of a run at its start, by autograd."""
    x = torch.from_numpy(runs.inputs[runs.dataset[run]])
    if runs.net.layers:
        model = architecture.network(runs.net.inputs, runs.net.layers)
        torch.nn.utils.vector_to_parameters(torch.tensor(runs.initial[run]), model.parameters())
        trained, outputs = list(model.parameters()), model(x).squeeze(1)
    else:
        trained = [torch.nn.Parameter(torch.tensor(half)) for half in np.split(runs.initial[run], 2)]
        outputs = x @ (trained[0] * trained[1])
    rows = [torch.autograd.grad(output, trained, retain_graph=True) for output in outputs]
    jacobian = np.stack([torch.cat([part.flatten() for part in row]).numpy() for row in rows])
    return jacobian, outputs.detach().numpy() - runs.labels[runs.dataset[run]]


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba was started with a single thread")
@pytest.mark.parametrize("net", NETS)
def test_threads_do_not_change_bits(net: str) -> None:
    runs = Runs(NETS[net], range(5), batch=4, **VARIANTS["all"])
    before = numba.get_num_threads()
    try:
        parameters = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            parameters.append(runs.kernel()[0])
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(parameters[0], parameters[1])


def test_runs_and_inputs_start_on_a_cache_line_and_leave_what_they_are_given() -> None:
    given = np.random.default_rng(0).standard_normal((3, 2 * NETS["diagonal"].inputs))
    kept = given.copy()
    trial = Runs(NETS["diagonal"], range(3))
    problem = NETS["diagonal"].problem(trial.inputs, trial.labels, 1.0)
    runs = Trained(problem, given)
    branched = runs.branch(np.array([2, 0]))
    for array in (problem.inputs, runs.parameters, branched.parameters):
        assert array.ctypes.data % 64 == 0
    runs.advance(np.full(4, 0.01), trial.indices[:, :4])
    assert not np.array_equal(runs.parameters, kept)
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_array_equal(branched.parameters, kept[[2, 0]])
