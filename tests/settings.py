"""Settings for what computes, written as the mappings of config.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import xarray as xr

from largestep.specs.studies import StudySpec
from largestep.toys import train as toy

# Mappings whose keys are no settings.
NAMES = ("options", "experiments", "schedules", "networks", "runs", "sweeps")
CONSTANT = {"warmup": None, "decays": [], "annealing": None}


def as_settings(value: Any) -> Any:
    """The same, with the values of mappings as attributes, without the checks of the configuration."""
    if isinstance(value, list):
        return [as_settings(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    values = {key: as_settings(each) for key, each in value.items()}
    for name in NAMES:
        if isinstance(value.get(name), Mapping):
            values[name] = {key: each if name == "options" else as_settings(each) for key, each in value[name].items()}
    return SimpleNamespace(**values)


def law(step_size: float = 1.0, **parts: Any) -> Any:
    """Step sizes of a cell, constant but for what is given."""
    return as_settings(CONSTANT | {"step_size": step_size} | parts)


def train(cell: Mapping[str, Any], data: xr.Dataset, threads: int = 1) -> tuple[xr.Dataset, xr.Dataset]:
    """The losses and the snapshots of a cell of a toy network; cell: `model`, `training` and `schedule`."""
    model, training, schedule = (as_settings(cell[key]) for key in ("model", "training", "schedule"))
    return toy.train(model, training, schedule, data, label="test", threads=threads)


def study_of(spec: Mapping[str, Any]) -> StudySpec[Any, Any]:
    """The spec of a study."""
    return StudySpec.model_validate(dict(spec))
