"""The NetCDF stores: one writer, one reader.

Every store says what it is: the spec and the code it was made from, the versions and machine that made
it, and a checksum of its content. The reader refuses a store that is damaged or was made from something
else than what is asked for.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import NetCDF4DataStore

from largestep import __version__, machine
from largestep.keys import canonical, digest, escaped

# These differ from run to run and from machine to machine; all else must not.
RUN_ATTRIBUTES = ("created", "machine", *machine.ATTRIBUTES, "device", "wall_time_s", "content_sha256")
NUMERICAL = ("version_numpy", "version_numba", "version_scipy", "version_torch", "version_torchvision")
# The group of the aggregate that holds the studies; no experiment may have its name.
STUDIES = "studies"
# What is said of a file that is none of ours.
FOREIGN = "was not written by largestep"
# Bytes below which a disk counts as full in messages.
LITTLE_ROOM = 100e6
# Seconds without a write after which an unfinished file counts as left by a killed process.
ABANDONED_S = 3600.0
# Bytes of a variable that are in memory at once while a store is checked.
SLAB = 2**26
# In results/largestep.nc: the level of zlib's compression, bytes of numbers that are compressed as one, and bytes below
# which there is nothing to gain.
COMPRESSION, CHUNK, SMALL = 5, 2**20, 2**12
# Kinds of arrays that hold text.
TEXT = "OUT"
LIBRARIES = ("numpy", "numba", "scipy", "torch", "torchvision", "xarray", "netcdf4", "scikit-learn")


class StoreError(RuntimeError):
    """A store cannot be used; the message is one line naming the file and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))

    def __reduce__(self) -> tuple[Any, ...]:
        """From other processes errors come pickled: by default with the message alone."""
        return _again, (type(self), str(self), self.__dict__)


class RefusedError(StoreError):
    """A file of the workflow's own is damaged or foreign, so that it has to be made anew."""

    def __init__(self, path: Path, problem: str, reason: str = "") -> None:
        super().__init__(f"{path}: {problem}; delete it and run again{f' ({reason:.120})' if reason else ''}")
        self.path, self.problem = path, problem


class StaleError(StoreError):
    """A store is sound, but of other settings, code or libraries than now; there may be many such."""

    def __init__(self, path: Path, problem: str) -> None:
        remedy = "delete it, or all such files with python -m largestep verify --set-aside, and run again"
        super().__init__(f"{path}: {problem}; {remedy}")


def _again(kind: type[StoreError], message: str, attributes: Mapping[str, object]) -> StoreError:
    """An error as it was."""
    error = kind.__new__(kind, message)
    error.__dict__.update(attributes)
    return error


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


@dataclass(frozen=True)
class Rows:
    """Datasets of the same variables and coordinates that become a group along a new first dimension, one in memory.

    dim: the coordinate of the new dimension, with one name for each of `rows`. shared: what the group holds beside
    the rows, given the first of them: their coordinates, attributes, variables of its own.
    Both have the attribute `stores_sha256`, what they were made from; that of the group is the digest of all.
    """

    dim: xr.Variable
    rows: Iterable[xr.Dataset]
    shared: Callable[[xr.Dataset], xr.Dataset]


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
        dataset.to_netcdf(part, engine="netcdf4", encoding=_encoding(dataset))
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


def write_tree(path: Path, groups: Mapping[str, xr.Dataset | Rows], *, title: str, spec: str, code: str) -> None:
    """Write one group per experiment, one after the other, each with its own checksum; otherwise like `write`.

    The same groups give the same bytes: when and where they were gathered is not in the file. It is opened twice,
    whatever the number of groups: to write them, and to seal what can be read back.
    """
    with replacing(path) as part:
        with _tree(part, "w") as file:
            for name, group in groups.items():
                _write_group(path, file, name, group)
        with _tree(part, "a") as file:
            seals = {name: _seal(file[name]) for name in groups}
            attributes = {"title": title, "stage": "aggregate", **_provenance(spec, code)}
            attributes["content_sha256"] = digest(canonical(seals))
            file.setncatts(attributes)


@contextmanager
def _tree(path: Path, mode: Literal["r", "w", "a"] = "r") -> Iterator[netCDF4.Dataset]:
    """`results/largestep.nc`, opened once for all its groups: to open it reads the head of every one of them."""
    size, elements, preemption = netCDF4.get_chunk_cache()
    # The library would keep up to 64 MB of every variable until the file is closed.
    netCDF4.set_chunk_cache(0, elements, preemption)
    try:
        with netCDF4.Dataset(path, mode) as file:
            yield file
    finally:
        netCDF4.set_chunk_cache(size, elements, preemption)


