"""Which changes of code count, and for which stage."""

from __future__ import annotations

import importlib
import re
import textwrap
from pathlib import Path

import pytest

from largestep import fingerprint, stages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up package in place of ours: `stage` imports `helper`, which imports `base`."""
    files = {
        "__init__.py": "",
        "base.py": "VALUE = 1\n",
        "helper.py": "from largestep import base\n\n\ndef double():\n    return 2 * base.VALUE\n",
        "stage.py": "from largestep.helper import double\n\n\ndef main():\n    import numpy\n    return double()\n",
        "other.py": "VALUE = 3\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


def digest() -> str:
    for cached in (fingerprint._parse, fingerprint._tree, fingerprint._imports):
        cached.cache_clear()
    return fingerprint.fingerprint("largestep.stage")


def test_follows_imports(package: Path) -> None:
    before = digest()
    assert fingerprint.closure("largestep.stage") == {f"largestep{m}" for m in (".stage", ".helper", ".base", "")}
    (package / "base.py").write_text("VALUE = 2\n")
    assert digest() != before


def test_ignores_comments_docstrings_and_other_modules(package: Path) -> None:
    before = digest()
    text = '''
        """What this module is for."""

        from largestep.helper import double


        def main():
            """What this does."""
            # Why.
            import numpy
            return double()
    '''
    (package / "stage.py").write_text(textwrap.dedent(text))
    (package / "other.py").write_text("VALUE = 4\n")
    assert digest() == before


def test_relative_imports_are_refused(package: Path) -> None:
    (package / "stage.py").write_text("from .helper import double\n")
    with pytest.raises(ValueError, match=r"largestep\.stage, line 1: imports must be absolute"):
        digest()


def test_unknown_module() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"largestep\.nothing"):
        fingerprint.fingerprint("largestep.nothing")


def test_plotting_is_not_part_of_training() -> None:
    for kind, worker in stages.WORKERS["train"].items():
        modules = fingerprint.closure("largestep.train", worker)
        assert not any(m.startswith(("largestep.figures", "largestep.claims", "largestep.config")) for m in modules), (
            kind
        )


def test_each_worker_exists() -> None:
    for stage, workers in stages.WORKERS.items():
        for kind in workers:
            assert len(stages.code(stage, kind)) == 64


def test_the_code_of_a_study_covers_every_worker_that_it_calls() -> None:
    """Workers are named by text, so that the closure of imports does not hold them."""
    for kind, worker in stages.WORKERS["studies"].items():
        text = importlib.import_module(worker).__loader__.get_source(worker)
        called = set(re.findall(r"worker\(\s*\"(\w+)\"", text))
        allowed = {"data", "images"} | ({"features"} if kind in stages.STUDIES_OF_FEATURES else set())
        assert called <= allowed, kind
