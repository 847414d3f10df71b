"""Whether stores hold the same values, by fingerprints of their variables: neither settings nor code count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from largestep import stages, store, verify

LETTERS = 12


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
    variables = {str(name): fingerprint(values) for name, values in sorted(dataset.variables.items())}
    promised = not _uses_images(json.loads(wanted.spec))
    libraries = {
        key.removeprefix("version_"): str(dataset.attrs[key]) for key in store.NUMERICAL if key in dataset.attrs
    }
    return Stored(wanted.path, variables, promised, dataset.attrs.get("compile_target"), libraries)


def fingerprint(values: xr.Variable) -> str:
    """Of the values and their shape."""
    array = values.values
    seal = hashlib.sha256(f"{array.shape}{array.dtype.kind}".encode())
    seal.update("\0".join(map(str, array.ravel())).encode() if array.dtype.kind in store.TEXT else array.tobytes())
    return seal.hexdigest()[:LETTERS]


def unlike(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The variables that are not the same in two stores."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _uses_images(spec: object) -> bool:
    """Whether image networks are part of what a spec asks for."""
    if not isinstance(spec, dict):
        return False
    kind = spec.get("kind")
    return (isinstance(kind, str) and stages.is_images(kind)) or any(map(_uses_images, spec.values()))
