"""The profile for Slurm says all that the default one does, and asks for every job what a cluster must know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import make_project

PROFILES = "workflow/profiles"


def test_says_what_the_default_profile_does(repository: Path) -> None:
    default, slurm = (
        yaml.safe_load((repository / PROFILES / name / "profile.yaml").read_text()) for name in ("default", "slurm")
    )
    assert default.items() <= slurm.items()


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_every_job_has_a_partition_memory_and_a_time(scale: str, repository: Path, tmp_path: Path) -> None:
    project = make_project(tmp_path, repository / "config.yaml")
    done = project.snakemake("--workflow-profile", f"{PROFILES}/slurm", "--dry-run", "--config", f"scale={scale}")
    # Jobs of a group are indented.
    jobs = re.findall(r"^ *rule (\w+):\n(?: +.*\n)*? +resources: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
    asked = {rule: dict(re.findall(r"(\w+)=([^,]+)", resources)) for rule, resources in jobs if rule != "all"}
    assert {"train", "train_images", "features_images", "sparsity", "figure", "study"} <= set(asked)
    for rule, resources in asked.items():
        assert {"slurm_partition", "mem_mb", "runtime"} <= set(resources), rule
        on_gpu = rule in ("train_images", "features_images")
        assert (resources["slurm_partition"], resources.get("gpu")) == (("gpu", "1") if on_gpu else ("cpu", None)), rule
