"""The ten deep experiments of the paper's table and Fig. 1, end to end on made-up images: only data and scale are left.

All stages of their cells by their command lines, in one process, with the published step sizes and schedules, width or
growth 4 and two updates. What is in place of the data sets has their form: colours, sizes, classes, the prepared file.
`make test` takes two cells of each; `make test-reliability` all four (LARGESTEP_DEEP_CELLS).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from largestep import config, devices, grid, stages, store
from largestep.data import image_set
from largestep.data.image_set import ImageSet, from_arrays
from largestep.keys import digest
from tests.conftest import REPOSITORY

# Channels, rows and classes of the published data sets.
SHAPES = {"cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "tiny_imagenet": (3, 64, 200)}
EXAMPLES, BATCH, EPOCHS = 4, 2, 1
CELLS = ("decay10", "decay50", "small", "decay30")[: int(os.environ.get("LARGESTEP_DEEP_CELLS", "2"))]
FIGURE_1 = "resnet18_cifar10_figure1"


def made_up(kind: str) -> ImageSet:
    """A few images of the right form, with as many classes as the data set has."""
    channels, side, classes = SHAPES[kind]
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(EXAMPLES, channels, side, side), dtype=np.uint8)
    labels = draw.integers(classes, size=EXAMPLES)
    return from_arrays((pixels, labels), (pixels[:3], labels[:3]), classes=classes)


def small(raw: dict[str, Any]) -> config.Config:
    """config.yaml with the table and Fig. 1 alone, each at width or growth 4 with two updates."""
    table = [name for name in raw["published"] if name.endswith(("_basic", "_sota"))]
    assert len(table) == 10
    for name in [*table, FIGURE_1]:
        experiment = raw["experiments"][name] = json.loads(json.dumps(raw["experiments"][name]))
        experiment["model"]["growth" if experiment["model"]["kind"] == "densenet" else "width"] = 4
        experiment["training"] |= {"epochs": EPOCHS, "batch_size": BATCH, "seeds": 1, "evaluations": 2, "snapshots": 2}
        # Where bfloat16 has no instructions it would take most of the time.
        experiment["training"]["precision"] = "float32" if experiment["model"]["kind"] == "densenet" else "bfloat16"
        experiment["measures"] |= {"units_per_block": 20, "probe_images": 4}
        for cells in (experiment["cells"], raw["published"][name]):
            for cell in set(cells) - set(CELLS):
                del cells[cell]
    return config.parse(raw | {"scale": "paper", "only": [*table, FIGURE_1]}, source="config.yaml")


def test_the_table_and_figure_1_run_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARGESTEP_DEVICE", "cpu")
    devices.prepare(1)
    settings = small(config.read(REPOSITORY / "config.yaml"))

    def stage(module: str, **options: object) -> None:
        texts = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        monkeypatch.setattr(sys, "argv", [module, *texts])
        importlib.import_module(f"largestep.{module}").main()

    for name, cell in grid.image_sets(settings).items():
        kind = cell.settings.data.kind
        prepared = tmp_path / f"images/{name}.safetensors"
        prepared.parent.mkdir(exist_ok=True)
        image_set.write(prepared, made_up(kind), spec=cell.spec("images"), code=stages.chain("images", kind))
    cells = grid.cells(settings)
    assert len(cells) == 11 * len(CELLS)
    for cell in cells.values():
        folder, data = tmp_path / "cells" / cell.id, tmp_path / f"images/{cell.settings.data.kind}.safetensors"
        [(name, seeds)] = cell.parts().items()
        of_seed = folder / "seeds" / name
        kept = {"snapshots": of_seed / "snapshots.nc", "data": data}
        training = {"checkpoints": tmp_path / "checkpoints" / f"{cell.id}.{name}", "output": of_seed / "train.nc"}
        stage("train_images", spec=cell.part_spec("train", seeds), **kept, **training)
        stage("features", spec=cell.part_spec("features", seeds), **kept, output=of_seed / "features.nc")
        read = {"seeds": name, "losses": of_seed / "train.nc", "features": of_seed / "features.nc"}
        written = {"cell_losses": folder / "train.nc", "cell_features": folder / "features.nc"}
        stage("sparsity_images", spec=cell.spec("sparsity"), **read, **written, output=folder / "sparsity.nc")
        (of_seed / "snapshots.nc").unlink()
    specs = {"aggregate": grid.aggregate_spec(settings), "claims": grid.claims_spec(settings)}
    given = {}
    for name, text in specs.items():
        store.write_text(tmp_path / f"{name}.json", f"{text}\n")
        given[name] = {"spec_file": tmp_path / f"{name}.json", "spec_sha256": digest(text)}
    tree = tmp_path / "largestep.nc"
    stage("aggregate", **given["aggregate"], output=tree)
    for name, experiment in settings.at_scale().items():
        group = store.read_group(tree, name)
        assert set(group["cell"].values) == set(CELLS)
        assert group.sizes["block"] == 5
        assert group["step"].values.tolist() == [0, 1, 2]
        assert np.isfinite(group["minibatch_loss"].isel(step=0)).all()
        classes = SHAPES[experiment.data.kind][2]
        assert group["minibatch_loss"].isel(step=0).mean() == pytest.approx(np.log(classes), rel=0.6)
        sparsity = group["feature_sparsity"].isel(correlation_threshold=0, snapshot_step=0)
        assert ((sparsity > 0) & (sparsity <= 1)).all()
        outputs = {kind: tmp_path / f"tables/{name}.{kind}" for kind in ("csv", "md", "tex")}
        stage("tables", experiment=name, input=tree, **outputs)
        table = pd.read_csv(outputs["csv"])
        assert (table[table["measure"] == "test_error"]["published"] > 0).all()
    for view in ("curves", "blocks"):
        drawn = {kind: tmp_path / f"figures/{view}.{kind}" for kind in ("png", "pdf")}
        stage("figures.__main__", experiment=FIGURE_1, view=view, input=tree, **drawn)
        assert all(path.stat().st_size > 5000 for path in drawn.values())
    written = {
        f"summary_{kind}" if kind != "claims" else "csv": tmp_path / f"s.{kind}" for kind in ("csv", "md", "rst")
    }
    stage("claims.__main__", **given["claims"], input=tree, csv=tmp_path / "c.csv", md=tmp_path / "c.md", **written)
    claims = pd.read_csv(tmp_path / "c.csv")
    asked = set(claims[claims["claim"] == "C13"]["experiment"])
    assert all(any(name in each for each in asked) for name in settings.at_scale())
