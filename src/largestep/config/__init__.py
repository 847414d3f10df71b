"""The typed configuration: what `config.yaml` may say, and one clear line when it says something else.

This package and `grid` are the only places that know the layout of `config.yaml`. Everything downstream
receives specs (see `largestep.specs`). `reference` writes docs/config.md and the JSON schema from the types.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from largestep.config.cells import CellConfig
    from largestep.config.errors import ConfigError
    from largestep.config.experiments import Experiment
    from largestep.config.overlays import layered, sources
    from largestep.config.reading import base_file, load, parse, read
    from largestep.config.root import Config

__all__ = [
    "CellConfig",
    "Config",
    "ConfigError",
    "Experiment",
    "base_file",
    "layered",
    "load",
    "parse",
    "read",
    "sources",
]
# Imported when they are asked for: jobs read specs alone, and need neither YAML nor all of these types.
HOMES = {
    "cells": ("CellConfig",),
    "errors": ("ConfigError",),
    "experiments": ("Experiment",),
    "overlays": ("layered", "sources"),
    "reading": ("base_file", "load", "parse", "read"),
    "root": ("Config",),
}


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
