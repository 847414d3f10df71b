"""The typed settings of the studies: what `config.yaml` may say under `studies`, one class per kind.

A study is a piece of evidence that is not a cell: an identity checked by enumeration, a grid of many
short runs, a comparison of algorithms. It runs as one job, `python -m largestep.studies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, computed_field, model_validator

from largestep.config_types import (
    MODEL_KINDS,
    Arm,
    BatchSize,
    Count,
    DiagonalNet,
    Fraction,
    Momentum,
    Name,
    NonNegative,
    Positive,
    Sampling,
    Scale,
    SparseRegression,
    Strict,
)

TOYS = frozenset({"diagonal", "dense"})
# What may change along with the quantity that a sweep varies.
FOLLOWERS = ("step_size", "decayed_step_size", "steps")
# Blocks in the large-step phase, over half of which the trend of the loss is taken.
FEWEST_BLOCKS = 6

T = TypeVar("T")


class StudyBase(Strict):
    """What all studies share."""

    title: str
    paper: str
    scale: Scale

    def uses(self) -> dict[str, list[str]]:
        """The experiments whose data, model and training the study takes over, each with the cells it needs."""
        return {}

    def models(self) -> frozenset[str]:
        """Kinds of model that these experiments may have."""
        return TOYS

    def thresholds(self) -> set[str]:
        """Keys of the experiments' `measures` that the study reads."""
        return set()

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Raise ValueError, naming the key, where a setting does not suit the experiments used."""


class StudyOfFeatures(StudyBase):
    """A study that takes the measures of the cells."""

    def thresholds(self) -> set[str]:
        """All: it takes the measures that the cells take."""
        return {"rank_thresholds", "l0_thresholds", "correlation_thresholds", "normalise_activations"}


class CheckedNet(Strict):
    """A network whose steps are compared along the first updates of a run of SGD.

    after: numbers of updates before the comparisons. examples: how many of the training set to use, its first
    ones; all of them if null.
    """

    cell: Name
    after: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    examples: Annotated[int, Field(ge=2)] | None = None


class LabelNoise(StudyBase):
    """C1: a step of SGD against a step of gradient descent with label noise (Proposition 2.1)."""

    kind: Literal["label_noise"]
    seeds: Count
    networks: Annotated[dict[Name, CheckedNet], Field(min_length=1, description="by experiment")]

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with the cell that gives the step sizes."""
        return {name: [net.cell] for name, net in self.networks.items()}

    def models(self) -> frozenset[str]:
        """Toy networks, and the image classifiers of the package."""
        return TOYS | frozenset(MODEL_KINDS)

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse points beyond the end of a run, and more examples than there are."""
        for name, net in self.networks.items():
            training, examples = experiments[name].training, experiments[name].examples()
            if examples is None:
                raise ValueError(f"networks.{name}: the size of its data set is not known; set data.examples there")
            images = experiments[name].images
            steps = training.epochs * (examples // training.batch_size) if images else training.steps
            if max(net.after) >= steps:
                raise ValueError(f"networks.{name}.after: {max(net.after)} is not a step of a run of {steps} steps")
            if net.examples is not None and net.examples > examples:
                raise ValueError(f"networks.{name}.examples: {net.examples} exceeds the {examples} training examples")


class Attractor(Strict):
    """The gammas whose last iterates are shown, without noise and with gamma uniform within `spread`."""

    lowest: Positive
    highest: Positive
    points: Annotated[int, Field(ge=2)]
    spread: NonNegative


class Bouncing(StudyBase):
    """C2: the one-dimensional model over ranges of gamma = eta theta*^2 x^2 (Proposition 2.2)."""

    kind: Literal["bouncing"]
    ranges: Annotated[list[Annotated[list[Positive], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    seeds: Count
    starts: Count
    steps: Count
    tail: Annotated[Count, Field(description="updates at the end of a run in which it has to bounce")]
    attractor: Attractor

    @model_validator(mode="after")
    def parts_fit(self) -> Bouncing:
        """Refuse ranges that are empty and a tail that leaves no start."""
        for low, high in [*self.ranges, [self.attractor.lowest, self.attractor.highest]]:
            if low >= high:
                raise ValueError(f"gamma must range from a smaller to a larger value, not from {low:g} to {high:g}")
        if self.tail >= self.steps:
            raise ValueError(f"tail {self.tail} leaves nothing before it: steps is {self.steps}")
        return self


class Range(Strict):
    """Evenly spaced values, both ends included."""

    low: Positive
    high: Positive
    count: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def not_empty(self) -> Range:
        """Refuse a range that does not rise."""
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must lie below high {self.high:g}")
        return self


class PhaseDiagram(StudyBase):
    """C4, C5, C8: every step size with every decay time, decayed to one step size (extends Fig. 2)."""

    kind: Literal["phase_diagram"]
    experiment: Name
    arm: Annotated[Literal["order", "data"], Field(description="what a seed varies, as in training.arms")]
    cells: Annotated[list[Name], Field(description="published points, marked in the figure")]
    step_sizes: Range
    decay_at: Annotated[list[Fraction], Field(min_length=2)]
    decayed_step_size: Positive
    seeds: Count

    def uses(self) -> dict[str, list[str]]:
        """The one experiment, with the published cells."""
        return {self.experiment: self.cells}

    def thresholds(self) -> set[str]:
        """What counts as non-zero."""
        return {"l0_thresholds"}

    def models(self) -> frozenset[str]:
        """Predictors on and off the support are those of diagonal networks."""
        return frozenset({"diagonal"})

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse label noise, which its runs do not draw."""
        if experiments[self.experiment].training.label_noise:
            raise ValueError(f"experiment: {self.experiment} has label_noise, which a phase diagram does not draw")

    @model_validator(mode="after")
    def decay_times_rise(self) -> PhaseDiagram:
        """Refuse decay times out of order: each goes on from the one before."""
        if any(later <= earlier for earlier, later in pairwise(self.decay_at)):
            raise ValueError(f"decay_at must increase, not be {self.decay_at}")
        return self


