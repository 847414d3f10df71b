"""Studies of the tiny configuration, each alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import xarray as xr

from largestep import config, grid, stages
from largestep.specs.studies import StudySpec

TINY = config.read(Path(__file__).parent / "tiny/config.yaml")


def raw(kind: str, **settings: Any) -> dict[str, Any]:
    """The configuration with one study, which has the name of its kind, and some of its settings changed."""
    changed = copy.deepcopy(TINY)
    changed["studies"] = {kind: changed["studies"][kind] | settings}
    return changed


def run(kind: str, settings: dict[str, Any]) -> xr.Dataset:
    """What that study finds with such a configuration."""
    spec = StudySpec.read(grid.study_spec(config.parse(settings, "tiny"), kind))
    dataset: xr.Dataset = stages.worker("studies", kind).study(spec, 1)
    return dataset
