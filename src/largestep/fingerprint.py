"""What code a stage depends on: a digest that changes with behaviour and not with comments."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "largestep"
# Names the workers of all stages; the worker that a stage uses is fingerprinted itself.
ROUTING = frozenset({"largestep.stages"})
ROOT = Path(__file__).resolve().parent


def fingerprint(*modules: str) -> str:
    """sha256 over the syntax trees, without docstrings, of modules and all they import from the package.

    modules: dotted names such as "largestep.train". Comments, formatting and docstrings do not count.
    Raises ModuleNotFoundError for a name outside the package, ValueError for a relative import.
    """
    digest = hashlib.sha256()
    for name in sorted(closure(*modules)):
        digest.update(f"{name}\n{_tree(name)}\n".encode())
    return digest.hexdigest()


def closure(*modules: str) -> set[str]:
    """The given modules and every module of the package that they import, directly or not."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found | ROUTING:
            found.add(name)
            waiting.extend(_imports(name))
    return found


@cache
def _parse(name: str) -> ast.Module:
    return ast.parse(_path(name).read_text(encoding="utf-8"))


@cache
def _tree(name: str) -> str:
    tree = ast.parse(_path(name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return ast.dump(tree)


@cache
def _imports(name: str) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(_parse(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if _is_module(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.level > 0:
            raise ValueError(f"{name}, line {node.lineno}: imports must be absolute to be followed")
        elif isinstance(node, ast.ImportFrom) and node.module:
            if _is_module(node.module):
                found.add(node.module)
            found.update(full for alias in node.names if _is_module(full := f"{node.module}.{alias.name}"))
    return frozenset(found)


def _is_module(name: str) -> bool:
    if name.split(".")[0] != PACKAGE:
        return False
    try:
        _path(name)
    except ModuleNotFoundError:
        return False
    return True


def _path(name: str) -> Path:
    parts = name.split(".")
    base = ROOT.joinpath(*parts[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if parts[0] == PACKAGE and path.is_file():
            return path
    raise ModuleNotFoundError(f"{name} is not a module of {PACKAGE}")
