"""The profiles for clusters say all that the default one does, and ask for every job what a cluster must know."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, make_project

PROFILES = "workflow/profiles"


def profile(repository: Path, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((repository / PROFILES / name / "profile.yaml").read_text())
    return settings


@pytest.mark.parametrize("name", ["slurm", "sge"])
def test_says_what_the_default_profile_does(repository: Path, name: str) -> None:
    assert profile(repository, "default").items() <= profile(repository, name).items()


def test_waits_longer_for_files_on_a_cluster(repository: Path) -> None:
    assert [profile(repository, name).get("latency-wait") for name in ("default", "slurm", "sge")] == [None, 120, 120]


SITE = "cluster={account: research, partition: cpu, gpu_partition: gpu, longest: 600}"
SLURM = ("--workflow-profile", f"{PROFILES}/slurm", "--dry-run", "--config")


def asked(project: Project, *arguments: str) -> dict[str, dict[str, str]]:
    """What the jobs of every rule ask a cluster for."""
    done = project.snakemake(*SLURM, *arguments)
    # In the place of the one that Snakemake finds by itself.
    assert f"{PROFILES}/slurm" in done.stderr
    assert f"{PROFILES}/default" not in done.stderr
    # Jobs of a group are indented.
    jobs = re.findall(r"^ *rule (\w+):\n(?: +.*\n)*? +resources: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
    return {rule: dict(re.findall(r"(\w+)=([^,]+)", resources)) for rule, resources in jobs if rule != "all"}


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("profile") / "project", repository / "config.yaml")


def test_every_job_has_account_partition_memory_and_time(project: Project) -> None:
    """Also where the command line sets something else, which replaces a profile's table of that name."""
    given = ("--set-resources", "study:runtime=300", "--default-resources", "slurm_extra='--nice=100'")
    resources_of = asked(project, "scale=paper", SITE, *given)
    assert {"train", "train_images", "features_images", "sparsity", "sparsity_images", "figure", "study"} <= set(
        resources_of
    )
    for rule in set(resources_of) - {"spec", "aggregate", "claims", "scorecard", "table"}:
        resources = resources_of[rule]
        on_gpu = rule in ("train_images", "features_images")
        assert (resources["slurm_partition"], resources.get("gpu")) == (("gpu", "1") if on_gpu else ("cpu", None)), rule
        assert (resources["slurm_account"], resources["slurm_extra"]) == ("research", "--nice=100"), rule
        assert int(resources["mem_mb"]) > 0, rule
    assert {rule: resources_of[rule]["runtime"] for rule in ("study", "train", "train_images")} == {
        **{"study": "300", "train": "30", "train_images": "600"}
    }


def test_nothing_of_a_site_is_made_up(project: Project) -> None:
    resources_of = asked(project, "scale=laptop", "device={kind: cpu}")
    assert all(not {"slurm_partition", "slurm_account"} & set(resources) for resources in resources_of.values())
    assert resources_of["train_images"]["gpu"] == "0"


def test_groups_hold_short_jobs_of_rules_that_there_are(project: Project, repository: Path) -> None:
    """Snakemake ignores a rule that is not there; a member that fails costs what the others of its group have made."""
    groups = profile(repository, "slurm")["groups"]
    assert profile(repository, "sge")["groups"] == groups
    rules = project.snakemake("--list-rules").stdout.split()
    assert set(groups) <= set(rules)
    assert not {"train", "train_images", "features", "features_images", "study", "images"} & set(groups)


