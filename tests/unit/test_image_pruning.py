"""C20 on images: losses against torch, the study, its settings and its figure."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import entr
from torch.nn.functional import cross_entropy

from largestep import config, grid
from largestep.claims import pruning as claim
from largestep.claims.results import Results
from largestep.data import digits
from largestep.data.image_set import ImageSet, part
from largestep.figures import image_pruning as figure
from largestep.measures import pruning
from largestep.models import networks
from largestep.studies import image_pruning as study
from tests import tiny_studies
from tests.image_runs import train
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


def test_runs_are_those_of_the_cells(tiny: xr.Dataset, tmp_path: Path) -> None:
    """The loss of the parameters with which the trainer ends, seed by seed."""
    settings = config.parse(raw(), "tiny")
    mlp = settings.experiments["digits_mlp"]
    images = part(digits.prepare(mlp.data, None, None), mlp.data)
    examples = study._examples(images, images.train_images, images.train_labels)
    for cell in ("small", "decay30", "decay50"):
        spec = json.loads(grid.cells(settings)[f"digits_mlp.{cell}"].spec("train"))
        ends = train(spec, images, tmp_path / cell)[1]["parameters"].values[0, :, -1]
        losses = []
        for end in ends:
            net = networks.draw(mlp.model, images.channels, images.classes, images.size, 0)
            networks.load(net, end)
            losses.append(examples.loss(study.layers_of(net)))
        np.testing.assert_array_equal(tiny["train_loss"].sel(run=f"digits_mlp/{cell}"), losses)


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
    [
        ({"cells": ["decay70"]}, "experiment digits_mlp has no cell decay70"),
        ({"cells": []}, "cells"),
        ({"cells": ["decay30", "decay50"]}, r"networks\.digits_mlp\.cells: one must be constant, .*, not none"),
        ({"cells": ["small"]}, r"networks\.digits_mlp\.cells: one must have large steps, beside small"),
    ],
)
def test_settings_that_do_not_fit(net: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**net), "tiny")


ONE_DECAY = [{"at": 0.7, "divide_by": 10.0}]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"step_size": 0.02}, r"one must be constant, the small step, not \['small', 'odd'\]"),
        ({"step_size": 0.2, "decays": [{"at": 0.7, "divide_by": 20.0}]}, r"odd must be divided once, from 0\.1"),
        ({"step_size": 0.1, "decays": [{"at": 0.7, "divide_by": 5.0}]}, r"odd decays to 0\.02, not to .* small, 0\.01"),
        ({"step_size": 0.1, "decays": [*ONE_DECAY, {"at": 0.9, "divide_by": 2.0}]}, "odd must be divided once"),
        (
            {"step_size": 0.1, "decays": ONE_DECAY, "warmup": {"kind": "linear", "until": 0.3}},
            "odd must be divided once, from .*, without warm-up",
        ),
        ({"step_size": 0.1, "warmup": {"kind": "linear", "until": 0.3}}, "odd must be divided once"),
    ],
)
def test_cells_that_differ_in_more_than_the_duration_are_refused(cell: dict[str, Any], message: str) -> None:
    changed = raw(cells=["small", "decay30", "odd"])
    changed["experiments"]["digits_mlp"]["cells"]["odd"] = cell
    with pytest.raises(config.ConfigError, match=message):
        config.parse(changed, "tiny")


def test_the_figure_has_every_cell(tiny: xr.Dataset) -> None:
    assert len(figure.draw(tiny).axes[0].lines) == 3 * 3 + 1
