"""How often `compare` raises a false alarm, and how often it finds a step size that is wrong by a tenth.

Cells of the study at a fraction of their steps are trained with many seeds; every comparison takes seeds that no other
takes. LARGESTEP_COMPARISONS: how many comparisons of each kind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, grid, stages
from largestep.compare import identity, judge, samples
from largestep.compare.gather import Run
from tests.reliability.conftest import Counted
from tests.settings import as_settings
from tests.settings import train as training

ROOT = Path(__file__).parents[2]
COMPARISONS = int(os.environ.get("LARGESTEP_COMPARISONS", "4"))
# Seeds of each run that is compared, as many as the study has of the two-layer network.
SEEDS = 50
STEPS = {"diagonal_sgd": 1500, "two_layer": 1000}
CELLS = tuple(f"{name}.{cell}" for name in STEPS for cell in ("small", "decay50"))


@pytest.fixture(scope="module")
def train() -> Callable[[str, float], xr.Dataset]:
    """Trains a cell, its step size multiplied by a factor, with twice as many seeds as comparisons take."""
    settings = config.parse(config.read(ROOT / "config.yaml"), "config.yaml")
    cells = grid.cells(settings)

    def one(cell: str, factor: float) -> xr.Dataset:
        spec: dict[str, Any] = json.loads(cells[cell].spec("train"))
        spec["training"] |= {
            "seeds": 2 * COMPARISONS * SEEDS,
            "arms": ["order"],
            "steps": STEPS[cells[cell].experiment],
        }
        spec["training"]["evaluations"] = 20
        spec["data"]["data"]["test_examples"] = 100
        spec["schedule"]["step_size"] *= factor
        data = stages.worker("data", spec["data"]["data"]["kind"]).draw(as_settings(spec["data"]["data"]), 0)
        losses, _ = training(spec, data, threads=2)
        return losses.expand_dims(cell=[cell.partition(".")[2]])

    return one


@pytest.fixture(scope="module")
def trained(train: Callable[[str, float], xr.Dataset]) -> dict[str, xr.Dataset]:
    """The cells as config.yaml has them."""
    return {cell: train(cell, 1.0) for cell in CELLS}


def part(trained: dict[str, xr.Dataset], place: int, name: str) -> Run:
    """The run of the seeds from place * SEEDS on; name: tells its stores from those of another run."""
    seeds = slice(place * SEEDS, (place + 1) * SEEDS)
    cells: dict[str, dict[str, samples.Sample]] = {}
    for cell, runs in trained.items():
        cells |= samples.of_experiment(cell.partition(".")[0], runs.isel(seed=seeds))
    stores = [identity.Stored(f"cells/{cell}/train.nc", {"train_loss": name}, True, None, {}) for cell in trained]
    return Run("laptop", "another", {}, stores, cells, {}, {})


def alarms(trained: dict[str, xr.Dataset], others: dict[str, xr.Dataset], *, same_seeds: bool = False) -> int:
    """How many comparisons find a difference; references are of `trained`, runs of `others`, of other seeds or not."""
    verdicts = []
    for place in range(COMPARISONS):
        reference = part(trained, 2 * place, "reference").kept("0")
        verdicts.append(judge.judge(reference, part(others, 2 * place + (not same_seeds), "run")).verdict)
    assert set(verdicts) <= {"agreement", "drift", "disagreement"}
    return COMPARISONS - verdicts.count("agreement")


def test_other_seeds_rarely_raise_an_alarm(trained: dict[str, xr.Dataset], counted: Counted) -> None:
    """In at most 5% of comparisons, and two standard errors for chance."""
    false = alarms(trained, trained)
    counted("comparisons with other seeds", COMPARISONS)
    counted("comparisons with other seeds, false alarms", false)
    assert false <= 0.05 * COMPARISONS + 2 * np.sqrt(0.05 * 0.95 * COMPARISONS)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_step_size_wrong_by_a_tenth_is_found(
    factor: float, train: Callable[[str, float], xr.Dataset], trained: dict[str, xr.Dataset], counted: Counted
) -> None:
    """In 95% of comparisons: of one cell among the four with the same seeds, and of all of them with other seeds."""
    wrong = {cell: train(cell, factor) for cell in CELLS}
    for cell in CELLS:
        alarmed = alarms(trained, trained | {cell: wrong[cell]}, same_seeds=True)
        counted(f"step size of {cell} times {factor:g}", COMPARISONS)
        counted(f"step size of {cell} times {factor:g}, found", alarmed)
        assert alarmed >= 0.95 * COMPARISONS, cell
    alarmed = alarms(trained, wrong)
    counted(f"step size of all cells times {factor:g}, other seeds", COMPARISONS)
    counted(f"step size of all cells times {factor:g}, other seeds, found", alarmed)
    assert alarmed >= 0.95 * COMPARISONS
