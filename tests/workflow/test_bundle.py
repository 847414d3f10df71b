"""`largestep pack` and `check-bundle` of the finished tiny study: the same bytes twice, and what was tampered with."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from largestep import store
from largestep.bundle.check import check
from tests import forked
from tests.conftest import REPOSITORY, Project

SPARSITY, OTHER = (f"results/cells/{cell}/sparsity.nc" for cell in ("diagonal.small", "diagonal.decay50"))
FIGURE = "results/figures/points_fits.png"


def call(project: Project, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = map(str, arguments)
    return forked.run(project.folder, "largestep", *words, PYTHONPATH=str(project.folder / "src"))


@pytest.fixture(scope="module")
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return finished.copy(tmp_path_factory.mktemp("bundle") / "project")


@pytest.fixture(scope="module")
def bundle(project: Project) -> Path:
    (project.folder / "own.py").write_text("# mine\n")
    done = call(project, "pack", "--stores", "--output", "one.zip", "--with", "own.py", "--json")
    assert done.returncode == 0, done.stderr
    said, path = json.loads(done.stdout), project.folder / "one.zip"
    assert said == {
        **{"path": "one.zip", "files": len(zipfile.ZipFile(path).namelist()), "bytes": path.stat().st_size},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return path


def test_two_packings_are_the_same_bytes(project: Project, bundle: Path) -> None:
    """Whatever the times of the files."""
    for path in (project.folder / "results").rglob("*"):
        os.utime(path, (0, 0))
    assert call(project, "pack", "--stores", "--output", "two.zip", "--with", "own.py").returncode == 0
    assert (project.folder / "two.zip").read_bytes() == bundle.read_bytes()


def test_a_crate_holds_every_file_under_its_own_path(project: Project, bundle: Path) -> None:
    crate = ROCrate(bundle)
    assert crate.version == "1.1"
    assert crate.mainEntity.id == "workflow/Snakefile"
    assert crate.mainEntity["programmingLanguage"]["version"] == version("snakemake")
    [run] = crate.root_dataset["mentions"]
    assert run["instrument"] is crate.mainEntity
    held = {str(path.relative_to(project.folder)) for path in (project.folder / "results").glob("**/*.nc")}
    assert {SPARSITY, OTHER} < held
    assert held <= {each.id for each in run["result"]}
    for name in (SPARSITY, OTHER, FIGURE):
        entity = crate.dereference(name)
        content = (project.folder / name).read_bytes()
        assert (entity["sha256"], int(entity["contentSize"])) == (hashlib.sha256(content).hexdigest(), len(content))
    assert {"config.yaml", "envs/requirements.lock", "own.py"} <= {each.id for each in crate.data_entities}
    assert crate.root_dataset["citation"]["url"] == "https://arxiv.org/abs/2210.05337"


def test_checksums_and_provenance_are_plain_files(bundle: Path, tmp_path: Path) -> None:
    """For whoever has no largestep: `sha256sum -c`, and a table."""
    with zipfile.ZipFile(bundle) as files:
        files.extractall(tmp_path)
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO((tmp_path / "provenance.csv").read_text()))}
    said = store.attributes(tmp_path / SPARSITY)
    for key in ("content_sha256", "code_fingerprint", "version_numpy", "processor", "created"):
        assert rows[SPARSITY][key] == str(said[key])


def test_a_bundle_is_as_packed(project: Project, bundle: Path) -> None:
    done = call(project, "check-bundle", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("all as packed\n")


Files = dict[str, bytes]


def with_sums(files: Files) -> None:
    """Give the metadata and the list the checksums of what is there."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    crate = json.loads(files["ro-crate-metadata.json"])
    for entity in crate["@graph"]:
        if "sha256" in entity:
            entity["sha256"] = sums[entity["@id"]]
    files["ro-crate-metadata.json"] = json.dumps(crate).encode()
    sums["ro-crate-metadata.json"] = hashlib.sha256(files["ro-crate-metadata.json"]).hexdigest()
    files["SHA256SUMS"] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums) if name != "SHA256SUMS").encode()


