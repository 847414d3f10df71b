"""Commands for a study that has run, or runs; each has --help."""

from __future__ import annotations

import argparse
import importlib
import sys

from largestep.cli import run

COMMANDS = {
    "cells": "largestep.cells",
    "check-bundle": "largestep.bundle.check",
    "compare": "largestep.compare.__main__",
    "pack": "largestep.bundle.pack",
    "power": "largestep.claims.power",
    "show": "largestep.cells",
    "verify": "largestep.verify",
    "why": "largestep.cells",
}


def main() -> None:
    """Run the command that the first argument names, with the other arguments."""
    arguments = argparse.ArgumentParser(prog="python -m largestep", description=__doc__)
    arguments.add_argument("command", choices=COMMANDS, help="what to do")
    name = arguments.parse_args(sys.argv[1:2]).command
    sys.argv = [f"largestep {name}", *sys.argv[2:]]
    run(lambda: importlib.import_module(COMMANDS[name]).main())


if __name__ == "__main__":
    main()
