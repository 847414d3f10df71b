"""The cells of a configuration: their ids and, for each stage, the canonical JSON it depends on.

A stage's spec holds only the keys that the stage reads, so that editing anything else reruns nothing.
It nests the spec of the stage before, so that a store can be checked against the whole of its past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from largestep import stages
from largestep.config import CellConfig, Config, Experiment
from largestep.keys import canonical

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
        """Canonical JSON of all that `stage` (data, train, features or sparsity) depends on."""
        return canonical(self._spec(stage))

    def code(self, stage: str) -> str:
        """Fingerprint of the code that `stage` runs for this cell."""
        kind = self.settings.data.kind if stage == "data" else self.settings.model.kind
        return stages.code(stage, kind)

    def _spec(self, stage: str) -> dict[str, Any]:
        settings = self.settings
        if stage == "data":
            return data_spec(settings)
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
            read = measures.model_dump(mode="json", include={"normalise_activations", "units_per_block"})
            return {"cell": self.id, "train": self._spec("train"), "measures": read}
        if stage == "sparsity":
            keys = {"rank_thresholds", "correlation_thresholds", "l0_thresholds"}
            read = measures.model_dump(mode="json", include=keys)
            return {"cell": self.id, "features": self._spec("features"), "measures": read}
        raise ValueError(f"no stage called {stage}")


def data_spec(settings: Experiment) -> dict[str, Any]:
    """What the data stage reads: the problem and, for the arm that varies it, how many draws."""
    draws = settings.training.seeds if "data" in settings.training.arms else 0
    return {"data": settings.data.model_dump(mode="json"), "draws": draws}


def cells(config: Config) -> dict[str, Cell]:
    """Every cell of the configuration at its scale, by id."""
    found = (Cell(name, cell, settings) for name, settings in config.at_scale().items() for cell in settings.cells)
    return {cell.id: cell for cell in found}


def published(config: Config) -> str:
    """Canonical JSON of what the aggregates need beside the stores: titles, order and the paper's values."""
    return canonical(
        {
            name: {
                "title": settings.title,
                "paper": settings.paper,
                "cells": {cell: c.published for cell, c in settings.cells.items()},
            }
            for name, settings in config.at_scale().items()
        }
    )
