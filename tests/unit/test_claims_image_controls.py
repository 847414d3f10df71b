"""Controls on images: verdicts that follow made-up data, and rows for what a scale does not run."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from largestep.claims import image_controls
from largestep.claims.results import Results
from largestep.claims.verdict import decide
from tests import made_up

SEEDS = 10


def experiment(seed: int, small: float, large: float, diverged: int = 0) -> xr.Dataset:
    """Sparsity of the last block about `small` and `large` in the two cells; the first seeds of both diverge."""
    noise = np.random.default_rng(seed).standard_normal((2, 1, SEEDS, 1, 2, 1))
    sparsity = np.array([small, large]).reshape(2, 1, 1, 1, 1, 1) * np.exp(0.05 * noise)
    step = np.full((2, 1, SEEDS), -1)
    step[:, :, :diverged] = 7
    return made_up.experiment(
        {"small": 0.0, "decay50": 0.5},
        [0, 9],
        {"feature_sparsity": (("snapshot_step", "block", "correlation_threshold"), sparsity)},
        diverged_step=step,
    )


def answers(**controls: xr.Dataset) -> dict[str, str]:
    results = Results(experiments={"digits_matched": experiment(0, 0.5, 0.2), **controls})
    rows = [row for row in decide(image_controls.measured(results)) if not row.companion]
    return {row.experiment: row.survivors or row.verdict for row in rows}


@pytest.mark.parametrize(
    ("small", "large", "diverged", "expected"),
    [
        (0.4, 0.2, 3, {"digits_sam": "supported", "digits_momentum": "supported"}),
        (0.6, 0.1, 0, {"digits_sam": "refuted", "digits_momentum": "refuted"}),
        (0.5, 0.25, 0, {"digits_sam": "undecided", "digits_momentum": "undecided"}),
    ],
)
def test_verdicts_follow_the_data(small: float, large: float, diverged: int, expected: dict[str, str]) -> None:
    verdicts = answers(
        digits_sam=experiment(1, small, large, diverged), digits_momentum=experiment(2, small, large, diverged)
    )
    assert {name: verdicts[name] for name in expected} == expected


@pytest.mark.parametrize(("diverged", "expected"), [(10, "supported"), (0, "undecided")])
def test_without_normalisation_more_runs_diverge(diverged: int, expected: str) -> None:
    assert answers(digits_no_norm=experiment(1, 0.5, 0.2, diverged))["digits_no_norm"] == expected


def test_what_is_not_run_says_so() -> None:
    results = Results(later={"digits_matched": "workstation", "digits_sam": "workstation"})
    rows = {row.experiment: row for row in decide(image_controls.measured(results))}
    assert len(rows) == len(image_controls.COMPARISONS)
    assert all(row.verdict == "not run" for row in rows.values())
    assert "scale=workstation" in rows["digits_sam"].note
    assert "no experiment digits_momentum" in rows["digits_momentum"].note


def test_an_edited_cell_name_says_so() -> None:
    renamed = experiment(1, 0.4, 0.2).assign_coords(cell=["tiny", "decay50"])
    results = Results(experiments={"digits_matched": experiment(0, 0.5, 0.2), "digits_sam": renamed})
    row = next(row for row in decide(image_controls.measured(results)) if row.experiment == "digits_sam")
    assert row.verdict == "not run"
    assert "no cell small" in row.note
