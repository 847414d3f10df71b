"""C20 on images: losses against torch, the study, its settings and its figure."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import entr
from torch.nn.functional import cross_entropy

from largestep import config
from largestep.claims import pruning as claim
from largestep.claims.results import Results
from largestep.data import digits
from largestep.data.image_set import ImageSet, part
from largestep.figures import image_pruning as figure
from largestep.measures import pruning
from largestep.models import networks
from largestep.studies import image_pruning as study
from tests import tiny_studies
from tests.tiny_studies import TINY


def raw(**net: Any) -> dict[str, Any]:
    """Two durations and the small step of the tiny dense network, whose other views are left out."""
    changed = copy.deepcopy(TINY)
    mlp = changed["experiments"]["digits_mlp"]
    mlp["training"] = {
        key: mlp["training"][key] for key in ("epochs", "batch_size", "arms", "evaluations", "snapshots")
    }
    mlp["training"]["seeds"] = 2
    decays = {f"decay{100 * at:g}": {"step_size": 0.1, "decays": [{"at": at, "divide_by": 10.0}]} for at in (0.3, 0.5)}
    mlp["cells"] = {"small": {"step_size": 0.01}, **decays}
    common = {"kind": "image_pruning", "title": "Tiny", "paper": "none", "scale": "laptop"}
    nets = {"digits_mlp": {"cells": ["small", "decay30", "decay50"], "seeds": 2} | net}
    return changed | {"studies": {"image_pruning": common | {"networks": nets}}}


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    return tiny_studies.run("image_pruning", raw())


def test_the_loss_is_that_of_the_network() -> None:
    settings = config.parse(raw(), "tiny").experiments["digits_mlp"]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 17, (40, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(40) % 10
    net = networks.draw(settings.model, 1, 10, (8, 8), 0)
    of_images = _images(images, labels)
    examples = study._examples(of_images, images, labels)
    expected = cross_entropy(net.double()(networks.inputs(images, 16.0).double()), labels)
    assert examples.loss(study.layers_of(net)) == pytest.approx(float(expected.detach()), rel=1e-9)
    assert examples.constant == pytest.approx(np.log(10.0))
    blocks, _ = pruning.activations(study.layers_of(net), examples.inputs)
    for block, expected_block in zip(blocks, net.blocks(networks.inputs(images, 16.0).double()), strict=True):
        np.testing.assert_allclose(block, expected_block.detach().numpy(), atol=1e-12)


def _images(images: torch.Tensor, labels: torch.Tensor) -> Any:
    return ImageSet(images, labels, images, labels, white_level=16, classes=10)


def test_the_study_has_every_cell(tiny: xr.Dataset) -> None:
    assert tiny["run"].values.tolist() == ["digits_mlp/small", "digits_mlp/decay30", "digits_mlp/decay50"]
    assert tiny["units"].values.tolist() == [14] * 3
    assert (tiny["diverged_step"] == -1).all()
    assert (tiny["rise"].isel(deleted=0) == 0.0).all()
    assert np.isfinite(tiny["rise"]).all()
    # Without units every image has the same logits, which are no better than the best constant ones.
    settings = config.parse(raw(), "tiny").experiments["digits_mlp"].data
    labels = part(digits.prepare(settings, None, None), settings).train_labels.numpy()
    constant = float(entr(np.bincount(labels) / len(labels)).sum())
    end = tiny["train_loss"] + constant * tiny["rise"].isel(deleted=-1)
    assert (end > constant * (1.0 - 1e-9)).all()
    assert (end < 2.0 * constant).all()
    rows = list(claim.measured(Results(studies={"s": tiny.assign_attrs(kind="image_pruning")})))
    assert sum(row.headline for row in rows) == 3


@pytest.mark.parametrize(
    ("net", "message"),
    [({"cells": ["decay70"]}, "experiment digits_mlp has no cell decay70"), ({"cells": []}, "cells")],
)
def test_settings_that_do_not_fit(net: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**net), "tiny")


def test_the_figure_has_every_cell(tiny: xr.Dataset) -> None:
    assert len(figure.draw(tiny).axes[0].lines) == 3 * 3 + 1
