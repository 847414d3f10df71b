"""An experiment: a family of cells that differ in step size and schedule alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from largestep import registered
from largestep.config.cells import CellConfig, Published
from largestep.config.data import IMAGE_SETS, Data, Images, Points, PublishedImages
from largestep.config.measures import OwnMeasures
from largestep.config.models import VGG, DenseNetBC, Model, ResNet, ToyNet
from largestep.config.scalars import Distinct, Name, Scale, Strict
from largestep.config.training import ImageTraining, ToyTraining

if TYPE_CHECKING:
    View = str
else:
    View = Literal[registered.views()]


class Experiment(Strict):
    """A family of cells that differ in step size and schedule alone."""

    title: str = Field(description="how figures and tables name it")
    paper: str = Field(description="the figure or table of the paper that it reproduces, or that there is none")
    scale: Scale = Field(description="the smallest scale at which it runs")
    data: Data = Field(description="the data set, by `kind`")
    model: Model = Field(description="the network, by `kind`")
    training: ToyTraining | ImageTraining = Field(description="what all cells share")
    # A mapping in config.yaml, so that an overlay of one threshold leaves the others.
    measures: OwnMeasures = Field(
        description="thresholds of its measures, `like` one of the names in `measures`, or written out"
    )
    views: Annotated[list[View], Field(min_length=1), Distinct] = Field(description="its figures, listed above")
    cells: Annotated[dict[Name, CellConfig], Field(min_length=1)] = Field(
        description="step sizes and schedules, by name"
    )

    @property
    def images(self) -> bool:
        """Whether this is an image classifier."""
        return isinstance(self.data, Images)

    @property
    def linear(self) -> bool:
        """Whether the network is linear in its inputs: it has a predictor, and no units."""
        return isinstance(self.model, ToyNet) and self.model.linear

    def examples(self) -> int | None:
        """Size of the training set; None where only the data set itself knows."""
        if isinstance(self.data, Points):
            return len(self.data.inputs)
        if isinstance(self.data, PublishedImages):
            return self.data.examples or IMAGE_SETS[self.data.kind].examples
        return self.data.examples

    def steps(self) -> int | None:
        """Length of a run in updates; None where only the data set itself knows."""
        if isinstance(self.training, ToyTraining):
            return self.training.steps
        examples = self.examples()
        return None if examples is None else self.training.epochs * (examples // self.training.batch_size)

    @field_validator("training", mode="wrap")
    @classmethod
    def pick_training(cls, value: Any, handler: Any) -> Any:
        """Choose between steps and epochs, so that errors are those of one alternative."""
        if isinstance(value, Mapping):
            return (ImageTraining if "epochs" in value else ToyTraining).model_validate(dict(value))
        return handler(value)

    @model_validator(mode="after")
    def parts_fit(self) -> Experiment:
        """Refuse data, model, training, measures and views that do not go together."""
        images, needed = self.images, self.model.learns if isinstance(self.model, ToyNet) else None
        if needed is None and not images:
            raise ValueError(f"a {self.model.kind} model needs images, not data of kind {self.data.kind}")
        if needed is not None and self.data.kind not in needed:
            raise ValueError(f"a {self.model.kind} model needs data of kind {sorted(needed)}, not {self.data.kind}")
        if images != isinstance(self.training, ImageTraining):
            raise ValueError(f"a {self.model.kind} model is trained in {'epochs' if images else 'steps'}")
        if images and "data" in self.training.arms:
            raise ValueError("image data sets are fixed: the only arm is order")
        examples, batch = self.examples(), self.training.batch_size
        if isinstance(batch, int) and examples is not None and batch > examples:
            raise ValueError(f"batch_size {batch} exceeds the {examples} training examples")
        needed_lists = ["l0_thresholds"] if self.linear else ["correlation_thresholds"]
        needed_lists += [] if images else ["rank_thresholds"]
        for key in needed_lists:
            if not getattr(self.measures, key):
                raise ValueError(f"measures.{key} must list at least one threshold for a {self.model.kind} model")
        if not images and self.measures.probe_images is not None:
            raise ValueError("measures.probe_images is for image classifiers; remove it")
        if all(cell.annealing for cell in self.cells.values()):
            raise ValueError("cells needs one without annealing, with which the annealed ones can be compared")
        for view in self.views:
            self._check_view(view, registered.view(view).suits)
        return self

    def _check_view(self, view: str, suits: registered.Suits) -> None:
        if suits.data and self.data.kind not in suits.data:
            raise ValueError(f"view {view} needs data of kind {' or '.join(suits.data)}, not {self.data.kind}")
        if suits.images and not self.images:
            raise ValueError(f"view {view} needs images, not data of kind {self.data.kind}")
        if suits.dimension is not None and getattr(self.data, "dimension", None) != suits.dimension:
            raise ValueError(f"view {view} needs inputs of dimension {suits.dimension}")
        if suits.decays and not any(cell.decays for cell in self.cells.values()):
            raise ValueError(f"view {view} needs a cell whose step size is divided")

    @model_validator(mode="after")
    def batchnorm_has_values(self) -> Experiment:
        """Refuse mini-batches of one image where BatchNorm would see one value of a channel, and no variance."""
        size = self.data.image_size() if isinstance(self.data, Images) else None
        if size is None or not isinstance(self.model, ResNet | DenseNetBC | VGG):
            return self
        normalised = getattr(self.model, "normalisation", "batch") == "batch"
        if normalised and self.training.batch_size == 1 and self.model.fewest_positions(*size) == 1:
            raise ValueError(
                f"training.batch_size 1 leaves BatchNorm one value of a channel, where {self.model.kind} has made one "
                f"pixel of {size[0]}x{size[1]}; raise it"
            )
        return self

    @model_validator(mode="after")
    def schedules_differ(self) -> Experiment:
        """Refuse schedules that so few steps cannot take, and two cells with the same step sizes."""
        if (steps := self.steps()) is None:
            return self
        after_update = isinstance(self.training, ToyTraining) and self.training.decay_after_update
        seen: dict[str, str] = {}
        for name, cell in self.cells.items():
            try:
                sizes = repr((cell.step_size, cell.in_steps(steps, self.images, after_update)))
            except ValueError as error:
                raise ValueError(f"cells.{name}.{error}") from error
            if sizes in seen:
                raise ValueError(
                    f"cells.{name} has the same step size at each of {steps} steps as cells.{seen[sizes]}; remove one"
                )
            seen[sizes] = name
        return self

    @model_validator(mode="after")
    def published_is_measured(self) -> Experiment:
        """Refuse published values of measures that the experiment does not have."""
        for name, cell in self.cells.items():
            try:
                self.check_published(cell.published)
            except ValueError as error:
                raise ValueError(f"cells.{name}.published.{error}") from error
        return self

    def check_published(self, published: Published) -> None:
        """Raise ValueError, beginning with the measure, for values of what the experiment does not measure."""
        model, images = self.model, self.images
        measured = {
            "train_loss": True,
            "test_loss": not isinstance(self.data, Points),
            "test_error": images,
            "rank": not images,
            "l0": self.linear,
            "feature_sparsity": not self.linear,
            "active_fraction": not self.linear,
        }
        for measure in published.model_dump(exclude_none=True):
            if not measured[measure]:
                data = self.data.kind
                raise ValueError(f"{measure} cannot be compared: a {model.kind} model on {data} data has no {measure}")
        blocks = self.model.number_of_blocks()
        for measure in ("feature_sparsity", "active_fraction"):
            values = getattr(published, measure)
            if values is not None and blocks is not None and len(values) != blocks:
                raise ValueError(f"{measure} must list one value per block: {blocks}, not {len(values)}")