def _write_group(path: Path, file: netCDF4.Dataset, name: str, group: xr.Dataset | Rows) -> None:
    if isinstance(group, Rows):
        _write_rows(path, file.createGroup(name), name, group)
    else:
        _check_documented(path, group)
        _define(group, file.createGroup(name)).write()


class _Later:
    """Takes the place of xarray's writer: the values wait until all variables of a group are defined.

    Whenever values follow a definition, the library goes through all variables of the file.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, Any]] = []

    def add(self, source: Any, target: Any) -> None:
        self._waiting.append((source, target))

    def write(self) -> None:
        for source, target in self._waiting:
            target[...] = source


def _define(dataset: xr.Dataset, group: netCDF4.Group) -> _Later:
    """Attributes, dimensions and variables of a group; its values are to be written when all are defined."""
    # How it lay in the file that it was read from is not to decide how it lies in this one.
    plain, later = dataset.drop_encoding(), _Later()
    kinds = _encoding(plain)
    encoding = {name: _layout(values) | kinds[name] for name, values in plain.variables.items()}
    plain.dump_to_store(NetCDF4DataStore(group), encoding=encoding, writer=later)
    return later


def _encoding(dataset: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
    """What every variable is in a file, by the CF conventions (sections 2.5.1 and 6.1).

    Text is an array of characters, which Octave reads too, and which no tool takes for a coordinate that has
    an order. Coordinates have no value for what is missing.
    """
    return {
        name: ({"dtype": "S1"} if values.dtype.kind in TEXT else {})
        | ({"_FillValue": None} if name in dataset.coords else {})
        for name, values in dataset.variables.items()
    }


def _seal(group: netCDF4.Group) -> str:
    """Give a group its checksum, which is that of what can be read back."""
    seal = content_digest(_opened(group))
    group.setncattr("content_sha256", seal)
    return seal


def _layout(values: xr.Variable, lead: tuple[int, ...] = ()) -> dict[str, Any]:
    """How numbers that take some room lie in `results/largestep.nc`; nothing for the rest.

    lead: sizes of the chunks along dimensions before those of `values`.
    """
    if values.dtype.kind not in "biuf" or values.nbytes < SMALL:
        return {}
    chunk, inner = list(values.shape), values.nbytes
    for axis, size in enumerate(values.shape):
        if inner <= CHUNK:
            break
        inner //= size
        chunk[axis] = max(1, CHUNK // inner)
    return {"zlib": True, "complevel": COMPRESSION, "shuffle": True, "chunksizes": (*lead, *chunk)}


def _write_rows(path: Path, group: netCDF4.Group, name: str, content: Rows) -> None:
    rows = iter(content.rows)
    first = next(rows)
    shared = content.shared(first).assign_coords({content.dim.dims[0]: content.dim})
    for each in (shared, first):
        _check_documented(path, each)
    values_of_shared = _define(shared, group)
    _define_rows(group, content.dim, first)
    values_of_shared.write()
    seals = [shared.attrs["stores_sha256"]]
    for index, row in enumerate(chain([first], rows)):
        if set(row.data_vars) != set(first.data_vars) or not row.coords.equals(first.coords):
            unlike = f"{name}.{content.dim.values[index]} has not the variables and coordinates of the first"
            raise StoreError(f"{path}: {unlike}; delete what it was made from and run again")
        for key, values in row.data_vars.items():
            target = group[str(key)]
            target[index] = values.values.astype(object)[()] if target.dtype is str else values.values
        seals.append(row.attrs["stores_sha256"])
    if len(seals) - 1 != content.dim.size:
        raise StoreError(f"{path}: {name} has {len(seals) - 1} rows for {content.dim.size} names")
    group.setncattr("stores_sha256", digest(*seals))


def _define_rows(group: netCDF4.Group, dim: xr.Variable, row: xr.Dataset) -> None:
    """Variables for all rows, as xarray would write them: missing values of floats are NaN, truth values bytes."""
    for each, size in row.sizes.items():
        if each not in group.dimensions:
            group.createDimension(str(each), size)
    for key, values in row.data_vars.items():
        kind, dims = values.dtype.kind, tuple(map(str, (*dim.dims, *values.dims)))
        layout = _layout(values.variable, lead=(1,))
        stored = {"b": np.int8, "O": str, "U": str, "T": str}.get(kind, values.dtype)
        missing = np.nan if kind == "f" else None if stored is str else False
        target = group.createVariable(str(key), stored, dims, fill_value=missing, **layout)
        target.setncatts(values.attrs | ({"dtype": "bool"} if kind == "b" else {}))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one move."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place in one move when the block succeeds.

    What killed writers of the same file left is deleted. Raises StoreError when a file cannot be written; `path` is
    then as it was.
    """
    part = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What the file system's clock says now; that of this machine may differ.
        part.touch()
        _delete_abandoned(path, part.stat().st_mtime)
        yield part
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        # The NetCDF library has errors of its own for a full disk.
        if isinstance(error, StoreError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path}: cannot be written: {reason}{_room(path)}; mend that and run again") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _delete_abandoned(path: Path, now: float) -> None:
    """Delete unfinished files of `path` whose process on this machine is gone, or which nobody has touched for long."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        machine, _, process = part.name.removeprefix(f".{path.name}.").removesuffix(".part").rpartition(".")
        gone = machine == platform.node() and process.isdecimal() and not _is_alive(int(process))
        with suppress(OSError):
            if gone or now - part.stat().st_mtime > ABANDONED_S:
                part.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _room(path: Path) -> str:
    """How much the disk has left, where that is next to nothing."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return ""
    return f" ({free / 1e6:.1f} MB are free on this disk)" if free < LITTLE_ROOM else ""


