"""Which changes of code count, and for which stage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import SimpleNamespace

import pytest

import largestep
from largestep import fingerprint, registered, stages
from largestep.fingerprint import definitions, kept, users
from largestep.toys.network import network


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
    monkeypatch.setattr(definitions, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    yield
    forget()


def forget() -> None:
    for name in ("fingerprint", "_used_by", "_attributes", "_imports", "_file", "_module"):
        getattr(definitions, name).cache_clear()
    for cached in (users._parse, users._text):
        cached.cache_clear()


def digest(**how: bool) -> str:
    forget()
    return fingerprint.fingerprint("largestep.stage", **how)


def test_what_is_kept_gives_the_same_and_follows_edits(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    computed = digest()
    assert not [*package.rglob("*.json")]
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert digest() == computed
    written = [*package.rglob("*.json")]
    assert {path.name.partition(".")[0] for path in written} == {"__init__", "base", "helper", "stage"}
    # Read, not computed anew.
    with monkeypatch.context() as patched:
        patched.setattr(kept, "parts", None)
        assert digest() == computed
    # Of another version of the rules, damaged, or of another source, they are made anew.
    with monkeypatch.context() as patched:
        patched.setattr(kept, "_rules", lambda: b"other")
        assert digest() == computed
    for path in written:
        path.write_text('{"key": ')
    assert digest() == computed
    (package / "base.py").write_text("VALUE = 2\n")
    assert digest() != computed


def test_follows_imports(package: Path) -> None:
    before = digest()
    forget()
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


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "helper.py",
            "from largestep import base\n\n\ndef double():\n    return 2 * base.VALUE\n\n\ndef one():\n    return 1\n",
        ),
        (
            "helper.py",
            "import os\nfrom largestep import base\nX = os.sep\n\ndef double():\n    return 2 * base.VALUE\n",
        ),
        ("base.py", "OTHER = 2\nVALUE = 1\n"),
        ("base.py", "from largestep import other\nVALUE = 1\nOTHER = other.VALUE\n"),
        ("base.py", "if __name__ == '__main__':\n    print(1)\nVALUE = 1\n"),
        ("stage.py", "def main():\n    import numpy\n    return double()\n\nfrom largestep.helper import double\n"),
    ],
)
def test_what_is_not_used_does_not_count(package: Path, file: str, text: str) -> None:
    before = digest()
    (package / file).write_text(text)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("helper.py", "from largestep import other as base\n\n\ndef double():\n    return 2 * base.VALUE\n"),
        ("helper.py", "from largestep import base\n\n\n@base.kept\ndef double():\n    return 2 * base.VALUE\n"),
        ("helper.py", "from largestep.base import VALUE\n\n\ndef double():\n    return 2 * VALUE\n"),
        ("base.py", "VALUE = 1\nVALUE += 1\n"),
        ("base.py", "for VALUE in (1, 2):\n    pass\n"),
        ("base.py", "import largestep.other\nVALUE = 1\nlargestep.other.VALUE = 2\n"),
        ("base.py", "import os\nVALUE = 1\nos.environ['A'] = '1'\n"),
        ("__init__.py", "import os\nos.environ['A'] = '1'\n"),
        (
            "stage.py",
            "from largestep.helper import double\nMORE = 1\n\ndef main():\n    import numpy\n    return double()\n",
        ),
    ],
)
def test_what_is_used_or_done_counts(package: Path, file: str, text: str) -> None:
    before = digest()
    (package / file).write_text(text)
    assert digest() != before


A = "class A:\n    def _one(self):\n        return VALUE\n"


@pytest.mark.parametrize(
    ("defines", "returns"),
    [
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = 0\nelse:\n    X = VALUE\n", "X"),
        ("T = {}\ndef add(f):\n    T[1] = f\n    return f\n\n@add\ndef one():\n    return VALUE\n", "T"),
        ("T = {}\nT['f'] = NAME = VALUE\n", "T"),
        ("T = {}\nNAME, T['f'] = 1, VALUE\n", "T"),
        (f"{A}    other = _one\n", "A().other()"),
        (f"{A}    other = {{1: _one}}\n", "A().other"),
        (f"{A}    other = property(_one)\n", "A().other"),
        (f"{A}\nclass B(A):\n    def two(self):\n        return super()._one()\n", "B().two()"),
        ("def one(x=VALUE):\n    return x\n", "one()"),
        ("class B:\n    size = VALUE\n", "B.size"),
    ],
)
def test_what_is_reached_without_its_name_counts(package: Path, defines: str, returns: str) -> None:
    """Else branches for the interpreter, registers, aliases of methods, default arguments, class attributes."""
    digests = []
    for value in (1, 2):
        (package / "helper.py").write_text(
            f"{defines.replace('VALUE', str(value))}\ndef double():\n    return {returns}\n"
        )
        digests.append((digest(), digest(every_method=False)))
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] != digests[1][1]


@pytest.mark.parametrize(
    ("uses", "counts"),
    [
        ("return base.VALUE", False),
        ("return getattr(base, 'OTHER')", True),
        ("return base", True),
        ("import largestep.base as b\n    return b.OTHER", True),
        ("import largestep.base\n    return largestep.base.OTHER", True),
        ("import largestep.base\n    return largestep.base.VALUE", False),
        ("return (lambda: base.OTHER)()", True),
    ],
)
def test_of_a_module_that_is_handed_on_all_counts(package: Path, uses: str, counts: bool) -> None:
    (package / "helper.py").write_text(f"from largestep import base\n\n\ndef double():\n    {uses}\n")
    (package / "base.py").write_text("VALUE = 1\nOTHER = 1\n")
    before = digest()
    (package / "base.py").write_text("VALUE = 1\nOTHER = 2\n")
    assert (digest() != before) == counts


METHODS = """
import torch


