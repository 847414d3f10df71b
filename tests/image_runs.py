"""Small runs of an image classifier on digits, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from largestep.config.training import ImageTraining
from largestep.data.image_set import ImageSet
from largestep.images import trainer as images
from largestep.images.checkpoints import Checkpoints
from largestep.specs.cells import ImageTrainSpec

EXAMPLES, BATCH = 70, 16
SETTINGS = {"kind": "digits", "examples": EXAMPLES, "test_examples": 40, "seed": 0}
CPU = torch.device("cpu")
NO_AUGMENTATION = {"crop_padding": 0, "flip": False}


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
            "precision": "float32",
            "augmentation": NO_AUGMENTATION,
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
        "schedule": {"step_size": step_size, "warmup": None, "decays": list(decays), "annealing": None},
    }


def training(**changes: Any) -> ImageTraining:
    """Its settings of training, as what computes takes them."""
    return ImageTraining.model_validate(spec(**changes)["training"])


def train(
    settings: dict[str, Any], data: ImageSet, folder: Path, kept: Checkpoints | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """The two stores of a cell, the parameters in memory."""
    trained = images.train(ImageTrainSpec.model_validate(settings), data, CPU, kept or Checkpoints(folder, "key"))
    streamed = trained.streamed["parameters"]
    values = np.stack(list(streamed.slabs())).reshape(streamed.shape)
    return trained.losses, trained.snapshots.assign(parameters=(streamed.dims, values))
