"""The digest of a user's own code, which config.yaml names by a dotted name; less is left out of it than of ours."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import os
import site
import sysconfig
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path

from largestep.fingerprint.definitions import ROOT, fingerprint, is_module
from largestep.fingerprint.syntax import text, without_docstrings


def user_fingerprint(dotted: str) -> str:
    """sha256 over the code behind a function or class, such as "my_nets.wide.Net", without running its module.

    Comments, formatting and docstrings do not count: what else decides nothing, we cannot know here. It covers the
    module and all that it imports from the same folder; of an installed package, the version alone, unless it is
    installed as editable: then its files are somebody's own.
    Raises ModuleNotFoundError, one line, when no such module can be found.
    """
    top, *rest = dotted.split(".")[:-1]
    spec = PathFinder.find_spec(top, [str(Path.cwd()), *_python_path()])
    if spec is None:
        spec = importlib.util.find_spec(top)
        if spec is None:
            raise ModuleNotFoundError(f"there is no module {top} here or on PYTHONPATH")
        if _is_installed(spec):
            names = packages_distributions().get(top, [])
            return hashlib.sha256(repr([(name, version(name)) for name in sorted(set(names))]).encode()).hexdigest()
    folder = Path(spec.origin or next(iter(spec.submodule_search_locations or ["."]))).resolve()
    root = folder.parent.parent if folder.name == "__init__.py" else folder.parent
    digest = hashlib.sha256()
    ours: set[str] = set()
    for path in sorted(_user_closure(root, _user_module(root, [top, *rest]))):
        digest.update(f"{path.relative_to(root)}\n{_text(path)}\n".encode())
        ours |= {".".join(parts) for parts in _imported(root, path) if is_module(".".join(parts))}
    digest.update(fingerprint(*sorted(ours)).encode())
    return digest.hexdigest()


def _installed() -> set[str]:
    """Folders of installed packages and of the standard library."""
    known = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return {*site.getsitepackages(), site.getusersitepackages(), *known}


def _is_installed(spec: ModuleSpec) -> bool:
    """Whether a module lies where packages are installed, or in Python itself."""
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or [])
    folders = {Path(each).resolve() for each in _installed()}
    return not any(place and folders.isdisjoint(Path(place).resolve().parents) for place in places)


def _python_path() -> list[str]:
    """Folders of PYTHONPATH that hold a user's own code rather than installed packages."""
    installed = _installed() | {str(ROOT.parent)}
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each not in installed]


def _user_module(root: Path, parts: list[str]) -> Path:
    base = root.joinpath(*parts)
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"{root}: holds no module {'.'.join(parts)}")


def _user_closure(root: Path, start: Path) -> set[Path]:
    """A user's module and all modules under the same folder that it imports, directly or not."""
    files: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in files:
            continue
        files.add(path)
        for parts in _imported(root, path):
            # Importing a.b runs a/__init__.py as well, which a folder need not have.
            for length in range(1, len(parts) + 1):
                with contextlib.suppress(ModuleNotFoundError):
                    waiting.append(_user_module(root, parts[:length]))
    return files


def _imported(root: Path, path: Path) -> list[list[str]]:
    """Names that a user's module imports, split at their dots; relative ones are made absolute."""
    package = [*path.relative_to(root).parent.parts]
    dotted: list[list[str]] = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            dotted += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            dotted += [base, *([*base, alias.name] for alias in node.names)]
    return dotted


@cache
def _parse(path: Path) -> ast.Module:
    return without_docstrings(ast.parse(path.read_bytes()))


@cache
def _text(path: Path) -> str:
    return text(_parse(path))
