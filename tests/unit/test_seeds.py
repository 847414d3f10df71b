"""The seeds of an image classifier's cell: which job trains which, and how they are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from largestep import config, grid, store
from largestep.data.image_set import ImageSet
from largestep.images import trainer as images
from largestep.images.checkpoints import Checkpoints
from largestep.sparsity_images import joined
from largestep.specs.cells import FeaturesSpec, ImageTrainSpec, SeedsSpec, SparsitySpec, part_name, part_named
from tests.conftest import REPOSITORY
from tests.image_runs import CPU, spec


def cell(seeds: int, per_job: int) -> grid.Cell:
    raw = config.read(REPOSITORY / "tests/tiny/config.yaml")
    raw["experiments"]["digits"]["training"] |= {"seeds": seeds, "seeds_per_job": per_job}
    return grid.cells(config.parse(raw, source="config.yaml"))["digits.small"]


@pytest.mark.parametrize(
    ("seeds", "per_job", "names"),
    [(3, 1, ["0", "1", "2"]), (20, 10, ["0-9", "10-19"]), (5, 2, ["0-1", "2-3", "4"]), (2, 20, ["0-1"])],
)
def test_jobs_take_all_seeds_in_their_order(seeds: int, per_job: int, names: list[str]) -> None:
    parts = cell(seeds, per_job).parts()
    assert [*parts] == names
    assert [seed for part in parts.values() for seed in part] == [*range(seeds)]
    assert [part_named(part_name(part)) for part in parts.values()] == [*parts.values()]


@pytest.mark.parametrize("name", ["", "a", "3-", "2-2", "3-1", "01", "1-2-3", "-1"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a seed, or the first and the last as FIRST-LAST"):
        part_named(name)


def test_how_many_seeds_there_are_is_no_part_of_what_one_depends_on() -> None:
    few, many = cell(2, 2), cell(4, 2)
    for stage in ("train", "features"):
        assert few.part_spec(stage, range(2)) == many.part_spec(stage, range(2)) != many.part_spec(stage, range(2, 4))


def test_which_seeds_share_a_job_is_in_no_spec_of_the_cell() -> None:
    apart, together = cell(4, 1), cell(4, 4)
    for stage in ("train", "features", "sparsity"):
        assert apart.spec(stage) == together.spec(stage)
    assert "seeds_per_job" not in apart.part_spec("train", range(1))
    features = FeaturesSpec.read(apart.part_spec("features", range(1, 2)))
    assert isinstance(features.train, SeedsSpec)
    assert features.text() == apart.part_spec("features", range(1, 2))
    assert type(SparsitySpec.read(apart.spec("sparsity")).features.train) is ImageTrainSpec


def test_seeds_that_are_trained_apart_are_those_that_are_trained_together(data: ImageSet, tmp_path: Path) -> None:
    def trained(seeds: int, first: int) -> tuple[xr.Dataset, np.ndarray]:
        settings = ImageTrainSpec.model_validate(spec(0.05, seeds))
        runs = images.train(settings, data, CPU, Checkpoints(tmp_path / f"{seeds} from {first}", "key"), first)
        return runs.losses, np.stack(list(runs.streamed["parameters"].slabs()))

    whole, parameters = trained(3, 0)
    parts = [trained(2, 0), trained(1, 2)]
    xr.testing.assert_identical(joined([losses for losses, _ in parts], [tmp_path, tmp_path]), whole)
    np.testing.assert_array_equal(np.concatenate([each for _, each in parts]), parameters)


def part(seed: int, steps: list[int], **attributes: Any) -> xr.Dataset:
    return xr.Dataset(
        {"loss": store.variable(("seed", "step"), np.full((1, len(steps)), float(seed)), "1", "loss")},
        {
            "seed": store.variable(("seed",), [seed], "1", "seed"),
            "step": store.variable(("step",), steps, "1", "step"),
        },
        attributes,
    )


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (part(1, [0, 2], images_sha256="a"), "step"),
        (part(1, [0, 1, 2], images_sha256="a"), "step"),
        (part(1, [0, 1], images_sha256="b"), "images"),
    ],
)
def test_seeds_that_do_not_belong_together_are_one_line(other: xr.Dataset, what: str) -> None:
    with pytest.raises(
        store.StoreError, match=rf"^b\.nc: its {what} are not those of a\.nc; delete both and run again$"
    ):
        joined([part(0, [0, 1], images_sha256="a"), other], [Path("a.nc"), Path("b.nc")])
