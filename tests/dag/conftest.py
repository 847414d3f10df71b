"""A copy of the finished tiny project for every test here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Iterator[Project]:
    copy = finished.copy(tmp_path / "project")
    yield copy
    shutil.rmtree(copy.folder)
