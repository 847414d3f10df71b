"""What a killed training job continues from: a folder of safetensors files, which cannot hold code.

A file is whole or not there, says what it belongs to, and is checked against its content. What does not belong to the
run at hand, or is damaged, counts as not there. The folder lies outside of the outputs of the workflow, which
Snakemake deletes when a job fails, and is removed when the job has written its stores.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from largestep import store

Arrays = Mapping[str, NDArray[Any]]


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Hold a folder of checkpoints for the length of the block: whether another process had it, which is done now.

    Of a workflow that was killed, the job that was running may still be. Raises StoreError when the folder cannot be
    used.
    """
    path = folder.with_name(f"{folder.name}.lock")
    # Ends with the process that holds it, however that ends.
    lock, waited = FileLock(path), False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waited = True
            print(f"{folder}: another process is at work on it; waiting", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        raise store.StoreError(f"{path}: cannot be locked: {error.strerror or error}") from error
    try:
        yield waited
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()


class Checkpoints:
    """The files of one cell.

    folder: where they are. key: digest of all that the run depends on: spec, code, libraries and device.
    share: of the run time that saving may take; every: seconds at least between two saves.
    """

    def __init__(self, folder: Path, key: str, *, every: float = 30.0, share: float = 0.02) -> None:
        self.folder, self._key = folder, key
        self._every, self._share = every, share
        self._started = self._last = time.monotonic()
        self._spent, self._longest = 0.0, 0.0

    def due(self) -> bool:
        """Whether it is time to save the state again: neither too often nor beyond the share of the run time."""
        now = time.monotonic()
        allowed = self._share * (now - self._started) - self._spent
        return now - self._last >= self._every and self._longest <= allowed

    def save_state(self, name: str, arrays: Arrays) -> None:
        """As `save`, for what replaces the state saved before; the next is due some time later."""
        start = time.monotonic()
        self.save(name, arrays)
        self._last = time.monotonic()
        self._spent += self._last - start

    def save(self, name: str, arrays: Arrays) -> None:
        """Write a file in one move. Raises StoreError when it cannot be written."""
        start = time.monotonic()
        arrays = {key: np.ascontiguousarray(values) for key, values in arrays.items()}
        with store.replacing(self._path(name)) as part:
            try:
                save_file(dict(arrays), part, {"key": self._key, "content_sha256": _digest(arrays)})
            except SafetensorError as error:
                raise OSError(str(error)) from error
        self._longest = max(self._longest, time.monotonic() - start)

    def load(self, name: str) -> dict[str, NDArray[Any]] | None:
        """What was saved under a name, None where there is nothing that belongs here and is whole."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                if metadata.get("key") != self._key:
                    print(f"{path}: is of other settings, code or device and is not used", file=sys.stderr)
                    return None
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 it is no mapping
        except (OSError, SafetensorError, ValueError) as error:
            print(f"{path}: is damaged and is not used ({error})", file=sys.stderr)
            return None
        if metadata.get("content_sha256") != _digest(arrays):
            print(f"{path}: is damaged and is not used (its content does not match its checksum)", file=sys.stderr)
            return None
        return arrays

    def report(self) -> str:
        """How much of the run time saving took, in words."""
        total = time.monotonic() - self._started
        return f"checkpoints took {self._spent:.2f} s of {total:.1f} s, {100 * self._spent / max(total, 1e-9):.2f}%"

    def remove(self) -> None:
        """Delete the folder: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def _digest(arrays: Arrays) -> str:
    seal = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        seal.update(f"{name}{values.shape}{values.dtype}".encode())
        seal.update(np.ascontiguousarray(values).tobytes())
    return seal.hexdigest()
