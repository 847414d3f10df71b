"""What docs/design.md says of where things are."""

from __future__ import annotations

import re
from pathlib import Path

from largestep.claims.__main__ import MODULES
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/design.md").read_text()


def test_every_claim_is_where_the_table_says() -> None:
    rows = re.findall(r"^\| (C\d+(?:, C\d+)*) \| (`\w+`(?:, `\w+`)*) \|$", PAGE, re.MULTILINE)
    said = {claim: re.findall(r"`(\w+)`", modules) for claims, modules in rows for claim in claims.split(", ")}
    actual: dict[str, list[str]] = {}
    for module in MODULES:
        for claim in module.CLAIMS:
            actual.setdefault(claim, []).append(module.__name__.rpartition(".")[2])
    assert said == actual


def test_a_step_size_passes_by_what_is_there() -> None:
    """Every step of the walk names a file, and what in it has the step size, and no file comes twice."""
    walk = re.findall(r"^\d+\. `([\w./]+)`: (.*)$", PAGE, re.MULTILINE)
    assert len(walk) == 14
    files = [file for file, _ in walk]
    assert len(set(files)) == len(files)
    for file, said in walk:
        path = Path(file) if file == "config.yaml" or file.startswith("workflow/") else Path("src/largestep") / file
        text = (REPOSITORY / path).read_text()
        named = re.match(r"`(\w+)`", said)
        assert named is None or file == "config.yaml" or re.search(rf"(def|class) {named[1]}\b", text), (file, said)
