"""The typed configuration: what `config.yaml` may say, and one clear line when it says something else.

This module and `grid` are the only places that know the layout of `config.yaml`. Everything
downstream receives a cell's spec (see `largestep.grid`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Scale = Literal["laptop", "workstation", "paper"]
SCALES: tuple[Scale, ...] = ("laptop", "workstation", "paper")
Arm = Literal["order", "data"]
View = Literal["curves", "fits", "neurons", "blocks"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line naming the file and the key."""


class Strict(BaseModel):
    """No unknown keys, no silent conversions (the text "1e-4" is not a number), no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Law(Strict):
    """How a layer's weights or biases are drawn."""

    law: Literal["gaussian", "rademacher", "sphere", "fan_in_uniform"]
    scale: NonNegative = 1.0


class Layer(Strict):
    """One dense layer; ReLU follows every layer but the last."""

    units: Count
    weight: Law
    bias: Law | None = None


class SparseRegression(Strict):
    """y = <x, theta*> with x standard normal and theta* supported on its first coordinates."""

    kind: Literal["sparse_regression"]
    examples: Count
    dimension: Count
    support: Count
    test_examples: Count = 1000
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def support_fits(self) -> SparseRegression:
        """Refuse a support larger than the dimension."""
        if self.support > self.dimension:
            raise ValueError(f"support {self.support} exceeds dimension {self.dimension}")
        return self


class Points(Strict):
    """A fixed one-dimensional regression data set."""

    kind: Literal["points"]
    inputs: Annotated[list[float], Field(min_length=2)]
    labels: Annotated[list[float], Field(min_length=2)]
    rank_inputs: Count = 300
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def same_length(self) -> Points:
        """Refuse inputs without labels."""
        if len(self.inputs) != len(self.labels):
            raise ValueError(f"{len(self.inputs)} inputs but {len(self.labels)} labels")
        return self


class TeacherStudent(Strict):
    """Unit-norm Gaussian inputs labelled by a random ReLU teacher."""

    kind: Literal["teacher_student"]
    examples: Count
    dimension: Count
    test_examples: Count = 1000
    teacher: Annotated[list[Layer], Field(min_length=2)]
    seed: Annotated[int, Field(ge=0)]


