"""Elementary functions against NumPy's, and that nothing that makes numbers calls those or BLAS."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from largestep import elementary

VALUES = np.array([[0.0, 1e-320, 1e-5, 0.5], [1.0, 2.0, 1e300, np.inf], [-1.0, -np.inf, np.nan, 8.0]])


@pytest.mark.parametrize("name", ["exp", "log", "log2", "log10"])
def test_functions_are_those_of_numpy_without_its_warnings(name: str) -> None:
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(VALUES)
    values = getattr(elementary, name)(VALUES)
    np.testing.assert_allclose(values, wanted, rtol=1e-15, atol=1e-15)
    assert getattr(elementary, name)(1.0).shape == ()


def test_powers_broadcast() -> None:
    np.testing.assert_allclose(elementary.power(1.1, np.arange(5.0)), 1.1 ** np.arange(5.0), rtol=1e-15)
    np.testing.assert_allclose(elementary.power(np.linspace(0, 1, 5), 0.5), np.linspace(0, 1, 5) ** 0.5, rtol=1e-15)


def test_powers_that_are_too_large_are_infinite() -> None:
    """As those of a warm-up of a large base, with which a run diverges."""
    np.testing.assert_array_equal(elementary.power([10.0, 0.0, 10.0], [400.0, -1.0, -400.0]), [np.inf, np.inf, 0.0])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_ratios_are_equal_and_ends_exact(count: int) -> None:
    values = elementary.geomspace(1.0, 500.0, count)
    np.testing.assert_allclose(values, np.geomspace(1.0, 500.0, count), rtol=1e-14)
    assert values[0] == 1.0
    assert count == 1 or values[-1] == 500.0


# Differ between processors with AVX2 and with AVX-512 (NumPy 2.4), or by the kernels and threads of BLAS.
OF_NUMPY = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "float_power", "pow", "cbrt"),
    *("tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh", "arccosh", "arctanh"),
    *("logaddexp", "logaddexp2", "geomspace", "logspace"),
    *("dot", "vdot", "inner", "matmul", "tensordot", "corrcoef", "cov", "polyfit", "lstsq", "convolve", "correlate"),
}
# What no toy network, data set, study, measure or claim is computed by.
NOT_PROMISED = (
    *("figures", "animation.py", "compare", "images", "measures/unit_tensors.py", "measures/image_features.py"),
    *("models/densenet.py", "models/resnet.py", "models/diagonal.py"),
)
# Its rounding stays below the slack of every bound and the digits that are printed.
ALLOWED = {("claims/verdict.py", "values @ counts.T")}
# Sums along an axis; without one it is a dot product of BLAS.
BY_AXIS = "norm"
# The order of ties is not that of other processors.
SORTS = {"argsort"}


def unstable(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines of a module that NumPy may compute otherwise on another processor, and what stands there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign):
            exponent = node.right if isinstance(node, ast.BinOp) else node.value
            literal = isinstance(exponent, ast.Constant) and exponent.value == 2
            if isinstance(node.op, ast.MatMult) or (isinstance(node.op, ast.Pow) and not literal and not _fixed(node)):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Attribute):
            named = ast.unparse(node.value)
            if (named == "np" and node.attr in OF_NUMPY) or node.attr == "dot":
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if ast.unparse(node.func.value) == "np.linalg" and not (node.func.attr == BY_AXIS and "axis" in options):
                yield node.lineno, ast.unparse(node)
            if node.func.attr in SORTS and options.get("kind") != "'stable'":
                yield node.lineno, ast.unparse(node)


def _fixed(node: ast.AST) -> bool:
    """Whether a power is one of two literals."""
    return isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)


@pytest.mark.parametrize(
    "line",
    [
        *("np.exp(x)", "np.log10(loss)", "x ** 3", "x ** 0.5", "x ** law", "2.0 ** n", "x **= p", "a @ b", "a @= b"),
        *("np.linalg.norm(x)", "np.linalg.qr(x)", "np.dot(a, b)", "a.dot(b)", "np.argsort(x)", "x.argsort()"),
        "apply(np.log2, x)",
    ],
)
def test_the_walk_finds(line: str) -> None:
    assert list(unstable(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        *("x ** 2", "2 ** 53", "np.sqrt(x)", "np.cos(x)", "np.tanh(x)", "np.hypot(x, y)", "np.sum(x)", "math.exp(x)"),
        *("np.linalg.norm(x, axis=1)", "np.argsort(x, kind='stable')", "x.argsort(kind='stable')", "elementary.log(x)"),
    ],
)
def test_the_walk_passes(line: str) -> None:
    assert not list(unstable(ast.parse(line)))


def test_nothing_that_makes_numbers_depends_on_the_processor() -> None:
    package = Path(elementary.__file__).parent
    calls = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(NOT_PROMISED):
            lines = unstable(ast.parse(path.read_text(encoding="utf-8")))
            calls += [f"{name}, line {line}: {text}" for line, text in lines if (name, text) not in ALLOWED]
    assert not calls