class SliceStepSizes(Strict):
    """Step sizes of the three paths; those of gradient descent and SGD are divided later."""

    flow: Positive
    gd: Positive
    sgd: Positive


class LossSlice(StudyBase):
    """The plane through the start, the truth and the end of gradient flow (Fig. 3, Fig. 8)."""

    kind: Literal["loss_slice"]
    data: SparseRegression
    model: DiagonalNet
    steps: Annotated[int, Field(ge=2)]
    step_sizes: SliceStepSizes
    decay_at: Fraction
    divide_by: Positive
    seeds: Annotated[Count, Field(description="runs of SGD")]
    evaluations: Annotated[int, Field(ge=2, description="intervals between recorded steps of the paths")]
    resolution: Annotated[int, Field(ge=2, description="points of the plane along either axis")]


Several = Annotated[list[T], Field(min_length=2)]


class Held(Strict):
    """Settings of a training run that a sweep can hold or vary; what is not given is the experiment's own.

    step_size is the large one, which lasts until decay_at; with warmup_from it is reached by a straight line from
    there.
    """

    step_size: Positive | None = None
    warmup_from: Positive | None = None
    decay_at: Fraction | None = None
    decayed_step_size: Positive | None = None
    steps: Annotated[int, Field(ge=2)] | None = None
    batch_size: BatchSize | None = None
    sampling: Sampling | None = None
    momentum: Momentum | None = None
    weight_decay: NonNegative | None = None
    label_noise: NonNegative | None = None
    sam_radius: NonNegative | None = None


class Base(Held):
    """The run that every sweep of a study departs from: it has a schedule of its own."""

    step_size: Positive
    decay_at: Fraction
    decayed_step_size: Positive


