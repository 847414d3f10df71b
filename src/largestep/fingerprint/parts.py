"""The parts of a module: its definitions as text, and what each of them uses."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeGuard

from largestep.fingerprint.reduction import reduced
from largestep.fingerprint.syntax import text

PACKAGE = "largestep"
# What a module does when it is imported, beside defining names. It counts wherever the module is imported.
EFFECTS = ""
ATTRIBUTE = "."
# Classes whose methods nothing but our code calls; one with other bases counts whole.
BARE = frozenset({"Protocol", "object"})
# Decorators of our own that give back a function and do nothing else; any other may put it where others find it.
WRAPPERS = frozenset({"kernel", "house"})


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


def parts(name: str, source: bytes) -> Module:
    """The parts of the module of this name.

    Raises ValueError for an import that cannot be followed.
    """
    module = Module()
    module.texts[EFFECTS] = ""
    tree, imports = reduced(ast.parse(source))
    for node in imports:
        if isinstance(node, ast.Import):
            _note_import(module, node)
        elif node.level > 0 or node.names[0].name == "*":
            raise ValueError(f"{name}, line {node.lineno}: imports must be absolute and without * to be followed")
        else:
            _note_names(module, node)
    for statement in _run(tree.body):
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            _note_definition(module, statement)
    for statement in tree.body:
        if _is_handed_on(module, statement):
            module.uses[EFFECTS] |= {(name,) for name in _defined(statement)}
    return module


def _run(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What an import runs."""
    for statement in body:
        if _is_for_others(statement):
            yield from _run(statement.orelse)
        else:
            yield statement


def _note_import(module: Module, node: ast.Import) -> None:
    for alias in node.names:
        first = alias.name.split(".")[0]
        module.imported[alias.asname or first].add(alias.name if alias.asname else first)
        module.modules.add(alias.name)


def _note_names(module: Module, node: ast.ImportFrom) -> None:
    for alias in node.names:
        module.imported[alias.asname or alias.name].add(f"{node.module}.{alias.name}")
        module.modules |= {str(node.module), f"{node.module}.{alias.name}"}


def _note_definition(module: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.ClassDef) and all(ast.unparse(each) in BARE for each in statement.bases):
        methods = [each for each in statement.body if _is_called_by_name(each)]
        for method in methods:
            statement.body.remove(method)
            module.texts[f"{statement.name}.{method.name}"] += text(method)
            module.uses[f"{statement.name}.{method.name}"] |= _names(method)
        # As in `other_name = method`.
        module.uses[statement.name] |= {(ATTRIBUTE, each.name) for each in methods} & {
            (ATTRIBUTE, name) for name, *_ in _names(statement)
        }
    names = _defined(statement)
    # `TABLE[key] = NAME = value` does both.
    changes = isinstance(statement, ast.Assign) and not all(map(_is_name, _targets(*statement.targets)))
    for name in [*names, *([EFFECTS] if changes or not names else [])]:
        module.texts[name] += text(statement)
        module.uses[name] |= _names(statement)
    if not names:
        for name in _stored(statement):
            module.texts[name] += ""


def _is_called_by_name(statement: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(statement, ast.FunctionDef) and not statement.name.startswith("__")


def _is_handed_on(module: Module, statement: ast.stmt) -> bool:
    """Whether a definition is given to a decorator of our own that may register it."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    for decorator in statement.decorator_list:
        for name, *attributes in (used for used in _names(decorator) if used[0] != ATTRIBUTE):
            ours = name in module.texts or any(
                f"{each}.".startswith(f"{PACKAGE}.") for each in module.imported.get(name, ())
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
