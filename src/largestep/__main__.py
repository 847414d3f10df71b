"""Commands for a study that has run, or runs."""

from __future__ import annotations

import argparse
import importlib
import sys

from largestep import __version__
from largestep.cli import run

# The module of each command, and what it does.
COMMANDS = {
    "cells": ("largestep.cells", "list the cells: done, diverged, stale, missing or damaged"),
    "show": ("largestep.cells", "what the stores of a cell hold"),
    "why": ("largestep.cells", "which stores of a cell would be made again, and why"),
    "verify": ("largestep.verify", "is everything in results/ what the configuration and the code of today ask for?"),
    "compare": ("largestep.compare.__main__", "does a run agree with the published one?"),
    "power": ("largestep.claims.power", "how often verdicts on made-up runs are right, by the number of seeds"),
    "column": ("largestep.column", "figures again for one column of a page, as PDF"),
    "pack": ("largestep.bundle.pack", "a finished study as one file for an archive"),
    "check-bundle": ("largestep.bundle.check", "is such a file what was packed?"),
}
EPILOG = """Each command has --help, and --json for what reads it.

exit status:
  0  done, and nothing was found wrong
  1  something was found: a file that is not fresh, a run that disagrees, a bundle that was changed; or an input, a
     disk or the memory that cannot be used, which one line names
  2  arguments that cannot be; or nothing to compare (compare), no bundle (check-bundle)
141  what read the output has stopped reading, such as head"""


def main() -> None:
    """Run the command that the first argument names, with the other arguments."""
    width = max(map(len, COMMANDS))
    arguments = argparse.ArgumentParser(
        prog="python -m largestep",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description=f"{__doc__}\n\ncommands:\n"
        + "\n".join(f"  {name:{width}s}  {purpose}" for name, (_, purpose) in COMMANDS.items()),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--version", action="version", version=f"largestep {__version__}")
    arguments.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    name = arguments.parse_args(sys.argv[1:2]).command
    sys.argv = [f"largestep {name}", *sys.argv[2:]]
    run(lambda: importlib.import_module(COMMANDS[name][0]).main())


if __name__ == "__main__":
    main()