def test_what_travels_together(project: Project) -> None:
    """Of all rules whose jobs go to the cluster: the most that one job of Slurm's holds."""
    lines = project.snakemake(*SLURM, "scale=paper").stdout.splitlines()
    most: Counter[str] = Counter()
    in_group: Counter[str] = Counter()
    for line in lines:
        if "Group job" in line:
            in_group.clear()
        elif rule := re.match(r"( *)rule (\w+):$", line):
            in_group[rule[2]] += bool(rule[1])
            most[rule[2]] = max(most[rule[2]], in_group[rule[2]])
    grouped = {name: number for name, number in most.items() if number}
    limits = {"data": 8, "sparsity": 10, "sparsity_images": 10, "figure": 8, "study_figure": 8}
    assert grouped["figure"] == 8
    assert grouped["sparsity"] > 1
    assert all(number <= limits[name] for name, number in grouped.items())
    assert {"train", "train_images", "features", "features_images", "study", "animation", "images"} <= set(most)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--resources", "mem_mb=1000"), "--resources mem_mb=1000: jobs of rule aggregate ask for 4000"),
        (("--resources", "gpu=0"), "--resources gpu=0: jobs of rule features_images ask for 1"),
        (("--set-resources", "tain:mem_mb=9"), "--set-resources: there is no rule tain"),
        (("--set-threads", "tain=2"), "--set-threads: there is no rule tain"),
        (("--config", "cluster={account: 'me;ls'}"), "cluster.account"),
        (("--config", "largestep_planned=key-1"), "--config largestep_planned: is what a run tells its own jobs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_snakemake_would_ignore_is_refused(project: Project, arguments: tuple[str, ...], line: str) -> None:
    done = project.snakemake("--dry-run", "--cores", "2", *arguments, check=False)
    assert done.returncode != 0
    [error] = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert line in error
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "program"),
    # Of Grid Engine the script that submits is there, of Slurm nothing; with qsub alone jobs could not be deleted.
    [("slurm", "sbatch"), ("sge", "qdel")],
)
def test_a_machine_without_the_programs_of_the_cluster(
    project: Project, tmp_path: Path, name: str, program: str
) -> None:
    """One line before anything starts; Snakemake alone waits for ever where there is no sbatch."""
    for needed in ("bash", "python3", "sh", "which"):
        (tmp_path / needed).symlink_to(shutil.which(needed) or needed)
    before = sorted((project.folder / "results").rglob("*"))
    given = ("--workflow-profile", f"{PROFILES}/{name}", "results/data/diagonal_sgd.nc")
    done = project.snakemake(*given, check=False, PATH=str(tmp_path))
    assert done.returncode != 0
    [error] = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert f"there is no program {program} here" in error
    assert "Traceback" not in done.stderr
    # Nothing was made and nothing is locked, and a plan needs no cluster.
    assert sorted((project.folder / "results").rglob("*")) == before
    assert "data" in project.snakemake(*given, "--dry-run", PATH=str(tmp_path)).stdout


@pytest.mark.parametrize("command", ["LANG=C bash", "cd . && bash", "$SHELL_HERE", "bash;", "false || sh"])
def test_what_only_a_shell_can_read_is_left_to_it(project: Project, command: str) -> None:
    """Of a command that starts with an assignment, a word of the shell itself or a variable no program is missed."""
    generic = ("--executor", "cluster-generic", "--jobs", "1", "--latency-wait", "1", "--forcerun", "spec")
    options = (
        "--cluster-generic-submit-cmd",
        command,
        "--seconds-between-status-checks",
        "1",
        "--max-jobs-per-second",
        "9",
    )
    target = "results/specs/claims.json"
    done = project.snakemake(*generic, *options, target, SHELL_HERE="bash")
    assert "1 of 1 steps" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("bash 'x", "--cluster-generic-submit-cmd bash 'x: No closing quotation"),
        ("no_such_qsub -V", "there is no program no_such_qsub here"),
        ("./no_such_qsub", "there is no program ./no_such_qsub here"),
    ],
)
def test_a_command_that_cannot_run_is_said_in_one_line(project: Project, command: str, line: str) -> None:
    generic = ("--executor", "cluster-generic", "--jobs", "1", "--cluster-generic-submit-cmd", command)
    done = project.snakemake(*generic, "results/data/diagonal_sgd.nc", check=False)
    assert done.returncode != 0
    [error] = [each for each in done.stderr.splitlines() if each.startswith("error:")]
    assert line in error
    assert "Traceback" not in done.stderr


def test_a_limit_below_what_jobs_ask_for_that_do_not_run(project: Project) -> None:
    """Toy networks alone need no GPU."""
    project.snakemake("--dry-run", "--cores", "2", "--resources", "gpu=0", "--config", "only=[diagonal_sgd]")
    # It may be said that less is enough.
    enough = ("--set-resources", "aggregate:mem_mb=3500")
    project.snakemake(
        "--dry-run", "--cores", "2", "--resources", "mem_mb=4000", "--config", "only=[diagonal_sgd]", *enough
    )
