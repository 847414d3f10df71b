"""Networks, images and batches that do not fit together end training with one line, and nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from largestep import cli, stages, train_images
from largestep.data import image_set
from largestep.keys import canonical
from tests.image_runs import spec

CODE = """from torch import nn


class For32(nn.Sequential):
    def __init__(self, channels):
        super().__init__(nn.Flatten(), nn.Linear(channels * 32 * 32, 100))


class TenClasses(nn.Sequential):
    def __init__(self, channels):
        super().__init__(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
"""
FOR_32 = {"kind": "fixed_nets.For32", "options": {}, "blocks": ["0"]}
TEN_CLASSES = {"kind": "fixed_nets.TenClasses", "options": {}, "blocks": ["0"]}
DENSENET = {"kind": "densenet", "depth": 10, "growth": 2}


@pytest.mark.parametrize(
    ("model", "side", "batch", "message"),
    [
        (FOR_32, 64, 4, "error: config.yaml: model.kind fixed_nets.For32: fails in training on "),
        (DENSENET, 3, 4, "error: config.yaml: model.kind densenet: needs images of 4x4 or more, not 3x3"),
        (
            TEN_CLASSES,
            32,
            4,
            "error: config.yaml: model.kind fixed_nets.TenClasses: must put out (4, 100) real logits",
        ),
        (
            DENSENET,
            32,
            7,
            "error: config.yaml: test.images: training.batch_size 7 exceeds the 6 training images; lower it",
        ),
    ],
    ids=["a network for 32x32", "too small for DenseNet", "a head for ten classes", "fewer images than a batch"],
)
def test_one_line_says_what_does_not_fit(
    model: dict[str, Any],
    side: int,
    batch: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "fixed_nets.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LARGESTEP_DEVICE", "cpu")
    pixels, labels = np.zeros((6, 3, side, side), np.uint8), np.arange(6)
    data = {"kind": "cifar100", "examples": None, "test_examples": None, "seed": 0}
    settings = spec(batch_size=batch) | {"model": model, "data": {"data": data, "draws": 0}, "first_seed": 0}
    made = image_set.from_arrays((pixels, labels), (pixels, labels), classes=100)
    prepared = tmp_path / "images.safetensors"
    image_set.write(
        prepared, made, spec=canonical({"data": {"kind": "cifar100"}}), code=stages.chain("images", "cifar100")
    )
    files = {"data": prepared, "output": tmp_path / "train.nc", "snapshots": tmp_path / "snapshots.nc"}
    options = {"spec": canonical(settings), "checkpoints": tmp_path / "checkpoints", **files}
    monkeypatch.setattr(sys, "argv", ["train_images", *(f"--{key}={value}" for key, value in options.items())])
    with pytest.raises(SystemExit) as ended:
        cli.run(train_images.main)
    assert str(ended.value.code).startswith(message)
    assert "\n" not in str(ended.value.code)
    assert not (tmp_path / "train.nc").exists()
    assert not (tmp_path / "snapshots.nc").exists()
