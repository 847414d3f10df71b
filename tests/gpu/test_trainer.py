"""The captured step of a GPU: its dynamics are those of the CPU, and a killed run goes on to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from largestep.data.image_set import ImageSet
from largestep.images import step as image_step
from largestep.images import trainer as images
from largestep.images.checkpoints import Checkpoints
from tests.image_runs import spec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
ALL = {"momentum": 0.9, "weight_decay": 1e-3, "augmentation": {"crop_padding": 1, "flip": True}}


def train(about: dict[str, Any], data: ImageSet, kept: Checkpoints, device: str = "cuda") -> tuple[xr.Dataset, Any]:
    trained = images.train(about, data, torch.device(device), kept)
    return trained.losses, np.stack(list(trained.streamed["parameters"].slabs()))


@pytest.mark.parametrize("settings", [{}, ALL, {"sam_radius": 0.01}, {"label_noise": 0.5}])
def test_a_gpu_takes_the_steps_of_a_cpu(data: ImageSet, settings: dict[str, Any], tmp_path: Path) -> None:
    about = spec(0.02, 2, **settings)
    here, there = (train(about, data, Checkpoints(tmp_path / name, "key"), name) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(there[0]["train_loss"], here[0]["train_loss"], rtol=1e-3)
    np.testing.assert_allclose(there[1], here[1], atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_run_goes_on_to_the_same_bits(
    data: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    about = spec(0.05, 2, precision=precision, **ALL)
    undisturbed = train(about, data, Checkpoints(tmp_path / "undisturbed", "key"))
    advance, left = image_step.Stepper.advance, [6]

    def dies(self: image_step.Stepper, first: int, last: int) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return advance(self, first, last)

    monkeypatch.setattr(image_step.Stepper, "advance", dies)
    with pytest.raises(KeyboardInterrupt):
        train(about, data, Checkpoints(tmp_path, "key", every=0.0, share=1e9))
    monkeypatch.setattr(image_step.Stepper, "advance", advance)
    again = train(about, data, Checkpoints(tmp_path, "key"))
    xr.testing.assert_identical(undisturbed[0], again[0])
    np.testing.assert_array_equal(undisturbed[1], again[1])
