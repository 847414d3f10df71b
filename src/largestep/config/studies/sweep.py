"""C4, C5, C11, C16: settings of controls that vary one quantity at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, computed_field, model_validator

from largestep.config.scalars import (
    Arm,
    BatchSize,
    Count,
    Fraction,
    Momentum,
    Name,
    NonNegative,
    Positive,
    Sampling,
    Several,
    Strict,
)
from largestep.config.studies.base import REPLICATES, StudyOfFeatures

# What may change along with the quantity that a sweep varies.
FOLLOWERS = ("step_size", "decayed_step_size", "steps")
# Quantities of a training run: what its values mean, whether one of them is held or several are varied.
STEP_SIZE = "η of the large step, until the decay"
DECAY_AT = "fraction of training at which the large step ends"
DECAYED_STEP_SIZE = "η from there on"
WARMUP_FROM = "η of the first step, from which a straight line leads to the large step size at the decay"
STEPS = "length in updates"
BATCH_SIZE = "examples per step; `full`: all"
SAMPLING = "of the examples, as in `training.sampling`"
MOMENTUM = "decay of the velocity per step"
WEIGHT_DECAY = "λ: the gradient gains λ θ"
LABEL_NOISE = "standard deviation of the Gaussian noise added to the labels of every step"
SAM_RADIUS = "ρ of sharpness-aware minimisation"

T = TypeVar("T")
Values = Annotated[list[T], Field(min_length=2)]


class Held(Strict):
    """Settings of a training run that hold for a whole sweep; what is not given is that of the base."""

    step_size: Positive | None = Field(default=None, description=STEP_SIZE)
    warmup_from: Positive | None = Field(default=None, description=WARMUP_FROM)
    decay_at: Fraction | None = Field(default=None, description=DECAY_AT)
    decayed_step_size: Positive | None = Field(default=None, description=DECAYED_STEP_SIZE)
    steps: Several | None = Field(default=None, description=STEPS)
    batch_size: BatchSize | None = Field(default=None, description=BATCH_SIZE)
    sampling: Sampling | None = Field(default=None, description=SAMPLING)
    momentum: Momentum | None = Field(default=None, description=MOMENTUM)
    weight_decay: NonNegative | None = Field(default=None, description=WEIGHT_DECAY)
    label_noise: NonNegative | None = Field(default=None, description=LABEL_NOISE)
    sam_radius: NonNegative | None = Field(default=None, description=SAM_RADIUS)


class Base(Held):
    """The run that every sweep of a study departs from; what is not given is that of the experiment."""

    step_size: Positive = Field(description=STEP_SIZE)
    decay_at: Fraction = Field(description=DECAY_AT)
    decayed_step_size: Positive = Field(description=DECAYED_STEP_SIZE)


class Varied(Strict):
    """One sweep: lists of values that are gone through side by side, and what else differs from the base.

    One quantity is varied. Step sizes and the number of steps may follow it, or be varied themselves.
    """

    decay_at: Values[Fraction] | None = Field(default=None, description=DECAY_AT)
    sampling: Values[Sampling] | None = Field(default=None, description=SAMPLING)
    batch_size: Values[BatchSize] | None = Field(default=None, description=BATCH_SIZE)
    momentum: Values[Momentum] | None = Field(default=None, description=MOMENTUM)
    weight_decay: Values[NonNegative] | None = Field(default=None, description=WEIGHT_DECAY)
    label_noise: Values[NonNegative] | None = Field(default=None, description=LABEL_NOISE)
    sam_radius: Values[NonNegative] | None = Field(default=None, description=SAM_RADIUS)
    warmup_from: Values[Positive] | None = Field(default=None, description=WARMUP_FROM)
    step_size: Values[Positive] | None = Field(default=None, description=STEP_SIZE)
    decayed_step_size: Values[Positive] | None = Field(default=None, description=DECAYED_STEP_SIZE)
    steps: Values[Several] | None = Field(default=None, description=STEPS)
    hold: Held = Field(default=Held(), description="what differs from the base in the whole sweep")

    def lists(self) -> dict[str, list[object]]:
        """The values of every quantity that differs between the points of the sweep, the varied one first."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "hold" and getattr(self, key)}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def vary(self) -> str:
        """The quantity that is varied: the axis of the figure."""
        return next(iter(self.lists()))

    @model_validator(mode="after")
    def one_quantity(self) -> Varied:
        """Refuse a sweep of nothing, of two quantities, of lists that do not match, or of what it holds."""
        lists = self.lists()
        if not lists:
            raise ValueError("varies nothing: give a list of values")
        leading = [key for key in lists if key not in FOLLOWERS]
        if len(leading) > 1:
            raise ValueError(f"varies {' and '.join(leading)}: only {', '.join(FOLLOWERS)} may follow another quantity")
        lengths = {key: len(values) for key, values in lists.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"its lists must be of one length, not {lengths}")
        for key, values in lists.items():
            if key not in FOLLOWERS and len(set(map(str, values))) < len(values):
                raise ValueError(f"{key} lists a value twice")
        both = sorted(set(lists) & set(self.hold.model_dump(exclude_none=True)))
        if both:
            raise ValueError(f"both varies and holds {', '.join(both)}")
        return self


class Sweep(StudyOfFeatures):
    """Controls: one quantity varied at a time, all else as in the base (C4, C5, C11, C16)."""

    kind: Literal["sweep"] = Field(description="controls: one quantity at a time")
    experiment: Name = Field(description="experiment whose data, toy network and training are taken over")
    arm: Arm = Field(description="what a seed varies, as in `training.arms`")
    seeds: Count = Field(description="runs per point")
    base: Base = Field(description="the run that all sweeps depart from")
    sweeps: Annotated[dict[Name, Varied], Field(min_length=1)] = Field(
        description="what is varied, by a name of your own"
    )

    def replicates(self) -> dict[str, str]:
        """What a seed varies in its arm."""
        return {"": REPLICATES[self.arm]}

    @classmethod
    def of_spec(cls, settings: Mapping[str, Any]) -> Sweep:
        """The settings that `in_spec` gave, where every sweep says which quantity it varies."""
        sweeps = {
            name: {key: value for key, value in sweep.items() if key != "vary"}
            for name, sweep in settings["sweeps"].items()
        }
        return super().of_spec(dict(settings) | {"sweeps": sweeps})

    def uses(self) -> dict[str, list[str]]:
        """The experiment, without its cells: the schedules are the study's own."""
        return {self.experiment: []}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse a batch larger than the training set, and seeds that nothing tells apart."""
        examples = experiments[self.experiment].examples()
        same = experiments[self.experiment].training.batch_size == "full" and self.base.batch_size is None
        if same and self.arm == "order" and not experiments[self.experiment].model.drawn:
            raise ValueError("arm: full-batch runs of a diagonal network differ only in their data")
        for name, sweep in self.sweeps.items():
            for batch in [*(sweep.batch_size or []), sweep.hold.batch_size, self.base.batch_size]:
                if isinstance(batch, int) and batch > examples:
                    raise ValueError(f"sweeps.{name}: batch_size {batch} exceeds the {examples} training examples")
