"""A copy of the finished tiny project for every test here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Iterator[Project]:
    """With all its results and Snakemake's records, to edit."""
    folder = tmp_path / "project"
    shutil.copytree(finished.folder, folder, symlinks=True)
    yield Project(folder)
    shutil.rmtree(folder)
