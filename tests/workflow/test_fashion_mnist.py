"""The cell of the README's command on Debian's packaged Fashion-MNIST, with fewer images and seeds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
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
    cell = "results/cells/fashion_mnist.decay50"
    settings = ("scale=workstation", "only=[fashion_mnist]", f"data={{root: {PACKAGED}}}")
    project.snakemake("--cores", "2", "--config", *settings, "--", f"{cell}/sparsity.nc")
    assert store.read(project.folder / cell / "train.nc")["test_error"].max() <= 100
    shares = store.read(project.folder / cell / "sparsity.nc")["feature_sparsity"]
    assert np.isfinite(shares).all()
    assert not (project.folder / "results/downloads").exists()
