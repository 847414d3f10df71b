"""Damaged, foreign and read-only files are found, named and made anew by plain restarts, with the same bits."""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.numpy import save_file

from largestep import cli, store
from largestep.data import image_set
from largestep.keys import digest
from largestep.specs.aggregates import AggregateSpec
from tests.conftest import Project
from tests.reliability.conftest import Counted
from tests.reliability.small import FULL, differences

FLIPS = 16


@pytest.fixture
def project(undisturbed: Project, tmp_path: Path) -> Project:
    return undisturbed.copy(tmp_path / "project")


def truncate(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(1, path.stat().st_size)])


def flip(path: Path, draw: random.Random) -> None:
    """Bits all over the file: one alone may hit a gap, which is no damage."""
    content = bytearray(path.read_bytes())
    for place in range(FLIPS):
        content[(len(content) * place // FLIPS + draw.randrange(len(content) // FLIPS)) % len(content)] ^= 1 << 3
    path.write_bytes(content)


def empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def foreign(path: Path, draw: random.Random) -> None:
    """A sound file of the right format that somebody else made."""
    if path.suffix == ".safetensors":
        save_file({"weights": np.arange(3.0)}, path)
    else:
        xr.Dataset({"a": ("x", [1.0, 2.0])}).to_netcdf(path)


def text(path: Path, draw: random.Random) -> None:
    path.write_text("loss,step\n1.0,2\n")


def read_only(path: Path, draw: random.Random) -> None:
    truncate(path, draw)
    path.chmod(0o444)


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "bits flipped": flip,
    "truncated": truncate,
    "empty": empty,
    "foreign": foreign,
    "no such format": text,
    "read-only and truncated": read_only,
}
READERS: dict[str, Callable[[Path], object]] = {
    "largestep.nc": lambda path: store.read_group(path, "diagonal"),
    "studies/bouncing.nc": store.read,
    "data/diagonal.nc": store.read,
    "images/digits.safetensors": image_set.read,
    "cells/diagonal.small/snapshots.nc": store.read,
    "cells/digits.decay50/features.nc": store.read,
    "cells/diagonal.decay50/train.nc": store.read,
    "cells/diagonal.decay50/sparsity.nc": store.read,
}
# What is damaged together, and what is forced to run so that it is read.
STEPS = (
    (("largestep.nc",), ("figure", "table", "claims")),
    (("studies/bouncing.nc",), ("study_figure",)),
    (("data/diagonal.nc", "images/digits.safetensors"), ("train", "train_images")),
    (("specs/aggregate.json",), ("aggregate",)),
    (
        (
            *("cells/diagonal.small/snapshots.nc", "cells/digits.decay50/seeds/0-1/features.nc"),
            *("cells/diagonal.decay50/train.nc", "cells/diagonal.decay50/sparsity.nc"),
        ),
        ("results/cells/diagonal.small/features.nc", "results/cells/digits.decay50/sparsity.nc", "aggregate"),
    ),
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_every_damage_of_every_kind_of_file_is_named_and_the_file_set_aside(
    undisturbed: Project,
    tmp_path: Path,
    name: str,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    counted: Counted,
) -> None:
    monkeypatch.setenv("LARGESTEP_WORKFLOW", "1")
    for seed in range(10 if FULL else 2):
        path = tmp_path / str(seed) / Path(name).name
        path.parent.mkdir()
        shutil.copy(undisturbed.folder / "results" / name, path)
        DAMAGES[damage](path, random.Random(seed))
        content = path.read_bytes()
        with pytest.raises(SystemExit) as stopped:
            cli.run(partial(READERS[name], path))  # type: ignore[arg-type]
        message = str(stopped.value)
        assert message.startswith(f"error: {path}: ")
        assert message.endswith(f"; run again to make it anew; it is kept as {path.name}.refused")
        assert len(message.splitlines()) == 1
        assert not path.exists()
        assert path.with_name(f"{path.name}.refused").read_bytes() == content
        counted("damaged files named, in process")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_settings_of_the_aggregate_are_named_and_set_aside(
    undisturbed: Project, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    monkeypatch.setenv("LARGESTEP_WORKFLOW", "1")
    path = tmp_path / "aggregate.json"
    shutil.copy(undisturbed.folder / "results/specs/aggregate.json", path)
    right = argparse.Namespace(spec_file=path, spec_sha256=digest(path.read_text().strip()))
    assert cli.read_spec(right, AggregateSpec.read).experiments
    DAMAGES[damage](path, random.Random(0))
    with pytest.raises(
        SystemExit, match=r"^error: .*aggregate\.json: .*; run again to make it anew; it is kept as .*$"
    ):
        cli.run(lambda: cli.read_spec(right, AggregateSpec.read))
    assert not path.exists()
    counted("damaged files named, in process")


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """A folder that nobody can write to: root only cannot where it is mounted so."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_read_only_files_are_read_and_stay_where_they_are(
    undisturbed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARGESTEP_WORKFLOW", "1")
    folder, source = tmp_path / "shared", undisturbed.folder / "results/data/diagonal.nc"
    folder.mkdir()
    for name in ("sound.nc", "damaged.nc"):
        shutil.copy(source, folder / name)
    truncate(folder / "damaged.nc", random.Random(0))
    with unwritable(folder):
        assert store.read(folder / "sound.nc").attrs == store.read(source).attrs
        with pytest.raises(SystemExit, match=r"damaged\.nc: .*; delete it and run again; it cannot be moved \(.+\)$"):
            cli.run(lambda: store.read(folder / "damaged.nc"))
        with pytest.raises(SystemExit, match=r"sound\.nc: cannot be written: .+; mend that and run again$"):
            cli.run(lambda: store.write_text(folder / "sound.nc", "new"))
        assert sorted(path.name for path in folder.iterdir()) == ["damaged.nc", "sound.nc"]


def test_a_stage_called_by_hand_moves_nothing(undisturbed: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(b"")
    with pytest.raises(SystemExit, match=r"a\.nc: is not a readable NetCDF file; delete it and run again"):
        cli.run(lambda: store.read(path))
    assert list(tmp_path.iterdir()) == [path]


def test_single_bits_are_found_or_do_no_harm(undisturbed: Project, tmp_path: Path, counted: Counted) -> None:
    """A flipped bit that is not noticed lies in a gap of the file: what is read is what was written."""
    for name in ("cells/diagonal.small/snapshots.nc", "studies/bouncing.nc", "data/diagonal.nc"):
        source = undisturbed.folder / "results" / name
        right, draw, path = source.read_bytes(), random.Random(name), tmp_path / "a.nc"
        for _ in range(300 if FULL else 30):
            content = bytearray(right)
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
            try:
                dataset = store.read(path)
            except store.StoreError:
                counted("single flipped bits found")
            else:
                assert store.content_digest(dataset) == store.content_digest(store.read(source))
                counted("single flipped bits in gaps, harmless")


def heal(project: Project, *first: str) -> str:
    """Run until all is well, doing nothing else; what the failing runs said."""
    said, arguments = "", first
    for _ in range(8):
        done = project.snakemake("--cores", "2", *arguments, check=False)
        said += done.stdout + done.stderr
        assert "Traceback" not in said, said[-5000:]
        if done.returncode == 0:
            return said
        assert "error: results/" in done.stdout + done.stderr
        arguments = ()
    pytest.fail(said[-10000:])


@pytest.mark.parametrize("damage", list(DAMAGES) if FULL else ["bits flipped"])
def test_restarts_make_damaged_files_anew(
    undisturbed: Project, project: Project, damage: str, counted: Counted
) -> None:
    results, draw = project.folder / "results", random.Random(0)
    for damaged, forced in STEPS if FULL else STEPS[-1:]:
        for name in damaged:
            DAMAGES[damage](results / name, draw)
        said = heal(project, "--forcerun", *forced)
        for name in damaged:
            assert re.search(rf"error: results/{re.escape(name)}: .*; run again to make it anew", said), name
            (results / f"{name}.refused").unlink()
            counted("damaged files named and made anew by Snakemake")
    assert not differences(project, undisturbed)


def test_a_store_of_another_cell_is_made_anew(undisturbed: Project, project: Project) -> None:
    cells = project.folder / "results/cells"
    for name in ("train.nc", "features.nc"):
        shutil.copy(cells / "diagonal.decay50" / name, cells / "diagonal.small" / name)
    said = heal(project, "--forcerun", "sparsity", "aggregate")
    for name in ("train.nc", "features.nc"):
        aside = cells / f"diagonal.small/{name}.refused"
        assert (
            f"error: results/cells/diagonal.small/{name}: belongs to diagonal.decay50; run again to make it anew"
            in said
        )
        aside.unlink()
    assert not differences(project, undisturbed)


def test_a_table_that_the_scorecard_cannot_read_is_made_anew(undisturbed: Project, project: Project) -> None:
    for damage in ("a,b\n1,2\n", "", "\0\1\2", 'claim,experiment\n"C1')[: 4 if FULL else 1]:
        (project.folder / "results/claims.csv").write_text(damage)
        heal(project, "--forcerun", "scorecard")
        (project.folder / "results/claims.csv.refused").unlink()
        assert not differences(project, undisturbed)


@pytest.mark.parametrize("damage", list(DAMAGES) if FULL else ["bits flipped"])
def test_damaged_checkpoints_are_not_used(
    undisturbed: Project, project: Project, damage: str, counted: Counted
) -> None:
    """A training job is killed, all that it would continue from is damaged, and it ends with the same bits."""
    cell = project.folder / "results/cells/digits.decay50"
    # Without the aggregate nobody would need it again.
    (project.folder / "results/largestep.nc").unlink()
    (cell / "train.nc").unlink()
    shutil.rmtree(cell / "seeds")
    checkpoints = project.folder / "results/checkpoints/digits.decay50.0-1"
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", "results/cells/digits.decay50/train.nc"],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(list(checkpoints.glob("run*.safetensors"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    saved = sorted(checkpoints.glob("run*.safetensors"))
    assert saved
    for path in saved:
        DAMAGES[damage](path, random.Random(0))
    project.snakemake("--unlock")
    project.snakemake("--cores", "2")
    log = (project.folder / "results/logs/train/digits.decay50.0-1.log").read_text()
    # Bits may flip in what says to which run it belongs, and a file of another run is nothing to speak of.
    if damage not in ("foreign", "bits flipped"):
        assert "is damaged and is not used" in log
    assert "Traceback" not in log
    assert not differences(project, undisturbed)
    counted("damaged checkpoints not used", len(saved))
