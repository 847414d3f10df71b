"""The parts of modules are kept beside Python's own bytecode: to find them takes two seconds of every dry run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections import defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from largestep.fingerprint.parts import Module, parts


def kept(name: str, path: Path) -> Module:
    """The parts of the module at `path`: those that were kept, where they are of the same source and by the same rules.

    They are kept where and when bytecode is, so PYTHONPYCACHEPREFIX and PYTHONDONTWRITEBYTECODE hold for them too.
    Raises ValueError for an import that cannot be followed.
    """
    source = path.read_bytes()
    key = hashlib.sha256(_rules() + source).hexdigest()
    file = Path(importlib.util.cache_from_source(str(path))).with_suffix(".json")
    with suppress(OSError, ValueError, LookupError, TypeError):
        record = json.loads(file.read_bytes())
        if record["key"] == key:
            return _module(record)
    module = parts(name, source)
    if not sys.dont_write_bytecode:
        # A folder that takes no bytecode takes none of this.
        with suppress(OSError):
            _write(file, _record(key, module))
    return module


RULES = ("kept", "parts", "reduction", "syntax")


@cache
def _rules() -> bytes:
    """A digest of the code that finds parts; with the source it decides them."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in RULES)).digest()


def _record(key: str, module: Module) -> dict[str, object]:
    return {
        "key": key,
        "texts": module.texts,
        "uses": {name: sorted(used) for name, used in module.uses.items()},
        "imported": {name: sorted(meant) for name, meant in module.imported.items()},
        "modules": sorted(module.modules),
    }


def _module(record: dict[str, Any]) -> Module:
    return Module(
        texts=defaultdict(str, record["texts"]),
        uses=defaultdict(set, {name: set(map(tuple, used)) for name, used in record["uses"].items()}),
        imported=defaultdict(set, {name: set(meant) for name, meant in record["imported"].items()}),
        modules=set(record["modules"]),
    )


def _write(file: Path, record: dict[str, object]) -> None:
    """Replace the file at once, since several jobs may read and write it."""
    file.parent.mkdir(exist_ok=True)
    # Named as Python names bytecode that is not yet whole.
    part = file.with_name(f"{file.stem}.pyc.{os.getpid()}")
    part.write_text(json.dumps(record))
    part.replace(file)
