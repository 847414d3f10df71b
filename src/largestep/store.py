"""The NetCDF stores: one writer, one reader.

Every store says what it is: the spec and the code it was made from, the versions and machine that made
it, and a checksum of its content. The reader refuses a store that is damaged or was made from something
else than what is asked for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from largestep import __version__
from largestep.keys import canonical, digest

# These differ from run to run and from machine to machine; all else must not.
RUN_ATTRIBUTES = ("created", "machine", "device", "wall_time_s", "content_sha256")
NUMERICAL = ("version_numpy", "version_numba", "version_torch", "version_torchvision")
# The group of the aggregate that holds the studies; no experiment may have its name.
STUDIES = "studies"
# Bytes of a variable that are in memory at once while a store is checked.
SLAB = 2**26
LIBRARIES = ("numpy", "numba", "scipy", "torch", "torchvision", "xarray", "netcdf4", "scikit-learn")


class StoreError(RuntimeError):
    """A store cannot be used; the message is one line naming the file and what to do."""


@dataclass(frozen=True)
class Streamed:
    """A variable too large for memory, written slab by slab.

    slabs: a fresh iterator over arrays of shape shape[k:], one for every index of the first k dimensions, in their
    order.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: str
    long_name: str
    slabs: Callable[[], Iterator[NDArray[np.generic]]]

    def attributes(self) -> dict[object, object]:
        """What `variable` gives every other variable."""
        return {"units": self.units, "long_name": self.long_name}


class Clock:
    """Wall time since the stage began, for a store's attributes."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since this clock was made."""
        return time.perf_counter() - self._start


def variable(dims: tuple[str, ...], values: object, units: str, long_name: str) -> xr.Variable:
    """A variable with the two attributes that every variable must have."""
    return xr.Variable(dims, np.asarray(values), {"units": units, "long_name": long_name})


def write(
    path: Path,
    dataset: xr.Dataset,
    *,
    title: str,
    stage: str,
    spec: str,
    code: str,
    seeds: str,
    clock: Clock,
    streamed: Mapping[str, Streamed] | None = None,
    device: str | None = None,
) -> None:
    """Write a store in one move: a reader sees the whole of it or nothing.

    spec, code: what the store was made from (see `largestep.grid` and `largestep.stages.chain`). streamed: variables
    beside those of the dataset. device: what computed it, where that is not the machine's processor.
    Raises StoreError when a variable lacks units or a long name, or the file cannot be written.
    """
    _check_documented(path, dataset)
    streamed = streamed or {}
    dataset = dataset.assign_attrs(title=title, stage=stage, seeds=seeds, **_provenance(spec, code))
    dataset.attrs["content_sha256"] = content_digest(dataset, streamed)
    dataset.attrs |= _run_attributes(clock) | ({"device": device} if device else {})
    with replacing(path) as part:
        dataset.to_netcdf(part, engine="netcdf4")
        if streamed:
            _append(part, streamed)


def _append(path: Path, streamed: Mapping[str, Streamed]) -> None:
    with netCDF4.Dataset(path, "a") as file:
        for name, values in streamed.items():
            for dim, size in zip(values.dims, values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            target = file.createVariable(name, values.dtype, values.dims, fill_value=False)
            target.setncatts({"units": values.units, "long_name": values.long_name})
            indices: Iterator[tuple[int, ...]] | None = None
            for slab in values.slabs():
                indices = indices or np.ndindex(*values.shape[: len(values.shape) - slab.ndim])
                target[next(indices)] = slab


def write_tree(path: Path, groups: Mapping[str, xr.Dataset], *, title: str, spec: str, code: str, clock: Clock) -> None:
    """Write one group per experiment, each with its own checksum; otherwise like `write`."""
    for group in groups.values():
        _check_documented(path, group)
    digests = {name: content_digest(group) for name, group in groups.items()}
    sealed = {name: group.assign_attrs(content_sha256=digests[name]) for name, group in groups.items()}
    tree = xr.DataTree.from_dict(sealed)
    tree.attrs = {"title": title, "stage": "aggregate", **_provenance(spec, code)}
    tree.attrs["content_sha256"] = digest(canonical(digests))
    tree.attrs |= _run_attributes(clock)
    with replacing(path) as part:
        tree.to_netcdf(part, engine="netcdf4")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one move."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place in one move when the block succeeds.

    Raises StoreError when a file cannot be written; `path` is then as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def read_group(path: Path, group: str) -> xr.Dataset:
    """One experiment of `results/largestep.nc`, read into memory.

    Raises StoreError when the file cannot be read, has no such experiment or is damaged.
    """
    try:
        dataset = xr.load_dataset(path, group=group, engine="netcdf4")
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{path}: has no readable experiment {group}; run the workflow again ({error})") from error
    _check_content(path, dataset)
    return dataset


def read_all(path: Path) -> tuple[dict[str, xr.Dataset], dict[str, xr.Dataset]]:
    """Every experiment and every study of `results/largestep.nc`, read into memory, by name.

    Raises StoreError like `read_group`.
    """
    try:
        with xr.open_datatree(path, engine="netcdf4") as tree:
            experiments = sorted(set(map(str, tree.children)) - {STUDIES})
            studies = sorted(map(str, tree[STUDIES].children)) if STUDIES in tree.children else []
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{path}: cannot be read; run the workflow again ({error})") from error
    return (
        {name: read_group(path, name) for name in experiments},
        {name: read_group(path, f"{STUDIES}/{name}") for name in studies},
    )


def _check_documented(path: Path, dataset: xr.Dataset) -> None:
    for name, values in dataset.variables.items():
        if not {"units", "long_name"} <= set(values.attrs):
            raise StoreError(f"{path}: variable {name} needs units and long_name")


def _check_content(path: Path, dataset: xr.Dataset) -> None:
    if "content_sha256" not in dataset.attrs:
        raise StoreError(f"{path}: was not written by largestep; delete it and run again")
    if dataset.attrs["content_sha256"] != content_digest(dataset):
        raise StoreError(f"{path}: its content does not match its checksum; delete it and run again")


def _provenance(spec: str, code: str) -> dict[str, str]:
    return {
        "spec": spec,
        "code_fingerprint": code,
        "source": f"largestep {__version__}, a reproduction of arXiv:2210.05337",
        "Conventions": "CF-1.11",
        **_versions(),
    }


def _versions() -> dict[str, str]:
    """Versions of the libraries that are present: not every environment has all of them."""
    present = [
        name for name in LIBRARIES if find_spec({"netcdf4": "netCDF4", "scikit-learn": "sklearn"}.get(name, name))
    ]
    libraries = {f"version_{name.replace('-', '_')}": version(name) for name in present}
    return libraries | {"version_python": platform.python_version()}


def _run_attributes(clock: Clock) -> dict[str, object]:
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "wall_time_s": round(clock.seconds(), 3),
    }


