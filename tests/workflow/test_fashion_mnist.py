"""The command of the README on Debian's packaged Fashion-MNIST, with fewer images and seeds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from largestep import store
from tests.conftest import make_project

PACKAGED = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not PACKAGED.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_from_the_packaged_files(tmp_path: Path, repository: Path) -> None:
    project = make_project(tmp_path)
    shutil.copy(repository / "config.yaml", project.folder / "config.yaml")
    project.edit("config.yaml", "examples: 4000, test_examples: 2000", "examples: 128, test_examples: 64")
    project.edit("config.yaml", "epochs: 25\n      batch_size: 64", "epochs: 3\n      batch_size: 16")
    project.edit(
        "config.yaml",
        "seeds: 6\n      arms: [order]\n      evaluations: 25",
        "seeds: 1\n      arms: [order]\n      evaluations: 2",
    )
    project.edit("config.yaml", "probe_images: 1000", "probe_images: 64")
    root = f"data={{root: {PACKAGED}}}"
    project.snakemake("--cores", "2", "--config", "scale=workstation", "only=[fashion_mnist]", root)
    results = project.folder / "results"
    losses = store.read(results / "cells/fashion_mnist.decay50/train.nc")
    assert losses["test_error"].max() <= 100
    for view in ("curves", "schedules", "blocks", "filters", "distances"):
        assert (results / f"figures/fashion_mnist_{view}.png").stat().st_size > 0
    claims = pd.read_csv(results / "claims.csv")
    assert "fashion_mnist/order" in set(claims[claims["claim"] == "C13"]["experiment"])
    assert not (results / "downloads").exists()
