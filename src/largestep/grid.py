"""The cells of a configuration: their ids and, for each stage, the canonical JSON it depends on.

A stage's spec holds only the keys that the stage reads, so that editing anything else reruns nothing.
It nests the spec of the stage before, so that a store can be checked against the whole of its past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from largestep import stages
from largestep.config import CellConfig, Config, ConfigError, Experiment
from largestep.config.studies.base import REPLICATES
from largestep.data.image_spec import image_name, image_spec
from largestep.keys import canonical, digest

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
        return canonical(self._spec(stage))

    def code(self, stage: str) -> str:
        """Digest of the code of `stage` and of every stage before it, for this cell."""
        return stages.chain(stage, self.settings.data.kind, self.settings.model.kind)

    def _spec(self, stage: str) -> dict[str, Any]:
        settings = self.settings
        if stage == "data":
            return data_spec(settings)
        if stage == "images":
            return image_spec(settings.data.model_dump(mode="json"))
        if stage == "train":
            schedule = self.config.model_dump(mode="json", exclude={"published"})
            return {
                "cell": self.id,
                "data": data_spec(settings),
                "model": settings.model.model_dump(mode="json"),
                "training": settings.training.model_dump(mode="json"),
                "schedule": schedule,
            }
        measures = settings.measures
        if stage == "features":
            read = measures.model_dump(
                mode="json", include={"normalise_activations", "units_per_block", "probe_images"}
            )
            return {"cell": self.id, "train": self._spec("train"), "measures": read}
        if stage == "sparsity":
            keys = {"rank_thresholds", "correlation_thresholds", "l0_thresholds"}
            read = measures.model_dump(mode="json", include=keys)
            return {"cell": self.id, "features": self._spec("features"), "measures": read}
        raise ValueError(f"no stage called {stage}")


def data_spec(settings: Experiment) -> dict[str, Any]:
    """What the data stage reads: the problem and, for the arm that varies it, how many draws.

    For images, which are prepared once for all experiments, what the experiment takes of them.
    """
    draws = settings.training.seeds if "data" in settings.training.arms else 0
    return {"data": settings.data.model_dump(mode="json"), "draws": draws}


def image_sets(config: Config) -> dict[str, Cell]:
    """Every image data set of the configuration at its scale, by name, each with a cell that uses it."""
    found: dict[str, Cell] = {}
    for cell in cells(config).values():
        if cell.settings.images:
            found.setdefault(image_name(cell.settings.data.model_dump(mode="json")), cell)
    return found


def cells(config: Config) -> dict[str, Cell]:
    """Every cell of the configuration at its scale, by id, in the order of ids: that of the file does not count."""
    found = (Cell(name, cell, settings) for name, settings in config.at_scale().items() for cell in settings.cells)
    return {cell.id: cell for cell in sorted(found, key=lambda cell: cell.id)}


def study_spec(config: Config, name: str) -> str:
    """Canonical JSON of all that a study depends on: its settings, and what it takes from experiments."""
    return canonical(_study_spec(config, name))


def study_code(config: Config, name: str) -> str:
    """Digest of the code of a study and of what it takes from experiments."""
    return stages.study_code(_study_spec(config, name))


def _study_spec(config: Config, name: str) -> dict[str, Any]:
    study = config.studies[name]
    return {
        "study": name,
        "settings": study.model_dump(mode="json", exclude={"title", "paper", "scale"}),
        "experiments": {
            used: {
                "data": data_spec(config.experiments[used]),
                "model": config.experiments[used].model.model_dump(mode="json"),
                "training": config.experiments[used].training.model_dump(mode="json"),
                "measures": config.experiments[used].measures.model_dump(mode="json", include=study.thresholds()),
                "schedules": {
                    cell: config.experiments[used].cells[cell].model_dump(mode="json", exclude={"published"})
                    for cell in cells
                },
            }
            for used, cells in study.uses().items()
        },
    }


def aggregate_spec(config: Config) -> str:
    """Canonical JSON of what the aggregates need beside the stores: order, titles and the paper's values."""
    studies = {
        name: {"title": study.title, "paper": study.paper, "spec_sha256": digest(study_spec(config, name))}
        for name, study in config.studies_at_scale().items()
    }
    experiments = {name: _experiment_spec(name, settings) for name, settings in config.at_scale().items()}
    return canonical({"studies": studies, "experiments": experiments})


def _experiment_spec(name: str, settings: Experiment) -> dict[str, Any]:
    return {
        "title": settings.title,
        "paper": settings.paper,
        "data": settings.data.kind,
        "model": settings.model.kind,
        "training": _in_words(settings),
        "algorithm": "GD" if settings.training.batch_size == "full" else "SGD",
        "cells": {
            cell: {
                "schedule": c.model_dump(mode="json", exclude={"published"}),
                "published": c.published.model_dump(exclude_none=True),
                "spec_sha256": digest(Cell(name, cell, settings).spec("sparsity")),
            }
            for cell, c in settings.cells.items()
        },
    }


def _in_words(settings: Experiment) -> str:
    """How the runs of an experiment are trained."""
    normalised = ", data.normalise true" if getattr(settings.data, "normalise", False) else ""
    return settings.training.in_words() + normalised


def claims_spec(config: Config) -> str:
    """Canonical JSON of what the claims may ask for and this run leaves out: names, scales (or `only`), kinds.

    comparisons: the kind of model of every such experiment whose cells keep large steps for different durations.
    replicates: what the seeds of each arm, study, or run of a study that is run replicate, by name.
    """
    here, studies_here = config.at_scale(), config.studies_at_scale()
    return canonical(
        {
            "experiments": {
                name: config.missing(e.scale) for name, e in config.experiments.items() if name not in here
            },
            "comparisons": {
                name: e.model.kind
                for name, e in config.experiments.items()
                if name not in here and e.training.batch_size != "full" and _durations(e) > 1
            },
            "studies": {
                name: {"scale": config.missing(study.scale), "kind": study.kind}
                for name, study in config.studies.items()
                if name not in studies_here
            },
            "replicates": {
                **{f"{name}/{arm}": REPLICATES[arm] for name, e in here.items() for arm in e.training.arms},
                **{
                    f"{name}/{run}".rstrip("/"): unit
                    for name, study in studies_here.items()
                    for run, unit in study.replicates().items()
                },
            },
        }
    )


def _durations(settings: Experiment) -> int:
    """How many durations of the large-step phase an experiment has."""
    divided = [cell for cell in settings.cells.values() if cell.decays and cell.annealing is None]
    return len({cell.decays[0].at for cell in divided if cell.decays[0].at > 0})


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
            kinds = f"{cell.settings.data.kind} or {cell.settings.model.kind}"
            raise ConfigError(f"experiments.{cell.experiment}: {kinds} cannot be used: {error}") from error
    for name in config.studies_at_scale():
        _check_length(f"studies.{name}", study_spec(config, name))
        codes.append(study_code(config, name))
    return digest(*codes, aggregate_spec(config), stages.code("aggregate"))
