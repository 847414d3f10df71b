"""What the stages of a cell are told: data or images, train, features, sparsity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import field_serializer

from largestep.config.cells import StepSizes
from largestep.config.data import Data, Images
from largestep.config.measures import Activations, Thresholds
from largestep.config.models import Model, ToyNet
from largestep.config.training import ImageTraining, ToyTraining
from largestep.keys import canonical, digest
from largestep.specs.base import Spec

# Hexadecimal digits that tell apart the files of a folder's or a user's own data sets.
DIGITS = 12


class ImageSetSpec(Spec):
    """What the stage images prepares: a data set, apart from how much of it an experiment takes."""

    data: Data

    @field_serializer("data")
    def prepared(self, data: Any) -> dict[str, Any]:
        """All but what only chooses from the prepared images."""
        # Where a folder lies does not matter, but the job has to find it: the path is looked up under the data root.
        found: dict[str, Any] = data.model_dump(mode="json", exclude=set(Images.model_fields))
        return found

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


class FeaturesSpec(Spec):
    """What the stage features is told of a cell."""

    cell: str
    train: ToyTrainSpec | ImageTrainSpec
    measures: Activations


class SparsitySpec(Spec):
    """What the stage sparsity is told of a cell."""

    cell: str
    features: FeaturesSpec
    measures: Thresholds
