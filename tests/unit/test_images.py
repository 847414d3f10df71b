"""The image trainer and the features of its snapshots, on networks of width 2."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep.data import digits
from largestep.dynamics import images
from largestep.measures import image_features
from largestep.measures.units import unit_statistics
from largestep.models import resnet

EXAMPLES, BATCH = 70, 16
SETTINGS = {"kind": "digits", "examples": EXAMPLES, "test_examples": 40, "seed": 0}
RUN = ("arm", "seed", "snapshot_step")


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return digits.draw(SETTINGS, 0)


def spec(
    step_size: float = 0.05, seeds: int = 1, epochs: int = 2, decays: tuple[dict[str, float], ...] = (), **training: Any
) -> dict[str, Any]:
    return {
        "cell": "test.images",
        "data": {"data": SETTINGS, "draws": 0},
        "model": {"kind": "resnet18", "width": 2, "normalisation": "batch"},
        "training": {
            "batch_size": BATCH,
            "epochs": epochs,
            "seeds": seeds,
            "arms": ["order"],
            "evaluations": 4,
            "snapshots": 2,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "label_noise": 0.0,
            "sam_radius": 0.0,
        }
        | training,
        "schedule": {"step_size": step_size, "warmup": None, "decays": list(decays)},
    }


def measured(data: xr.Dataset, kept: xr.Dataset, limit: int | None = None) -> xr.Dataset:
    measures = {"normalise_activations": False, "units_per_block": limit}
    return image_features.features({"cell": "test.images", "train": spec(), "measures": measures}, data, kept, 1)


def in_eager_torch(
    data: xr.Dataset,
    seed: int,
    sizes: np.ndarray,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    label_noise: float = 0.0,
    sam_radius: float = 0.0,
) -> tuple[np.ndarray, torch.nn.Module]:
    """The mini-batch losses and the last network of SGD, written out without the package's trainer."""
    torch.manual_seed(seed)
    # The same memory format, or rounding differs and BatchNorm soon makes it visible.
    net = resnet.ResNet18(1, 10, 2).to(memory_format=torch.channels_last)
    x = torch.tensor(data["train_images"].values / 16.0, dtype=torch.float32)
    y = torch.tensor(data["train_labels"].values)
    order, noise = np.random.default_rng([1, seed]), np.random.default_rng([2, seed])
    velocities = [torch.zeros_like(p) for p in net.parameters()]
    batches: list[np.ndarray] = []
    losses = []
    for size in sizes:
        if not batches:
            batches = np.split(order.permutation(EXAMPLES)[: EXAMPLES - EXAMPLES % BATCH], EXAMPLES // BATCH)
        batch = batches.pop(0)
        labels = y[batch].numpy().copy()
        if label_noise:
            redrawn = noise.random(BATCH) < label_noise
            labels[redrawn] = noise.integers(10, size=BATCH)[redrawn]

        def mean_loss(net: torch.nn.Module, batch: np.ndarray = batch, labels: np.ndarray = labels) -> torch.Tensor:
            return -torch.log_softmax(net(x[batch]), dim=1)[torch.arange(BATCH), labels].mean()

        loss = mean_loss(net)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        if sam_radius:
            norm = sum(g.square().sum() for g in gradients) ** 0.5
            perturbed = copy.deepcopy(net)  # its running statistics go with it
            with torch.no_grad():
                for p, g in zip(perturbed.parameters(), gradients, strict=True):
                    p.add_(sam_radius * g / norm)
            gradients = torch.autograd.grad(mean_loss(perturbed), list(perturbed.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), velocities, gradients, strict=True):
                v.mul_(momentum).add_(g + weight_decay * p)
                p.sub_(size * v)
    return np.array(losses), net


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"label_noise": 0.5}, {"sam_radius": 0.01}],
    ids=["plain", "momentum and weight decay", "label noise", "SAM"],
)
def test_training_is_sgd_as_written_out_in_torch(data: xr.Dataset, settings: dict[str, float]) -> None:
    decays = ({"at": 0.5, "divide_by": 10.0},)
    losses, kept = images.train(spec(0.02, 2, decays=decays, **settings), data, threads=1)
    steps = losses["step"].values
    np.testing.assert_array_equal(steps, [0, 2, 4, 5, 7])
    np.testing.assert_array_equal(losses["step_size"], np.where(steps < 4, 0.02, 0.002))
    sizes = np.where(np.arange(7) < 4, 0.02, 0.002)
    for seed in (0, 1):
        expected, net = in_eager_torch(data, seed, sizes, **settings)
        found = losses["train_loss"].values[0, seed]
        assert found[0] == pytest.approx(expected[0], abs=1e-5)
        between = [expected[a:b].mean() for a, b in pairwise(steps)]
        np.testing.assert_allclose(found[1:], between, atol=1e-5)
        np.testing.assert_allclose(kept["parameters"].values[0, seed, -1], resnet.flatten(net), atol=1e-5)


def test_a_snapshot_gives_back_its_evaluation(data: xr.Dataset) -> None:
    losses, kept = images.train(spec(0.1, 2), data, threads=1)
    assert kept["parameters"].dims == (*RUN, "parameter")
    assert kept["parameters"].dtype == np.float32
    x = torch.tensor(data["test_images"].values / 16.0, dtype=torch.float32)
    y = torch.tensor(data["test_labels"].values)
    net = resnet.ResNet18(1, 10, 2).eval()
    for seed in (0, 1):
        for step in kept["snapshot_step"].values:
            at = kept.sel(arm="order", seed=seed, snapshot_step=step)
            resnet.load(net, at["parameters"].values)
            with torch.inference_mode():
                logits = net(x)
            then = losses.sel(arm="order", seed=seed, step=step)
            assert then["test_error"].item() == pytest.approx(100 * (logits.argmax(1) != y).double().mean().item())
            loss = torch.nn.functional.cross_entropy(logits, y).item()
            assert then["test_loss"].item() == pytest.approx(loss, abs=1e-5)


