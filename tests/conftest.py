"""Fixtures shared by the tests: the repository, and a tiny copy of the project that can be run and edited."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from largestep import devices
from largestep.config.data import PublishedImages
from largestep.data import digits
from largestep.data.image_set import ImageSet, part
from tests import forked
from tests.image_runs import SETTINGS

REPOSITORY = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.egg-info")


# Whole runs first and what is quick last, so that no worker ends with a long test while the others have none left.
ORDER = {
    "workflow/test_whole_run.py": 0,
    "reliability/test_killed_runs.py": 1,
    "reliability/test_kills.py": 1,
    "workflow": 2,
    "reliability": 3,
    "dag": 3,
    "scale": 3,
    "unit": 5,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(REPOSITORY / "tests")
        return ORDER.get(str(path), ORDER.get(path.parts[0], 4))

    items.sort(key=place)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def data() -> ImageSet:
    """A few digits; torch computes with one thread from here on."""
    devices.prepare(1)
    settings = PublishedImages(**SETTINGS)
    return part(digits.prepare(settings, Path("unused"), None), settings)


@dataclass(frozen=True)
class Project:
    """A copy of the workflow with the tiny configuration, and the package."""

    folder: Path

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake here, its jobs forked as well; with check, a failure shows what it printed."""
        # The package is compiled once, not by each of its jobs.
        done = forked.run(self.folder, "snakemake", *arguments, **{"PYTHONDONTWRITEBYTECODE": ""} | environment)
        if check and done.returncode != 0:
            pytest.fail(f"snakemake {' '.join(arguments)} failed:\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
        return done

    def stage(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module of this copy of the package here, as `python -m largestep.MODULE`."""
        return forked.run(self.folder, f"largestep.{module}", *arguments, PYTHONPATH=str(self.folder / "src"))

    def copy(self, folder: Path) -> Project:
        """A copy with all its results and Snakemake's records, to edit."""
        return Project(Path(shutil.copytree(self.folder, folder, symlinks=True)))

    def planned(self, *arguments: str) -> set[tuple[str, str]]:
        """What a dry run would do: pairs of a rule and its wildcards, the final rule left out."""
        done = self.snakemake("--dry-run", "--cores", "2", *arguments)
        blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)*)", done.stdout + done.stderr, flags=re.MULTILINE)
        jobs = {(rule, _wildcards(body)) for rule, body in blocks if rule != "all"}
        assert jobs or "Nothing to be done" in done.stdout + done.stderr
        return jobs

    def own_source(self) -> Path:
        """A copy of the package to edit, in place of the link to the repository's."""
        source = self.folder / "src"
        if source.is_symlink():
            source.unlink()
            # With its bytecode, but not what another process is writing.
            shutil.copytree(REPOSITORY / "src", source, ignore=shutil.ignore_patterns("*.pyc.*", "*.egg-info"))
        return source

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        path = self._editable(file)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def append(self, file: str, text: str) -> None:
        """Add text at the end of a file."""
        with self._editable(file).open("a") as stream:
            stream.write(text)

    def _editable(self, file: str) -> Path:
        if Path(file).parts[0] == "src":
            self.own_source()
        return self.folder / file


def _wildcards(body: str) -> str:
    line = re.search(r"wildcards: (.*)", body)
    values = re.findall(r"\w+=([\w-]+)", line.group(1)) if line else []
    return ".".join(values)


def make_project(folder: Path, config: Path = REPOSITORY / "tests/tiny/config.yaml") -> Project:
    """Copy the workflow and a configuration, the tiny one unless given, into a folder with a link to the package.

    Where the package lies decides which compiled kernels numba takes, so that projects share them.
    """
    for name in ("workflow", "envs"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=NOT_COPIED)
    (folder / "src").symlink_to(REPOSITORY / "src")
    shutil.copy(config, folder / "config.yaml")
    return Project(folder)


def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, name: str, make: Callable[[Path], None]
) -> Project:
    """The project that is made in a folder, with its results; tests that change it must work on a copy.

    Where tests run in several processes, the first that needs it makes it for all.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    project = Project(shared / name)
    with FileLock(shared / f"{name}.lock"):
        if not (project.folder / "results/summary.md").exists():
            make(project.folder)
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The tiny project, made once."""
    return made_once(
        tmp_path_factory, worker_id, "finished", lambda folder: make_project(folder).snakemake("--cores", "2")
    )