class Varied(Strict):
    """One sweep: lists of values that are gone through side by side, and what else differs from the base.

    One quantity is varied. Step sizes and the number of steps may follow it, or be varied themselves.
    """

    decay_at: Several[Fraction] | None = None
    sampling: Several[Sampling] | None = None
    batch_size: Several[BatchSize] | None = None
    momentum: Several[Momentum] | None = None
    weight_decay: Several[NonNegative] | None = None
    label_noise: Several[NonNegative] | None = None
    sam_radius: Several[NonNegative] | None = None
    warmup_from: Several[Positive] | None = None
    step_size: Several[Positive] | None = None
    decayed_step_size: Several[Positive] | None = None
    steps: Several[Annotated[int, Field(ge=2)]] | None = None
    hold: Held = Held()

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

    kind: Literal["sweep"]
    experiment: Name
    arm: Arm
    seeds: Count
    base: Base
    sweeps: Annotated[dict[Name, Varied], Field(min_length=1)]

    def uses(self) -> dict[str, list[str]]:
        """The experiment, without its cells: the schedules are the study's own."""
        return {self.experiment: []}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse a batch larger than the training set, and seeds that nothing tells apart."""
        examples = experiments[self.experiment].examples()
        same = experiments[self.experiment].training.batch_size == "full" and self.base.batch_size is None
        if same and self.arm == "order" and isinstance(experiments[self.experiment].model, DiagonalNet):
            raise ValueError("arm: full-batch runs of a diagonal network differ only in their data")
        for name, sweep in self.sweeps.items():
            for batch in [*(sweep.batch_size or []), sweep.hold.batch_size, self.base.batch_size]:
                if isinstance(batch, int) and batch > examples:
                    raise ValueError(f"sweeps.{name}: batch_size {batch} exceeds the {examples} training examples")


class MeasuredRun(Strict):
    """Training along which the sharpness is measured: a cell of the experiment, or full batches at a constant step.

    step_over_sharpness: that step size times the sharpness at the start of each seed; gradient descent is stable on a
    quadratic below 2. evaluate_every: updates between evaluations of the loss.
    """

    experiment: Name
    arm: Arm
    cell: Name | None = None
    step_over_sharpness: Positive | None = None
    steps: Annotated[int, Field(ge=2)] | None = None
    evaluate_every: Count

    @model_validator(mode="after")
    def one_schedule(self) -> MeasuredRun:
        """Refuse two schedules, none, and steps that do not go with the schedule."""
        if (self.cell is None) == (self.step_over_sharpness is None):
            raise ValueError("give either cell or step_over_sharpness")
        if (self.step_over_sharpness is None) != (self.steps is None):
            raise ValueError("steps goes with step_over_sharpness; a cell has those of its experiment")
        return self


class Sharpness(StudyBase):
    """C15, C17: loss and extreme curvatures along SGD, gradient descent at its edge of stability, and a catapult."""

    kind: Literal["sharpness"]
    seeds: Count
    blocks: Annotated[int, Field(ge=2, description="stretches of training that the curves of the loss show")]
    hessians: Annotated[int, Field(ge=6, description="points along a run at which curvatures are measured")]
    runs: Annotated[dict[Literal["sgd", "gd", "catapult"], MeasuredRun], Field(min_length=1)]

    def uses(self) -> dict[str, list[str]]:
        """Every experiment named, with the cells that give schedules."""
        found: dict[str, list[str]] = {}
        for run in self.runs.values():
            found.setdefault(run.experiment, []).extend([run.cell] if run.cell else [])
        return found

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse updates to which 2/sharpness does not apply, batches that do not suit, and too few evaluations."""
        for name, run in self.runs.items():
            training = experiments[run.experiment].training
            for key in ("momentum", "weight_decay", "label_noise", "sam_radius"):
                if getattr(training, key):
                    raise ValueError(
                        f"runs.{name}: {run.experiment} has {key}, but 2/sharpness is the edge of plain steps"
                    )
            if name == "sgd" and (run.cell is None or training.batch_size == "full"):
                raise ValueError(f"runs.{name}: needs a cell of an experiment whose batches are drawn")
            if name != "sgd" and run.arm == "order" and isinstance(experiments[run.experiment].model, DiagonalNet):
                raise ValueError(f"runs.{name}.arm: full-batch runs of a diagonal network differ only in their data")
            evaluations = -(-(run.steps or training.steps) // run.evaluate_every)
            if evaluations < max(self.blocks, self.hessians):
                raise ValueError(f"runs.{name}: {evaluations} evaluations are fewer than blocks or hessians")
            decays = experiments[run.experiment].cells[run.cell].decays if run.cell else []
            if self.blocks * (decays[0].at if decays else 1.0) < FEWEST_BLOCKS:
                raise ValueError(
                    f"blocks: {self.blocks} are too few: runs.{name} needs {FEWEST_BLOCKS} until its decay"
                )


class Flows(StudyOfFeatures):
    """C6, C7: SGD beside gradient descent, gradient flow and the SDE, at the schedule of one cell (Fig. 9)."""

    kind: Literal["flows"]
    experiment: Name
    cell: Name
    seeds: Annotated[Count, Field(description="seeds of SGD to try")]
    pairs: Annotated[Count, Field(description="seeds to compare, the first on which SGD does not diverge")]
    substeps: Annotated[Count, Field(description="steps of the SDE to one of SGD")]
    snapshots: Annotated[int, Field(ge=2, description="intervals between measures of rank and sparsity")]

    @model_validator(mode="after")
    def enough_seeds(self) -> Flows:
        """Refuse more pairs than seeds."""
        if self.pairs > self.seeds:
            raise ValueError(f"pairs {self.pairs} exceeds seeds {self.seeds}")
        return self

    def uses(self) -> dict[str, list[str]]:
        """The one cell."""
        return {self.experiment: [self.cell]}

    def check(self, experiments: Mapping[str, Any]) -> None:
        """Refuse all but plain SGD with a large-step phase: the SDE is derived for that."""
        training = experiments[self.experiment].training
        plain = {
            "batch_size": 1,
            "sampling": "with_replacement",
            "momentum": 0.0,
            "weight_decay": 0.0,
            "label_noise": 0.0,
            "sam_radius": 0.0,
        }
        for key, value in plain.items():
            if getattr(training, key) != value:
                raise ValueError(f"experiment: {self.experiment} must be trained with {key} {value}")
        if not experiments[self.experiment].cells[self.cell].decays:
            raise ValueError(f"cell: {self.cell} has no decay to end its large-step phase")


class SdeConvergence(StudyBase):
    """C6: the weak error of Euler and Maruyama's method for the paper's SDE, from a time step to half of it."""

    kind: Literal["sde_convergence"]
    data: SparseRegression
    model: DiagonalNet
    step_size: Annotated[Positive, Field(description="of the SGD that the SDE describes")]
    horizon: Annotated[Count, Field(description="length of the paths in steps of SGD")]
    substeps: Annotated[Count, Field(description="steps to one of SGD at the coarsest level")]
    levels: Annotated[int, Field(ge=3, description="time steps, each half the one before")]
    seeds: Annotated[int, Field(ge=2, description="groups of paths")]
    paths: Annotated[Count, Field(description="paths in a group")]


Study = Annotated[
    LabelNoise | Bouncing | PhaseDiagram | LossSlice | Sweep | Sharpness | Flows | SdeConvergence,
    Field(discriminator="kind"),
]