def set_aside(path: Path) -> str:
    """Move a refused file out of the way, so that the workflow makes it anew; says so in a few words.

    What cannot be read from end to end stays where it is: then the disk is at fault and not the file.
    """
    earlier = 0
    while (aside := path.with_name(f"{path.name}.refused{f'-{earlier}' if earlier else ''}")).exists():
        earlier += 1
    try:
        with path.open("rb") as file:
            while file.read(SLAB):
                pass
        os.replace(path, aside)
    except FileNotFoundError:  # another job was first
        pass
    except OSError as error:
        return f"delete it and run again; it cannot be moved ({error.strerror})"
    return f"run again to make it anew; it is kept as {aside.name}"


def read_group(path: Path, group: str) -> xr.Dataset:
    """One experiment of `results/largestep.nc`, read into memory.

    Raises StoreError when the file cannot be read, has no such experiment or is damaged.
    """
    with _understanding(path, f"has no readable experiment {group}"):
        dataset = xr.load_dataset(path, group=group, engine="netcdf4")
        _check_content(path, dataset)
    return dataset


def read_all(path: Path) -> tuple[dict[str, xr.Dataset], dict[str, xr.Dataset]]:
    """Every experiment and every study of `results/largestep.nc`, read into memory, by name.

    Raises StoreError like `read_group`.
    """
    groups: dict[str, xr.Dataset] = {}
    with _understanding(path), _tree(path) as file:
        for name in _group_names(file):
            groups[name] = _opened(file[name]).load()
            _check_content(path, groups[name])
    within = f"{STUDIES}/"
    return (
        {name: group for name, group in groups.items() if not name.startswith(within)},
        {name.removeprefix(within): group for name, group in groups.items() if name.startswith(within)},
    )


def _group_names(file: netCDF4.Dataset) -> list[str]:
    """Experiments, then studies, each in the order of their names."""
    studies = file.groups[STUDIES].groups if STUDIES in file.groups else {}
    return [*sorted(set(file.groups) - {STUDIES}), *(f"{STUDIES}/{name}" for name in sorted(studies))]


def _opened(group: netCDF4.Group) -> xr.Dataset:
    """A group of a file that is open."""
    return xr.open_dataset(NetCDF4DataStore(group), cache=False)


@contextmanager
def _understanding(path: Path, problem: str = "is not a readable NetCDF file") -> Iterator[None]:
    """Turns what the NetCDF library raises for a damaged file, which can be anything, into RefusedError."""
    try:
        yield
    except (StoreError, MemoryError):
        raise
    except Exception as error:
        # The library's own numbers are negative, or even texts.
        if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
            raise StoreError(f"{path}: cannot be read: {error.strerror}; run the workflow again") from error
        raise RefusedError(path, problem, " ".join(str(error).split())) from error


def _check_documented(path: Path, dataset: xr.Dataset) -> None:
    for name, values in dataset.variables.items():
        if not {"units", "long_name"} <= set(values.attrs):
            raise StoreError(f"{path}: variable {name} needs units and long_name")


def _check_content(path: Path, dataset: xr.Dataset) -> None:
    if "content_sha256" not in dataset.attrs:
        raise RefusedError(path, FOREIGN)
    if dataset.attrs["content_sha256"] != content_digest(dataset):
        raise RefusedError(path, "its content does not match its checksum")


