"""What Snakemake keeps of each job, and what it must not need."""

from __future__ import annotations

import ast
import json
import shutil

from tests.conftest import Project


def test_params_are_texts_that_snakemake_records(project: Project) -> None:
    """It compares a sorted list of values and leaves out what it cannot write down, such as NumPy's numbers or paths."""
    kinds: dict[str, set[int]] = {}
    for path in (project.folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            values = [ast.literal_eval(value) for value in record["params"]]
            assert all(isinstance(value, str) for value in values), record["rule"]
            # Where the software lies, what computes and where checkpoints are is no part of it.
            assert not any("job.sh" in value or "checkpoints" in value for value in values), record["rule"]
            kinds.setdefault(record["rule"], set()).add(len(values))
    stages = ("data", "images", "train", "train_images", "features", "features_images", "sparsity", "study", "aggregate")
    # Settings and code; with what it was made from and a caption, for figures.
    assert {rule: kinds[rule] for rule in stages} == dict.fromkeys(stages, {2})
    assert {rule: count for rule, count in kinds.items() if rule not in stages} == {
        **{"spec": {1}, "figure": {3}, "table": {2}, "claims": {3}, "scorecard": {2}},
        **{"study_figure": {4}, "animation": {3}},
    }


def test_missing_logs_and_benchmarks_make_no_numbers_again(project: Project) -> None:
    for name in ("logs", "benchmarks"):
        shutil.rmtree(project.folder / "results" / name)
    assert project.planned() == set()
