"""The reference: what a finished run has found, small enough to be shipped, and read by `compare` of another run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import binom

from largestep import __version__, store
from largestep.claims.verdict import CONFIDENCE
from largestep.compare.samples import Sample

FORMAT = 1
# Of this package, for the whole study at laptop scale; made by `make reference`.
SHIPPED = Path(__file__).resolve().parents[3] / "docs/results/reference.json"
Number = float | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kept(_Strict):
    """A statistic over seeds: median of the usable values, its 95% interval, their interquartile range, and all values.

    n: usable seeds; values: one for each seed, null where there is none.
    """

    n: int
    diverged: int
    median: Number
    low: Number
    high: Number
    spread: Number
    values: list[Number]

    @classmethod
    def of(cls, sample: Sample) -> Kept:
        """What is kept of a sample."""
        usable = np.sort(sample.values[np.isfinite(sample.values)])
        low, high = _interval(usable)
        quartiles = np.quantile(usable, [0.25, 0.5, 0.75]) if len(usable) else np.full(3, np.nan)
        numbers = (quartiles[1], low, high, quartiles[2] - quartiles[0])
        kept = [_number(float(value)) for value in numbers]
        return cls(
            n=len(usable),
            diverged=sample.diverged,
            median=kept[0],
            low=kept[1],
            high=kept[2],
            spread=kept[3],
            values=[_number(value) for value in sample.values],
        )

    @property
    def sample(self) -> NDArray[np.float64]:
        """The values, NaN where there is none."""
        return np.array([np.nan if value is None else value for value in self.values])


class Made(_Strict):
    """By what a reference was made: package, scale of the study, target of the kernels and libraries that compute."""

    format: int
    version: str
    scale: str
    target: str
    libraries: dict[str, str]


class Reference(_Strict):
    """All that is kept of a run.

    stores: by path below results/ and variable, fingerprints of the values alone (`identity`). cells: by
    "experiment.cell/arm" and statistic. headlines: by `samples.key`. answers: by claim.
    """

    made: Made
    stores: Annotated[dict[str, dict[str, str]], Field(min_length=1)]
    cells: dict[str, dict[str, Kept]]
    headlines: dict[str, Kept]
    answers: dict[str, str]

    def check_covered(self, path: Path, stores: Iterable[str]) -> None:
        """Raises StoreError when a run lacks a store that the reference at `path` has. stores: paths of the run's."""
        lacking = sorted(set(self.stores) - set(stores))
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            why = f"has {lacking[0]}{more}, which config.yaml does not ask for"
            raise store.StoreError(f"{path}: {why}; compare a run of all of scale {self.made.scale}")

    def part(self, path: Path, stores: Iterable[str], cells: Iterable[str]) -> Reference:
        """What is kept of these stores and cells alone; nothing of claims, which rest on the whole.

        stores, cells: as they are named in `stores` and `cells`. Raises StoreError when this reference, the one at
        `path`, has none of the stores.
        """
        wanted, kept = set(stores), set(cells)
        of_stores = {name: own for name, own in self.stores.items() if name in wanted}
        if not of_stores:
            raise store.StoreError(f"{path}: has nothing of what `only` names; compare a run of what it has")
        of_cells = {name: own for name, own in self.cells.items() if name in kept}
        return self.model_copy(update={"stores": of_stores, "cells": of_cells, "headlines": {}, "answers": {}})


def read(path: Path, scale: str) -> Reference:
    """Read a reference for a run of a scale. Raises StoreError, one line, for one that is missing or unlike."""
    remedy = "name another with --reference, or make one of a run that you trust with --write-reference"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise store.StoreError(f"{path}: the reference cannot be read: {error.strerror}; {remedy}") from error
    except ValueError as error:
        raise store.StoreError(f"{path}: is no reference: not JSON; {remedy}") from error
    made = raw.get("made") if isinstance(raw, dict) else None
    if not isinstance(made, dict):
        raise store.StoreError(f"{path}: is no reference; {remedy}")
    for name, wanted, what in (
        ("format", FORMAT, "is a reference of format"),
        ("version", __version__, "is a reference of largestep"),
        ("scale", scale, "is a reference of scale"),
    ):
        if made.get(name) != wanted:
            raise store.StoreError(f"{path}: {what} {made.get(name)}, but this run is of {wanted}; {remedy}")
    try:
        return Reference.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise store.StoreError(f"{path}: is no reference: {where:.80}: {first['msg']}; {remedy}") from error


def write(path: Path, reference: Reference) -> None:
    """Write a reference in one move, a statistic to a line. Raises StoreError when it cannot be written."""
    store.write_text(path, _lines(reference.model_dump(mode="json")) + "\n")


def _lines(value: object, depth: int = 0) -> str:
    """JSON whose innermost objects take a line each: small, and readable in a diff."""
    if not isinstance(value, dict) or not any(isinstance(each, dict) for each in value.values()):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    pad = " " * (depth + 1)
    inner = (f"{pad}{json.dumps(key, ensure_ascii=False)}: {_lines(each, depth + 1)}" for key, each in value.items())
    return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"


def _interval(ordered: NDArray[np.float64]) -> tuple[float, float]:
    """The 95% interval of the median from order statistics; NaN where there are too few values for one."""
    below = int(binom.ppf((1.0 - CONFIDENCE) / 2.0, len(ordered), 0.5)) if len(ordered) else 0
    return (float(ordered[below - 1]), float(ordered[-below])) if below > 0 else (np.nan, np.nan)


def _number(value: float) -> Number:
    return float(f"{value:.5g}") if np.isfinite(value) else None
