"""The typed configuration: what `config.yaml` may say, and one clear line when it says something else.

This module and `grid` are the only places that know the layout of `config.yaml`. Everything
downstream receives a cell's spec (see `largestep.grid`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from largestep.config_studies import Study
from largestep.config_types import (
    DATA_KINDS,
    IMAGE_SETS,
    MLP,
    MODEL_KINDS,
    SCALES,
    Arm,
    BatchSize,
    Count,
    CustomModel,
    Data,
    DenseNet,
    DiagonalNet,
    Fraction,
    Images,
    Model,
    Momentum,
    Name,
    NonNegative,
    Points,
    Positive,
    PublishedImages,
    Sampling,
    Scale,
    Strict,
)

View = Literal["curves", "progress", "stabilisation", "schedules", "fits", "neurons", "blocks", "filters", "distances"]


# Has Snakemake take the values of a configuration file for Python code.
TEMPLATING = "__use_yte__"
# Letters of a message, and of the key in it.
LONGEST, LONGEST_KEY = 240, 110


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line naming the file and the key."""


class Training(Strict):
    """What the cells of an experiment share: the algorithm, its length and its seeds."""

    seeds: Count
    arms: Annotated[list[Arm], Field(min_length=1)]
    snapshots: Annotated[int, Field(ge=2, description="intervals between snapshots of the parameters")]
    evaluations: Annotated[int, Field(ge=2, description="intervals between evaluations of the loss")]
    momentum: Momentum = 0.0
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
    batch_size: BatchSize
    loss: Literal["half_mse", "mse"]
    sampling: Sampling = "with_replacement"
    decay_after_update: bool = False
    label_noise: NonNegative = 0.0
    sam_radius: NonNegative = 0.0


class Augmentation(Strict):
    """What is done to each training image each time it is used: a random crop after padding with black, a flip."""

    crop_padding: Annotated[int, Field(ge=0)] = 0
    flip: bool = False


class ImageTraining(Training):
    """Training of an image classifier by cross-entropy, counted in epochs.

    precision: of the arithmetic of a step, by autocast; weights and updates are float32 in both.
    """

    epochs: Count
    batch_size: Count
    precision: Literal["float32", "bfloat16"] = "float32"
    augmentation: Augmentation = Augmentation()
    label_noise: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sam_radius: NonNegative = 0.0


class PowerWarmup(Strict):
    """step * (1 + (factor - 1) * (i / N) ** exponent) until the first decay."""

    kind: Literal["power"]
    factor: Positive
    exponent: Positive


class ExponentialWarmup(Strict):
    """step * base ** (100 i / N) until the first decay."""

    kind: Literal["exponential"]
    base: Positive


class LinearWarmup(Strict):
    """From `start` times the step size up to it, linearly over the fraction `until` of training."""

    kind: Literal["linear"]
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    until: Fraction


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
    feature_sparsity: list[NonNegative | None] | None = Field(
        default=None, description="one value per block, null where the paper gives none"
    )


class CellConfig(Strict):
    """One cell: a step size and a schedule, with the paper's own numbers for comparison."""

    step_size: Positive
    warmup: Annotated[PowerWarmup | ExponentialWarmup | LinearWarmup, Field(discriminator="kind")] | None = None
    decays: list[Decay] = Field(default_factory=list)
    annealing: Literal["cosine"] | None = None
    published: Published = Published()

    @model_validator(mode="after")
    def schedule_is_ordered(self) -> CellConfig:
        """Refuse decays out of order, a warm-up without end or beyond the first decay, and two ways to decay."""
        fractions = [decay.at for decay in self.decays]
        if any(later <= earlier for earlier, later in pairwise(fractions)):
            raise ValueError(f"decays must come in increasing order, not at {fractions}")
        if self.annealing is not None and self.decays:
            raise ValueError("annealing and decays exclude each other; keep one of them")
        if isinstance(self.warmup, LinearWarmup):
            if self.decays and self.warmup.until > fractions[0]:
                raise ValueError(f"warmup.until {self.warmup.until} lies after the first decay, at {fractions[0]}")
        elif self.warmup is not None and not self.decays:
            raise ValueError("warmup lasts until the first decay, but there is no decay")
        return self


