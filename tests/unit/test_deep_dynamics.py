"""The dynamics and the measure of the authors' deep networks, written out, against the trainer and the features.

Written from what their published code does, and not taken from it: the loss with its penalty, momentum, the schedules
by their laws, the greedy merging of units, and by counts what is drawn at random. docs/fidelity.md lists the points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep import sparsity
from largestep.config.measures import Thresholds
from largestep.data.image_set import ImageSet, from_arrays
from largestep.images.batches import Batches
from largestep.measures import RUN, image_features
from largestep.models import networks
from tests.image_runs import CPU, EXAMPLES, NO_AUGMENTATION, spec, train, training
from tests.settings import as_settings

STEPS, BATCH = 30, 14
PER_EPOCH = EXAMPLES // BATCH
ETA = 0.02
MODEL = spec()["model"]
AUGMENTED = {"crop_padding": 2, "flip": True}
TENTHS = [{"at": 0.5, "divide_by": 10.0}, {"at": 0.9, "divide_by": 10.0}]


def in_phase(step: int) -> float:
    """The share of training that has passed once the update of this step, counted from 0, is taken."""
    return (step + 1) / STEPS


def constant(step: int) -> float:
    return ETA


def warmup_and_decay(step: int) -> float:
    """1.05 to the power of the percentage of training until the decay; a tenth of the peak, a hundredth from 90% on."""
    t = in_phase(step)
    if t < 0.5:
        return ETA * 1.05 ** (100 * t)
    return ETA * 1.05**50 / (10.0 if t < 0.9 else 100.0)


def piecewise(step: int) -> float:
    t = in_phase(step)
    return ETA * (1.0 if t < 0.5 else 0.1 if t < 0.8 else 0.01)


def cosine(step: int) -> float:
    return ETA * 0.5 * (1.0 + math.cos(math.pi * in_phase(step)))


def written_out(
    data: ImageSet, size: Callable[[int], float], momentum: float, decay: float, augmentation: dict[str, Any]
) -> tuple[list[float], torch.nn.Module]:
    """Mini-batch losses and the last network, in float64; the penalty is decay / 2 times |w|^2 of all parameters."""
    net = networks.draw(as_settings(MODEL), 1, 10, (8, 8), 0).double()
    x, y = data.train_images.double() / 16.0, data.train_labels
    velocities = [torch.zeros_like(p) for p in net.parameters()]
    losses = []
    for step in range(STEPS):
        epoch, place = divmod(step, PER_EPOCH)
        chosen = np.random.default_rng([1, 0, epoch]).permutation(EXAMPLES)[place * BATCH : (place + 1) * BATCH]
        pictures = x[chosen]
        if augmentation["flip"]:
            draws = np.random.default_rng([3, 0, epoch])
            corners = draws.integers(5, size=(PER_EPOCH, BATCH, 2))[place]
            flips = draws.random((PER_EPOCH, BATCH))[place] < 0.5
            padded = torch.zeros(BATCH, 1, 12, 12, dtype=torch.float64)
            padded[:, :, 2:10, 2:10] = pictures
            cropped = [image[:, r : r + 8, c : c + 8] for image, (r, c) in zip(padded, corners, strict=True)]
            pictures = torch.stack([i.flip(2) if flip else i for i, flip in zip(cropped, flips, strict=True)])
        logits = net(pictures)
        loss = (torch.logsumexp(logits, 1) - logits[torch.arange(BATCH), y[chosen]]).mean()
        losses.append(loss.item())
        penalty = 0.5 * decay * sum(p.square().sum() for p in net.parameters())
        gradients = torch.autograd.grad(loss + penalty, list(net.parameters()))
        with torch.no_grad():
            for p, v, g in zip(net.parameters(), velocities, gradients, strict=True):
                v.mul_(momentum).add_(g)
                p.sub_(size(step) * v)
    return losses, net


@pytest.mark.parametrize(
    ("size", "schedule", "settings"),
    [
        (constant, {}, {}),
        (warmup_and_decay, {"warmup": {"kind": "exponential", "base": 1.05}, "decays": TENTHS}, {}),
        (
            piecewise,
            {"decays": [{"at": 0.5, "divide_by": 10.0}, {"at": 0.8, "divide_by": 10.0}]},
            {"momentum": 0.9, "weight_decay": 5e-4, "augmentation": AUGMENTED},
        ),
        (cosine, {"annealing": "cosine"}, {"momentum": 0.9}),
        (piecewise, {"decays": [{"at": 0.5, "divide_by": 10.0}, {"at": 0.8, "divide_by": 10.0}]}, {}),
    ],
    ids=["constant", "warm-up and decay", "momentum, weight decay, augmentation", "cosine", "piecewise"],
)
def test_thirty_steps_are_those_written_out(
    size: Callable[[int], float],
    schedule: dict[str, Any],
    settings: dict[str, Any],
    data: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = networks.draw
    monkeypatch.setattr(networks, "draw", lambda *given: draw(*given).double())
    settings_of_run = spec(ETA, epochs=STEPS // PER_EPOCH, batch_size=BATCH, evaluations=STEPS, snapshots=2, **settings)
    settings_of_run["schedule"] |= schedule
    losses, kept = train(settings_of_run, data, tmp_path)
    monkeypatch.undo()
    expected, net = written_out(
        data,
        size,
        settings.get("momentum", 0.0),
        settings.get("weight_decay", 0.0),
        settings.get("augmentation", NO_AUGMENTATION),
    )
    np.testing.assert_allclose(
        losses["step_size"].values[:-1], [size(step) for step in range(STEPS)], rtol=1e-12, atol=1e-17
    )
    np.testing.assert_allclose(losses["minibatch_loss"].values[0, 0, 1:], expected, rtol=0, atol=1e-8)
    # Snapshots are float32.
    np.testing.assert_allclose(kept["parameters"].values[0, 0, -1], networks.flatten(net), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("model", [MODEL, {"kind": "densenet", "depth": 10, "growth": 4}], ids=["resnet", "densenet"])
def test_batchnorm_is_that_written_out(model: dict[str, Any]) -> None:
    """By the statistics of the batch, with 1e-5; a tenth of them goes into the running ones, of variances unbiased."""
    net = networks.draw(as_settings(model), 1, 10, (8, 8), 0).double().train()
    taken: dict[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        # The outputs are copied, as a ReLU may overwrite them.
        norm.register_forward_hook(lambda norm, x, y: taken.update({norm: (x[0].detach().clone(), y.detach().clone())}))
    draw = torch.Generator().manual_seed(0)
    net(torch.rand(16, 1, 8, 8, generator=draw, dtype=torch.float64))
    assert len(norms) == len(taken) >= 7
    for norm, (x, y) in taken.items():
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        count = x.numel() / x.shape[1]
        torch.testing.assert_close(norm.running_mean, 0.1 * mean, rtol=1e-9, atol=1e-12)
        unbiased = variance * count / (count - 1)
        torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * unbiased, rtol=1e-9, atol=1e-12)
        by_hand = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        torch.testing.assert_close(y, by_hand, rtol=1e-8, atol=1e-10)


def test_the_first_evaluation_is_that_of_the_init_and_the_last_that_of_the_network_kept(
    data: ImageSet, tmp_path: Path
) -> None:
    losses, kept = train(spec(0.1, snapshots=2), data, tmp_path)
    assert losses["step"].values[[0, -1]].tolist() == kept["snapshot_step"].values[[0, -1]].tolist() == [0, 8]
    net = networks.draw(as_settings(MODEL), 1, 10, (8, 8), 0)
    np.testing.assert_array_equal(kept["parameters"].values[0, 0, 0], networks.flatten(net))
    for place in (0, -1):
        networks.load(net, kept["parameters"].values[0, 0, place])
        with torch.inference_mode():
            logits = net.eval()(data.test_images.float() / 16.0)
        expected = torch.nn.functional.cross_entropy(logits, data.test_labels).item()
        assert losses["test_loss"].values[0, 0, place] == pytest.approx(expected, rel=1e-5)


def test_how_often_one_evaluates_changes_no_step(data: ImageSet, tmp_path: Path) -> None:
    """Theirs draws from the generator of the order whenever it evaluates."""
    often, seldom = (
        train(spec(0.1, augmentation=AUGMENTED, evaluations=count, snapshots=2), data, tmp_path / str(count))[1]
        for count in (8, 2)
    )
    np.testing.assert_array_equal(often["parameters"].values[:, :, -1], seldom["parameters"].values[:, :, -1])


def test_sparsity_of_a_network_with_copied_channels_is_that_of_greedy_merging(data: ImageSet) -> None:
    """Every second channel of all layers is a copy: at least half of the units of a block go, one by one, in order."""
    net = networks.draw(as_settings(MODEL | {"width": 4}), 1, 10, (8, 8), 3).eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.dim() > 0 and "head" not in name:
                tensor[1::2] = tensor[::2]
    measures = {"normalise_activations": False, "units_per_block": 60, "probe_images": None}
    kept = xr.Dataset({"parameters": ((*RUN, "parameter"), networks.flatten(net)[None, None, None])})
    model, kept = as_settings(MODEL | {"width": 4}), kept.isel(snapshot_step=[0, 0])
    features = image_features.features(model, as_settings(measures), data, kept, label="test.images", threads=1)
    features = features.assign_coords(arm=["order"], seed=[0], snapshot_step=[0, 1])
    dataset = sparsity.measures(features, Thresholds(correlation_thresholds=[0.95])).isel(
        arm=0, seed=0, snapshot_step=0
    )
    with torch.inference_mode():
        blocks = net.blocks(data.train_images.float() / 16.0)
    for number, block in enumerate(blocks, start=1):
        values = block.flatten(1).double().numpy()
        every = np.count_nonzero(values) / values.size
        chosen = np.sort(np.random.default_rng(number).permutation(values.shape[1])[:60])
        left = merged(values[:, chosen])
        expected = np.count_nonzero(values[:, left_of(chosen, left)]) / (len(values) * len(chosen))
        of_block = dataset.sel(block=number)
        assert of_block["feature_sparsity"].item() == pytest.approx(expected, abs=1e-9)
        assert of_block["active_fraction"].item() == pytest.approx(every, abs=1e-9)
    # All 32 units of block 5 are looked at, so that all copies are found.
    assert dataset["feature_sparsity"].sel(block=5) <= 0.5 * dataset["active_fraction"].sel(block=5) + 1e-9


def left_of(chosen: np.ndarray, left: list[int]) -> np.ndarray:
    return chosen[np.array(left, dtype=int)]


def merged(values: np.ndarray) -> list[int]:
    """The units left when, the first first, each is deleted that correlates with another that is left."""
    left = [unit for unit in range(values.shape[1]) if values[:, unit].any()]
    for unit in list(left):
        others = [other for other in left if other != unit]
        if any(abs(np.corrcoef(values[:, unit], values[:, other])[0, 1]) > 0.95 for other in others):
            left = others
    return left


def chi_squared(counts: np.ndarray) -> float:
    """How far counts are from equal ones, in standard deviations of what chance gives."""
    expected, freedom = counts.mean(), counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


def test_crops_take_each_offset_and_flips_one_in_two() -> None:
    """81 offsets of an image padded by four black pixels; each pixel has a level of its own, which says where it is."""
    count = 8100
    levels = np.arange(1, 82, dtype=np.uint8).reshape(1, 1, 9, 9)
    pictures = from_arrays((levels.repeat(count, 0), np.zeros(count, int)), (levels, [0]), classes=10, white_level=81)
    batches = Batches(pictures, training(batch_size=count, augmentation={"crop_padding": 4, "flip": True}), CPU)
    batches.begin(seed=0, epoch=0)
    taken = (batches.take(torch.zeros(1, dtype=torch.int64))[0][:, 0] * 81).round().numpy().astype(int)
    # The pixel in the middle of every crop is on the image; along a row levels rise unless it is flipped.
    flipped = np.array([bool((np.diff(row[row > 0]) < 0).any()) for row in taken[:, 4]])
    upright = np.where(flipped[:, None, None], taken[:, :, ::-1], taken)
    place = upright[:, 4, 4] - 1
    row, column = np.divmod(place, 9)
    padded = np.pad(levels[0, 0], 4)
    for image, r, c in zip(upright[:50], row, column, strict=False):
        np.testing.assert_array_equal(image, padded[r : r + 9, c : c + 9])
    offsets = np.zeros((9, 9), int)
    np.add.at(offsets, (row, column), 1)
    assert offsets.sum() == count
    assert (offsets > 0).all()
    assert abs(chi_squared(offsets)) < 4
    assert abs(flipped.mean() - 0.5) < 4 * 0.5 / np.sqrt(count)


def test_labels_are_redrawn_one_by_one_from_all_classes() -> None:
    """At a rate of 0.2 with ten classes 18% change; per batch as many as independent draws give."""
    batch, rate = 100, 0.2
    images, labels = np.zeros((20_000, 1, 1, 1), np.uint8), np.arange(20_000) % 10
    pictures = from_arrays((images, labels), (images[:1], labels[:1]), classes=10)
    batches = Batches(pictures, training(batch_size=batch, label_noise=rate), CPU)
    batches.begin(seed=0, epoch=0)
    positions = [torch.tensor([place]) for place in range(batches.count)]
    given = np.stack([batches.take(position)[1].numpy() for position in positions])
    order = np.random.default_rng([1, 0, 0]).permutation(20_000).reshape(given.shape)
    changed = given != labels[order]
    share = rate * 0.9
    assert abs(changed.mean() - share) < 4 * np.sqrt(share * (1 - share) / changed.size)
    assert changed.mean(1).std() == pytest.approx(np.sqrt(share * (1 - share) / batch), rel=0.2)
    shifts = np.bincount(((given - labels[order]) % 10)[changed], minlength=10)
    assert shifts[0] == 0
    assert abs(chi_squared(shifts[1:])) < 4
    batches.begin(seed=0, epoch=1)
    again = np.stack([batches.take(position)[1].numpy() for position in positions])
    other = np.random.default_rng([1, 0, 1]).permutation(20_000).reshape(given.shape)
    both = np.zeros(20_000, int)
    both[order[changed]] += 1
    both[other[again != labels[other]]] += 1
    # Drawn anew each time: a label that was changed is changed again no more often than others.
    assert np.mean(both == 2) == pytest.approx(share**2, rel=0.2)
