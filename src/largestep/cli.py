"""What the command lines of all stages share: arguments, threads and one-line errors."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from largestep.store import StoreError


def parser(stage: str, description: str | None) -> argparse.ArgumentParser:
    """An argument parser for `python -m largestep.<stage>`."""
    return argparse.ArgumentParser(prog=f"python -m largestep.{stage}", description=description)


def spec_parser(stage: str, description: str | None, *, threads: bool = False) -> argparse.ArgumentParser:
    """A parser for a stage that is told by a spec what to do, and perhaps with how many threads."""
    arguments = parser(stage, description)
    arguments.add_argument(
        "--spec", required=True, type=_json, help="what to compute: canonical JSON, see `largestep.grid`"
    )
    if threads:
        arguments.add_argument("--threads", type=int, default=1, help="threads to compute with (default: 1)")
    return arguments


def run(main: Callable[[], None]) -> None:
    """Run a stage; an unusable input ends it with one line and exit status 1."""
    try:
        main()
    except StoreError as error:
        sys.exit(f"error: {error}")
    except (ModuleNotFoundError, SyntaxError) as error:
        sys.exit(f"error: code that is needed cannot be imported: {error}; is it here or on PYTHONPATH?")


def existing(path: str) -> Path:
    """An argument type: a file that is there."""
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{path}: there is no such file")
    return Path(path)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value