class Measures(Strict):
    """Thresholds of the measures; the first of each list is the paper's and heads the tables."""

    rank_thresholds: list[Positive] = Field(default_factory=list)
    correlation_thresholds: list[Fraction] = Field(default_factory=list)
    l0_thresholds: list[Positive] = Field(default_factory=list)
    normalise_activations: bool = False
    units_per_block: Count | None = None
    probe_images: Count | None = None


class Experiment(Strict):
    """A family of cells that differ in step size and schedule alone."""

    title: str
    paper: str
    scale: Scale
    data: Data
    model: Model
    training: ToyTraining | ImageTraining
    measures: Measures
    views: Annotated[list[View], Field(min_length=1)]
    cells: Annotated[dict[Name, CellConfig], Field(min_length=1)]

    @property
    def images(self) -> bool:
        """Whether this is an image classifier."""
        return isinstance(self.data, Images)

    def examples(self) -> int | None:
        """Size of the training set; None where only the data set itself knows."""
        if isinstance(self.data, Points):
            return len(self.data.inputs)
        if isinstance(self.data, PublishedImages):
            return self.data.examples or IMAGE_SETS[self.data.kind][0]
        return self.data.examples

    def blocks(self) -> int | None:
        """Number of blocks whose sparsity is measured; None where only the network itself knows."""
        if isinstance(self.model, DenseNet):
            return len(self.model.layers) - 1
        if isinstance(self.model, MLP):
            return len(self.model.hidden)
        if isinstance(self.model, CustomModel):
            return len(self.model.blocks) or None
        return 5

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
        toys = {"diagonal": {"sparse_regression"}, "dense": {"points", "teacher_student"}}
        images, needed = self.images, toys.get(self.model.kind)
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
        needed_lists = ["l0_thresholds"] if self.model.kind == "diagonal" else ["correlation_thresholds"]
        needed_lists += [] if images else ["rank_thresholds"]
        for key in needed_lists:
            if not getattr(self.measures, key):
                raise ValueError(f"measures.{key} must list at least one threshold for a {self.model.kind} model")
        if not images and self.measures.probe_images is not None:
            raise ValueError("measures.probe_images is for image classifiers; remove it")
        wanted = {"fits": "points", "neurons": "teacher_student"}
        for view in self.views:
            if view in wanted and wanted[view] != self.data.kind:
                raise ValueError(f"view {view} needs data of kind {wanted[view]}, not {self.data.kind}")
            if view in {"blocks", "filters", "distances"} and not images:
                raise ValueError(f"view {view} needs images, not data of kind {self.data.kind}")
        if "neurons" in self.views and getattr(self.data, "dimension", None) != 2:
            raise ValueError("view neurons needs inputs of dimension 2")
        if all(cell.annealing for cell in self.cells.values()):
            raise ValueError("cells needs one without annealing, with which the annealed ones can be compared")
        if "stabilisation" in self.views and not any(cell.decays for cell in self.cells.values()):
            raise ValueError("view stabilisation needs a cell whose step size is divided")
        return self

    @model_validator(mode="after")
    def published_is_measured(self) -> Experiment:
        """Refuse published values of measures that the experiment does not have."""
        model = self.model
        images = self.images
        measured = {
            "train_loss": True,
            "test_loss": not isinstance(self.data, Points),
            "test_error": images,
            "rank": not images,
            "l0": isinstance(model, DiagonalNet),
            "feature_sparsity": not isinstance(model, DiagonalNet),
        }
        blocks = self.blocks()
        for name, cell in self.cells.items():
            key = f"cells.{name}.published"
            for measure in cell.published.model_dump(exclude_none=True):
                if not measured[measure]:
                    raise ValueError(
                        f"{key}.{measure} cannot be compared: "
                        f"a {model.kind} model on {self.data.kind} data has no {measure}"
                    )
            sparsity = cell.published.feature_sparsity
            if sparsity is not None and blocks is not None and len(sparsity) != blocks:
                raise ValueError(f"{key}.feature_sparsity must list one value per block: {blocks}, not {len(sparsity)}")
        return self


