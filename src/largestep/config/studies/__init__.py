"""The typed settings of the studies: what `config.yaml` may say under `studies`, one module per kind.

A study is a piece of evidence that is not a cell: an identity checked by enumeration, a grid of many
short runs, a comparison of algorithms. It runs as one job, `python -m largestep.studies`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from largestep import registered
from largestep.config.studies.base import StudyBase


def types() -> tuple[type[StudyBase], ...]:
    """The settings of every kind of study: of each module here the class with a `kind`, in the order of kinds."""
    kinds = []
    for kind in registered.modules("config.studies"):
        module = importlib.import_module(f"{__name__}.{kind}")
        classes = (
            each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__
        )
        kinds += [each for each in classes if issubclass(each, StudyBase) and "kind" in each.model_fields]
    return tuple(kinds)


def settings_of(spec: Mapping[str, Any]) -> StudyBase:
    """The settings that a spec has. Raises ValueError for a kind that there is not."""
    by_kind = {get_args(each.model_fields["kind"].annotation)[0]: each for each in types()}
    if spec.get("kind") not in by_kind:
        raise ValueError(f"there is no study of kind {spec.get('kind')}")
    return by_kind[spec["kind"]].of_spec(spec)


if TYPE_CHECKING:
    Study = StudyBase
else:
    Study = Annotated[reduce(or_, types()), Field(discriminator="kind")]
