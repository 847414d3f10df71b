"""The ten deep experiments of the paper's table and Fig. 1, end to end on made-up images: only data and scale are left.

All stages of their cells by their command lines, in one process, with the published step sizes and schedules, width or
growth 4 and twenty updates, which reach the warm-up, every decay and what comes after. What stands for the data sets
has their form: colours, sizes, classes, the prepared file. `make test` takes all four cells of Fig. 1 and of one row of
the table, which has a warm-up, and one of each other row, one DenseNet with all of its layers; LARGESTEP_DEEP_CELLS=4,
as in `make test-reliability`, takes all cells and layers.
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
EXAMPLES, BATCH, UPDATES = 4, 2, 20
FIGURE_1 = "resnet18_cifar10_figure1"
CELLS = ["small", "decay10", "decay30", "decay50"]
WHOLE = os.environ.get("LARGESTEP_DEEP_CELLS") == "4"
ALL_CELLS_OF = (FIGURE_1, "resnet18_cifar10_basic")
# Of the DenseNets that make test runs with all of their layers; others have 10.
DEEPEST = "densenet_cifar10_basic"
# The runs without a warm-up, by the paper's table and by the figure.
WITHOUT_WARMUP = (FIGURE_1, "resnet18_cifar10_sota", "resnet34_cifar100_sota")
# What their step size is divided by: the first decay; from 90% of training on by 10 once more.
DECAYED = {"decay10": 50.0, "decay30": 16.666667, "decay50": 10.0}


def made_up(kind: str) -> ImageSet:
    """A few images of the right form, with as many classes as the data set has."""
    channels, side, classes = SHAPES[kind]
    draw = np.random.default_rng(0)
    pixels = draw.integers(256, size=(EXAMPLES, channels, side, side), dtype=np.uint8)
    labels = draw.integers(classes, size=EXAMPLES)
    return from_arrays((pixels, labels), (pixels[:3], labels[:3]), classes=classes)


def small(raw: dict[str, Any]) -> config.Config:
    """config.yaml with the table and Fig. 1 alone, each at width or growth 4 with twenty updates."""
    table = [name for name in raw["published"] if name.endswith(("_basic", "_sota"))]
    assert len(table) == 10
    for place, name in enumerate([FIGURE_1, *table]):
        experiment = raw["experiments"][name] = json.loads(json.dumps(raw["experiments"][name]))
        assert list(experiment["cells"]) == CELLS
        densenet = experiment["model"]["kind"] == "densenet"
        depth = 100 if WHOLE or name == DEEPEST else 10
        experiment["model"] |= {"growth": 4, "depth": depth} if densenet else {"width": 4}
        # Evaluated before every update, so that the store has every step size that was used.
        epochs = UPDATES // (EXAMPLES // BATCH)
        few = {"epochs": epochs, "batch_size": BATCH, "seeds": 1, "evaluations": UPDATES, "snapshots": 2}
        # Where bfloat16 has no instructions it would take most of the time.
        experiment["training"] |= few | {"precision": "bfloat16" if name == FIGURE_1 else "float32"}
        experiment["measures"] |= {"units_per_block": 20, "probe_images": 4}
        if not WHOLE and name not in ALL_CELLS_OF:
            for cells in (experiment["cells"], raw["published"][name]):
                # The durations in turn.
                for cell in set(cells) - {CELLS[1 + place % 3]}:
                    del cells[cell]
    return config.parse(raw | {"scale": "paper", "only": [*table, FIGURE_1]}, source="config.yaml")


def published_sizes(cell: str, step_size: float, warmup: bool) -> list[float]:
    """The step size of every update by the laws of the paper's table and of Fig. 1, written out."""
    if cell == "small":
        return [step_size] * UPDATES
    lasts = UPDATES * int(cell.removeprefix("decay")) // 100
    sizes = []
    for update in range(1, UPDATES + 1):
        peak = step_size * (1.05 ** (100 * min(update, lasts) / UPDATES) if warmup else 1.0)
        decayed = 10.0 if warmup else DECAYED[cell]
        sizes.append(peak / (1.0 if update < lasts else decayed if update < 0.9 * UPDATES else 10.0 * decayed))
    return sizes


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
    assert len(cells) == (11 * 4 if WHOLE else 2 * 4 + 9)
    assert {cell.id.split(".")[1] for cell in cells.values()} == set(CELLS)
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
    survivors: list[tuple[str, str]] = []
    for name, experiment in settings.at_scale().items():
        group = store.read_group(tree, name)
        assert group.sizes["block"] == 5
        assert group["step"].values.tolist() == list(range(UPDATES + 1))
        for cell, settings_of in experiment.cells.items():
            used = group["step_size"].sel(cell=cell).values[:-1]
            expected = published_sizes(cell, settings_of.step_size, not name.startswith(WITHOUT_WARMUP))
            np.testing.assert_allclose(used, expected, rtol=1e-7)
            # NaN from the update on that lost the run, and only then.
            lost = group["diverged_step"].sel(cell=cell).item()
            mean = group["minibatch_loss"].sel(cell=cell).values.ravel()
            np.testing.assert_array_equal(np.isnan(mean), group["step"] > (lost if lost >= 0 else UPDATES))
            survivors += [(name, cell)] * (lost < 0)
        classes = SHAPES[experiment.data.kind][2]
        assert group["minibatch_loss"].isel(step=0).mean() == pytest.approx(np.log(classes), rel=0.6)
        sparsity = group["feature_sparsity"].isel(correlation_threshold=0, snapshot_step=0)
        assert ((sparsity > 0) & (sparsity <= 1)).all()
        outputs = {kind: tmp_path / f"tables/{name}.{kind}" for kind in ("csv", "md", "tex")}
        stage("tables", experiment=name, input=tree, **outputs)
        table = pd.read_csv(outputs["csv"])
        assert (table[table["measure"] == "test_error"]["published"] > 0).all()
        for cell, settings_of in experiment.cells.items():
            rows = table[table["cell"] == cell].groupby("measure")["published"].apply(lambda each: [*each.dropna()])
            for measure, value in settings_of.published.model_dump(exclude_none=True).items():
                reported = [each for each in value if each is not None] if isinstance(value, list) else [value]
                assert rows[measure] == reported, (name, cell, measure)
    assert len(survivors) > len(cells) / 2
    for view in ("curves", "blocks", "stabilisation"):
        drawn = {kind: tmp_path / f"figures/{view}.{kind}" for kind in ("png", "pdf")}
        stage("figures.__main__", experiment=FIGURE_1, view=view, input=tree, **drawn)
        assert all(path.stat().st_size > 5000 for path in drawn.values())
    written = {
        f"summary_{kind}" if kind != "claims" else "csv": tmp_path / f"s.{kind}" for kind in ("csv", "md", "rst")
    }
    stage("claims.__main__", **given["claims"], input=tree, csv=tmp_path / "c.csv", md=tmp_path / "c.md", **written)
    claims = pd.read_csv(tmp_path / "c.csv")
    asked = set(claims[claims["claim"] == "C13"]["experiment"])
    assert all(any(name in each for each in asked) for name in ALL_CELLS_OF)
    stable = claims[(claims["claim"] == "C3") & claims["experiment"].str.startswith(ALL_CELLS_OF)]
    # The phase of decay50 is long enough for the loss in it to be measured.
    assert not stable["note"].str.contains("fewer than").any()
    assert len(stable) == 4 * len(ALL_CELLS_OF)
