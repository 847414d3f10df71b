"""Definitions of the package, what each of them uses, and the digest of all that a module comes to use."""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeGuard

from largestep.fingerprint.outside import OUTSIDE
from largestep.fingerprint.reduction import reduced
from largestep.fingerprint.syntax import text

PACKAGE = "largestep"
ROOT = Path(__file__).resolve().parent.parent
# What a module does when it is imported, beside defining names. It counts wherever the module is imported.
EFFECTS = ""
ATTRIBUTE = "."
# Classes whose methods nothing but our code calls; one with other bases counts whole.
BARE = frozenset({"Protocol", "object"})
# Decorators of our own that give back a function and do nothing else; any other may put it where others find it.
WRAPPERS = frozenset({"kernel", "house"})
# Functions that read, as text, a constant of every module of a package that has it: they use all of these.
READERS = {("largestep.registered", "measures"): ("measures", "MEASURES")}


@dataclass
class Module:
    """The parts of a module.

    texts: of every top-level name, of every method as "Class.method", and of `EFFECTS`. uses: of each, the names that
    occur in it, dotted ones split, and (ATTRIBUTE, name) for each attribute.
    imported: what names stand for that are imported, at the top or within functions, such as {"np": {"numpy"}}.
    modules: what they are imported from, and what may be a module itself.
    """

    texts: dict[str, str] = field(default_factory=lambda: defaultdict(str))
    uses: dict[str, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    imported: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    modules: set[str] = field(default_factory=set)


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
    found: set[tuple[str, str]] = set()
    named: set[str] = set()
    uncalled: dict[str, list[tuple[str, str]]] = defaultdict(list)
    while waiting:
        pair = waiting.pop()
        if pair in found or _is_outside(*pair):
            continue
        method = pair[1].partition(".")[2]
        if method and method not in named and not every_method:
            uncalled[method].append(pair)
            continue
        found.add(pair)
        waiting.extend(_used_by(*pair))
        for attribute in _attributes(*pair) - named:
            named.add(attribute)
            waiting.extend(uncalled.pop(attribute, ()))
    return found


def closure(*modules: str) -> set[str]:
    """The given modules and every module of the package that they import, directly or not, less those outside.

    What only modules outside import is left out too.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in OUTSIDE:
            found.add(name)
            waiting += [_parent(name), *_imports(name)]
    return found


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
    found = Module()
    found.texts[EFFECTS] = ""
    tree, imports = reduced(ast.parse(_path(name).read_bytes()))
    for node in imports:
        if isinstance(node, ast.Import):
            _note_import(found, node)
        elif node.level > 0 or node.names[0].name == "*":
            raise ValueError(f"{name}, line {node.lineno}: imports must be absolute and without * to be followed")
        else:
            _note_names(found, node)
    for statement in _run(tree.body):
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            _note_definition(found, statement)
    for statement in tree.body:
        if _is_handed_on(found, statement):
            found.uses[EFFECTS] |= {(name,) for name in _defined(statement)}
    return found


def _run(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What an import runs."""
    for statement in body:
        if _is_for_others(statement):
            yield from _run(statement.orelse)
        else:
            yield statement


def _note_import(found: Module, node: ast.Import) -> None:
    for alias in node.names:
        first = alias.name.split(".")[0]
        found.imported[alias.asname or first].add(alias.name if alias.asname else first)
        found.modules.add(alias.name)


def _note_names(found: Module, node: ast.ImportFrom) -> None:
    for alias in node.names:
        found.imported[alias.asname or alias.name].add(f"{node.module}.{alias.name}")
        found.modules |= {str(node.module), f"{node.module}.{alias.name}"}


def _note_definition(found: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.ClassDef) and all(ast.unparse(each) in BARE for each in statement.bases):
        methods = [each for each in statement.body if _is_called_by_name(each)]
        for method in methods:
            statement.body.remove(method)
            found.texts[f"{statement.name}.{method.name}"] += text(method)
            found.uses[f"{statement.name}.{method.name}"] |= _names(method)
        # As in `other_name = method`.
        found.uses[statement.name] |= {(ATTRIBUTE, each.name) for each in methods} & {
            (ATTRIBUTE, name) for name, *_ in _names(statement)
        }
    names = _defined(statement)
    # `TABLE[key] = NAME = value` does both.
    changes = isinstance(statement, ast.Assign) and not all(map(_is_name, _targets(*statement.targets)))
    for name in [*names, *([EFFECTS] if changes or not names else [])]:
        found.texts[name] += text(statement)
        found.uses[name] |= _names(statement)
    if not names:
        for name in _stored(statement):
            found.texts[name] += ""


def _is_called_by_name(statement: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(statement, ast.FunctionDef) and not statement.name.startswith("__")


def _is_handed_on(parts: Module, statement: ast.stmt) -> bool:
    """Whether a definition is given to a decorator of our own that may register it."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    for decorator in statement.decorator_list:
        for name, *attributes in (used for used in _names(decorator) if used[0] != ATTRIBUTE):
            ours = name in parts.texts or any(
                f"{each}.".startswith(f"{PACKAGE}.") for each in parts.imported.get(name, ())
            )
            if ours and [name, *attributes][-1] not in WRAPPERS:
                return True
    return False


def _is_for_others(statement: ast.stmt) -> TypeGuard[ast.If]:
    """What a stage's command line and what type checkers read: neither is run by an import."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def _defined(statement: ast.stmt) -> list[str]:
    """The names of the module that a statement defines or adds to; none for one that does something else."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return _stored(*statement.targets)
    if isinstance(statement, ast.AugAssign | ast.AnnAssign):
        return _stored(statement.target)
    return []


def _targets(*targets: ast.expr) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _targets(*target.elts)
        else:
            yield target.value if isinstance(target, ast.Starred) else target


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _stored(*nodes: ast.AST) -> list[str]:
    """Names that are bound somewhere in nodes."""
    inside = [each for node in nodes for each in ast.walk(node)]
    names = [each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
    return names + [each.name for each in inside if isinstance(each, ast.FunctionDef | ast.ClassDef)]


def _names(node: ast.AST) -> set[tuple[str, ...]]:
    """Names that occur in a tree, with the attributes that follow them: ("np", "float64"); attributes also alone."""
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.append(inner.attr)
        inner = inner.value
    alone = {(ATTRIBUTE, each) for each in attributes}
    if isinstance(inner, ast.Name):
        return {(inner.id, *reversed(attributes)), *alone}
    return alone.union(*map(_names, ast.iter_child_nodes(inner)))


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
    found = (path for path in (base / "__init__.py", base.with_suffix(".py")) if top == PACKAGE and path.is_file())
    return next(found, None)
