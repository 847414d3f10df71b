"""What of our own code cannot change a number, and what can."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from largestep.fingerprint import definitions
from largestep.fingerprint.reduction import reduced
from largestep.fingerprint.syntax import text


def same(one: str, other: str) -> bool:
    one, other = (text(reduced(ast.parse(textwrap.dedent(each)))[0]) for each in (one, other))
    return one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("raise StoreError(f'{path}: is bad')", "raise StoreError(f'{path}: is worse; {why(path)}')"),
        ("raise ValueError('a') from error", "raise ValueError('b', 3)"),
        ("raise _wrong(name, 'a')", "raise _wrong(name, f'b {c}')"),
        ("sys.exit('a')", "sys.exit(f'b {c}')"),
        ("assert x, 'a'", "assert x"),
        ("class A(StoreError):\n  def __init__(self): self.text = 'a'", "class A(StoreError): ..."),
        ("def f():\n  'a'\n  # b\n  return 1", "def f():\n  'c'\n  return 1"),
        ("def f(a: int, *b: str, c: float = 1, **d: x) -> None: g()", "def f(a, *b, c=1, **d): g()"),
        ("def f():\n  x: int = 3\n  return x", "def f():\n  x = 3\n  return x"),
        ("X: Final[int] = 3", "X = 3"),
        ("def f():\n  print('a', file=sys.stderr)\n  g()", "def f(): g()"),
        ("def f():\n  logging.info('a')\n  self.logger.warning('b %s', c)\n  g()", "def f(): g()"),
        ("def f():\n  bar.set_description('a')\n  g()", "def f(): g()"),
        ("tqdm(total=3, desc='a', unit='step')", "tqdm(total=3, unit='x', ascii=True)"),
        ("p.add_argument('--a', type=int, default=3, help='a')", "p.add_argument('--a', type=int, default=3)"),
        ("argparse.ArgumentParser(description='a')", "argparse.ArgumentParser()"),
        (
            "def f(x):\n  why = 'a' if x else f'b {x}'\n  if x:\n    raise StoreError(why)",
            "def f(x):\n  if x:\n    raise StoreError('c')",
        ),
    ],
)
def test_what_cannot_change_a_number_is_left_out(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("raise StoreError('a')", "raise OSError('a')"),
        ("raise StoreError('a')", "g('a')"),
        ("raise StopIteration(1)", "raise StopIteration(2)"),
        ("if x: raise StoreError('a')", "if y: raise StoreError('a')"),
        ("assert x", "assert y"),
        ("class A:\n  x: int = 3", "class A:\n  x: float = 3"),
        ("class A:\n  x: int", "class A:\n  x: float"),
        ("class A:\n  def f(self): return 1", "class A:\n  def f(self): return 2"),
        ("def f(a: int = 1): g()", "def f(a: int = 2): g()"),
        ("def f():\n  class A:\n    name = 'a'\n  return A", "def f():\n  class A:\n    name = 'b'\n  return A"),
        ("def f():\n  name = 'a'\n  return name", "def f():\n  name = 'b'\n  return name"),
        ("def f():\n  global name\n  name = 'a'", "def f():\n  global name\n  name = 'b'"),
        ("def f():\n  x = g(1)\n  raise StoreError(x)", "def f():\n  x = g(2)\n  raise StoreError(x)"),
        ("print('a', file=table)", "print('b', file=table)"),
        ("print(x := 1)", "print(x := 2)"),
        ("values.append('a')", "values.append('b')"),
        ("np.log(a)", "np.log(b)"),
        ("p.add_argument('--a', default=3)", "p.add_argument('--a', default=4)"),
        ("tqdm(total=3)", "tqdm(total=4)"),
        ("variable(x, 'm', 'length')", "variable(x, 'm', 'width')"),
    ],
)
def test_what_can_counts(one: str, other: str) -> None:
    assert not same(one, other)


# What reads annotations of functions, or names in a way that the digest cannot follow.
ANNOTATIONS = {"singledispatch", "singledispatchmethod", "validate_call", "get_type_hints", "__annotations__"}
BY_TEXT = {"globals", "locals", "vars", "eval", "exec", "__import__"}


def test_our_code_reads_no_annotations_and_no_names_by_text() -> None:
    for path in sorted(definitions.ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            used = node.id if isinstance(node, ast.Name) else None
            read = {used, getattr(node, "attr", None)}
            assert not read & (ANNOTATIONS | ({used} & BY_TEXT)), f"{path.name}: {ast.unparse(node)}"


# Of an error that was caught: what it says, which file it names and what caused it.
SAID = {"strerror", "errno", "filename", "path", "problem", "name", "args", "msg", "lineno", "__context__", "__cause__"}
SAID |= {"problem_mark", "problem", "context_mark", "errors", "error_count", "code", "reason", "title", "start_mark"}


def test_errors_of_ours_carry_words_and_no_numbers() -> None:
    """Their classes and what they are raised with do not count."""
    for path in sorted(definitions.ROOT.rglob("*.py")):
        for handler in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(handler, ast.ExceptHandler) and handler.name:
                for node in ast.walk(handler):
                    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == handler.name:
                        assert node.attr in SAID, f"{Path(path).name}, line {node.lineno}: {ast.unparse(node)}"