def change_a_byte(files: Files) -> None:
    files[FIGURE] = files[FIGURE][:-1] + bytes([files[FIGURE][-1] ^ 1])


def lose_a_store(files: Files) -> None:
    del files[SPARSITY]


def add_a_file(files: Files) -> None:
    files["results/cells/more.txt"] = b"more"


def lead_outside(files: Files) -> None:
    files["../outside"] = b"outside"


def damage_a_store(files: Files) -> None:
    """And every list of checksums says that it belongs so."""
    files[SPARSITY] = files[SPARSITY][:2000] + b"x" * 500 + files[SPARSITY][2500:]
    with_sums(files)


def swap_a_store(files: Files) -> None:
    files[SPARSITY] = files[OTHER]
    with_sums(files)


def swap_a_store_and_what_is_told_of_it(files: Files) -> None:
    told = list(csv.reader(io.StringIO(files["provenance.csv"].decode())))
    by_path = {row[0]: row for row in told}
    by_path[SPARSITY][1:] = by_path[OTHER][1:]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(told)
    files["provenance.csv"] = text.getvalue().encode()
    swap_a_store(files)


def change_only_the_list(files: Files) -> None:
    change_a_byte(files)
    lines = [line for line in files["SHA256SUMS"].decode().splitlines() if not line.endswith(FIGURE)]
    lines.append(f"{hashlib.sha256(files[FIGURE]).hexdigest()}  {FIGURE}")
    files["SHA256SUMS"] = ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    ("tamper", "where", "fault"),
    [
        (change_a_byte, FIGURE, "changed"),
        (lose_a_store, SPARSITY, "missing"),
        (add_a_file, "results/cells/more.txt", "foreign"),
        (lead_outside, "../outside", "foreign"),
        (damage_a_store, SPARSITY, "damaged"),
        (swap_a_store, SPARSITY, "foreign"),
        (swap_a_store_and_what_is_told_of_it, "results/largestep.nc diagonal", "foreign"),
        (change_only_the_list, FIGURE, "changed"),
    ],
)
def test_what_was_tampered_with_is_named(
    bundle: Path, tmp_path: Path, tamper: Callable[[Files], None], where: str, fault: str
) -> None:
    with zipfile.ZipFile(bundle) as files:
        content = {name: files.read(name) for name in files.namelist()}
    tamper(content)
    with zipfile.ZipFile(tmp_path / "tampered.zip", "w") as files:
        for name, each in content.items():
            files.writestr(name, each)
    findings, _ = check(tmp_path / "tampered.zip")
    assert (where, fault) in {(each.path, each.fault) for each in findings}
    # A store that is missing or unsound is missing for the aggregate too.
    assert {each.path for each in findings} <= {where, "results/largestep.nc diagonal"}
    assert not (tmp_path.parent / "outside").exists()


def test_what_is_no_bundle_is_one_line(project: Project, bundle: Path) -> None:
    (project.folder / "cut.zip").write_bytes(bundle.read_bytes()[:-100])
    with zipfile.ZipFile(project.folder / "other.zip", "w") as files:
        files.writestr("a", b"a")
    for name, why in (("cut.zip", "is cut off"), ("other.zip", "it holds no ro-crate-metadata.json")):
        done = call(project, "check-bundle", name)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"error: {name}: is no bundle of largestep")
        assert why in done.stderr


def test_what_is_not_finished_is_not_packed(project: Project, bundle: Path) -> None:
    done = call(project, "pack", "--stores", "--with", REPOSITORY / "README.md")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "README.md: --with takes files below this folder" in done.stderr
    path = project.folder / SPARSITY
    kept = path.read_bytes()
    path.write_bytes(b"")
    done = call(project, "pack", "--stores")
    path.write_bytes(kept)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {SPARSITY}: damaged: ")
    assert not list(project.folder.glob("largestep-*.zip"))
