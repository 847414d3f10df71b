"""The workflow inside others: beside rules of their own, twice, and as snakedeploy lays it out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from tests.conftest import REPOSITORY, Project, make_project

# Rules before and after ours, of the same names as some of ours, whose shell says what it finds.
SEEN = 'echo "${{MPLBACKEND-}}${{PYTHONSAFEPATH-}}${{LARGESTEP_DEVICE-}} $-" > {output}'
IMPORTER = f"""
configfile: "config.yaml"
rule all:
    input: "mine/train.txt", "mine/table.txt"
rule train:
    output: "mine/train.txt"
    shell: '{SEEN}'
module largestep:
    snakefile: "largestep/workflow/Snakefile"
    prefix: "study"
    config: config["largestep"]
use rule * from largestep as ls_*
rule table:
    input: "study/results/cells/points.decay50/sparsity.nc"
    output: "mine/table.txt"
    shell: '{SEEN}'
print(f"description: {{workflow.report_text}}; local: {{sorted(workflow._localrules)}}", file=__import__("sys").stderr)
"""
CONFIG = """
samples: [of, another, workflow]
largestep: {only: [points, bouncing], experiments: {points: {training: {seeds: 2}}}}
"""


@pytest.fixture
def importer(tmp_path: Path) -> Project:
    """Another workflow, with a checkout of ours that has its own version of the package."""
    ours = make_project(tmp_path / "importer/largestep")
    ours.edit("src/largestep/__init__.py", '__version__ = "', '__version__ = "of this checkout ')
    (tmp_path / "importer/Snakefile").write_text(IMPORTER)
    (tmp_path / "importer/config.yaml").write_text(CONFIG)
    return Project(tmp_path / "importer")


def test_beside_rules_of_another_workflow(importer: Project) -> None:
    """Its own targets are made, by a cell of ours, with that folder's settings and that checkout's code."""
    # In a moment, since the kernels of a checkout that was never used are not compiled.
    done = importer.snakemake("--cores", "2", NUMBA_DISABLE_JIT="1")
    assert "description: None" in done.stderr
    with xr.open_dataset(importer.folder / "study/results/cells/points.decay50/train.nc") as losses:
        assert losses.sizes["seed"] == 2
        assert losses.attrs["source"].startswith("largestep of this checkout")
    # The shell of its rules is as it was: no variable of ours, and Snakemake's own strictness.
    plain = subprocess.run(["bash", "-c", 'set -eu; echo " $-"'], capture_output=True, text=True)
    for name in ("train", "table"):
        assert (importer.folder / f"mine/{name}.txt").read_text() == plain.stdout
    assert {path.name for path in importer.folder.iterdir()} == {
        *("Snakefile", "config.yaml", "largestep", "study", "mine", ".snakemake")
    }


def test_the_whole_study_in_it(importer: Project) -> None:
    done = importer.snakemake("--dry-run", "--cores", "2", "ls_all")
    assert {"ls_train", "ls_study", "ls_figure", "ls_claims"} <= set(done.stdout.split())
    # What is quick stays on the machine that runs Snakemake.
    assert "local: ['ls_aggregate', 'ls_claims', 'ls_scorecard', 'ls_spec', 'ls_table']" in done.stderr
    made = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("    output: ")]
    assert all(path.startswith("study/results/") for path in made)


def test_a_wrong_setting_is_one_line(importer: Project) -> None:
    (importer.folder / "config.yaml").write_text("largestep: {samples: 3}\n")
    done = importer.snakemake("--dry-run", check=False)
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "largestep/config.yaml + config of the importing workflow: samples: unknown key" in line
    assert "Traceback" not in done.stderr


def test_twice_needs_two_prefixes(importer: Project) -> None:
    text = IMPORTER + IMPORTER[IMPORTER.index("module") : IMPORTER.index("rule table")].replace(
        "largestep as ls", "again as again"
    ).replace("module largestep", "module again")
    (importer.folder / "Snakefile").write_text(text.replace('prefix: "study"', 'prefix: "other"', 1))
    done = importer.snakemake("--dry-run", "ls_all", "again_all")
    assert {"ls_train", "again_train"} <= set(done.stdout.split())
    (importer.folder / "Snakefile").write_text(text)
    done = importer.snakemake("--dry-run", "ls_all", check=False)
    assert done.returncode != 0
    assert "AmbiguousRuleException" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_as_snakedeploy_lays_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a repository on GitHub, which stands for one on this machine."""
    pytest.importorskip("snakedeploy")
    ours = make_project(tmp_path / "largestep")
    ours.own_source()
    for name in ("config", "LICENSE", "profiles"):
        path = REPOSITORY / name
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, ours.folder / name)
        else:
            shutil.copy(path, ours.folder / name, follow_symlinks=False)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (
        ("init", "--initial-branch=main"),
        ("add", "."),
        (*author, "commit", "--message", "all"),
        ("tag", "v1"),
    ):
        subprocess.run(["git", *words], cwd=ours.folder, check=True, capture_output=True)
    url = "https://github.com/someone/largestep"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{ours.folder}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    deployed = Project(tmp_path / "deployed")
    program = [sys.executable, "-m", "snakedeploy.client", "deploy-workflow", url, str(deployed.folder), "--tag", "v1"]
    subprocess.run(program, check=True, capture_output=True, env=os.environ)
    # Nothing is left but what Snakemake fetches.
    ours.folder.rename(tmp_path / "moved")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{tmp_path / 'moved'}.insteadOf")

    done = deployed.snakemake("--dry-run", "--quiet", "rules")
    assert "profiles/default" in done.stderr
    assert {"train", "train_images", "figure"} <= set(done.stdout.split())
    trained = "results/cells/points.decay50/train.nc"
    on_slurm = ("--workflow-profile", "profiles/slurm", "--config", "cluster={account: research}")
    assert "slurm_account=research" in deployed.snakemake("--dry-run", trained, *on_slurm).stdout
    deployed.snakemake("--cores", "2", trained, NUMBA_DISABLE_JIT="1")
    # The profile is there too: what was copied runs nothing again.
    os.utime(deployed.folder / "results/data/points.nc")
    assert deployed.planned(trained) == set()
