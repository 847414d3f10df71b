"""Definitions of the package, what each of them uses, and the digest of all that a module comes to use."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from largestep.fingerprint.kept import kept
from largestep.fingerprint.outside import OUTSIDE
from largestep.fingerprint.parts import ATTRIBUTE, EFFECTS, PACKAGE, Module

ROOT = Path(__file__).resolve().parent.parent
# Functions that read, as text, a constant of every module of a package that has it: they use all of these.
READERS = {("largestep.registered", "measures"): ("measures", "MEASURES")}


@cache
def fingerprint(*modules: str, every_method: bool = True) -> str:
    """sha256 over all definitions that modules hold or use, directly or not, less what cannot change a number.

    modules: dotted names such as "largestep.train". every_method: count those too that nothing here calls by
    name, since others may.
    Comments, formatting and the order of definitions do not count.
    Raises ModuleNotFoundError for a name outside the package, ValueError for an import that cannot be followed.
    """
    digest = hashlib.sha256()
    for name, definition in sorted(reached(*modules, every_method=every_method)):
        parts = _module(name)
        # An import of what nothing is used of.
        if not parts.texts[definition]:
            continue
        imported = sorted(f"{used[0]}={sorted(parts.imported[used[0]])}" for used in _imported_by(parts, definition))
        digest.update(f"{name} {definition} {parts.texts[definition]} {imported}\n".encode())
    return digest.hexdigest()


def reached(*modules: str, every_method: bool = True) -> set[tuple[str, str]]:
    """Module and name of every definition that modules hold or use, and (module, `EFFECTS`) of what they import.

    Which class an object has is not known here: without every_method, one counts where something that counts has an
    attribute of its name. Then the modules must be all that run together.
    """
    waiting = [pair for name in modules for pair in _whole(name)]
    waiting += [(name, EFFECTS) for name in closure(*modules)]
    pairs: set[tuple[str, str]] = set()
    named: set[str] = set()
    uncalled: dict[str, list[tuple[str, str]]] = defaultdict(list)
    while waiting:
        pair = waiting.pop()
        if pair in pairs or _is_outside(*pair):
            continue
        method = pair[1].partition(".")[2]
        if method and method not in named and not every_method:
            uncalled[method].append(pair)
            continue
        pairs.add(pair)
        waiting.extend(_used_by(*pair))
        for attribute in _attributes(*pair) - named:
            named.add(attribute)
            waiting.extend(uncalled.pop(attribute, ()))
    return pairs


def closure(*modules: str) -> set[str]:
    """The given modules and every module of the package that they import, directly or not, less those outside.

    What only modules outside import is left out too.
    """
    members: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in members and name not in OUTSIDE:
            members.add(name)
            waiting += [_parent(name), *_imports(name)]
    return members


def is_module(name: str) -> bool:
    """Whether there is such a module in the package."""
    return name.startswith(PACKAGE) and _file(name) is not None


def _is_outside(module: str, definition: str) -> bool:
    return module in OUTSIDE or f"{module}.{definition.partition('.')[0]}" in OUTSIDE


def _whole(module: str) -> Iterator[tuple[str, str]]:
    return ((module, definition) for definition in _module(module).texts)


@cache
def _used_by(module: str, definition: str) -> frozenset[tuple[str, str]]:
    parts = _module(module)
    methods = frozenset((module, each) for each in parts.texts if each.startswith(f"{definition}.") and definition)
    return (
        methods
        | _read_by(module, definition)
        | {pair for used in parts.uses[definition] for pair in _meant(module, used)}
    )


def _read_by(module: str, definition: str) -> set[tuple[str, str]]:
    if (module, definition) not in READERS:
        return set()
    package, constant = READERS[module, definition]
    there = [f"{PACKAGE}.{package}.{path.stem}" for path in (ROOT / package).glob("[a-z]*.py")]
    return {(name, constant) for name in there if constant in _module(name).texts}


@cache
def _attributes(module: str, definition: str) -> frozenset[str]:
    return frozenset(used[1] for used in _module(module).uses[definition] if used[0] == ATTRIBUTE)


def _imported_by(parts: Module, definition: str) -> set[tuple[str, ...]]:
    return {used[:1] for used in parts.uses[definition] if used[0] in parts.imported}


def _meant(module: str, used: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The definitions that a name in a module can mean; a module that is not used by one of its names counts whole."""
    parts = _module(module)
    if used[0] in parts.texts:
        yield module, used[0]
    for target in parts.imported.get(used[0], ()):
        names = [*target.split("."), *used[1:]]
        length = max((n for n in range(1, len(names) + 1) if is_module(".".join(names[:n]))), default=0)
        owner, rest = ".".join(names[:length]), tuple(names[length:])
        if not length or owner in OUTSIDE:
            continue
        there = _module(owner)
        if rest and (rest[0] in there.texts or rest[0] in there.imported):
            yield from _meant(owner, rest)
        else:
            yield from _whole(owner)


@cache
def _module(name: str) -> Module:
    return kept(name, _path(name))


@cache
def _imports(name: str) -> frozenset[str]:
    """Modules of the package that a module imports."""
    return frozenset(each for each in _module(name).modules if is_module(each))


def _parent(name: str) -> str:
    """The package that holds a module, which is imported first; the package at the top holds itself."""
    return name.rpartition(".")[0] or name


def _path(name: str) -> Path:
    path = _file(name)
    if path is None:
        raise ModuleNotFoundError(f"{name} is not a module of {PACKAGE}")
    return path


@cache
def _file(name: str) -> Path | None:
    top, *rest = name.split(".")
    base = ROOT.joinpath(*rest)
    files = (path for path in (base / "__init__.py", base.with_suffix(".py")) if top == PACKAGE and path.is_file())
    return next(files, None)