def _provenance(spec: str, code: str) -> dict[str, str]:
    return {
        "spec": spec,
        "code_fingerprint": code,
        "source": f"largestep {__version__}, a reproduction of arXiv:2210.05337",
        "Conventions": "CF-1.11",
        **_versions(),
    }


@cache
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
        **machine.attributes(),
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
    with _understanding(path):
        dataset = xr.open_dataset(path, engine="netcdf4", cache=False)
    with dataset:
        with _understanding(path):
            _check_content(path, dataset)
        _check_origin(path, dataset, spec, code, made_from)
        yield dataset


def attributes(path: Path) -> dict[str, object]:
    """The attributes of a store, wherever it comes from, once its content matches its checksum. As `read` otherwise."""
    with _understanding(path), xr.open_dataset(path, engine="netcdf4", cache=False) as dataset:
        _check_content(path, dataset)
        return {str(key): value for key, value in dataset.attrs.items()}


def tree_attributes(path: Path) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """The same of `results/largestep.nc`: those of the file, and by name those of its groups, studies among them."""
    with _understanding(path), _tree(path) as file:
        of_file = {key: file.getncattr(key) for key in file.ncattrs()}
        groups: dict[str, dict[str, object]] = {}
        for name in _group_names(file):
            group = _opened(file[name])
            _check_content(path, group)
            groups[name] = {str(key): value for key, value in group.attrs.items()}
        seals = {name: group["content_sha256"] for name, group in groups.items()}
        if of_file.get("content_sha256") != digest(canonical(seals)):
            raise RefusedError(path, "its groups do not match its checksum")
    return of_file, groups


def other_versions(attributes: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Libraries that compute and of which a store was made with another version: name, version then and now."""
    for key, installed in _versions().items():
        made_with = str(attributes.get(key, installed))
        if key in NUMERICAL and made_with != installed:
            yield key.removeprefix("version_"), made_with, installed


def _check_origin(path: Path, dataset: xr.Dataset, spec: str | None, code: str | None, made_from: str | None) -> None:
    stored = dataset.attrs.get("spec")
    if spec is not None and stored != spec:
        raise of_other_settings(path, stored, owner(spec))
    # Like settings, code may be edited while jobs run, and edited back: such a store is not to be moved away.
    if code is not None and dataset.attrs.get("code_fingerprint") != code:
        raise StaleError(path, "is stale: it was made from other code")
    if made_from not in (None, digest(str(stored), str(dataset.attrs.get("code_fingerprint")))):
        raise StaleError(path, "is stale: it was made from other settings or code")
    check_versions(path, dataset.attrs)


def check_versions(path: Path, attributes: Mapping[str, object]) -> None:
    """Raises StaleError for a file that was made with another version of a library that computes."""
    for name, made_with, installed in other_versions(attributes):
        raise StaleError(path, f"was made with {name} {made_with}, but {installed} is installed")


def owner(spec: object) -> str | None:
    """The cell or the study that a spec belongs to; None for one of data, and for what is no spec."""
    try:
        settings = json.loads(str(spec))
    except json.JSONDecodeError:
        return None
    return settings.get("cell", settings.get("study")) if isinstance(settings, dict) else None


def of_other_settings(path: Path, spec: object, wanted: str | None) -> StoreError:
    """Why a store with other settings than those of now cannot be used: it is stale, or of another cell or study.

    spec: of the store. wanted: the cell or study that it should belong to.
    """
    if owner(spec) != wanted:
        return RefusedError(path, f"belongs to {owner(spec) or 'something else'}")
    return StaleError(path, "is stale: it was made from other settings")


def content_digest(dataset: xr.Dataset, streamed: Mapping[str, Streamed] | None = None) -> str:
    """sha256 over names, dimensions, attributes and the bytes of every variable, run attributes excepted."""
    seal = hashlib.sha256()
    seal.update(_attributes(dataset.attrs))
    streamed = streamed or {}
    for name in sorted([*map(str, dataset.variables), *streamed]):
        values = streamed[name] if name in streamed else dataset.variables[name]
        kind = np.dtype(values.dtype).kind
        # Which kind of text an array holds is the reader's choice.
        kind = "U" if kind in TEXT else kind
        seal.update(f"{name}{values.dims}{values.shape}{kind}".encode())
        if isinstance(values, Streamed):
            seal.update(_attributes(values.attributes()))
            for slab in values.slabs():
                seal.update(np.ascontiguousarray(slab).tobytes())
            continue
        seal.update(_attributes(values.attrs))
        for slab in _slabs(values):
            if kind == "U":
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
