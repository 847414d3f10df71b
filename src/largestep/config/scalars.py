"""What every part of the configuration is built from: numbers within bounds, names, and the base of all types."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Scale = Literal["laptop", "workstation", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
Arm = Literal["order", "data"]

NAME = r"^[a-z][a-z0-9_]{0,47}$"
# What Snakemake takes for a loop without end, wherever it stands in a wildcard.
_PERIODIC = re.compile(r"(.+)\1{19,}$")


def _not_periodic(name: str) -> str:
    """Refuse a name that ends in the same letters many times."""
    if loop := _PERIODIC.search(name):
        raise ValueError(f"ends in '{loop[1]}' 20 times or more, which Snakemake takes for a loop; shorten it")
    return name


Name = Annotated[str, Field(pattern=NAME), AfterValidator(_not_periodic)]
# The name of a user's own function or class: at least a module and what is in it.
DOTTED_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"
DottedName = Annotated[str, Field(pattern=DOTTED_NAME)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
# What has a first and a last.
Several = Annotated[int, Field(ge=2)]
# What NumPy's legacy generator takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Sampling = Literal["with_replacement", "without_replacement", "reshuffled", "cyclic"]


def _number_or_full(value: Any) -> Any:
    """Refuse anything else with one message; pydantic gives one for each alternative."""
    if value != "full" and (type(value) is not int or value < 1):
        raise ValueError("must be a number of examples, at least 1, or full")
    return value


BatchSize = Annotated[Count | Literal["full"], BeforeValidator(_number_or_full)]


def _distinct(values: list[Any]) -> list[Any]:
    """Refuse a value listed twice."""
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value} is listed twice; remove one")
    return values


# Of a list: no value twice.
Distinct = AfterValidator(_distinct)


def later(default: Any, description: str) -> Any:
    """A key that came after stores had been made: it is in no spec while it has its default, and they stay valid."""
    return Field(default=default, description=description, exclude_if=lambda value: value == default)


class Strict(BaseModel):
    """No unknown keys, no silent conversions (the text "1e-4" is not a number), no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)
