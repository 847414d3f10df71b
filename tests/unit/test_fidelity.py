"""docs/fidelity.md: every row is whole and decided, and the tests that it names are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LINES = (REPOSITORY / "docs/fidelity.md").read_text(encoding="utf-8").splitlines()
ROWS = [line for line in LINES if line.startswith("| ") and not line.startswith("| point |")]
COLUMNS = 5


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_section_is_read() -> None:
    assert len(ROWS) > 40
    assert sum(line.startswith("| point |") for line in LINES) == 6


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_says_how_it_agrees_and_names_tests_that_are_there(row: str) -> None:
    cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
    assert len(cells) == COLUMNS
    assert all(cells)
    assert not re.search(r"unknown|\?|todo", row, flags=re.IGNORECASE)
    named = re.findall(r"`(test_\w+)::(test_\w+)`", cells[-1])
    assert named
    for module, function in named:
        (path,) = (REPOSITORY / "tests").glob(f"*/{module}.py")
        assert function in functions(path), f"{path} has no {function}"
