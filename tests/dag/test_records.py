"""What Snakemake keeps of each job, and what it must not need."""

from __future__ import annotations

import ast
import json
import shutil

from tests.conftest import Project


def test_params_are_texts_that_snakemake_records(project: Project) -> None:
    """It compares a sorted list of values, and leaves out those that it cannot write, as NumPy's numbers or paths."""
    numbers: dict[str, set[int]] = {}
    for path in (project.folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            values = [ast.literal_eval(value) for value in record["params"]]
            assert all(isinstance(value, str) for value in values), record["rule"]
            # Where the software lies, what computes and where checkpoints are is no part of it.
            assert not any("job.sh" in value or "checkpoints" in value for value in values), record["rule"]
            numbers.setdefault(record["rule"], set()).add(len(values))
    # Settings and code; where seeds are put together, which; of figures what they were made from, a kind and a caption.
    two = ("data", "images", "train", "train_images", "features", "features_images", "sparsity", "study", "aggregate")
    expected = dict.fromkeys((*two, "table", "scorecard"), 2) | {"spec": 1, "study_figure": 4}
    expected |= dict.fromkeys(("claims", "figure", "animation", "sparsity_images"), 3)
    assert numbers == {rule: {number} for rule, number in expected.items()}


def test_missing_logs_and_benchmarks_make_no_numbers_again(project: Project) -> None:
    for name in ("logs", "benchmarks"):
        shutil.rmtree(project.folder / "results" / name)
    assert project.planned() == set()