class DataSource(Strict):
    """Where image data sets come from: a folder that holds their archives, and a server to take the place of theirs.

    Neither is part of what a result depends on: checksums decide what the images are.
    """

    root: Annotated[str, Field(min_length=1)] | None = None
    mirror: Annotated[str, Field(pattern=r"^https?://[^\s'\"$;]+$")] | None = None


class DeviceConfig(Strict):
    """What image classifiers are trained on, and how many jobs share a GPU."""

    kind: Literal["auto", "cpu", "cuda"] = "auto"
    jobs_per_gpu: Count = 1


class Config(Strict):
    """The whole of `config.yaml`.

    only: names of the experiments and studies to run; all of the scale where it is empty.
    """

    scale: Scale
    only: list[Name] = Field(default_factory=list)
    data: DataSource = DataSource()
    device: DeviceConfig = DeviceConfig()
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1)]
    studies: dict[Name, Study] = Field(default_factory=dict)

    def at_scale(self) -> dict[str, Experiment]:
        """Experiments that run at the chosen scale; each scale includes the ones before; sorted by name."""
        return {name: e for name, e in sorted(self.experiments.items()) if self._runs(name, e.scale)}

    def studies_at_scale(self) -> dict[str, Study]:
        """Studies that run at the chosen scale, sorted by name."""
        return {name: study for name, study in sorted(self.studies.items()) if self._runs(name, study.scale)}

    def missing(self, scale: Scale) -> str:
        """Why something of a scale is not run, where it is not: the scale that it needs, or `only`."""
        return "only" if self._reached(scale) else scale

    def _reached(self, scale: Scale) -> bool:
        return SCALES.index(scale) <= SCALES.index(self.scale)

    def _runs(self, name: str, scale: Scale) -> bool:
        return self._reached(scale) and (not self.only or name in self.only)

    @model_validator(mode="after")
    def only_names_what_runs(self) -> Config:
        """Refuse a name in `only` that is not there or belongs to a larger scale."""
        for name in self.only:
            found = self.experiments.get(name) or self.studies.get(name)
            if found is None:
                raise ValueError(f"only: there is no experiment or study {name}")
            if not self._reached(found.scale):
                raise ValueError(f"only: {name} runs at scale {found.scale}; set scale to {found.scale} as well")
        if self.only and not self.at_scale():
            raise ValueError("only: names no experiment; add one, or the aggregates have nothing to show")
        return self

    @model_validator(mode="after")
    def studies_fit(self) -> Config:
        """Refuse a study of an experiment or cell that is not there or does not suit it."""
        if "studies" in self.experiments:
            raise ValueError("experiments.studies: this name is taken by the studies; rename the experiment")
        for name, study in self.studies.items():
            if name in self.experiments:
                raise ValueError(f"studies.{name}: an experiment has this name; rename the study")
            if name == "scorecard":
                raise ValueError("studies.scorecard: a figure of the claims has this name; rename the study")
            if any(name == f"{experiment}_{view}" for experiment, e in self.experiments.items() for view in e.views):
                raise ValueError(f"studies.{name}: a figure of an experiment has this name; rename the study")
            for used, cells in study.uses().items():
                where = f"studies.{name}: "
                if used not in self.experiments:
                    raise ValueError(f"{where}there is no experiment {used}")
                experiment = self.experiments[used]
                if SCALES.index(study.scale) < SCALES.index(experiment.scale):
                    raise ValueError(f"{where}scale {study.scale} does not include experiment {used}")
                if experiment.model.kind not in study.models():
                    raise ValueError(f"{where}needs a model of kind {sorted(study.models())}, which {used} is not")
                for cell in cells:
                    if cell not in experiment.cells:
                        raise ValueError(f"{where}experiment {used} has no cell {cell}")
                    if experiment.cells[cell].annealing is not None:
                        raise ValueError(
                            f"{where}cell {cell} of {used} is annealed; name one that is constant or divided"
                        )
            try:
                study.check(self.experiments)
            except ValueError as error:
                raise ValueError(f"studies.{name}.{error}") from error
        return self