class Net{bases}:
    size = 1

    def __init__(self):
        self.start = self.first()

    def first(self):
        return base.VALUE

    def second(self):
        return other.VALUE


def double():
    return Net().{called}()
"""


@pytest.mark.parametrize(
    ("bases", "called", "edited", "counts"),
    [
        ("", "start", "other.py", False),
        ("", "start", "base.py", True),
        ("", "second", "other.py", True),
        ("(torch.nn.Module)", "start", "other.py", True),
    ],
)
def test_a_method_counts_where_its_name_is_used(
    package: Path, bases: str, called: str, edited: str, counts: bool
) -> None:
    text = METHODS.replace("{bases}", bases).replace("{called}", called)
    (package / "helper.py").write_text(f"from largestep import base, other\n{text}")
    before = digest(), digest(every_method=False)
    (package / edited).write_text("VALUE = 7\n")
    assert digest() != before[0]
    assert (digest(every_method=False) != before[1]) == counts


@pytest.mark.parametrize("line", ["from .helper import double", "from largestep.helper import *"])
def test_imports_that_cannot_be_followed_are_refused(package: Path, line: str) -> None:
    (package / "stage.py").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"largestep\.stage, line 1: imports must be absolute and without \*"):
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


@pytest.mark.parametrize("kind", stages.TOYS)
def test_a_toy_network_depends_on_no_other(kind: str) -> None:
    """What trains and studies them reaches networks by their name."""
    shared = ["largestep.train", "largestep.toys.train", *stages.WORKERS["studies"].values()]
    reached = fingerprint.closure(*shared, stages.TOYS[kind])
    for other, module in stages.TOYS.items():
        assert (module in reached) == (other == kind)
        if other != kind:
            assert f"{module}_kernels" not in reached
    assert stages.code("train", kind) not in {stages.code("train", other) for other in stages.TOYS if other != kind}


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"^no toys of kind cubic; there are dense, diagonal$"):
        network(SimpleNamespace(kind="cubic"), 3)


@pytest.mark.parametrize("left", ["data", "models"])
def test_data_and_models_do_not_reach_training(left: str) -> None:
    workers = [*stages.WORKERS[left].values(), *(stages.IMAGE_SETS.values() if left == "data" else ())]
    later = ("largestep.toys", "largestep.images", "largestep.measures")
    assert not any(module.startswith(later) for module in fingerprint.closure(*workers))


def test_each_worker_exists() -> None:
    for stage, workers in stages.WORKERS.items():
        for kind in workers:
            assert len(stages.code(stage, kind)) == 64


def test_the_code_of_a_study_covers_every_worker_that_it_calls() -> None:
    """Workers are named by text, so that the closure of imports does not hold them."""
    called = {kind: registered.workers_called(f"studies.{kind}") for kind in stages.WORKERS["studies"]}
    assert {kind for kind, names in called.items() if "features" in names} == {"sweep", "flows"}
    assert set().union(*called.values()) == {"data", "images", "features"}


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
    forget()
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


@pytest.mark.parametrize("file", ["nets.py", "parts.py", "sizes.py"])
def test_so_it_does_in_a_folder_without_init(own: Path, file: str) -> None:
    (own / "__init__.py").unlink()
    before = own_digest()
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
    ours = users.fingerprint
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(users, "fingerprint", lambda *modules: seen.append(modules) or ours(*modules))
    assert own_digest() == before
    assert "largestep.models.resnet" in seen[0]
    monkeypatch.setattr(users, "fingerprint", lambda *modules: "another")
    assert own_digest() != before


def test_of_an_installed_package_the_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.user_fingerprint("torchvision.models.resnet18")
    assert fingerprint.user_fingerprint("torchvision.models.resnet34") == before
    monkeypatch.setattr(users, "version", lambda name: "0.0")
    assert fingerprint.user_fingerprint("torchvision.models.resnet18") != before


class Finder:
    """As setuptools installs a package as editable that lies in no folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(self.folder)]) if name == "own" else None


@pytest.mark.parametrize("how", ["a folder in sys.path", "a finder"])
def test_of_an_editable_install_the_code_counts(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its version stays, whatever is edited."""
    before = own_digest()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    if how == "a finder":
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(tmp_path)])
    else:
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert own_digest() == before
    (own / "sizes.py").write_text("WIDTH = 4\n")
    assert own_digest() != before


def test_digests_are_those_of_a_copy_installed_in_a_path_with_spaces(tmp_path: Path) -> None:
    """As a wheel leaves it in a site-packages."""
    site = tmp_path / "my env" / "site-packages"
    shutil.copytree(Path(largestep.__file__).parent, site / "largestep", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import largestep; from largestep import stages; print(largestep.__file__, "
        "stages.chain('sparsity', 'points', 'dense'), stages.code('figures', 'curves'), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    place, *digests = done.stdout.splitlines()
    assert place.startswith(str(site)), done.stderr
    assert digests == [stages.chain("sparsity", "points", "dense"), stages.code("figures", "curves")]


@pytest.mark.parametrize("dotted", ["no_such_package.Net", "own.no_such_module.Net"])
def test_a_users_own_code_that_is_not_there(own: Path, dotted: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="no"):
        fingerprint.user_fingerprint(dotted)
