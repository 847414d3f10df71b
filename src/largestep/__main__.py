"""Commands for a finished study: python -m largestep compare, python -m largestep verify."""

from __future__ import annotations

import importlib
import sys

from largestep.cli import run

COMMANDS = {"compare": "largestep.compare.__main__", "verify": "largestep.verify"}


def main() -> None:
    """Run the command that the first argument names."""
    name, *rest = sys.argv[1:] or [""]
    if name not in COMMANDS:
        sys.exit(f"usage: python -m largestep {{{','.join(COMMANDS)}}} ...; each has --help")
    sys.argv = [f"largestep {name}", *rest]
    run(importlib.import_module(COMMANDS[name]).main)


if __name__ == "__main__":
    main()