def read(path: Path, *, spec: str | None = None, code: str | None = None, made_from: str | None = None) -> xr.Dataset:
    """Read a whole store into memory and close it.

    spec, code: refuse a store made from anything else; made_from: the digest of both, where they are not at hand.
    Raises StoreError for a file that is missing, damaged, foreign or stale, or that was made with
    another version of a library that computes.
    """
    with opened(path, spec=spec, code=code, made_from=made_from) as dataset:
        return dataset.load()


@contextmanager
def opened(
    path: Path, *, spec: str | None = None, code: str | None = None, made_from: str | None = None
) -> Iterator[xr.Dataset]:
    """A store whose variables are read where they are indexed; for those too large for memory. As `read` otherwise."""
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", cache=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"{path}: is not a readable NetCDF file; delete it and run again ({error})") from error
    with dataset:
        _check_store(path, dataset, spec, code, made_from)
        yield dataset


def _check_store(path: Path, dataset: xr.Dataset, spec: str | None, code: str | None, made_from: str | None) -> None:
    try:
        _check_content(path, dataset)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path}: is not a readable NetCDF file; delete it and run again ({error})") from error
    for wanted, key, what in ((spec, "spec", "settings"), (code, "code_fingerprint", "code")):
        if wanted is not None and dataset.attrs.get(key) != wanted:
            raise StoreError(f"{path}: is stale: it was made from other {what}; delete it and run again")
    if made_from not in (None, digest(str(dataset.attrs.get("spec")), str(dataset.attrs.get("code_fingerprint")))):
        raise StoreError(f"{path}: is stale: it was made from other settings or code; delete it and run again")
    for key, installed in _versions().items():
        made_with = dataset.attrs.get(key, installed)
        if key in NUMERICAL and made_with != installed:
            name = key.removeprefix("version_")
            raise StoreError(
                f"{path}: was made with {name} {made_with}, but {installed} is installed; delete it and run again"
            )


def content_digest(dataset: xr.Dataset, streamed: Mapping[str, Streamed] | None = None) -> str:
    """sha256 over names, dimensions, attributes and the bytes of every variable, run attributes excepted."""
    seal = hashlib.sha256()
    seal.update(_attributes(dataset.attrs))
    streamed = streamed or {}
    for name in sorted([*map(str, dataset.variables), *streamed]):
        values = streamed[name] if name in streamed else dataset.variables[name]
        kind = np.dtype(values.dtype).kind
        seal.update(f"{name}{values.dims}{values.shape}{kind}".encode())
        if isinstance(values, Streamed):
            seal.update(_attributes(values.attributes()))
            for slab in values.slabs():
                seal.update(np.ascontiguousarray(slab).tobytes())
            continue
        seal.update(_attributes(values.attrs))
        for slab in _slabs(values):
            if kind in "OUT":
                seal.update("\0".join(map(str, slab.ravel())).encode())
            else:
                seal.update(np.ascontiguousarray(slab).tobytes())
    return seal.hexdigest()


def _slabs(values: xr.Variable) -> Iterator[NDArray[np.generic]]:
    """The values of a variable in order, no more than `SLAB` bytes at once unless its last dimension is larger."""
    if values.ndim < 2 or values.nbytes <= SLAB:
        yield values.values
    else:
        for index in range(values.shape[0]):
            yield from _slabs(values[index])


def _attributes(attributes: Mapping[object, object]) -> bytes:
    kept = {str(k): str(v) for k, v in attributes.items() if k not in RUN_ATTRIBUTES}
    return repr(sorted(kept.items())).encode()
