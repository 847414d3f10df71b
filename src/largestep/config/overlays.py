"""What lies on top of `config.yaml`: the files of --configfile, then the values of --config."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from largestep.config.errors import LONGEST_KEY, printable
from largestep.config.reading import parse, read
from largestep.config.root import Config
from largestep.config.schedules import ScheduleConfig

# The paper's values stand beside other seeds and other times of evaluation, but not beside another setting.
NOT_THE_TRAINING = {"seeds", "arms", "evaluations", "snapshots"}


def layered(files: Sequence[Path], values: Mapping[str, Any], module: Mapping[str, Any] | None = None) -> Config:
    """The configuration of files, each on top of those before it, and of values of the command line on top of all.

    values: as Snakemake parses --config. module: what another workflow gives with `config:` when it imports ours.
    Raises ConfigError, one line naming the sources and the key.
    """
    raw: dict[str, Any] = {}
    for above in [*map(read, files), module or {}, {key: _typed(value) for key, value in values.items()}]:
        lay(raw, above)
    return parse(raw, source=" + ".join(sources(files, values, module)))


def sources(files: Sequence[Path], values: Mapping[str, Any], module: Mapping[str, Any] | None = None) -> list[str]:
    """What a configuration is made of, in words."""
    imported = ["config of the importing workflow"] if module else []
    given = printable(" ".join(f"{key}={value}" for key, value in values.items()))
    short = given if len(given) <= LONGEST_KEY else f"{given[: LONGEST_KEY - 2]} …"
    return [*map(str, files), *imported, *([f"--config {short}"] if given else [])]


def lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Put a configuration on top of another, in place and key by key, but for three things.

    Where `kind` changes, the mapping is replaced; a schedule that is named takes the place of what was written out;
    published values go where the setting that they were published for does.
    """
    for experiment, cell in list(_other_settings(below, above)):
        _at(below, "published", experiment).pop(cell, None)
        _at(below, "experiments", experiment, "cells", cell).pop("published", None)
    _lay(below, above)


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    if above.get("schedule") is not None:
        for part in set(ScheduleConfig.model_fields) & set(below):
            del below[part]
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, dict) and not _of_another_kind(under, value):
            _lay(under, value)
        else:
            below[key] = copy.deepcopy(value)


def _of_another_kind(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return "kind" in below and above.get("kind", below["kind"]) != below["kind"]


def _other_settings(below: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Experiment and name of every cell below whose step sizes, data, network or training another one takes over."""
    schedules = set(_at(above, "schedules"))
    for name in _at(below, "experiments"):
        own, other = _at(below, "experiments", name), _at(above, "experiments", name)
        training = set(_at(other, "training")) - NOT_THE_TRAINING
        for cell, settings in _at(own, "cells").items():
            named = isinstance(settings, Mapping) and settings.get("schedule") in schedules
            if training or {"data", "model"} & set(other) or named or set(_at(other, "cells", cell)) - {"published"}:
                yield name, cell


def _at(raw: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping under keys; an empty one where there is none, of which validation says what is wrong."""
    value: Any = raw
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}


def _typed(value: Any) -> Any:
    """A value of --config, of which Snakemake leaves numbers and null as text."""
    if isinstance(value, Mapping):
        return {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if not isinstance(value, str):
        return value
    try:
        parsed = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):  # of a date that is none
        return value
    return value if isinstance(parsed, dict | list) else parsed
