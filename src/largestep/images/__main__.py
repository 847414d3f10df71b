"""Prepare an image data set, once for all experiments that use it: fetch, decode and write it to one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from largestep import stages
from largestep.cli import parser, run, spec_type
from largestep.data import image_set
from largestep.data.sources import sources
from largestep.specs.cells import ImageSetSpec
from largestep.store import StoreError


def main() -> None:
    """Write the image set that the spec describes, or print the checksum of a folder of images."""
    arguments = parser("images", __doc__)
    root, mirror = sources()
    task = arguments.add_mutually_exclusive_group(required=True)
    task.add_argument("--spec", type=spec_type(ImageSetSpec.read), help='what to prepare: {"data": settings} as JSON')
    task.add_argument("--checksum", type=Path, metavar="FOLDER", help="print what data.sha256 of this folder must be")
    arguments.add_argument("--output", type=Path, help="image set to write, a safetensors file")
    arguments.add_argument(
        "--root",
        type=Path,
        default=root,
        help="folder where published files are looked for and kept (default: %(default)s)",
    )
    arguments.add_argument(
        "--mirror",
        default=mirror,
        help="address from which to download FILE as KIND/FILE (default: the published ones)",
    )
    options = arguments.parse_args()
    if options.checksum is not None:
        print(stages.worker("images", "folder").checksum(options.checksum))
        return
    if options.output is None:
        arguments.error("--spec needs --output")
    _prepare(options.spec, options.output, options.root, options.mirror)


def _prepare(spec: ImageSetSpec, output: Path, root: Path, mirror: str | None) -> None:
    kind = spec.data.kind
    try:
        images = stages.worker("images", kind).prepare(spec.data, root, mirror)
        for note in images.notes:
            print(f"note: {note}", file=sys.stderr)
            # In the workflow standard error is a log that nobody reads of a job that went well.
            if os.environ.get("LARGESTEP_WORKFLOW"):
                print(f"note: {kind}: {note}", flush=True)
        image_set.write(output, images, spec=spec.text(), code=_code(kind))
    except MemoryError as error:
        raise StoreError(f"{output}: these images do not fit into memory; free some and run again") from error
    except OSError as error:
        raise StoreError(f"{error.filename or output}: {error.strerror or image_set.one_line(error)}") from error


def _code(kind: str) -> str:
    try:
        return stages.chain("images", kind)
    # The user's own code, which it follows through imports that the function may not have run.
    except (ModuleNotFoundError, SyntaxError) as error:
        raise StoreError(
            f"{kind}: its code cannot be read ({image_set.one_line(error)}); correct its imports"
        ) from error


if __name__ == "__main__":
    run(main)
