"""What the Containerfile says agrees with the lock, the package and the files that are there; nothing is built here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def instructions(repository: Path) -> list[tuple[str, str]]:
    """Instruction and argument, a continued one in one line."""
    text = re.sub(r"\\\n\s*", " ", (repository / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_python_is_one_that_the_package_takes(repository: Path) -> None:
    given, base = [rest for name, rest in instructions(repository) if name == "ARG"]
    minor = int(re.fullmatch(r"PYTHON=3\.(\d+)", given)[1])  # type: ignore[index]
    assert base == "BASE=docker.io/library/python:${PYTHON}-slim-bookworm"
    assert ("FROM", "${BASE}") in instructions(repository)
    wanted = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", wanted).groups())  # type: ignore[union-attr]
    assert low <= minor < high


def test_all_that_pip_installs_is_in_the_lock(repository: Path) -> None:
    """But the package itself, without dependencies."""
    installs = re.findall(
        r"pip install ([^&]*)", " && ".join(rest for name, rest in instructions(repository) if name == "RUN")
    )
    assert [each.split() for each in installs] == [
        ["--no-cache-dir", "--requirement", "envs/requirements.lock"],
        ["--no-cache-dir", "--no-deps", "--editable", "."],
    ]
    assert ("COPY", "envs/requirements.lock envs/requirements.lock") in instructions(repository)


def test_the_last_user_is_an_ordinary_one(repository: Path) -> None:
    steps = instructions(repository)
    [user] = [rest for name, rest in steps if name == "USER"]
    assert f"useradd --create-home --uid 1000 {user}" in " ".join(rest for name, rest in steps if name == "RUN")
    after = steps[steps.index(("USER", user)) :]
    assert not {name for name, _ in after} & {"RUN", "COPY", "ADD"}


def test_results_and_environments_stay_out_of_the_image(repository: Path) -> None:
    ignored = (repository / ".containerignore").read_text().split()
    assert {".git", ".venv*", "results", ".snakemake"} <= set(ignored)
    assert not {"src", "workflow", "config.yaml", "envs"} & set(ignored)
