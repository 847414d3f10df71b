"""docs/pitfalls.md and findings/ name each other, and tests that exist."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/pitfalls.md").read_text()
FINDINGS = sorted((REPOSITORY / "findings").glob("*.sh"))


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_a_finding_can_be_run_and_is_explained(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert f"`findings/{path.name}`" in PAGE
    text = path.read_text()
    pins = re.findall(r"pip install --quiet --disable-pip-version-check (.+) \|\| exit 2$", text, flags=re.MULTILINE)
    assert pins
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", each) for line in pins for each in line.split())
    assert "largestep" not in text


def test_findings_that_are_named_exist() -> None:
    named = set(re.findall(r"`findings/(\w+\.sh)`", PAGE))
    assert named == {path.name for path in FINDINGS}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/\S+?)`", PAGE))))
def test_tests_that_are_named_exist(named: str) -> None:
    file, _, function = named.partition("::")
    body = ast.parse((REPOSITORY / file).read_text()).body
    assert function in [node.name for node in body if isinstance(node, ast.FunctionDef)]


def test_every_row_has_what_shows_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| one expects")]
    assert rows
    for row in rows:
        assert len(row.strip("|").split("|")) == 5, row
        assert re.search(r"`(findings|tests)/", row.strip("|").split("|")[-1]), row
