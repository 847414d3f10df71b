"""Pack a finished study for an archive such as Zenodo: one zip that is an RO-Crate and, unpacked, a checkout to rerun.

It holds the configuration, every store, table and figure, the code and the pinned versions; `SHA256SUMS`, which
`sha256sum -c` reads; `provenance.csv`, with what every store was made of, by which libraries and on which machine; and
`ro-crate-metadata.json`, which describes all as a run of the workflow (Workflow Run RO-Crate). A study that
`largestep verify` finds fault with is not packed. The same study gives the same bytes, on every machine. Exit status:
0 when it is packed, 1 when it cannot be.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from largestep import __version__, config, store, verify
from largestep.bundle import METADATA, PROVENANCE, SUMS
from largestep.bundle.crate import Study, crate
from largestep.cli import command_parser, run
from largestep.data import image_set
from largestep.store import StoreError

# What of the checkout a rerun or a reader needs.
CODE = (
    *("CITATION.cff", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
    *("config", "docs", "envs", "src/largestep", "workflow"),
)
# What a store says of itself beside its checksum; columns of `provenance.csv`.
SAID = (
    *(
        "stage",
        "title",
        "seeds",
        "content_sha256",
        "code_fingerprint",
        "created",
        "wall_time_s",
        "machine",
        "processor",
    ),
    *("device", "compile_target", "blas", "threads"),
    *(f"version_{name}" for name in ("python", "numpy", "numba", "scipy", "torch", "torchvision", "xarray", "netcdf4")),
)
# The first that a zip can hold; files have no other time here, so that the same study gives the same bytes.
TIME = (1980, 1, 1, 0, 0, 0)
BLOCK = 2**20

Content = Path | bytes


def main() -> None:
    """Pack what the command line asks for, and say what came of it."""
    arguments = command_parser("pack", __doc__)
    verify.add_configuration(arguments)
    arguments.add_argument("--results", type=Path, default=Path("results"), help="finished study (default: results)")
    arguments.add_argument("--output", type=Path, help="zip to write (default: largestep-VERSION-SCALE.zip)")
    arguments.add_argument(
        "--with",
        nargs="+",
        default=[],
        type=Path,
        dest="more",
        metavar="FILE",
        help="files below this folder to put in as well: results/report.html, or your own code",
    )
    arguments.add_argument("--stores", action="store_true", help="do not make tables and figures again to compare them")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args()
    settings = verify.configured(options)
    _refuse_unfinished(settings, options.results, remake=not options.stores)
    output = options.output or Path(f"largestep-{__version__}-{settings.scale}.zip")
    held = dict(contents(settings, options.results, options.configfile, options.more))
    described(held, settings, options.config)
    write(output, held)
    size, checksum = output.stat().st_size, _sha256(output)
    if options.json:
        print(json.dumps({"path": str(output), "files": len(held), "bytes": size, "sha256": checksum}, indent=2))
    else:
        print(f"{output}: {len(held)} files, {size / 1e6:.1f} MB, sha256 {checksum}")


def _refuse_unfinished(settings: config.Config, results: Path, *, remake: bool) -> None:
    if not results.is_dir():
        raise StoreError(f"{results}: there is no such folder; run snakemake, or name another with --results")
    findings = [each for each in verify.verify(settings, results, remake=remake)[0] if each.fault != verify.LEFT_OVER]
    if findings:
        first, more = findings[0], f", and {len(findings) - 1} files more" if len(findings) > 1 else ""
        raise StoreError(
            f"{results / first.path}: {first.fault}: {first.why}{more}; run snakemake to its end, then pack"
        )


def contents(
    settings: config.Config, results: Path, above: Sequence[Path], more: Sequence[Path]
) -> Iterator[tuple[str, Content]]:
    """What a bundle holds, by its place there: configuration, code, results and what else is asked for.

    above: the files that lie on top of config.yaml. more: files below the working directory.
    Raises StoreError for a file of `more` that is not there or lies elsewhere, and where this is no clone.
    """
    yield "config.yaml", config.base_file(verify.CHECKOUT)
    for index, path in enumerate(above, 1):
        yield f"configfiles/{index}-{path.name}", path
    for path in _code(verify.CHECKOUT):
        yield path.relative_to(verify.CHECKOUT).as_posix(), path
    wanted, made = verify.expected(settings), verify.products(settings)
    for name in sorted({*verify.files_of(wanted, made), verify.made_file(settings)}):
        if (results / name).exists():
            yield f"results/{name}", results / name
    for path in more:
        inside = Path(os.path.relpath(path)).as_posix()
        if not path.is_file() or inside.startswith("..") or not inside.isprintable():
            raise StoreError(f"{path}: --with takes files below this folder; copy it here, or leave it out")
        yield inside, path


def _code(checkout: Path) -> Iterator[Path]:
    """The files of `CODE`, in order; Raises StoreError where one is missing."""
    for name in CODE:
        path = checkout / name
        if not path.exists():
            raise StoreError(f"{path}: is not there, and belongs to a bundle; pack in a clone of the repository")
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (each for each in files if each.is_file() and "__pycache__" not in each.parts)


def described(held: dict[str, Content], settings: config.Config, values: Sequence[str]) -> None:
    """Add to what a bundle holds the files that describe it. values: those of `--config`."""
    stores = {name: _attributes(path) for name, path in held.items() if isinstance(path, Path) and is_store(name)}
    held[PROVENANCE] = _provenance(stores)
    sums = {name: _sha256(content) for name, content in held.items()}
    sizes = {name: len(each) if isinstance(each, bytes) else each.stat().st_size for name, each in held.items()}
    study = Study(settings.scale, tuple(values), f"{__version__}{_commit(verify.CHECKOUT)}", stores, sums, sizes)
    held[METADATA] = crate(study, verify.CHECKOUT / "CITATION.cff")
    sums[METADATA] = _sha256(held[METADATA])
    held[SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def is_store(name: str) -> bool:
    """Whether a file of a bundle is a store, by its place."""
    return name.startswith("results/") and name.endswith((".nc", ".safetensors"))


def _attributes(path: Path) -> dict[str, object]:
    return attributes_of(path)[0]


def attributes_of(path: Path) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """The attributes of a sound store, and those of the groups of `largestep.nc`; StoreError as `store.attributes`."""
    if path.name == "largestep.nc":
        return store.tree_attributes(path)
    return (image_set if path.suffix == ".safetensors" else store).attributes(path), {}


def _provenance(stores: Mapping[str, Mapping[str, object]]) -> bytes:
    """The table of what every store says of itself."""
    text = io.StringIO()
    table = csv.DictWriter(text, ["path", *SAID], lineterminator="\n")
    table.writeheader()
    for name in sorted(stores):
        table.writerow({"path": name, **{key: stores[name].get(key, "") for key in SAID}})
    return text.getvalue().encode()


def _commit(checkout: Path) -> str:
    """`+g` and the commit of a clone, `.dirty` where its files differ from it; nothing where git knows of none."""
    try:
        commit, changed = (
            subprocess.run(["git", "-C", checkout, *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", *CODE))
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"+g{commit}{'.dirty' if changed else ''}"


def write(output: Path, held: Mapping[str, Content]) -> None:
    """Write a bundle in one move, sorted and without times. Raises StoreError when it cannot be written.

    Nothing is compressed: how depends on the version of zlib, and the aggregate and the figures are already.
    """
    with store.replacing(output) as part, zipfile.ZipFile(part, "w") as bundle:
        for name in sorted(held):
            content = held[name]
            entry = zipfile.ZipInfo(name, TIME)
            runs = isinstance(content, Path) and content.stat().st_mode & 0o100
            # Of Unix, whatever writes it.
            entry.create_system, entry.external_attr = 3, (0o755 if runs else 0o644) << 16
            entry.file_size = content.stat().st_size if isinstance(content, Path) else len(content)
            with bundle.open(entry, "w") as target, _opened(content) as source:
                shutil.copyfileobj(source, target, BLOCK)


def _opened(content: Content) -> io.BufferedIOBase:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _sha256(content: Content) -> str:
    with _opened(content) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


if __name__ == "__main__":
    run(main)
