"""The conda files pin what the lock file pins, and the lock file names packages alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml


def pins(repository: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (repository / "envs/requirements.lock").read_text().splitlines():
        match = re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([0-9a-z.+]+)( ; .*)?", line)
        assert match, f"not a plain pin: {line}"
        found.setdefault(match.group(1), set()).add(match.group(2))
    return found


def test_conda_files_are_in_step_with_the_lock(repository: Path) -> None:
    locked = pins(repository)
    files = sorted((repository / "envs").glob("*.yaml"))
    assert [file.name for file in files] == ["analysis.yaml", "train.yaml"]
    for file in files:
        names = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
        for requirement in names:
            name, version = requirement.split("==")
            assert version in locked[name], f"{file.name}: {requirement}, but the lock says {locked[name]}"


def test_rules_use_files_that_exist(repository: Path) -> None:
    for file in (repository / "workflow/rules").glob("*.smk"):
        for name in re.findall(r'"\.\./\.\./envs/(.*?)"', file.read_text()):
            assert (repository / "envs" / name).is_file()


def test_every_dependency_is_locked(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.match(r"[A-Za-z0-9-]+", requirement).group().lower() for requirement in named}  # type: ignore[union-attr]
    assert names <= set(pins(repository))
