"""What docs/cluster.md says of Snakemake and of our profiles, with bash or pretended programs for a cluster."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project, make_project

DOC = REPOSITORY / "docs/cluster.md"
TWO_IN_A_GROUP = """
rule all:
    input: "fast.txt", "fails.txt"
rule fast:
    output: "fast.txt"
    resources: mem_mb=4000
    shell: "touch {output} finished"
rule fails:
    output: "fails.txt"
    shell: "until [ -e finished ]; do sleep 0.1; done; sleep 0.5; false"
"""
PROFILE = """
executor: cluster-generic
cluster-generic-submit-cmd: bash
jobs: 4
cores: 4
keep-going: true
groups: {fast: together, fails: together}
group-components: {together: 2}
set-resources: {fast: {runtime: 7}}
default-resources: [slurm_partition=cpu]
"""
# Programs of Grid Engine: qsub notes what it is asked, and runs the job after what $BEFORE says.
PROGRAMS = {
    "qsub": 'echo "$@" >> asked; $BEFORE; bash "${@: -1}" > out.$$ 2>&1; echo "exit_status $?" > account.$$; echo $$',
    "qstat": "echo '<job_info><queue_info/><job_info/></job_info>'",
    "qacct": "echo 'failed 0'; cat account.$2",
    "qdel": "true",
}
FAST = ("--latency-wait", "1", "--seconds-between-status-checks", "1")


@pytest.fixture
def grouped(tmp_path: Path) -> Project:
    """Two jobs that travel together, of which one fails when the other has finished."""
    (tmp_path / "Snakefile").write_text(TWO_IN_A_GROUP)
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/profile.yaml").write_text(PROFILE)
    return Project(tmp_path)


def test_options_take_the_place_of_tables_of_a_profile(grouped: Project) -> None:
    tables = ("--set-resources", "fails:runtime=9", "tain:runtime=9", "--default-resources", "slurm_account=me")
    options = ("--groups", "fast=alone", "--resources", "mem_mb=1000")
    plain = grouped.snakemake("--workflow-profile", "profile", "--dry-run").stdout
    assert "Group job together" in plain
    assert "slurm_partition=cpu, runtime=7" in plain
    said = grouped.snakemake("--workflow-profile", "profile", "--dry-run", *tables, *options).stdout
    assert "slurm_partition" not in said
    assert "runtime=7" not in said
    assert "Group job together" not in said
    # The rule that is not there was ignored, and a job is given less than it asks for.
    assert "mem_mb=4000" in plain
    assert "mem_mb=4000" not in said


def test_a_member_that_fails_costs_what_its_group_has_made(grouped: Project) -> None:
    done = grouped.snakemake("--workflow-profile", "profile", "--latency-wait", "1", check=False)
    assert done.returncode == 1
    assert (grouped.folder / "finished").exists()
    assert not (grouped.folder / "fast.txt").exists()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The tiny project, with pretended programs of Grid Engine."""
    project = make_project(tmp_path / "project")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return project


def test_every_attempt_asks_for_more_and_other_jobs_go_on(site: Project) -> None:
    """Four attempts of a job that fails, as far as the site allows; with --directory the profile by its whole path."""
    folder = site.folder / "elsewhere"
    folder.mkdir()
    profile = ("--workflow-profile", str(site.folder / "workflow/profiles/sge"), "--directory", str(folder))
    targets = ("results/data/diagonal.nc", "results/specs/claims.json")
    done = site.snakemake(*profile, *FAST, *targets, "--config", "cluster={longest: 25}", check=False, BEFORE="exit 1")
    assert done.returncode == 1
    asked = re.findall(r"h_rt=(\d+),mem_free=(\d+)M", (folder / "asked").read_text())
    assert asked == [("600", "2000"), ("1200", "4000"), ("1500", "6000"), ("1500", "8000")]
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: Grid Engine refuses")]
    assert len(lines) == 4
    assert (folder / targets[1]).exists()


def test_settings_edited_while_a_run_is_on(site: Project) -> None:
    """A job that reads others than were planned with makes nothing; the next run makes what they say."""
    (site.folder / "edit").write_text("#!/bin/sh\nsed -i 's/support: 2/support: 3/' config.yaml\n")
    target = "results/data/diagonal.nc"
    profile = ("--workflow-profile", "workflow/profiles/sge", *FAST)
    done = site.snakemake(*profile, "--retries", "0", target, check=False, BEFORE="sh edit")
    assert done.returncode == 1
    [out] = site.folder.glob("out.*")
    [line] = [line for line in out.read_text().splitlines() if line.startswith("error:")]
    assert line.startswith("error: config.yaml: was edited while the run is on")
    assert not (site.folder / target).exists()
    site.snakemake(*profile, target, BEFORE="")
    assert (site.folder / target).exists()


def test_who_ignores_sigint() -> None:
    """All that a shell without job control starts in the background, and not with env --default-signal=INT."""
    look = "grep SigIgn /proc/self/status & wait; env --default-signal=INT grep SigIgn /proc/self/status & wait"
    said = subprocess.run(["sh", "-c", look], check=True, capture_output=True, text=True).stdout
    ignores = [bool(int(mask, 16) & 2) for mask in re.findall(r"SigIgn:\s+(\w+)", said)]
    assert ignores == [True, False]


# Beginnings of sentences that name Snakemake, a plugin or a profile and say nothing that a test could show.
NEED_NO_TEST = (
    "| signal to Snakemake | what happens | shown by |",
    "`make test-cluster` shows this on one machine",
    "By Snakemake's executor plugins, of which the first alone is among our dependencies",
    # The middle of a message, and a command after the sentence that it belongs to.
    "Please make sure that no other Snakemake process is trying to create the same files",
    "`/shared/largestep/.venv/bin/snakemake --snakefile",
)


def unshown(text: str) -> list[str]:
    """The sentences and rows of a Markdown text that say what Snakemake does and name no test."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    parts = [part for part in re.split(r"\n\n|\n(?=\|)|\n(?=- )", text) if not part.lstrip().startswith(("#", "|---"))]
    split = [[part] if part.startswith("|") else re.split(r"(?<=[.:])\s+(?=[A-Z*`])", part) for part in parts]
    sentences = [" ".join(each.split()) for part in split for each in part]
    saying = [each for each in sentences if re.search(r"Snakemake|plugin|profile|sacct|squeue|sbatch", each)]
    # A row may refer to the one above.
    return [each for each in saying if not re.search(r"\[[a-z_0-9]+\](?!\()|\| the same", each)]


def test_what_shows_each_sentence_is_there() -> None:
    """Names in brackets are tests; each sentence and row that says what Snakemake does has one."""
    names = {
        name
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"def test_(\w+)", path.read_text())
    }
    text = DOC.read_text()
    shown = re.findall(r"\[([a-z_0-9]+)\](?!\()", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert len(shown) > 30
    assert not set(shown) - names
    assert [each for each in unshown(text) if not each.startswith(NEED_NO_TEST)] == []
    # None of the exemptions is left over from a sentence that is gone.
    assert all(any(each.startswith(exempt) for each in unshown(text)) for exempt in NEED_NO_TEST)


def test_a_sentence_without_its_own_test_is_found() -> None:
    text = "Snakemake waits [waits]. With `sacct` it does not (not tried).\n\n- One. Snakemake ends."
    assert unshown(text) == ["With `sacct` it does not (not tried).", "Snakemake ends."]
