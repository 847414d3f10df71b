"""Broken and hostile settings given to Snakemake: refused before any job starts, or no more than text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project
from tests.reliability.conftest import Counted
from tests.reliability.small import FULL, make_small

# Runs something if any shell, or Snakemake's formatting, takes it for more than text.
HOSTILE = (
    """a'b"c\\ $(touch canary) `touch canary`; touch canary & touch canary | touch canary > canary\n"""
    """touch canary\n{output} {{x}} {0} ${HOME} $PATH ~ * ? !! %s ../../x имя 名前 """ + "a" * 200
)
SMALL = Path(__file__).parent / "config.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_small(tmp_path / "project")


def files(folder: Path) -> dict[str, bytes]:
    """All there is but results, and Snakemake's own records."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"results", ".snakemake", "__pycache__"} & set(path.relative_to(folder).parts)
    }


def rename(raw: dict[str, Any], name: str) -> None:
    raw["experiments"]["diagonal"]["cells"][name] = raw["experiments"]["diagonal"]["cells"].pop("small")


Change = Callable[[dict[str, Any]], object]
# What is changed, and what the one line has to name. The first few are enough where time is short.
BROKEN: tuple[tuple[str, Change, str], ...] = (
    ("a name that leaves results", lambda c: rename(c, "../../../x"), "experiments.diagonal.cells"),
    ("a name that runs something", lambda c: rename(c, "$(touch canary)"), "experiments.diagonal.cells"),
    ("a key that is missing", lambda c: c["experiments"]["digits"].pop("model"), "experiments.digits.model"),
    ("templating, which runs code", lambda c: c.update(__use_yte__=True), "__use_yte__"),
    ("a name with quotes", lambda c: rename(c, "a'; touch canary; 'b"), "experiments.diagonal.cells"),
    ("a name of two lines", lambda c: rename(c, "small\ntouch canary"), "experiments.diagonal.cells"),
    ("a name of 300 letters", lambda c: rename(c, "a" * 300), "experiments.diagonal.cells"),
    ("a name in another alphabet", lambda c: rename(c, "малый"), "experiments.diagonal.cells"),
    ("a study of that sort", lambda c: c["studies"].update({"../x": c["studies"]["bouncing"]}), "studies"),
    ("a number that is none", lambda c: c["experiments"]["diagonal"]["data"].update(seed=float("nan")), "data.seed"),
    ("a number too large", lambda c: c["experiments"]["diagonal"]["data"].update(seed=10**400), "data.seed"),
    ("a mirror that runs something", lambda c: c.update(data={"mirror": "http://$(touch canary)"}), "data.mirror"),
    ("a list for a mapping", lambda c: c.update(experiments=["diagonal"]), "experiments"),
    ("deep nesting", lambda c: c.update(only=_deep(200)), "nested deeper"),
)
UNREADABLE: tuple[tuple[str, bytes, str], ...] = (
    ("a broken file", b"scale: [", "not valid YAML"),
    ("no text", bytes(range(256)), "not valid YAML"),
    ("aliases without end", b"a: &a [*a]\n", "line 1"),
    ("an object", b"scale: !!python/object/apply:os.system ['touch canary']\n", "line 1"),
)


def _deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


CASES = [(name, change, None, key) for name, change, key in BROKEN]
CASES += [(name, None, content, key) for name, content, key in UNREADABLE]


@pytest.mark.parametrize(
    ("change", "content", "key"),
    [case[1:] for case in CASES[:: 1 if FULL else 6]],
    ids=[c[0] for c in CASES[:: 1 if FULL else 6]],
)
def test_snakemake_refuses_broken_settings_in_one_line_and_starts_nothing(
    project: Project, change: Change | None, content: bytes | None, key: str, counted: Counted
) -> None:
    config = project.folder / "config.yaml"
    if change is not None:
        raw = yaml.safe_load(SMALL.read_text())
        change(raw)
        content = yaml.safe_dump(raw, allow_unicode=True).encode()
    config.write_bytes(content or b"")
    before = files(project.folder.parent)
    done = project.snakemake("--cores", "1", check=False)
    said = done.stdout + done.stderr
    lines = [line for line in said.splitlines() if "error" in line.lower()]
    assert done.returncode != 0
    assert len(lines) == 1, said
    assert lines[0].startswith("error: config.yaml: ")
    assert key in lines[0]
    assert "Traceback" not in said
    assert not (project.folder / "results").exists()
    assert files(project.folder.parent) == before
    counted("broken configurations refused by snakemake")


def test_hostile_texts_are_texts_all_the_way(project: Project) -> None:
    """In every text that config.yaml may hold and a job is given: paths, titles, options."""
    raw = yaml.safe_load(SMALL.read_text())
    raw["data"] = {"root": HOSTILE}
    raw["experiments"]["diagonal"] |= {"title": HOSTILE, "paper": HOSTILE}
    raw["studies"]["bouncing"] |= {"title": HOSTILE, "paper": HOSTILE}
    pictures = {"kind": "folder", "folder": HOSTILE, "sha256": "0" * 64, "size": [4, 4]}
    raw["experiments"]["pictures"] = raw["experiments"]["digits"] | {"data": pictures}
    (project.folder / "config.yaml").write_text(yaml.safe_dump(raw, allow_unicode=True))
    before = files(project.folder.parent)
    done = project.snakemake("--cores", "2", check=False)
    logs = {path.stem: path.read_text() for path in (project.folder / "results/logs/images").glob("*.log")}
    # No such folder, told in a line; what depends on it is not made.
    assert done.returncode != 0
    (refused,) = (text for name, text in logs.items() if name.startswith("folder-"))
    assert "error: " in refused
    assert "Traceback" not in refused
    assert (project.folder / "results/cells/digits.decay50/sparsity.nc").exists()
    assert (project.folder / "results/figures/bouncing.png").exists()
    only = "only=[diagonal,digits,bouncing]"
    project.snakemake("--cores", "2", "--config", only)
    assert "touch canary" in (project.folder / "results/tables/diagonal.md").read_text()
    assert files(project.folder.parent) == before


TARGETS = (
    "results/cells/diagonal.../../../x/train.nc",
    "results/cells/diagonal.$(touch canary)/train.nc",
    "results/data/a;touch canary;b.nc",
    "results/images/`touch canary`.safetensors",
    "../x.nc",
)
# And the key that the refusal names.
OVERRIDES = {
    "scale='$(touch canary)'": "scale",
    """only=["'; touch canary; '"]""": "only",
    """data={"mirror": "http://x/$(touch canary)"}""": "data.mirror",
    """experiments={"$(touch canary)": {}}""": "experiments",
    "seed=1": "seed",
}


def test_hostile_targets_and_overrides_are_refused(project: Project) -> None:
    before = files(project.folder.parent)
    for given in (TARGETS, tuple(OVERRIDES)) if FULL else (TARGETS[1:2], tuple(OVERRIDES)[1:2]):
        for text in given:
            arguments = ("--config", text) if text in OVERRIDES else ("--", text)
            done = project.snakemake("--cores", "1", *arguments, check=False)
            assert done.returncode != 0, text
            said = done.stdout + done.stderr
            assert "Traceback" not in said, text
            if text in OVERRIDES:
                (line,) = (line for line in said.splitlines() if line.startswith("error: "))
                assert line.startswith("error: config.yaml + --config "), line
                assert f": {OVERRIDES[text]}" in line
            assert not (project.folder / "results").exists(), text
    assert files(project.folder.parent) == before


def test_a_checkout_in_a_folder_of_a_hostile_name(project: Project) -> None:
    folder = project.folder.with_name('mine; $(touch canary) "имя"')
    shutil.move(project.folder, folder)
    moved = Project(folder)
    before = files(folder.parent)
    moved.snakemake("--cores", "2", "results/cells/diagonal.small/sparsity.nc")
    assert (folder / "results/cells/diagonal.small/sparsity.nc").exists()
    assert files(folder.parent) == before


@pytest.mark.parametrize("name", ["it's mine", "{wildcards}"])
def test_a_folder_that_snakemake_stumbles_over_is_refused(project: Project, name: str) -> None:
    """In the command of a rule with `run`; the checkout's folder, or the one that results go to."""
    folder = project.folder.with_name(name)
    folder.mkdir()
    shutil.copy(project.folder / "config.yaml", folder)
    done = project.snakemake("--cores", "1", "--directory", str(folder), check=False)
    assert done.returncode != 0
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: {folder}: Snakemake cannot run jobs in a folder with ")
    assert "Traceback" not in done.stdout + done.stderr
    assert [path.name for path in folder.iterdir() if path.name != ".snakemake"] == ["config.yaml"]
    folder.rename(project.folder.with_name("elsewhere"))
    shutil.move(project.folder, folder)
    assert Project(folder).snakemake("--dry-run", check=False).stderr.count("error: ") == 1