class Digits(Strict):
    """scikit-learn's 8x8 handwritten digits, split at random into training and test images."""

    kind: Literal["digits"]
    examples: Annotated[int, Field(ge=2, le=1796)]
    test_examples: Annotated[int, Field(ge=1, le=1796)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def enough_images(self) -> Digits:
        """Refuse a split larger than the data set."""
        if self.examples + self.test_examples > 1797:
            raise ValueError(
                f"examples + test_examples = {self.examples + self.test_examples}, but there are 1797 images"
            )
        return self


class DiagonalNet(Strict):
    """h(x) = <u * v, x>, started at constant u and v."""

    kind: Literal["diagonal"]
    u: float
    v: float


class DenseNet(Strict):
    """A dense ReLU network with one output."""

    kind: Literal["dense"]
    layers: Annotated[list[Layer], Field(min_length=2)]

    @model_validator(mode="after")
    def one_output(self) -> DenseNet:
        """Refuse a network whose output is not a number."""
        if self.layers[-1].units != 1:
            raise ValueError(f"the last layer must have 1 unit, not {self.layers[-1].units}")
        return self


class ResNet(Strict):
    """ResNet-18 in its CIFAR form (3x3 stem, no max-pool)."""

    kind: Literal["resnet18"]
    width: Count


class Training(Strict):
    """What the cells of an experiment share: the algorithm, its length and its seeds."""

    seeds: Count
    arms: Annotated[list[Arm], Field(min_length=1)]
    snapshots: Annotated[int, Field(ge=2, description="intervals between snapshots of the parameters")]
    evaluations: Annotated[int, Field(ge=2, description="intervals between evaluations of the loss")]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegative = 0.0

    @field_validator("arms")
    @classmethod
    def arms_differ(cls, arms: list[Arm]) -> list[Arm]:
        """Refuse an arm given twice."""
        if len(set(arms)) != len(arms):
            raise ValueError("an arm is listed twice")
        return arms


class ToyTraining(Training):
    """Training of a toy network, counted in steps."""

    steps: Annotated[int, Field(ge=2)]
    batch_size: Count | Literal["full"]
    loss: Literal["half_mse", "mse"]
    replacement: bool = True
    decay_after_update: bool = False
    label_noise: NonNegative = 0.0

    @field_validator("batch_size", mode="before")
    @classmethod
    def number_or_full(cls, value: Any) -> Any:
        """Refuse anything else with one message; pydantic gives one for each alternative."""
        if value != "full" and (type(value) is not int or value < 1):
            raise ValueError("must be a number of examples, at least 1, or full")
        return value


class ImageTraining(Training):
    """Training of an image classifier by cross-entropy, counted in epochs."""

    epochs: Count
    batch_size: Count


class PowerWarmup(Strict):
    """step * (1 + (factor - 1) * (i / N) ** exponent) until the first decay."""

    kind: Literal["power"]
    factor: Positive
    exponent: Positive


class ExponentialWarmup(Strict):
    """step * base ** (100 i / N) until the first decay."""

    kind: Literal["exponential"]
    base: Positive


class Decay(Strict):
    """Divide the step size at a fraction of training."""

    at: Fraction
    divide_by: Positive


class Published(Strict):
    """Values of the paper's single run, for comparison; feature_sparsity is a fraction, test_error in percent."""

    train_loss: NonNegative | None = None
    test_loss: NonNegative | None = None
    test_error: NonNegative | None = None
    rank: NonNegative | None = None
    l0: NonNegative | None = None
    feature_sparsity: list[NonNegative] | None = Field(default=None, description="one value per block")


class CellConfig(Strict):
    """One cell: a step size and a schedule, with the paper's own numbers for comparison."""

    step_size: Positive
    warmup: Annotated[PowerWarmup | ExponentialWarmup, Field(discriminator="kind")] | None = None
    decays: list[Decay] = []
    published: Published = Published()

    @model_validator(mode="after")
    def schedule_is_ordered(self) -> CellConfig:
        """Refuse decays out of order and a warm-up without end."""
        fractions = [decay.at for decay in self.decays]
        if any(later <= earlier for earlier, later in pairwise(fractions)):
            raise ValueError(f"decays must come in increasing order, not at {fractions}")
        if self.warmup is not None and not self.decays:
            raise ValueError("warmup lasts until the first decay, but there is no decay")
        return self


class Measures(Strict):
    """Thresholds of the measures; the first of each list is the paper's and heads the tables."""

    rank_thresholds: list[Positive] = []
    correlation_thresholds: list[Fraction] = []
    l0_thresholds: list[Positive] = []
    normalise_activations: bool = False
    units_per_block: Count | None = None


class Experiment(Strict):
    """A family of cells that differ in step size and schedule alone."""

    title: str
    paper: str
    scale: Scale
    data: Annotated[SparseRegression | Points | TeacherStudent | Digits, Field(discriminator="kind")]
    model: Annotated[DiagonalNet | DenseNet | ResNet, Field(discriminator="kind")]
    training: ToyTraining | ImageTraining
    measures: Measures
    views: Annotated[list[View], Field(min_length=1)]
    cells: Annotated[dict[Name, CellConfig], Field(min_length=1)]

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
        needs = {"diagonal": {"sparse_regression"}, "dense": {"points", "teacher_student"}, "resnet18": {"digits"}}
        if self.data.kind not in needs[self.model.kind]:
            raise ValueError(
                f"a {self.model.kind} model needs data of kind {sorted(needs[self.model.kind])}, not {self.data.kind}"
            )
        images = isinstance(self.model, ResNet)
        if images != isinstance(self.training, ImageTraining):
            raise ValueError(f"a {self.model.kind} model is trained in {'epochs' if images else 'steps'}")
        if images and "data" in self.training.arms:
            raise ValueError("image data sets are fixed: the only arm is order")
        examples = len(self.data.inputs) if isinstance(self.data, Points) else self.data.examples
        batch = self.training.batch_size
        if isinstance(batch, int) and batch > examples:
            raise ValueError(f"batch_size {batch} exceeds the {examples} training examples")
        needed = ["l0_thresholds"] if self.model.kind == "diagonal" else ["correlation_thresholds"]
        needed += [] if images else ["rank_thresholds"]
        for key in needed:
            if not getattr(self.measures, key):
                raise ValueError(f"measures.{key} must list at least one threshold for a {self.model.kind} model")
        wanted = {"fits": "points", "neurons": "teacher_student", "blocks": "digits"}
        for view in self.views:
            if view in wanted and wanted[view] != self.data.kind:
                raise ValueError(f"view {view} needs data of kind {wanted[view]}, not {self.data.kind}")
        if "neurons" in self.views and getattr(self.data, "dimension", None) != 2:
            raise ValueError("view neurons needs inputs of dimension 2")
        return self

    @model_validator(mode="after")
    def published_is_measured(self) -> Experiment:
        """Refuse published values of measures that the experiment does not have."""
        model = self.model
        images = isinstance(model, ResNet)
        measured = {
            "train_loss": True,
            "test_loss": not isinstance(self.data, Points),
            "test_error": images,
            "rank": not images,
            "l0": isinstance(model, DiagonalNet),
            "feature_sparsity": not isinstance(model, DiagonalNet),
        }
        blocks = len(model.layers) - 1 if isinstance(model, DenseNet) else 5
        for name, cell in self.cells.items():
            key = f"cells.{name}.published"
            for measure in cell.published.model_dump(exclude_none=True):
                if not measured[measure]:
                    raise ValueError(
                        f"{key}.{measure} cannot be compared: "
                        f"a {model.kind} model on {self.data.kind} data has no {measure}"
                    )
            sparsity = cell.published.feature_sparsity
            if sparsity is not None and len(sparsity) != blocks:
                raise ValueError(f"{key}.feature_sparsity must list one value per block: {blocks}, not {len(sparsity)}")
        return self


class Config(Strict):
    """The whole of `config.yaml`."""

    scale: Scale
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]

    def at_scale(self) -> dict[str, Experiment]:
        """Experiments that run at the chosen scale; each scale includes the ones before; sorted by name."""
        reach = SCALES.index(self.scale)
        return {name: e for name, e in sorted(self.experiments.items()) if SCALES.index(e.scale) <= reach}


