"""Nothing that is read can run code: no pickle, no eval, no shell, in the sources and while the whole of them runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.reliability.small import WATCHED

# Modules whose readers run what a file tells them to.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "jsonpickle"}
FUNCTIONS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "torch.load"),
    *("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "yaml.unsafe_load", "yaml.full_load"),
    *("np.lib.format.read_array", "numpy.lib.format.read_array", "pd.read_pickle", "pandas.read_pickle", "pd.eval"),
    *("pd.read_hdf", "pandas.read_hdf", "yaml.load_all", "yaml.unsafe_load_all", "yaml.full_load_all"),
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def safe_loaders(tree: ast.AST) -> set[str]:
    """Classes of a module that load YAML no less safely than the library's own."""
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(dotted(base) in SAFE_LOADERS for base in node.bases)
    }


def dangers(tree: ast.AST, loaders: AbstractSet[str] = frozenset()) -> Iterator[str]:
    """What in a module could run code that a file holds. loaders: safe loaders of YAML by the name they are used by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {each.name}" for each in node.names if each.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] in MODULES:
                yield f"from {module} import"
            yield from (f"from {module} import {n.name}" for n in node.names if f"{module}.{n.name}" in FUNCTIONS)
        elif isinstance(node, ast.Call):
            name, given = dotted(node.func), {each.arg: each.value for each in node.keywords}
            if name in FUNCTIONS:
                yield f"{name}()"
            loader = given.get("Loader")
            if name == "yaml.load" and (loader is None or dotted(loader) not in loaders | SAFE_LOADERS):
                yield "yaml.load() without a safe loader"
            for key in {"allow_pickle", "shell"} & given.keys():
                value = given[key]
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"{key}=True"


def test_sources_neither_unpickle_nor_evaluate_nor_use_a_shell(repository: Path) -> None:
    files = [*sorted((repository / "src").rglob("*.py")), *sorted((repository / "benchmarks").rglob("*.py"))]
    assert len(files) > 100
    trees = {str(path.relative_to(repository)): ast.parse(path.read_text()) for path in files}
    loaders = {name for tree in trees.values() for name in safe_loaders(tree)}
    seen = [f"{path}: {what}" for path, tree in trees.items() for what in dangers(tree, loaders)]
    assert seen == []


def test_rules_neither_unpickle_nor_evaluate(repository: Path) -> None:
    """They call stages by shell commands, in which attacks test that texts from config.yaml are quoted.

    Snakemake hands its own objects to scripts and notebooks in pickles.
    """
    files = [repository / "workflow/Snakefile", *sorted((repository / "workflow/rules").glob("*.smk"))]
    for path in files:
        text = path.read_text()
        assert not re.search(r"pickle|\beval\(|\bexec\(|^\s+(script|notebook):", text, flags=re.MULTILINE), path


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "from torch import load",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(stream)",
        "yaml.load(stream, Loader=yaml.FullLoader)",
        "subprocess.run(command, shell=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_is_for(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_nothing_is_unpickled_while_stages_run(undisturbed: Project) -> None:
    """Python tells a hook of every object that a pickle looks up; none may belong to a file of the project."""
    seen = sorted(path.read_text() for path in (undisturbed.folder / WATCHED).glob("*.unpickled"))
    assert seen == []
    assert len(list((undisturbed.folder / WATCHED).glob("*.watched"))) >= 15