def test_the_same_cell_gives_the_same_bits(data: xr.Dataset) -> None:
    first, second = (images.train(spec(seeds=2), data, threads=1) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        xr.testing.assert_identical(one, other)


def test_seeds_do_not_depend_on_how_many_there_are(data: xr.Dataset) -> None:
    few, many = (images.train(spec(seeds=seeds), data, threads=1)[1]["parameters"].values for seeds in (1, 2))
    np.testing.assert_array_equal(few[:, 0], many[:, 0])
    assert np.any(many[:, 0] != many[:, 1])


def test_a_diverged_run_is_recorded_and_the_others_go_on(data: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = resnet.draw

    def drawn(model: dict[str, Any], data: xr.Dataset, seed: int) -> resnet.ResNet18:
        net = draw(model, data, seed)
        if seed == 0:  # float32 overflows after one update
            torch.nn.init.constant_(net.head.weight, 3e38)
        return net

    healthy, _ = images.train(spec(seeds=2), data, threads=1)
    monkeypatch.setattr(resnet, "draw", drawn)
    losses, kept = images.train(spec(seeds=2), data, threads=1)
    assert losses["diverged_step"].values[0, 0] in (0, 1)
    assert losses["diverged_step"].values[0, 1] == -1
    for name in ("train_loss", "test_loss", "test_error"):
        assert np.isnan(losses[name].values[0, 0, 1:]).all()
        np.testing.assert_array_equal(losses[name].values[0, 1], healthy[name].values[0, 1])
    assert np.isnan(kept["parameters"].values[0, 0, 1:]).all()
    assert np.isfinite(kept["parameters"].values[0, 1]).all()


def test_a_step_size_beyond_all_bounds_diverges(data: xr.Dataset) -> None:
    losses, kept = images.train(spec(1e30), data, threads=1)
    assert losses["diverged_step"].values[0, 0] > 0
    np.testing.assert_array_equal(np.isfinite(losses["train_loss"].values[0, 0]), losses["step"].values == 0)
    found = measured(data, kept)
    assert np.isnan(found["unit_later_correlation"].values[0, 0, -1]).all()
    assert (found["unit_active_count"].values[0, 0, -1] == 0).all()
    assert np.isfinite(found["unit_later_correlation"].values[0, 0, 0]).all()


def test_features_are_the_statistics_of_every_block(data: xr.Dataset) -> None:
    _, kept = images.train(spec(), data, threads=1)
    found = measured(data, kept)
    assert found["unit_active_count"].dims == (*RUN, "unit")
    assert found["examples"].item() == EXAMPLES
    np.testing.assert_array_equal(np.bincount(found["unit_block"]), [0, 128, 64, 32, 16, 16])
    net = resnet.ResNet18(1, 10, 2).eval()
    resnet.load(net, kept["parameters"].values[0, 0, -1])
    with torch.inference_mode():
        blocks = net.blocks(torch.tensor(data["train_images"].values / 16.0, dtype=torch.float32))
    last = found.isel(arm=0, seed=0, snapshot_step=-1)
    for number, block in enumerate(blocks, start=1):
        count, later = unit_statistics(block.flatten(1).numpy())
        of_block = found["unit_block"].values == number
        np.testing.assert_allclose(last["unit_active_count"].values[of_block], count, atol=1)
        np.testing.assert_allclose(last["unit_later_correlation"].values[of_block], later, atol=1e-4)


def test_units_are_sampled_once_for_all_snapshots(data: xr.Dataset) -> None:
    _, kept = images.train(spec(), data, threads=1)
    everything, some = measured(data, kept), measured(data, kept, limit=20)
    np.testing.assert_array_equal(np.bincount(some["unit_block"]), [0, 20, 20, 20, 16, 16])
    of_first = everything["unit_active_count"].values[..., everything["unit_block"] == 1]
    chosen = np.random.default_rng(1).permutation(128)[:20]
    np.testing.assert_array_equal(some["unit_active_count"].values[..., :20], of_first[..., np.sort(chosen)])


def test_activations_are_normalised_over_the_whole_block_when_asked(data: xr.Dataset) -> None:
    net = resnet.draw(spec()["model"], data, 0).eval()
    pixels, units = data["train_images"].values, [np.arange(3)] * 5
    raw = image_features.activations(net, pixels, 16.0, [np.arange(n) for n in (128, 64, 32, 16, 16)], False)
    scaled = image_features.activations(net, pixels, 16.0, units, True)
    for block, values in zip(raw, scaled, strict=True):
        np.testing.assert_allclose(values, (block / np.linalg.norm(block, axis=1, keepdims=True))[:, :3], rtol=1e-5)


@pytest.mark.parametrize("alive", [0, 1])
def test_a_dead_block_has_no_activity(data: xr.Dataset, alive: int) -> None:
    net = resnet.draw(spec()["model"], data, 0)
    with torch.no_grad():
        for norm in (net.stages[3][0].downsample[1], net.stages[3][0].bn2, net.stages[3][1].bn2):
            norm.bias[alive:] = -1e6
    kept = xr.Dataset({"parameters": ((*RUN, "parameter"), resnet.flatten(net)[None, None, None])})
    found = measured(data, kept)
    for block in (4, 5):
        count = found["unit_active_count"].values[0, 0, 0, found["unit_block"] == block]
        assert (count[alive:] == 0).all()
        assert (count[:alive] > 0).all()
        assert (found["unit_later_correlation"].values[0, 0, 0, found["unit_block"] == block] == 0).all()
