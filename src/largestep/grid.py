"""The cells of a configuration: their ids and, for each stage, the canonical JSON it depends on.

What each of these texts holds is in `largestep.specs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from largestep import stages
from largestep.config import CellConfig, Config, ConfigError, Experiment
from largestep.config.data import CustomImages, ImageFolder
from largestep.config.measures import Measures
from largestep.config.models import CustomModel
from largestep.config.studies.base import REPLICATES, StudyBase
from largestep.config.training import ImageTraining
from largestep.decay_steps import decay_fraction
from largestep.keys import digest
from largestep.specs.aggregates import AggregateSpec, CellEntry, ClaimsSpec, ExperimentEntry, StudyEntry, StudyLeftOut
from largestep.specs.cells import DataSpec, FeaturesSpec, ImageTrainSpec, SparsitySpec, ToyTrainSpec, part_name
from largestep.specs.studies import StudySpec, UsedClassifier, UsedToy

# Linux takes 131,072 bytes in one word, here with the rest of the command; JSON is all ASCII.
LONGEST_SPEC = 120_000


@dataclass(frozen=True)
class Cell:
    """One (experiment, model, step size, schedule); its seeds are a dimension inside it."""

    experiment: str
    name: str
    settings: Experiment

    @property
    def id(self) -> str:
        """The folder of the cell under `results/cells`."""
        return f"{self.experiment}.{self.name}"

    @property
    def config(self) -> CellConfig:
        """The cell's own part of the configuration."""
        return self.settings.cells[self.name]

    def spec(self, stage: str) -> str:
        """Canonical JSON of all that `stage` (data or images, train, features or sparsity) depends on."""
        if stage == "data":
            return data_spec(self.settings).text()
        if stage == "images":
            return data_spec(self.settings).image_set().text()
        if stage == "train":
            return self._train().text()
        if stage == "features":
            return self._features().text()
        if stage == "sparsity":
            return SparsitySpec(cell=self.id, features=self._features(), measures=self.settings.measures).text()
        raise ValueError(f"no stage called {stage}")

    def parts(self) -> dict[str, range]:
        """The seeds that each job trains of an image classifier, by the names of their folders, such as 0-9 or 3."""
        training = self.settings.training
        assert isinstance(training, ImageTraining)
        starts = range(0, training.seeds, training.seeds_per_job)
        parts = [range(first, min(first + training.seeds_per_job, training.seeds)) for first in starts]
        return {part_name(seeds): seeds for seeds in parts}

    def part_spec(self, stage: str, seeds: range) -> str:
        """As `spec` of train or features, for some seeds of an image classifier."""
        whole = self._features() if stage == "features" else self._train()
        assert not isinstance(whole, ToyTrainSpec)
        return whole.part(seeds).text()

    def code(self, stage: str) -> str:
        """Digest of the code of `stage` and of every stage before it, for this cell."""
        return stages.chain(stage, self.settings.data.kind, self.settings.model.kind)

    def _train(self) -> ToyTrainSpec | ImageTrainSpec:
        given: dict[str, Any] = {"model": self.settings.model, "training": self.settings.training}
        kind = ImageTrainSpec if self.settings.images else ToyTrainSpec
        return kind(cell=self.id, data=data_spec(self.settings), schedule=self.config, **given)

    def _features(self) -> FeaturesSpec:
        return FeaturesSpec(cell=self.id, train=self._train(), measures=self.settings.measures)


def data_spec(settings: Experiment) -> DataSpec:
    """What the data stage reads of an experiment."""
    return DataSpec(data=settings.data, draws=settings.training.seeds if "data" in settings.training.arms else 0)


def image_sets(config: Config) -> dict[str, Cell]:
    """Every image data set of the configuration at its scale, by name, each with a cell that uses it."""
    sets: dict[str, Cell] = {}
    for cell in cells(config).values():
        if cell.settings.images:
            sets.setdefault(data_spec(cell.settings).image_set().name, cell)
    return sets


def cells(config: Config) -> dict[str, Cell]:
    """Every cell of the configuration at its scale, by id, in the order of ids: that of the file does not count."""
    unsorted = (Cell(name, cell, settings) for name, settings in config.at_scale().items() for cell in settings.cells)
    return {cell.id: cell for cell in sorted(unsorted, key=lambda cell: cell.id)}


def study_spec(config: Config, name: str) -> str:
    """Canonical JSON of all that a study depends on: its settings, and what it takes from experiments."""
    return _study_spec(config, name).text()


def study_code(config: Config, name: str) -> str:
    """Digest of the code of a study and of what it takes from experiments."""
    return stages.study_code(_study_spec(config, name))


def study_made_from(config: Config, name: str) -> str:
    """Digest of both, which what is drawn of a study's store asks for."""
    return digest(study_spec(config, name), study_code(config, name))


