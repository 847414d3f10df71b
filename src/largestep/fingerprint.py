"""What code a stage depends on: a digest that changes with behaviour and not with comments."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import site
import sysconfig
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
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
        digest.update(f"{name}\n{_tree(_path(name))}\n".encode())
    return digest.hexdigest()


def user_fingerprint(dotted: str) -> str:
    """The same for a user's own function or class, such as "my_nets.wide.Net", without running its module.

    It covers the module and all that it imports from the same folder; of an installed package, the version alone.
    Raises ModuleNotFoundError, one line, when no such module can be found.
    """
    top, *rest = dotted.split(".")[:-1]
    found = PathFinder.find_spec(top, [str(Path.cwd()), *_python_path()])
    if found is None:
        found = importlib.util.find_spec(top)
        if found is None:
            raise ModuleNotFoundError(f"there is no module {top} here or on PYTHONPATH")
        names = packages_distributions().get(top, [])
        return hashlib.sha256(repr([(name, version(name)) for name in sorted(set(names))]).encode()).hexdigest()
    folder = Path(found.origin or next(iter(found.submodule_search_locations or ["."]))).resolve()
    root = folder.parent.parent if folder.name == "__init__.py" else folder.parent
    digest = hashlib.sha256()
    ours: set[str] = set()
    for path in sorted(_user_closure(root, _user_module(root, [top, *rest]))):
        digest.update(f"{path.relative_to(root)}\n{_tree(path)}\n".encode())
        ours |= {".".join(parts) for parts in _imported(root, path) if _is_module(".".join(parts))}
    digest.update(fingerprint(*sorted(ours)).encode())
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


def _python_path() -> list[str]:
    """Folders of PYTHONPATH that hold a user's own code rather than installed packages."""
    installed = {*site.getsitepackages(), sysconfig.get_path("stdlib"), str(ROOT.parent)}
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each not in installed]


def _user_module(root: Path, parts: list[str]) -> Path:
    base = root.joinpath(*parts)
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"{root}: holds no module {'.'.join(parts)}")


def _user_closure(root: Path, start: Path) -> set[Path]:
    """A user's module and all modules under the same folder that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for parts in _imported(root, path):
            # Importing a.b runs a/__init__.py as well.
            for length in range(1, len(parts) + 1):
                try:
                    waiting.append(_user_module(root, parts[:length]))
                except ModuleNotFoundError:
                    break
    return found


def _imported(root: Path, path: Path) -> list[list[str]]:
    """Names that a user's module imports, split at their dots; relative ones are made absolute."""
    package = [*path.relative_to(root).parent.parts]
    found: list[list[str]] = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            found += [base, *([*base, alias.name] for alias in node.names)]
    return found


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _tree(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
    for node in ast.walk(_parse(_path(name))):
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
