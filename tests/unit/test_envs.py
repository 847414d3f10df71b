"""The conda files pin what the lock file pins, and the lock file names packages alone."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from largestep import fingerprint, stages
from largestep.fingerprint import definitions


def pins(repository: Path) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in (repository / "envs/requirements.lock").read_text().splitlines():
        match = re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([0-9a-z.+]+)( ; .*)?", line)
        assert match, f"not a plain pin: {line}"
        versions.setdefault(match.group(1), set()).add(match.group(2))
    return versions


def test_conda_files_are_in_step_with_the_lock(repository: Path) -> None:
    locked = pins(repository)
    files = sorted((repository / "envs").glob("*.yaml"))
    assert [file.name for file in files] == ["analysis.yaml", "train.yaml"]
    for file in files:
        names = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
        for requirement in names:
            name, version = requirement.split("==")
            assert version in locked[name], f"{file.name}: {requirement}, but the lock says {locked[name]}"


@pytest.mark.parametrize("name", ["numpy", "scipy", "numba", "llvmlite", "pillow", "torch", "torchvision"])
def test_what_decides_digits_has_one_version_for_every_python(repository: Path, name: str) -> None:
    lines = (repository / "envs/requirements.lock").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}=="))
    assert ";" not in line


def test_the_makefile_asks_for_the_python_that_the_package_asks_for(repository: Path) -> None:
    wanted = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["requires-python"]
    check = re.search(
        r"not \((\d), (\d+)\) <= sys.version_info < \((\d), (\d+)\)", (repository / "Makefile").read_text()
    )
    assert check
    assert wanted == ">={}.{},<{}.{}".format(*check.groups())


def test_rules_use_files_that_exist(repository: Path) -> None:
    for file in (repository / "workflow/rules").glob("*.smk"):
        for name in re.findall(r'"\.\./\.\./envs/(.*?)"', file.read_text()):
            assert (repository / "envs" / name).is_file()


def test_every_dependency_is_locked(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + [each for extra in project["optional-dependencies"].values() for each in extra]
    names = {re.match(r"[A-Za-z0-9-]+", requirement).group().lower() for requirement in named}  # type: ignore[union-attr]
    assert names - {"largestep"} <= set(pins(repository))


def test_stages_of_the_analysis_import_what_its_environment_has(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = yaml.safe_load((repository / "envs/analysis.yaml").read_text())["dependencies"][-1]["pip"]
    has = {requirement.split("==")[0] for requirement in pinned} | {"PIL", "mpl_toolkits", "netCDF4", "largestep"}
    has |= {"pydantic_core", "yaml"}
    # What counts in no digest is imported as well.
    monkeypatch.setattr(definitions, "OUTSIDE", {})
    own = ("sparsity", "sparsity_images", "aggregate", "tables", "animation")
    own += ("claims.__main__", "figures.__main__", "figures.scorecard")
    for stage in (*(f"largestep.{name}" for name in own), *stages.WORKERS["figures"].values()):
        for module in fingerprint.closure(stage):
            for node in ast.walk(ast.parse(inspect.getsource(import_module(module)))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
                imported = {name.split(".")[0] for name in names} - sys.stdlib_module_names
                assert imported <= has, f"{stage} imports {imported - has} in {module}"