def _study_spec(config: Config, name: str) -> StudySpec[StudyBase, UsedToy | UsedClassifier]:
    study = config.studies[name]
    experiments = {
        used: _used(config.experiments[used], cells, study.thresholds()) for used, cells in study.uses().items()
    }
    return StudySpec(study=name, settings=study, experiments=experiments)


def _used(settings: Experiment, cells: list[str], thresholds: set[str]) -> UsedToy | UsedClassifier:
    kind = UsedClassifier if settings.images else UsedToy
    given: dict[str, Any] = {"model": settings.model, "training": settings.training}
    return kind(
        data=data_spec(settings),
        measures=Measures(**{key: getattr(settings.measures, key) for key in thresholds}),
        schedules={cell: settings.cells[cell] for cell in cells},
        **given,
    )


def aggregate_spec(config: Config) -> str:
    """Canonical JSON of what the aggregates need beside the stores: order, titles and the paper's values."""
    studies = {
        name: StudyEntry(title=study.title, paper=study.paper, spec_sha256=digest(study_spec(config, name)))
        for name, study in config.studies_at_scale().items()
    }
    experiments = {name: _experiment(name, settings) for name, settings in config.at_scale().items()}
    return AggregateSpec(studies=studies, experiments=experiments).text()


def _experiment(name: str, settings: Experiment) -> ExperimentEntry:
    return ExperimentEntry(
        title=settings.title,
        paper=settings.paper,
        data=settings.data.kind,
        model=settings.model.kind,
        training=_in_words(settings),
        algorithm="GD" if settings.training.batch_size == "full" else "SGD",
        cells={
            cell: CellEntry(
                schedule=c, published=c.published, spec_sha256=digest(Cell(name, cell, settings).spec("sparsity"))
            )
            for cell, c in settings.cells.items()
        },
    )


def _in_words(settings: Experiment) -> str:
    """How the runs of an experiment are trained."""
    normalised = ", data.normalise true" if getattr(settings.data, "normalise", False) else ""
    return settings.training.in_words() + normalised


def claims_spec(config: Config) -> str:
    """Canonical JSON of what the claims may ask for and this run leaves out."""
    here, studies_here = config.at_scale(), config.studies_at_scale()
    left_out = {name: each for name, each in config.experiments.items() if name not in here}
    return ClaimsSpec(
        experiments={name: config.missing(each.scale) for name, each in left_out.items()},
        comparisons={
            name: each.model.kind
            for name, each in left_out.items()
            if each.training.batch_size != "full" and _durations(each) > 1
        },
        studies={
            name: StudyLeftOut(scale=config.missing(study.scale), kind=study.kind)
            for name, study in config.studies.items()
            if name not in studies_here
        },
        replicates={
            **{f"{name}/{arm}": REPLICATES[arm] for name, each in here.items() for arm in each.training.arms},
            **{
                f"{name}/{run}".rstrip("/"): unit
                for name, study in studies_here.items()
                for run, unit in study.replicates().items()
            },
        },
        own=[
            *(name for name, each in here.items() if _is_own(each)),
            *(
                name
                for name, study in studies_here.items()
                if any(_is_own(config.experiments[used]) for used in study.uses())
            ),
        ],
    ).text()


def _is_own(settings: Experiment) -> bool:
    """Whether the network or the images of an experiment are a user's own."""
    return isinstance(settings.model, CustomModel) or isinstance(settings.data, CustomImages | ImageFolder)


def _durations(settings: Experiment) -> int:
    """How many durations of the large-step phase an experiment has."""
    return len({at for at in map(decay_fraction, settings.cells.values()) if at > 0.0})


def _check_length(key: str, spec: str) -> None:
    """Refuse settings that do not fit into the command line of a job."""
    if len(spec) > LONGEST_SPEC:
        raise ConfigError(
            f"{key}: its settings are {len(spec):,} letters long, of which a command line takes {LONGEST_SPEC:,}; list "
            "fewer values, or give them with fewer digits"
        )


def results_key(config: Config) -> str:
    """Digest of everything that `results/largestep.nc` depends on, settings and code.

    Raises ConfigError when config.yaml names a user's own code that is not there.
    """
    codes = []
    # Cells of an experiment differ in their schedule alone.
    for cell in {cell.experiment: cell for cell in cells(config).values()}.values():
        _check_length(f"experiments.{cell.experiment}", cell.spec("sparsity"))
    for cell in cells(config).values():
        try:
            codes.append(cell.code("sparsity"))
        except (ModuleNotFoundError, SyntaxError, ValueError) as error:
            named = (cell.settings.data.kind, cell.settings.model.kind)
            kinds = " or ".join([kind for kind in named if "." in kind] or named)
            raise ConfigError(f"experiments.{cell.experiment}: {kinds} cannot be used: {error}") from error
    for name in config.studies_at_scale():
        _check_length(f"studies.{name}", study_spec(config, name))
        codes.append(study_code(config, name))
    return digest(*codes, aggregate_spec(config), stages.code("aggregate"))
