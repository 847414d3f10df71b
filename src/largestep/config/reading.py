"""Reading and checking `config.yaml`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from largestep import registered
from largestep.config.errors import ConfigError, at_key, line, one_line, shown
from largestep.config.loader import DEEPEST, Loader
from largestep.config.oddities import Odd
from largestep.config.root import Config, Named

# Has Snakemake take the values of a configuration file for Python code.
TEMPLATING = "__use_yte__"
# Whole numbers beyond this are no longer exact as floating-point ones.
LARGEST = 2**53
# Control characters but tab and line feed, and halves of characters; neither NetCDF nor a command line holds them.
_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def read(path: Path) -> dict[str, Any]:
    """Parse one YAML file.

    Raises ConfigError when the file is missing, is not YAML, is not a mapping, gives a key twice, is nested too
    deeply or asks Snakemake to run code in it.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            raw = yaml.load(stream, Loader=Loader)
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
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8 ({error.reason}); save it as UTF-8"
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return str(error)
    mend = "; put spaces in place of tabs" if r"'\t'" in str(error.problem) else ""
    return f"line {mark.line + 1}: {', '.join(filter(None, (error.context, error.problem)))}{mend}"


def load(path: Path) -> Config:
    """Read and validate one configuration file."""
    return parse(read(path), source=str(path))


def parse(raw: Mapping[str, Any], source: str) -> Config:
    """Validate a parsed configuration; `source` names the file in messages.

    Raises ConfigError, one line naming `source` and the key, or a module of the package that lacks a part.
    """
    _check_plain(raw, source)
    try:
        registered.check()
    except registered.RegistrationError as error:
        raise ConfigError(str(error)) from error
    try:
        # First, so that what names them is checked with what they stand for.
        named = Named.model_validate({key: raw[key] for key in Named.model_fields if key in raw})
        return Config.model_validate(dict(raw), context=named)
    except ValidationError as error:
        raise ConfigError(one_line(error, source, raw, Config.model_json_schema)) from None


def _check_plain(value: object, source: str, key: tuple[object, ...] = ()) -> None:
    """Refuse what validation passes on and a job or a file would choke on. Raises ConfigError."""
    problem = None
    if len(key) > DEEPEST:
        problem = f"nested deeper than {DEEPEST} levels"
    elif isinstance(value, Odd):
        problem = value.problem
    elif isinstance(value, int) and abs(value) > LARGEST:
        problem = f"is too large a number; the largest is {LARGEST}"
    elif isinstance(value, str) and _UNPRINTED.search(value):
        problem = f"{shown(value)} has control characters or is no Unicode text"
    elif isinstance(value, (Mapping, list)):
        for part, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check_plain(part, source, key)
            _check_plain(inside, source, (*key, part))
    if problem is not None:
        raise ConfigError(at_key(source, ".".join(map(str, key)), problem))


def base_file(checkout: Path) -> Path:
    """The configuration that others lie on top of: that of the working directory, or else that beside the workflow.

    checkout: the folder of the workflow, which with --directory serves many working directories.
    """
    here, beside = Path("config.yaml"), checkout / "config.yaml"
    return Path(os.path.relpath(beside)) if beside.exists() and not here.exists() else here
