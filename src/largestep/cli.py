"""What the command lines of all stages share: arguments, threads and one-line errors."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from largestep.keys import digest
from largestep.machine import ProcessorError
from largestep.store import RefusedError, StoreError, set_aside

Spec = TypeVar("Spec")


def parser(stage: str, description: str | None) -> argparse.ArgumentParser:
    """An argument parser for `python -m largestep.<stage>`."""
    return argparse.ArgumentParser(prog=f"python -m largestep.{stage}", description=description)


def command_parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """An argument parser for `python -m largestep COMMAND`, one of those of `largestep.__main__`."""
    return argparse.ArgumentParser(prog=f"python -m largestep {command}", description=description)


def spec_parser(
    stage: str, description: str | None, read: Callable[[str], Spec], *, threads: bool = False
) -> argparse.ArgumentParser:
    """A parser for a stage that is told by a spec what to do, and perhaps with how many threads.

    read: makes the spec of its text, or raises ValueError, one line; see `largestep.specs`.
    """
    arguments = parser(stage, description)
    arguments.add_argument(
        "--spec", required=True, type=spec_type(read), help="what to compute: canonical JSON, see `largestep.specs`"
    )
    if threads:
        arguments.add_argument("--threads", type=int, default=1, help="threads to compute with (default: 1)")
    return arguments


def spec_type(read: Callable[[str], Spec]) -> Callable[[str], Spec]:
    """An argument type: a spec, of which `read` says in one line what is wrong."""

    def spec(text: str) -> Spec:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return spec


def file_parser(stage: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for a stage whose spec grows with the number of cells, too long for a command line; see `read_spec`."""
    arguments = parser(stage, description)
    arguments.add_argument(
        "--spec-file", required=True, type=existing, help="what to do: file of canonical JSON, see `largestep.specs`"
    )
    arguments.add_argument("--spec-sha256", help="refuse another spec than the one with this checksum")
    return arguments


def read_spec(options: argparse.Namespace, read: Callable[[str], Spec]) -> Spec:
    """The spec that `--spec-file` holds. Raises StoreError when it is none, or not the one that was asked for.

    read: as of `spec_parser`.
    """
    try:
        text = options.spec_file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise RefusedError(options.spec_file, "is no text") from error
    if options.spec_sha256 not in (None, digest(text)):
        raise RefusedError(options.spec_file, "is stale: it was written for other settings")
    try:
        return read(text)
    except ValueError as error:
        raise RefusedError(options.spec_file, str(error)) from error


def run(main: Callable[[], None]) -> None:
    """Run a stage; an unusable input, or a disk or memory that is full, ends it with one line and exit status 1.

    In the workflow, which exports LARGESTEP_WORKFLOW, an input that has to be made anew is moved aside.
    """
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read, such as head, has enough. Python would complain once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except RefusedError as error:
        in_workflow = bool(os.environ.get("LARGESTEP_WORKFLOW"))
        sys.exit(f"error: {error.path}: {error.problem}; {set_aside(error.path)}" if in_workflow else f"error: {error}")
    except StoreError as error:
        sys.exit(f"error: {error}")
    except (ModuleNotFoundError, SyntaxError) as error:
        sys.exit(f"error: code that is needed cannot be imported: {error}; is it here or on PYTHONPATH?")
    except ProcessorError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {error or 'nothing more can be had'}; run fewer jobs at once or ask for less")
    except OSError as error:
        # Libraries do not always say which file; then it is most likely one of numba's.
        unnamed = f"a file, perhaps of the compiled kernels in {os.environ.get('NUMBA_CACHE_DIR', 'a cache')}"
        sys.exit(f"error: {error.filename or unnamed}: {error.strerror or error}; mend that and run again")


def existing(path: str) -> Path:
    """An argument type: a file that is there."""
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{path}: there is no such file")
    return Path(path)
