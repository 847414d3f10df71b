"""Two runs at once on one folder, and a checkout that cannot be written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Project, make_project
from tests.dag.test_stale import verify


def test_second_run_on_a_folder_says_why_not_and_how_to_go_on(project: Project) -> None:
    forced = ("--cores", "1", "--force", "results/tables/points.csv")
    command = [sys.executable, "-m", "snakemake", *forced]
    with (project.folder / "first.log").open("w") as printed:
        first = subprocess.Popen(command, cwd=project.folder, stdout=printed, stderr=printed)
        deadline = time.monotonic() + 120
        while not list((project.folder / ".snakemake/locks").glob("*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        first.send_signal(signal.SIGSTOP)
        try:
            second = project.snakemake(*forced, check=False)
            looked = project.snakemake("--dry-run", "--cores", "1", check=False)
        finally:
            first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=300) == 0
    said = second.stdout + second.stderr
    assert second.returncode != 0
    assert "Traceback" not in said
    assert "Directory cannot be locked" in said
    assert str(project.folder) in said
    assert "--unlock" in said
    # Looking is always possible.
    assert looked.returncode == 0
    assert verify(project, "--stores")[0] == 0
    assert project.planned() == set()


def test_clock_that_is_set_back_is_named_and_touching_all_mends_it(project: Project) -> None:
    """Every result comes from tomorrow; what is made now is older than what it is made of, which Snakemake refuses."""
    tomorrow = time.time() + 86400
    for path in (project.folder / "results").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    assert project.planned() == set()
    project.edit("config.yaml", "small: {step_size: 0.1, published", "small: {step_size: 0.11, published")
    target = "results/cells/diagonal.small/sparsity.nc"
    refused = project.snakemake("--cores", "1", target, check=False)
    assert refused.returncode != 0
    assert "This could indicate a clock skew problem" in refused.stdout + refused.stderr
    for path in (project.folder / "results").rglob("*"):
        path.touch()
    project.snakemake("--cores", "1", target)
    assert not {name for rule, name in project.planned() if rule in ("data", "train", "features", "sparsity")}


def test_files_that_come_late_are_waited_for(project: Project) -> None:
    """As on a network file system: here a job ends three seconds before its store can be seen."""
    target = "results/cells/diagonal.small/sparsity.nc"
    late = " && mv {output} {output}.late && {{ (sleep 3; mv {output}.late {output}) > /dev/null 2>&1 & }}"
    project.edit(
        "workflow/rules/sparsity.smk", "--output {output:q} 2> {log:q}", "--output {output:q} 2> {log:q}" + late
    )
    refused = project.snakemake("--cores", "1", "--force", "--latency-wait", "1", target, check=False)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "Missing files after 1 seconds" in said
    assert "--latency-wait" in said
    project.snakemake("--cores", "1", "--force", "--latency-wait", "30", target)
    assert (project.folder / target).exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The tiny project without results, to be mounted where it cannot be written."""
    if os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs to mount a folder read-only, for which root may not write into it")
    project = make_project(tmp_path / "checkout")
    project.own_source()
    return project.folder


def run_read_only(checkout: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run snakemake in another folder, on a checkout that cannot be written."""
    folder.mkdir(exist_ok=True)
    program = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "workflow/Snakefile")]
    command = [*program, "--directory", str(folder), "--cores", "2", *arguments]
    if os.geteuid() == 0:
        mount = f"mount --bind '{checkout}' '{checkout}' && mount -o remount,ro,bind '{checkout}' && exec \"$@\""
        command = ["unshare", "--mount", "sh", "-c", mount, "sh", *command]
    else:
        for path in (checkout, *checkout.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
    try:
        return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, timeout=300)
    finally:
        if os.geteuid():
            for path in (checkout, *checkout.rglob("*")):
                path.chmod(path.stat().st_mode | 0o200)


def test_a_checkout_that_cannot_be_written_serves_other_folders(checkout: Path, tmp_path: Path) -> None:
    before = sorted(checkout.rglob("*"))
    targets = ["results/cells/diagonal.small/sparsity.nc"]
    done = run_read_only(checkout, tmp_path / "study", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((tmp_path / "study" / target).exists() for target in targets)
    again = run_read_only(checkout, tmp_path / "study", *targets)
    assert "Nothing to be done" in again.stdout + again.stderr
    # The profile of the checkout counts: touching reruns nothing.
    (tmp_path / "study/results/data/diagonal.nc").touch()
    again = run_read_only(checkout, tmp_path / "study", *targets)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert sorted(checkout.rglob("*")) == before


def test_configuration_of_the_working_directory_comes_first(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    text = (checkout / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("  diagonal:\n", "  diagonal_here:\n", 1).split("\n  points:")[0])
    done = run_read_only(checkout, folder, "--dry-run")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "experiment=diagonal_here" in said
    assert "experiment=points" not in said


def test_no_configuration_anywhere_is_one_line(checkout: Path, tmp_path: Path) -> None:
    shutil.move(checkout / "config.yaml", tmp_path / "config.yaml")
    done = run_read_only(checkout, tmp_path / "study", "--dry-run")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error:")]
    assert lines == ["error: config.yaml: cannot be read: No such file or directory"]


def test_project_with_results_made_elsewhere_is_verified_there(checkout: Path, finished: Project) -> None:
    """`--results` names another folder; the configuration is that of the working directory."""
    project = Project(checkout)
    status, lines, _ = verify(project, "--stores", "--results", str(finished.folder / "results"))
    assert (status, lines) == (0, [])
