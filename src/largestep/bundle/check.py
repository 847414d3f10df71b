"""Check a bundle that `largestep pack` made: is all there, and is it what was packed?

Every file must have the checksum of `SHA256SUMS` and of `ro-crate-metadata.json`, and be named there; every store must
hold what its own checksum says and `provenance.csv` says of it; and `largestep.nc` must have been made from exactly the
stores that are packed. Prints a line for every fault. Exit status: 0 when there is none, 1 when there is, 2 when the
file is no bundle. Code and configuration are not asked what they would make today: unpack it and run `make verify`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from largestep import verify
from largestep.bundle import METADATA, PROVENANCE, SUMS
from largestep.bundle.crate import PROFILES
from largestep.bundle.pack import attributes_of, is_store
from largestep.cli import command_parser, existing, run
from largestep.specs.aggregates import AggregateSpec
from largestep.store import StoreError
from largestep.verify import Finding

AGGREGATE = "results/largestep.nc"
RUN_AGAIN = "get the file again, or pack the study anew"


def main() -> None:
    """Print what is wrong with a bundle."""
    arguments = command_parser("check-bundle", __doc__)
    arguments.add_argument("bundle", type=existing, metavar="FILE", help="a zip that largestep pack has made")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    try:
        findings, files = check(options.bundle)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if options.json:
        print(json.dumps({"files": files, "findings": [asdict(each) for each in findings]}, indent=2))
    else:
        for each in findings:
            print(f"{options.bundle}: {each.path}: {each.fault}: {each.why}")
        print(f"{options.bundle}: {files} files, " + (f"{len(findings)} faults" if findings else "all as packed"))
    sys.exit(1 if findings else 0)


def check(path: Path) -> tuple[list[Finding], int]:
    """What is wrong with a bundle, and how many files it holds. Raises StoreError for a file that is no bundle."""
    with tempfile.TemporaryDirectory() as folder, _opened(path) as bundle:
        names = bundle.namelist()
        if lacking := [name for name in (METADATA, SUMS, PROVENANCE) if name not in names]:
            raise StoreError(f"{path}: is no bundle of largestep: it holds no {lacking[0]}; {RUN_AGAIN}")
        findings = {each.path: each for each in _unpack(bundle, Path(folder))}
        sums = _read(path, Path(folder), SUMS, _sums)
        described = _read(path, Path(folder), METADATA, _described)
        told = _read(path, Path(folder), PROVENANCE, _told)
        for each in (*_files(Path(folder), names, sums), *_listed(sums, described)):
            findings.setdefault(each.path, each)
        contents: dict[str, str] = {}
        for name in filter(is_store, sums):
            if name not in findings:
                findings |= {each.path: each for each in _store(Path(folder), name, told, contents)}
        if AGGREGATE not in findings:
            findings |= {each.path: each for each in _aggregate(Path(folder) / AGGREGATE, contents)}
    return [findings[name] for name in sorted(findings)], len(names)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise StoreError(f"{path}: is no bundle of largestep, or is cut off: {error}; {RUN_AGAIN}") from error


def _unpack(bundle: zipfile.ZipFile, folder: Path) -> Iterator[Finding]:
    """Unpack what lies inside the folder and can be read; findings for the rest."""
    seen: set[str] = set()
    for entry in bundle.infolist():
        name = entry.filename
        if name in seen or ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            yield Finding(name, "foreign", "it is there twice" if name in seen else "it lies outside of the bundle")
            continue
        seen.add(name)
        try:
            bundle.extract(entry, folder)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            yield Finding(name, "damaged", f"it cannot be unpacked: {error}")


def _read(path: Path, folder: Path, name: str, read: Callable[[str], Any]) -> Any:
    """What a file that describes the bundle says. Raises StoreError where it does not say it."""
    try:
        return read((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: {name} cannot be read: {type(error).__name__}: {error}; {RUN_AGAIN}") from error


def _sums(text: str) -> dict[str, str]:
    """Checksums by name."""
    lines = (line.split("  ", 1) for line in text.splitlines())
    return {name: checksum for checksum, name in lines}


def _described(text: str) -> dict[str, str]:
    """Checksums that the crate gives, by name. Raises ValueError where it is of other profiles."""
    entities = {each["@id"]: each for each in json.loads(text)["@graph"]}
    root = entities["./"]
    if {each["@id"] for each in root["conformsTo"]} != set(PROFILES):
        raise ValueError("it is of other profiles than those of largestep")
    return {unquote(each["@id"]): str(entities[each["@id"]].get("sha256")) for each in root["hasPart"]}


def _told(text: str) -> dict[str, str]:
    """Checksums of the content of stores, by name."""
    return {row["path"]: row["content_sha256"] for row in csv.DictReader(text.splitlines())}


def _files(folder: Path, names: list[str], sums: Mapping[str, str]) -> Iterator[Finding]:
    """Files that are missing, changed or not listed."""
    for name, checksum in sums.items():
        path = folder / name
        if name not in names:
            yield Finding(name, "missing", f"{SUMS} names it")
        elif path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
            yield Finding(name, "changed", f"it is not what {SUMS} says")
    for name in {*names} - {*sums, SUMS}:
        yield Finding(name, "foreign", f"{SUMS} does not name it")


def _listed(sums: Mapping[str, str], described: Mapping[str, str]) -> Iterator[Finding]:
    """Where the crate and the list of checksums disagree."""
    for name in {*sums, *described} - {METADATA, SUMS}:
        if sums.get(name) != described.get(name):
            yield Finding(name, "changed", f"{METADATA} and {SUMS} do not say the same of it")


def _store(folder: Path, name: str, told: Mapping[str, str], contents: dict[str, str]) -> Iterator[Finding]:
    """What is wrong inside a store; its checksum goes into `contents`, by place below results."""
    try:
        checksum = str(attributes_of(folder / name)[0]["content_sha256"])
    except StoreError as error:
        yield Finding(name, "damaged", getattr(error, "problem", str(error)))
        return
    contents[name.removeprefix("results/")] = checksum
    if told.get(name) != checksum:
        yield Finding(name, "foreign", f"{PROVENANCE} is of another store")


def _aggregate(path: Path, contents: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the aggregate is there, with all the stores that it was made from, as they were."""
    if not path.exists():
        yield Finding(AGGREGATE, "missing", "a bundle has one")
        return
    attributes, groups = attributes_of(path)
    try:
        seals = dict(verify.seals(AggregateSpec.read(str(attributes["spec"])), contents))
    except (ValueError, KeyError) as error:
        yield Finding(AGGREGATE, "foreign", f"its settings are not of this version of largestep: {error}")
        return
    for group, said in groups.items():
        if group not in seals:
            yield Finding(f"{AGGREGATE} {group}", "missing", "not all stores that it was made from are there and sound")
        elif said.get("stores_sha256") != seals[group]:
            yield Finding(f"{AGGREGATE} {group}", "foreign", "it was made from other stores than those in the bundle")


if __name__ == "__main__":
    run(main)
