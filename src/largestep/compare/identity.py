"""Whether stores hold the same values, by fingerprints of their variables: neither settings nor code count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from largestep import stages, store, verify

# Stages whose floats come from LAPACK's singular values, the same to rounding only, and what rounding may do.
ROUNDED, TOLERANCE = ("features", "sparsity"), 1e-9
LETTERS = 12
# The compile target of kernels that gives the same digits on every processor that has it.
PORTABLE = "x86-64-v3"


@dataclass(frozen=True)
class Stored:
    """The values of one store: a fingerprint for each variable, and what computed them.

    promised: whether every processor of its compile target must give the same values; those of image networks depend
    on processor and threads. target: for which the kernels were compiled, None where none was used.
    """

    path: str
    variables: dict[str, str]
    promised: bool
    target: str | None
    libraries: dict[str, str]


def stored(results: Path, wanted: verify.Expected) -> Stored:
    """The fingerprints of a store. Raises StoreError when it cannot be used."""
    dataset = store.read(results / wanted.path, spec=wanted.spec, code=wanted.code)
    rounds = wanted.stage in ROUNDED
    variables = {str(name): fingerprint(values, rounds) for name, values in sorted(dataset.variables.items())}
    promised = not _uses_images(json.loads(wanted.spec))
    libraries = {
        key.removeprefix("version_"): str(dataset.attrs[key]) for key in store.NUMERICAL if key in dataset.attrs
    }
    return Stored(wanted.path, variables, promised, dataset.attrs.get("compile_target"), libraries)


def fingerprint(values: xr.Variable, rounds: bool) -> str:
    """Of the values and their shape; where rounding may differ, sums that tell values from others beyond it."""
    array = values.values
    if array.dtype.kind == "f" and rounds:
        finite = np.isfinite(array)
        known = np.where(finite, array, 0.0).ravel().astype(float)
        # Weights that no exchange of values leaves alone.
        weights = np.modf(np.arange(1, known.size + 1) * 0.6180339887498949)[0]
        means = [float(part.mean()) if known.size else 0.0 for part in (np.abs(known), known, known * weights)]
        return ":".join(["about", "x".join(map(str, array.shape)), str(int(finite.sum())), *map(repr, means)])
    seal = hashlib.sha256(f"{array.shape}{array.dtype.kind}".encode())
    seal.update("\0".join(map(str, array.ravel())).encode() if array.dtype.kind in "OUT" else array.tobytes())
    return seal.hexdigest()[:LETTERS]


def same(one: str, other: str) -> bool:
    """Whether two fingerprints are those of the same values."""
    if one == other:
        return True
    first, second = one.split(":"), other.split(":")
    if first[:3] != second[:3] or first[0] != "about":
        return False
    numbers, others = (list(map(float, each[3:])) for each in (first, second))
    return all(abs(a - b) <= TOLERANCE * numbers[0] for a, b in zip(numbers, others, strict=True))


def unlike(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The variables that are not the same in two stores."""
    return [name for name in sorted({*one, *other}) if not same(one.get(name, ""), other.get(name, ""))]


def _uses_images(spec: object) -> bool:
    """Whether image networks are part of what a spec asks for."""
    if not isinstance(spec, dict):
        return False
    kind = spec.get("kind")
    return (isinstance(kind, str) and stages.is_images(kind)) or any(map(_uses_images, spec.values()))
