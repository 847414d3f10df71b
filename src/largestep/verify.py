"""Check all of a results folder against the configuration and the code of today, without Snakemake's records.

Every store is read from end to end: its checksum, the settings, the code and the library versions it was made from.
Tables, claims and figures, which carry no such record, are made again and compared byte by byte. Prints one line
for every file that is missing, stale, damaged or foreign (it belongs to something else), and for what is left over,
which nothing uses; exits with 0 when all that the configuration asks for is there and fresh.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from largestep import aggregate, config, grid, stages, store
from largestep.cli import command_parser, run
from largestep.data import image_set
from largestep.keys import digest
from largestep.specs.aggregates import AggregateSpec
from largestep.store import StoreError

# In the order in which the last line counts them.
FAULTS = ("missing", "stale", "damaged", "foreign", "unchecked")
LEFT_OVER = "left over"
# Settings named in one line, and letters of each value.
NAMED, LETTERS = 3, 40
ORDER = ("data", "images", "train", "features", "sparsity")
# Folders of results/ in which every file belongs to something that the configuration names.
FOLDERS = ("cells", "data", "images", "studies", "figures", "tables", "specs")
SPECS = ("specs/aggregate.json", "specs/claims.json")
UNFINISHED = re.compile(r"\..*\.part")
REFUSED = re.compile(r".*\.refused(-\d+)?")
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Expected:
    """A store that the configuration asks for.

    path: below the results folder. owner: of whom it is, as its spec says it under the key of that name, if it does.
    optional: Snakemake deletes it, or can do without.
    """

    path: str
    stage: str
    spec: str
    code: str
    owner: tuple[str, str] | None = None
    optional: bool = False


@dataclass(frozen=True)
class Product:
    """Files that are made from stores by a command in seconds, so that they can be made again and compared.

    command: module and arguments, with {results} for the folder and {to} for the one to write to. files: below both.
    source: the store or table that they are made of.
    """

    command: tuple[str, ...]
    files: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Finding:
    """What is wrong with a file, by one of the words of `FAULTS`."""

    path: str
    fault: str
    why: str


@dataclass
class Checked:
    """What reading a store has shown: its checksum, its code, its spec and stage where they are not as expected."""

    expected: Expected
    content: str | None = None
    code: str | None = None
    spec: str | None = None
    stage: str | None = None
    finding: Finding | None = None


def main() -> None:
    """Print what is not fresh, and how many files are."""
    arguments = command_parser("verify", __doc__)
    add_configuration(arguments)
    arguments.add_argument("--results", type=Path, default=Path("results"), help="folder to check (default: results)")
    arguments.add_argument("--stores", action="store_true", help="do not make tables and figures again to compare them")
    arguments.add_argument(
        "--set-aside",
        action="store_true",
        help="rename what is stale, damaged or foreign to NAME.refused, so that the next run makes it anew",
    )
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    settings = configured(options)
    if not options.results.is_dir():
        sys.exit(f"error: {options.results}: there is no such folder; run snakemake, or name another with --results")
    findings, files = verify(settings, options.results, remake=not options.stores)
    aside = {
        each.path: store.set_aside(options.results / each.path)
        for each in findings
        if options.set_aside and each.fault in ("stale", "damaged", "foreign")
    }
    count = Counter(finding.fault for finding in findings)
    bad = sum(count[fault] for fault in FAULTS)
    if options.json:
        reports = [asdict(each) | ({"aside": aside[each.path]} if each.path in aside else {}) for each in findings]
        print(json.dumps({"files": files, "fresh": files - bad, "findings": reports}, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(f"{options.results / finding.path}: {finding.fault}: {finding.why}")
            if finding.path in aside:
                print(f"    {aside[finding.path]}")
        counted = ", ".join(f"{count[fault]} {fault}" for fault in (*FAULTS, LEFT_OVER))
        print(f"{files - bad} of {files} files are fresh; {counted}")
    if bad:
        print(
            "a plain run makes what is missing, and what Snakemake knows to be stale; "
            "--set-aside moves all that is stale, damaged or foreign out of its way",
            file=sys.stderr,
        )
    sys.exit(1 if bad else 0)


def add_configuration(arguments: argparse.ArgumentParser) -> None:
    """The arguments that `configuration` takes."""
    arguments.add_argument(
        "--configfile", nargs="+", default=[], type=Path, help="files on top of config.yaml, as for snakemake"
    )
    arguments.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="on top of them, as for snakemake: scale=paper"
    )


def configured(options: argparse.Namespace, failed: int = 1) -> config.Config:
    """The configuration that the options of `add_configuration` name.

    Ends the command where it cannot be used, with the exit status `failed`.
    """
    try:
        settings = configuration(options.configfile, options.config)
        # Names a user's own code that is not there.
        grid.results_key(settings)
    except config.ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(failed)
    return settings


def configuration(above: list[Path], values: list[str]) -> config.Config:
    """The configuration of config.yaml with files and values on top, as Snakemake takes them. Raises ConfigError."""
    # Takes two seconds, and only what was given needs it.
    from snakemake.cli import parse_config

    try:
        given = parse_config(values)
    except ValueError as error:
        raise config.ConfigError(f"--config {' '.join(values)}: must be KEY=VALUE ({error})") from error
    return config.layered([config.base_file(CHECKOUT), *above], given)


def verify(settings: config.Config, results: Path, *, remake: bool = True) -> tuple[list[Finding], int]:
    """What is not fresh in a results folder, and how many files the configuration asks for.

    remake: make tables and figures again to compare them.
    """
    wanted = expected(settings)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        checked = check_all(settings, results, wanted, partial(pool.map, chunksize=16))
        findings = {one.expected.path: one.finding for one in checked if one.finding}
        contents = {one.expected.path: one.content for one in checked if one.content and not one.finding}
        findings |= {each.path: each for each in _aggregate(settings, results, contents)}
        made = products(settings)
        files_made = {file for product in made for file in product.files}
        # First what is made of stores, then what is made of that.
        for second in (False, True):
            these = [product for product in made if (product.source in files_made) is second]
            stale = {product.source for product in these} & set(findings)
            judge = partial(compare, results, grid.claims_spec(settings), stale if remake else None)
            for faults in pool.map(judge, these):
                findings |= {each.path: each for each in faults}
    findings |= {each.path: each for each in _specs(settings, results)}
    optional = {*SPECS, *(each.path for each in wanted if each.optional)}
    asked = files_of(wanted, made)
    findings |= {each.path: each for each in _left_over(settings, results, asked, fresh=set(contents))}
    files = len(asked) - sum(not (results / path).exists() for path in optional)
    # What needs a look first: missing files can be many.
    return sorted(
        findings.values(), key=lambda each: (each.fault == LEFT_OVER, each.fault == "missing", each.path)
    ), files


def files_of(wanted: Iterable[Expected], made: Iterable[Product]) -> set[str]:
    """Every file that a configuration asks for, below the results folder."""
    return {*SPECS, "largestep.nc", *(each.path for each in wanted), *(file for each in made for file in each.files)}


def check_all(
    settings: config.Config, results: Path, wanted: Sequence[Expected], apply: Callable[..., Iterable[Checked]] = map
) -> list[Checked]:
    """Read stores and say what is wrong with each. apply: `map`, or that of a pool."""
    checked = list(apply(partial(check, results), wanted))
    others = {each.spec: each.path for each in wanted}
    for one in checked:
        if one.spec is not None:
            one.finding = _other_settings(one, others)
    _name_stages(settings, checked)
    return checked


def expected(settings: config.Config) -> list[Expected]:
    """Every store of the configuration at its scale."""
    cells = grid.cells(settings)
    stores = [
        Expected(f"images/{name}.safetensors", "images", cell.spec("images"), cell.code("images"))
        for name, cell in grid.image_sets(settings).items()
    ]
    toys = {cell.experiment: cell for cell in cells.values() if not cell.settings.images}
    stores += [Expected(f"data/{name}.nc", "data", cell.spec("data"), cell.code("data")) for name, cell in toys.items()]
    for cell in cells.values():
        owner = "cell", cell.id
        for name in ("train", "snapshots", "features", "sparsity"):
            if name == "snapshots" and cell.settings.images:
                continue
            stage = _stage(name)
            path = f"cells/{cell.id}/{name}.nc"
            stores.append(Expected(path, stage, cell.spec(stage), cell.code(stage), owner, name == "snapshots"))
        # Those of seeds are there to add others to them; the cell's own stores need them no more.
        for part, seeds in cell.parts().items() if cell.settings.images else ():
            for name in ("train", "snapshots", "features"):
                stage = _stage(name)
                spec, path = cell.part_spec(stage, seeds), f"cells/{cell.id}/seeds/{part}/{name}.nc"
                stores.append(Expected(path, stage, spec, cell.code(stage), owner, optional=True))
    for name in settings.studies_at_scale():
        spec, code = grid.study_spec(settings, name), grid.study_code(settings, name)
        stores.append(Expected(f"studies/{name}.nc", "studies", spec, code, ("study", name)))
    return stores


def _stage(name: str) -> str:
    """The stage that makes a store."""
    return "train" if name == "snapshots" else name


def check(results: Path, wanted: Expected) -> Checked:
    """Read a store and compare what it says of itself with what it should be."""
    path, checked = results / wanted.path, Checked(wanted)
    if not path.exists():
        if not wanted.optional:
            checked.finding = Finding(wanted.path, "missing", "the next run makes it")
        return checked
    try:
        attributes = (image_set if path.suffix == ".safetensors" else store).attributes(path)
    except StoreError as error:
        problem = getattr(error, "problem", str(error).removeprefix(f"{path}: "))
        checked.finding = Finding(wanted.path, "foreign" if problem == store.FOREIGN else "damaged", problem)
        return checked
    checked.content, checked.code = str(attributes["content_sha256"]), str(attributes.get("code_fingerprint"))
    spec, stage = str(attributes.get("spec")), str(attributes.get("stage", wanted.stage))
    if spec != wanted.spec:
        checked.spec, checked.stage = spec, stage
    elif checked.code != wanted.code:
        checked.finding = Finding(wanted.path, "stale", f"code of stage {wanted.stage}, or of one before")
    elif versions := [f"{name} {then}, now {now}" for name, then, now in store.other_versions(attributes)]:
        checked.finding = Finding(wanted.path, "stale", f"libraries: made with {'; '.join(versions)}")
    return checked


def _other_settings(checked: Checked, others: Mapping[str, str]) -> Finding:
    """What is wrong with a store of another spec. others: the paths of all stores that are expected, by spec."""
    wanted, old = checked.expected, _parsed(str(checked.spec))
    key, name = wanted.owner or ("", None)
    if checked.stage != wanted.stage:
        return Finding(wanted.path, "foreign", f"it is of stage {checked.stage}")
    if old.get(key) != name:
        return Finding(wanted.path, "foreign", f"it is of {key} {old.get(key, 'unknown')}")
    if checked.spec in others:
        return Finding(wanted.path, "foreign", f"it is what belongs into {others[str(checked.spec)]}")
    return Finding(wanted.path, "stale", f"settings: {described(old, json.loads(wanted.spec))}")


def _parsed(spec: str) -> dict[str, Any]:
    try:
        settings = json.loads(spec)
    except json.JSONDecodeError:
        return {}
    return settings if isinstance(settings, dict) else {}


def described(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings differ, and how: the first few in one line."""
    changed = list(differences(old, new))
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return ", ".join(f"{key} {_short(then)} -> {_short(now)}" for key, then, now in changed[:NAMED]) + more


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, old and new value of every setting that differs; None for one that is not there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from differences(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    elif old != new:
        yield key, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _name_stages(settings: config.Config, checked: Iterable[Checked]) -> None:
    """Say of stores with other code which stage's it is: that of the first store in the chain that has other code."""
    checked = list(checked)
    by_path = {each.expected.path: each for each in checked}
    stores: dict[tuple[str, str], list[Checked]] = {}
    for each in checked:
        if each.expected.owner:
            stores.setdefault((each.expected.owner[1], each.expected.stage), []).append(each)
    for cell in grid.cells(settings).values():
        first = None
        for stage in ORDER:
            drawn = stage == ("images" if cell.settings.images else "data")
            own = by_path.get(source(cell) if drawn else f"cells/{cell.id}/{stage}.nc")
            if own is None or own.code is None:
                continue
            if own.code != own.expected.code:
                first = first or stage
            for each_store in stores.get((cell.id, stage), ()):
                if first and each_store.finding and each_store.finding.why.startswith("code of stage"):
                    each_store.finding = Finding(each_store.expected.path, "stale", f"code of stage {first}")


def source(cell: grid.Cell) -> str:
    """The store of the data that a cell is trained on, below the results folder."""
    if cell.settings.images:
        return f"images/{grid.data_spec(cell.settings).image_set().name}.safetensors"
    return f"data/{cell.experiment}.nc"


def _specs(settings: config.Config, results: Path) -> Iterator[Finding]:
    """What the aggregate and the claims are told, where it is there and not of today."""
    for name, text in zip(SPECS, (grid.aggregate_spec(settings), grid.claims_spec(settings)), strict=True):
        path = results / name
        if path.exists() and path.read_bytes().strip() != text.encode():
            yield Finding(name, "stale", "other settings")


def _aggregate(settings: config.Config, results: Path, contents: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with `largestep.nc`. contents: checksums of the stores that are fresh, by path."""
    name, path = "largestep.nc", results / "largestep.nc"
    if not path.exists():
        yield Finding(name, "missing", "the next run makes it")
        return
    try:
        attributes, groups = store.tree_attributes(path)
    except StoreError as error:
        yield Finding(name, "damaged", getattr(error, "problem", str(error)))
        return
    wanted = grid.aggregate_spec(settings)
    old, new = _parsed(str(attributes.get("spec"))), json.loads(wanted)
    if old != new:
        yield Finding(name, "stale", f"settings: {described(old, new)}")
    elif attributes.get("code_fingerprint") != stages.code("aggregate"):
        yield Finding(name, "stale", "code of stage aggregate")
    elif other := [
        group
        for group, seal in seals(AggregateSpec.read(wanted), contents)
        if groups[group].get("stores_sha256") != seal
    ]:
        more = f" and {len(other) - NAMED} more" if len(other) > NAMED else ""
        yield Finding(name, "stale", f"made from other stores than there are now of {', '.join(other[:NAMED])}{more}")


def seals(spec: AggregateSpec, contents: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The attribute `stores_sha256` that each group must have, where all its stores are fresh."""
    for name, entry in spec.experiments.items():
        data = [] if stages.is_images(entry.data) else [f"data/{name}.nc"]
        cells = [
            [f"cells/{name}.{cell}/{stage}.nc" for stage in ("train", "features", "sparsity")]
            for cell in aggregate.ordered(entry)
        ]
        if all(path in contents for paths in (data, *cells) for path in paths):
            yield name, digest(*(digest(*(contents[path] for path in paths)) for paths in (data, *cells)))
    for name in spec.studies:
        if f"studies/{name}.nc" in contents:
            yield f"{store.STUDIES}/{name}", digest(contents[f"studies/{name}.nc"])


def products(settings: config.Config) -> list[Product]:
    """Every table and figure of the configuration at its scale, those that take longest first."""
    tree = "{results}/largestep.nc"
    listed = []
    for name, study in settings.studies_at_scale().items():
        source = f"studies/{name}.nc"
        given = ("--input", f"{{results}}/{source}", "--made-from", grid.study_made_from(settings, name))
        if study.kind == "loss_slice":
            gif = f"figures/{name}.gif"
            listed.append(Product(("animation", *given, "--output", f"{{to}}/{gif}"), (gif,), source))
        listed.append(_figure(f"figures/{name}", ("figures", "--view", study.kind, *given), source))
    listed.append(
        Product(
            (
                *("claims", "--spec-file", "{to}/claims.json", "--input", tree),
                *("--csv", "{to}/claims.csv", "--md", "{to}/claims.md", "--summary-csv", "{to}/summary.csv"),
                *("--summary-md", "{to}/summary.md", "--summary-rst", "{to}/summary.rst"),
            ),
            ("claims.csv", "claims.md", "summary.csv", "summary.md", "summary.rst"),
            "largestep.nc",
        )
    )
    given = ("--claims", "{results}/claims.csv", "--summary", "{results}/summary.csv")
    listed.append(_figure("figures/scorecard", ("figures.scorecard", *given), "claims.csv"))
    for name, experiment in settings.at_scale().items():
        for view in experiment.views:
            command = ("figures", "--experiment", name, "--view", view, "--input", tree)
            listed.append(_figure(f"figures/{name}_{view}", command, "largestep.nc"))
        files = tuple(f"tables/{name}.{kind}" for kind in ("csv", "md", "tex"))
        targets = [word for file in files for word in (f"--{file.rpartition('.')[2]}", f"{{to}}/{file}")]
        listed.append(Product(("tables", "--experiment", name, "--input", tree, *targets), files, "largestep.nc"))
    return listed


def _figure(stem: str, command: Sequence[str], source: str) -> Product:
    targets = ("--png", f"{{to}}/{stem}.png", "--pdf", f"{{to}}/{stem}.pdf")
    return Product((*command, *targets), (f"{stem}.png", f"{stem}.pdf"), source)


def compare(results: Path, claims: str, stale: set[str] | None, product: Product) -> list[Finding]:
    """Make a product again and compare its files. claims: spec. stale: sources that are; None makes nothing again."""
    present = [file for file in product.files if (results / file).exists()]
    missing = [Finding(file, "missing", "the next run makes it") for file in product.files if file not in present]
    if stale is None or not present:
        return missing
    if product.source in stale:
        return missing + [Finding(file, "unchecked", f"{product.source} is not fresh") for file in present]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "claims.json").write_text(claims, encoding="utf-8")
        module, *arguments = (word.format(results=results, to=folder) for word in product.command)
        try:
            _call(module, arguments)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return missing + [Finding(file, "unchecked", f"cannot be made again: {reason}") for file in present]
        why = f"not what {module.partition('.')[0]} makes today of {product.source}"
        return missing + [
            Finding(file, "stale", why)
            for file in present
            if (results / file).read_bytes() != (Path(folder) / file).read_bytes()
        ]


def _call(module: str, arguments: list[str]) -> None:
    """Run a stage in this process, as its command line would."""
    package = f"largestep.{module}.__main__" if module in stages.PACKAGES else f"largestep.{module}"
    before = sys.argv
    sys.argv = [module, *arguments]
    try:
        with redirect_stdout(sys.stderr):
            importlib.import_module(package).main()
    finally:
        sys.argv = before


def made_file(settings: config.Config) -> str:
    """The file that says that the aggregate is current, below the results folder."""
    return f"specs/{grid.results_key(settings)[:16]}.made"


def _left_over(settings: config.Config, results: Path, asked: set[str], fresh: set[str]) -> Iterator[Finding]:
    """Files that nothing uses: of what is not in the configuration, or left by killed jobs."""
    elsewhere = {f"{name}.{cell}": e.scale for name, e in settings.experiments.items() for cell in e.cells}
    made = made_file(settings)
    for folder in (".", *FOLDERS):
        for path in sorted((results / folder).glob("*") if folder == "." else (results / folder).rglob("*")):
            name = str(path.relative_to(results))
            if path.is_dir() or name in asked or name == made:
                continue
            if UNFINISHED.fullmatch(path.name):
                yield Finding(name, LEFT_OVER, "by a job that was killed")
            elif REFUSED.fullmatch(path.name):
                yield Finding(name, LEFT_OVER, "set aside")
            elif folder != ".":
                scale = elsewhere.get(path.relative_to(results / folder).parts[0]) if folder == "cells" else None
                why = f"of scale {scale}" if scale else "the configuration does not ask for it"
                yield Finding(name, LEFT_OVER, why)
    cells = grid.cells(settings)
    for path in sorted(path for path in (results / "checkpoints").glob("*") if path.is_dir()):
        cell, _, seeds = path.name.rpartition(".")
        known = cell in cells and cells[cell].settings.images and seeds in cells[cell].parts()
        if not known or {f"cells/{cell}/train.nc", f"cells/{cell}/seeds/{seeds}/train.nc"} & fresh:
            yield Finding(f"checkpoints/{path.name}", LEFT_OVER, "no training continues from it")


if __name__ == "__main__":
    run(main)
