"""The step of a GPU: its updates are those of the CPU, and a killed run goes on to the same bits.

Single updates are compared from the same state, because a network with BatchNorm amplifies rounding: after eight steps
in float32 two devices may be a hundredth apart in the weights. In float64 whole runs are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from largestep import devices, store
from largestep.config.training import ImageTraining
from largestep.data.image_set import ImageSet
from largestep.images import step as image_step
from largestep.images import trainer as images
from largestep.images.batches import Batches
from largestep.images.checkpoints import Checkpoints
from largestep.images.step import Stepper
from largestep.models import networks
from largestep.specs.cells import ImageTrainSpec
from tests.image_runs import CPU, spec, training
from tests.reliability.test_kills import folder, survives_kills  # noqa: F401 a fixture
from tests.settings import as_settings
from tests.unit.test_images import in_eager_torch

ALL = {"momentum": 0.9, "weight_decay": 1e-3, "augmentation": {"crop_padding": 1, "flip": True}}
SETTINGS = {
    "plain": {},
    "momentum, weight decay and augmentation": ALL,
    "SAM": {"sam_radius": 0.01},
    "label noise": {"label_noise": 0.5},
}
UPDATES = 4
# Of the length of an update: how far from that in float64 it may be.
OFF = {"float64": 1e-9, "float32": 1e-2, "bfloat16": 0.1}
# In bfloat16 half of an update of a network with BatchNorm and two channels is rounding.
NARROW, PLAIN = spec()["model"], {"kind": "mlp", "hidden": [8]}
OWN = """
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6, classes)

    def forward(self, images):
        return self.head(self.drop(self.body(images).mean((2, 3))))
"""


def stepper(
    data: ImageSet,
    settings: ImageTraining,
    where: torch.device,
    double: bool = False,
    model: dict[str, Any] = NARROW,
) -> Stepper:
    net = networks.draw(as_settings(model), 1, 10, (8, 8), 0)
    net = (net.double() if double else net).to(where)
    return Stepper(net, Batches(data, settings, where), settings, where)


def state(one: Stepper) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights with running statistics, and velocities."""
    return networks.flatten(one.net).astype(np.float64), one.flat_velocities().astype(np.float64)


def update(one: Stepper, step: int, before: tuple[NDArray[np.float64], ...]) -> list[NDArray[np.float64]]:
    """What a step changes of this state: weights with running statistics, and velocities."""
    networks.load(one.net, before[0])
    if before[1].size:
        one.load_velocities(before[1])
    begun = state(one)
    one.begin(0, 0, np.full(UPDATES, 0.05))
    one.advance(step, step + 1)
    return [now - then for now, then in zip(state(one), begun, strict=True) if then.size]


def apart(actual: list[NDArray[np.float64]], expected: list[NDArray[np.float64]]) -> float:
    pairs = zip(actual, expected, strict=True)
    return max(float(np.linalg.norm(one - other) / np.linalg.norm(other)) for one, other in pairs)


@pytest.mark.parametrize("precision", OFF)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_an_update_is_that_of_float64_on_a_cpu(
    data: ImageSet, settings: dict[str, Any], precision: str, device: torch.device
) -> None:
    """Every update from the state that float64 has come to."""
    rounded = precision == "bfloat16"
    model = PLAIN if rounded else NARROW
    exact = stepper(data, training(**settings), CPU, double=True, model=model)
    given = settings | {"precision": "bfloat16"} if rounded else settings
    tried = stepper(data, training(**given), device, double=precision == "float64", model=model)
    for step in range(UPDATES):
        before = state(exact)
        expected = update(exact, step, before)
        assert apart(update(tried, step, before), expected) < OFF[precision]


def test_an_update_with_another_rule_is_found(data: ImageSet, device: torch.device) -> None:
    """The bound on float32 tells momentum and weight decay from none."""
    exact = stepper(data, training(**ALL), CPU, double=True)
    other = stepper(data, training(**ALL | {"weight_decay": 0.1}), device)
    before = state(exact)
    assert apart(update(other, 0, before), update(exact, 0, before)) > OFF["float32"]


