"""The ten settings of the paper's table and Fig. 1: as published, and two epochs of each on made-up images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from largestep import config, devices, grid
from largestep.data.image_set import ImageSet, from_arrays
from largestep.dynamics import images as trainer
from largestep.dynamics.checkpoints import Checkpoints
from largestep.measures import RUN, image_features
from largestep.schedules import step_sizes
from largestep.sparsity import measures

SETTINGS = config.parse(config.read(Path("config.yaml")) | {"scale": "paper"}, source="config.yaml")
PAPER = sorted(name for name, each in SETTINGS.experiments.items() if each.scale == "paper")
TABLE = [name for name in PAPER if name.startswith("densenet") or name.endswith(("basic", "sota"))]
SHAPES = {"cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "tiny_imagenet": (3, 64, 200)}
BATCH, EXAMPLES = 4, 8


def made_up(kind: str) -> ImageSet:
    """A few images of the right shape, with as many classes as the data set has."""
    channels, side, classes = SHAPES[kind]
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(EXAMPLES, channels, side, side), dtype=np.uint8)
    labels = draw.integers(classes, size=EXAMPLES)
    return from_arrays((pixels, labels), (pixels[:5], labels[:5]), classes=classes)


def spec(name: str, cell: str, stage: str = "train") -> dict[str, Any]:
    return dict(json.loads(grid.cells(SETTINGS)[f"{name}.{cell}"].spec(stage)))


def test_there_are_ten_settings_and_figure_1() -> None:
    assert len(TABLE) == 10
    assert "resnet18_cifar10_figure1" in PAPER
    for name in TABLE:
        assert list(SETTINGS.experiments[name].cells) == ["small", "decay10", "decay30", "decay50"]


@pytest.mark.parametrize("name", TABLE)
def test_the_peak_and_the_decayed_step_sizes_are_the_published_ones(name: str) -> None:
    experiment = SETTINGS.experiments[name]
    for at, peak, without_warmup in ((0.1, 1.63, 0.02), (0.3, 4.32, 0.06), (0.5, 11.47, 0.1)):
        cell = experiment.cells[f"decay{round(100 * at)}"]
        sizes = step_sizes(cell.model_dump(mode="json"), 10_000)
        reached = cell.step_size * (peak if cell.warmup else 1.0)
        assert sizes.max() == pytest.approx(reached, rel=2e-3)
        after = sizes[int(0.89 * len(sizes))]
        assert after == pytest.approx(reached * (0.1 if cell.warmup else without_warmup), rel=2e-3)
        assert sizes[-1] == pytest.approx(after / 10)
    sota = name.endswith("sota")
    assert experiment.training.momentum == (0.9 if sota else 0.0)
    assert experiment.training.weight_decay == (5e-4 if sota else 0.0)
    assert experiment.training.augmentation.flip == sota
    assert experiment.training.epochs == (200 if name.startswith("densenet_cifar") else 100)


@pytest.mark.parametrize("name", PAPER)
def test_two_epochs_on_made_up_images(name: str, tmp_path: Path) -> None:
    devices.prepare(1)
    about = spec(name, "decay50")
    images = made_up(about["data"]["data"]["kind"])
    about["training"] |= {"epochs": 2, "batch_size": BATCH, "seeds": 1, "evaluations": 2, "snapshots": 2}
    # The published peak is for 50,000 images; eight of them diverge at it.
    about["schedule"]["step_size"] = 1e-3
    trained = trainer.train(about, images, torch.device("cpu"), Checkpoints(tmp_path, "key"))
    assert trained.losses["diverged_step"].item() == -1
    assert np.isfinite(trained.losses["test_loss"].values).all()
    streamed = trained.streamed["parameters"]
    kept = trained.snapshots.assign(
        parameters=(streamed.dims, np.stack(list(streamed.slabs())).reshape(streamed.shape))
    )
    extracting = spec(name, "decay50", "features") | {"train": about}
    features = image_features.features(extracting, images, kept, 1)
    features = features.assign_coords({dim: kept.variables[dim] for dim in RUN})
    found = measures(features, spec(name, "decay50", "sparsity")["measures"])
    assert found.sizes["block"] == 5
    sparsity = found["feature_sparsity"].isel(correlation_threshold=0)
    assert np.isfinite(sparsity).all()
    assert ((sparsity > 0) & (sparsity <= 1)).all()
