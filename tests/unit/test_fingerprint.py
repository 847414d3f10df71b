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


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package in the working directory: `nets` imports `parts` relatively, which imports `sizes`."""
    files = {
        "own/__init__.py": "",
        "own/nets.py": "import numpy\nfrom .parts import body\n\nraise RuntimeError('is not to be run')\n",
        "own/parts.py": "import own.sizes\n\nbody = own.sizes.WIDTH\n",
        "own/sizes.py": "WIDTH = 3\n",
        "own/other.py": "VALUE = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def own_digest() -> str:
    for cached in (fingerprint._parse, fingerprint._tree):
        cached.cache_clear()
    return fingerprint.user_fingerprint("own.nets.Net")


@pytest.mark.parametrize("file", ["nets.py", "parts.py", "sizes.py", "__init__.py"])
def test_a_users_own_code_counts_with_what_it_imports(own: Path, file: str) -> None:
    before = own_digest()
    with (own / file).open("a") as stream:
        stream.write("# a comment\n")
    (own / "other.py").write_text("VALUE = 2\n")
    assert own_digest() == before
    with (own / file).open("a") as stream:
        stream.write("MORE = 1\n")
    assert own_digest() != before


def test_a_users_own_code_counts_wherever_it_lies(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_digest()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    own.rename(moved / "own")
    monkeypatch.setenv("PYTHONPATH", str(moved))
    assert own_digest() == before


def test_a_users_own_code_that_is_built_on_ours_counts_with_ours(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "sizes.py").write_text("from largestep.models import resnet\n\nWIDTH = 3\n")
    before = own_digest()
    ours = fingerprint.fingerprint
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(fingerprint, "fingerprint", lambda *modules: seen.append(modules) or ours(*modules))
    assert own_digest() == before
    assert "largestep.models.resnet" in seen[0]
    monkeypatch.setattr(fingerprint, "fingerprint", lambda *modules: "another")
    assert own_digest() != before


def test_of_an_installed_package_the_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.user_fingerprint("torchvision.models.resnet18")
    assert fingerprint.user_fingerprint("torchvision.models.resnet34") == before
    monkeypatch.setattr(fingerprint, "version", lambda name: "0.0")
    assert fingerprint.user_fingerprint("torchvision.models.resnet18") != before


@pytest.mark.parametrize("dotted", ["no_such_package.Net", "own.no_such_module.Net"])
def test_a_users_own_code_that_is_not_there(own: Path, dotted: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="no"):
        fingerprint.user_fingerprint(dotted)
