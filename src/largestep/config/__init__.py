"""The typed configuration: what `config.yaml` may say, and one clear line when it says something else.

This package and `grid` are the only places that know the layout of `config.yaml`. Everything downstream
receives a cell's spec (see `largestep.grid`). `reference` writes docs/config.md and the JSON schema from the types.
"""

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