class _UniqueKeyLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice, which YAML otherwise drops in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping, refusing a repeated key."""
        # Checked before construction, which puts the keys of merged mappings (<<) beside those written here.
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(
                    f"{key_node.start_mark.name}: line {line}: the name '{key}' is given twice; rename one of them"
                )
            seen.add(key)
        return node


def read(path: Path) -> dict[str, Any]:
    """Parse one YAML file.

    Raises ConfigError when the file is missing, is not YAML, is not a mapping or gives a key twice.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            raw = yaml.load(stream, Loader=_UniqueKeyLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping with the keys scale and experiments")
    return raw


def load(path: Path) -> Config:
    """Read and validate one configuration file."""
    return parse(read(path), source=str(path))


def parse(raw: Mapping[str, Any], source: str) -> Config:
    """Validate a parsed configuration; `source` names the file in messages.

    Raises ConfigError, one line naming `source` and the key.
    """
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(_one_line(error, source)) from None


def json_schema() -> str:
    """The JSON schema of `config.yaml`, as committed in `workflow/schemas`."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


_ALTERNATIVES = {
    "data": ("sparse_regression", "points", "teacher_student", "digits"),
    "model": ("diagonal", "dense", "resnet18"),
    "warmup": ("power", "exponential"),
}


def _keys(location: tuple[int | str, ...]) -> list[int | str]:
    """The keys of the file in a pydantic location, without the tags of alternatives and of dictionary keys."""
    before = (None, *location)
    return [
        part
        for previous, part in zip(before, location, strict=False)
        if part != "[key]" and part not in _ALTERNATIVES.get(str(previous), ())
    ]


def _one_line(error: ValidationError, source: str) -> str:
    # A misspelt key is unknown and leaves another one missing: the spelling is the problem to name.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    key = ".".join(map(str, _keys(first["loc"]))) or "the whole file"
    given = first.get("input")
    kind = first["type"]
    if kind == "missing":
        message = "this key is missing"
    elif kind == "extra_forbidden":
        message = "unknown key; check its spelling or remove it"
    elif (
        kind in {"float_type", "int_type", "int_from_float"}
        and isinstance(given, str)
        and _NUMBER.fullmatch(given.strip())
    ):
        message = f"'{given}' is text in YAML; write the number with a decimal point, like 1.0e-4, and without quotes"
    elif kind == "string_pattern_mismatch":
        message = f"{given!r:.60} is not a name; use at most 48 lower-case letters, digits and _, a letter first"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(given, (Mapping, list, BaseModel)) else f" (given: {given!r:.60})"
        message = f"{reason[0].lower()}{reason[1:]}{shown}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return " ".join(f"{source}: {key}: {message}{more}".split())