def train(
    settings: dict[str, Any], data: ImageSet, kept: Checkpoints, device: torch.device
) -> tuple[xr.Dataset, NDArray[Any]]:
    trained = images.train(ImageTrainSpec.model_validate(settings), data, device, kept)
    return trained.losses, np.stack(list(trained.streamed["parameters"].slabs()))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_run_in_float64_is_that_of_an_eager_loop(
    data: ImageSet, settings: dict[str, Any], device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = networks.draw
    monkeypatch.setattr(networks, "draw", lambda *given: draw(*given).double())
    losses, kept = train(spec(0.02, 2, **settings), data, Checkpoints(tmp_path, "key"), device)
    for seed in (0, 1):
        expected, net = in_eager_torch(data, seed, np.full(8, 0.02), **settings)
        assert losses["minibatch_loss"].values[0, seed, 0] == pytest.approx(expected[0], abs=1e-9)
        np.testing.assert_allclose(kept[3 * seed + 2], networks.flatten(net), rtol=0, atol=1e-7)


def test_the_captured_step_is_the_step(data: ImageSet, gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    captured = stepper(data, training(**ALL), gpu)
    monkeypatch.setattr(Stepper, "_captured", lambda self: self._step)
    plain = stepper(data, training(**ALL), gpu)
    for step in range(UPDATES):
        before = state(plain)
        expected = update(plain, step, before)
        assert apart(update(captured, step, before), expected) < 1e-4


def dies_after(stretches: int) -> Callable[..., torch.Tensor]:
    """An `advance` that is cut short."""
    advance, left = image_step.Stepper.advance, [stretches]

    def dies(self: Stepper, first: int, last: int) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return advance(self, first, last)

    return dies


@pytest.fixture(params=["float32", "bfloat16", "own network"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two seeds, by what computes."""
    if request.param != "own network":
        return spec(0.05, 2, precision=request.param, **ALL)
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return spec(0.05, 2, **ALL) | {"model": {"kind": "own_net.Net", "options": {}, "blocks": ["body"]}}


def test_a_run_that_is_cut_short_goes_on_to_the_same_bits(
    data: ImageSet, settings: dict[str, Any], device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = train(settings, data, Checkpoints(tmp_path / "undisturbed", "key"), device)
    assert np.isfinite(undisturbed[1]).all()
    with monkeypatch.context() as patched:
        patched.setattr(image_step.Stepper, "advance", dies_after(6))
        with pytest.raises(KeyboardInterrupt):
            train(settings, data, Checkpoints(tmp_path / "killed", "key", every=0.0, share=1e9), device)
    again = train(settings, data, Checkpoints(tmp_path / "killed", "key"), device)
    xr.testing.assert_identical(undisturbed[0], again[0])
    np.testing.assert_array_equal(undisturbed[1], again[1])


def test_a_full_card_is_one_line_and_can_be_used_again(data: ImageSet, gpu: torch.device, tmp_path: Path) -> None:
    settings = spec(0.05, precision="bfloat16")
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        torch.cuda.empty_cache()
        with pytest.raises(store.StoreError) as caught, devices.out_of_memory("digits.large"):
            train(settings, data, Checkpoints(tmp_path / "full", "key"), gpu)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert str(caught.value).startswith(f"digits.large: out of memory on {devices.describe(gpu)}; lower training.batch")
    assert np.isfinite(train(settings, data, Checkpoints(tmp_path / "after", "key"), gpu)[1]).all()


def test_a_killed_job_on_a_card_ends_as_one_that_is_not(gpu: torch.device, folder: Path) -> None:  # noqa: F811
    """By SIGKILL; tests/reliability has the same on the CPU."""
    survives_kills(folder, kills=3, device=gpu.type)