# How deep mappings and lists may lie in each other, and how many values a file may come to with its aliases written
# out: far beyond any real study, and far from what exhausts the interpreter.
DEEPEST, MOST_VALUES = 50, 5_000_000
# Whole numbers beyond this are no longer exact as floating-point ones.
LARGEST = 2**53


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses what YAML takes in silence or fails on with an error of Python's own.

    These are a key given twice, of which YAML drops one, a value that its tag does not fit, nesting beyond `DEEPEST`,
    and aliases that lead back to themselves or multiply beyond `MOST_VALUES`.
    """

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._depth = 0
        # Of every node that is complete, how many values it comes to.
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Read one value, and count what it comes to."""
        mark = self.peek_event().start_mark
        if self._depth == DEEPEST:
            raise _at(mark, f"nested deeper than {DEEPEST} levels")
        self._depth += 1
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None or is_alias:
            if node is not None and node not in self._sizes:
                raise _at(mark, "an alias leads back to the value that holds it")
            return node
        parts: list[Any] = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        self._sizes[node] = 1 + sum(self._sizes[part] for part in parts)
        if self._sizes[node] > MOST_VALUES:
            raise _at(mark, f"comes to more than {MOST_VALUES:,} values; use fewer aliases")
        return node

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
                raise _at(key_node.start_mark, f"the name '{key}' is given twice; rename one of them")
            seen.add(key)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        # PyYAML leaves what the text of a tagged value raises as it is.
        except (ValueError, LookupError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            kind = node.tag.rpartition(":")[2]
            raise _at(node.start_mark, f"{_shown(node.value)} is no {kind}") from error


def _at(mark: yaml.Mark, problem: str) -> ConfigError:
    return ConfigError(line(mark.name, f"line {mark.line + 1}: {problem}"))


def read(path: Path) -> dict[str, Any]:
    """Parse one YAML file.

    Raises ConfigError when the file is missing, is not YAML, is not a mapping, gives a key twice, is nested too
    deeply or asks Snakemake to run code in it.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            raw = yaml.load(stream, Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(line(str(path), f"not valid YAML: {_yaml_problem(error)}")) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping with the keys scale and experiments")
    if TEMPLATING in raw:
        raise ConfigError(f"{path}: {TEMPLATING}: unknown key; Snakemake would run code in this file; remove it")
    return raw


def _yaml_problem(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """What is wrong, and in which line."""
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return str(error)
    return f"line {mark.line + 1}: {', '.join(filter(None, (error.context, error.problem)))}"


def line(source: str, problem: str) -> str:
    """A message in one line of bounded length, without characters that a terminal obeys."""
    words = " ".join(problem.split())
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)
    return f"{source}: {shown if len(shown) <= LONGEST else shown[: LONGEST - 2] + ' …'}"


def _shown(value: Any) -> str:
    """What was given, shortened."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or a list in itself
        return f"a value of type {type(value).__name__} that is too large"
    return text if len(text) <= 60 else f"{text[:58]} …"


def load(path: Path) -> Config:
    """Read and validate one configuration file."""
    return parse(read(path), source=str(path))


def parse(raw: Mapping[str, Any], source: str) -> Config:
    """Validate a parsed configuration; `source` names the file in messages.

    Raises ConfigError, one line naming `source` and the key.
    """
    _check_plain(raw, source)
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(_one_line(error, source)) from None


def _check_plain(value: object, source: str, key: tuple[object, ...] = ()) -> None:
    """Refuse what validation passes on and a job or a file would choke on. Raises ConfigError."""
    problem = None
    if len(key) > DEEPEST:
        problem = f"nested deeper than {DEEPEST} levels"
    elif isinstance(value, int) and abs(value) > LARGEST:
        problem = f"is too large a number; the largest is {LARGEST}"
    elif isinstance(value, str) and _UNPRINTED.search(value):
        problem = f"{_shown(value)} has control characters or is no Unicode text"
    elif isinstance(value, (Mapping, list)):
        for part, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check_plain(part, source, key)
            _check_plain(inside, source, (*key, part))
    if problem is not None:
        raise ConfigError(_at_key(source, ".".join(map(str, key)), problem))


def base_file(checkout: Path) -> Path:
    """The configuration that others lie on top of: that of the working directory, or else that beside the workflow.

    checkout: the folder of the workflow, which with --directory serves many working directories.
    """
    here, beside = Path("config.yaml"), checkout / "config.yaml"
    return Path(os.path.relpath(beside)) if beside.exists() and not here.exists() else here


def json_schema() -> str:
    """The JSON schema of `config.yaml`, as committed in `workflow/schemas`."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


# What a text under these keys has to be; under all others it is a name.
_PATTERNS = {
    "mirror": "the address of a server; write it like https://example.org/datasets",
    "sha256": "a checksum of 64 hexadecimal digits; python -m largestep.images --checksum FOLDER prints it",
    "kind": "a dotted name; write it like my_module.my_function",
}
# How a check of the whole file begins its message: with the key.
_KEY_FIRST = re.compile(r"((?:only|studies|experiments)[\w.]*): (.*)", re.DOTALL)
# Control characters but tab and line feed, and halves of characters; neither NetCDF nor a command line holds them.
_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


# Tags that pydantic puts after a key whose value is one of several types.
_ALTERNATIVES = {
    "data": (*DATA_KINDS, "published", "custom"),
    "model": (*MODEL_KINDS, "custom"),
    "warmup": ("power", "exponential", "linear"),
}
# Where a study's tag stands: studies, its name, the tag.
_STUDY_TAG = 2


def _keys(location: tuple[int | str, ...]) -> list[int | str]:
    """The keys of the file in a pydantic location, without the tags of alternatives and of dictionary keys."""
    if location[:1] == ("studies",):
        location = location[:_STUDY_TAG] + location[_STUDY_TAG + 1 :]
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
    key = ".".join(map(str, _keys(first["loc"])))
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
    elif kind == "union_tag_invalid" and first["loc"][-1] in ("data", "model"):
        known = DATA_KINDS if first["loc"][-1] == "data" else MODEL_KINDS
        own = ", or the dotted name of your own" if first["loc"][0] == "experiments" else ""
        wrong = given.get("kind") if isinstance(given, Mapping) else given
        message = f"unknown kind {_shown(wrong)}; choose one of {', '.join(known)}{own}"
    elif kind == "string_pattern_mismatch" and first["loc"][-1] in _PATTERNS:
        message = f"{_shown(given)} is not {_PATTERNS[str(first['loc'][-1])]}"
    elif kind == "string_pattern_mismatch":
        message = f"{_shown(given)} is not a name; use at most 48 lower-case letters, digits and _, a letter first"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        if not key and (named := _KEY_FIRST.fullmatch(reason)):
            key, reason = named.groups()
        shown = "" if isinstance(given, (Mapping, list, BaseModel)) else f" (given: {_shown(given)})"
        message = f"{reason[0].lower()}{reason[1:]}{shown}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _at_key(source, key, message + more)


def _at_key(source: str, key: str, message: str) -> str:
    if len(key) > LONGEST_KEY:
        key = f"{key[: LONGEST_KEY // 2]} … {key[-LONGEST_KEY // 2 :]}"
    return line(source, f"{key or 'the whole file'}: {message}")
