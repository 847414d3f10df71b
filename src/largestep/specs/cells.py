"""What the stages of a cell are told: data or images, train, features, sparsity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import field_serializer

from largestep.config.cells import StepSizes
from largestep.config.data import Data, Images
from largestep.config.measures import Activations, Thresholds
from largestep.config.models import Model, ToyNet
from largestep.config.training import ImageTraining, ToyTraining
from largestep.keys import canonical, digest
from largestep.specs.base import Spec

# A folder of some seeds of a cell.
PART = re.compile(r"(\d+)(?:-(\d+))?")
# Hexadecimal digits that tell apart the files of a folder's or a user's own data sets.
DIGITS = 12


class ImageSetSpec(Spec):
    """What the stage images prepares: a data set, apart from how much of it an experiment takes."""

    data: Data

    @field_serializer("data")
    def prepared(self, data: Any) -> dict[str, Any]:
        """All but what only chooses from the prepared images."""
        # Where a folder lies does not matter, but the job has to find it: the path is looked up under the data root.
        settings: dict[str, Any] = data.model_dump(mode="json", exclude=set(Images.model_fields))
        return settings

    @property
    def name(self) -> str:
        """Name of the prepared file, without its ending: one per data set, shared by experiments."""
        kind = self.data.kind.replace(".", "_")
        prepared = self.prepared(self.data)
        return kind if len(prepared) == 1 else f"{kind}-{digest(canonical(prepared))[:DIGITS]}"


class DataSpec(Spec):
    """What the stage data draws: the problem and, for the arm that varies it, how many further draws.

    For images, which are prepared once for all experiments, what the experiment takes of them.
    """

    data: Data
    draws: int

    def image_set(self) -> ImageSetSpec:
        """The prepared images that the experiment takes its own from."""
        return ImageSetSpec(data=self.data)


class ToyTrainSpec(Spec):
    """What the stage train is told of a cell of a toy network."""

    cell: str
    data: DataSpec
    if TYPE_CHECKING:
        model: ToyNet
    else:
        model: Model
    training: ToyTraining
    schedule: StepSizes


class ImageTrainSpec(Spec):
    """What the stage train is told of a cell of an image classifier."""

    cell: str
    data: DataSpec
    model: Model
    training: ImageTraining
    schedule: StepSizes

    def part(self, seeds: range) -> SeedsSpec:
        """The same for some of the seeds."""
        shared: dict[str, Any] = {name: getattr(self, name) for name in ImageTrainSpec.model_fields}
        training = self.training.model_copy(update={"seeds": len(seeds)})
        return SeedsSpec(**shared | {"training": training}, first_seed=seeds.start)


def part_name(seeds: range) -> str:
    """The name of the folder of these seeds: the first and the last, or the only one."""
    return str(seeds.start) if len(seeds) == 1 else f"{seeds.start}-{seeds.stop - 1}"


def part_named(name: str) -> range:
    """The seeds of a folder. Raises ValueError for what is no name of `part_name`."""
    match = PART.fullmatch(name)
    seeds = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not seeds or part_name(seeds) != name:
        raise ValueError(f"{name} must be a seed, or the first and the last as FIRST-LAST")
    return seeds


class SeedsSpec(ImageTrainSpec):
    """What the stage train is told of some seeds of a cell: `training.seeds` of them, from the first on.

    How many the cell has is not in it, so that more can be added.
    """

    first_seed: int


class FeaturesSpec(Spec):
    """What the stage features is told of a cell, or of some seeds of an image classifier."""

    cell: str
    train: ToyTrainSpec | SeedsSpec | ImageTrainSpec
    measures: Activations

    def part(self, seeds: range) -> FeaturesSpec:
        """The same for some of the seeds of an image classifier."""
        assert isinstance(self.train, ImageTrainSpec)
        return FeaturesSpec(cell=self.cell, train=self.train.part(seeds), measures=self.measures)


class SparsitySpec(Spec):
    """What the stage sparsity is told of a cell."""

    cell: str
    features: FeaturesSpec
    measures: Thresholds
