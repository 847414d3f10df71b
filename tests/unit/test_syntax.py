"""The text of syntax trees: pinned, so that it is the same on whatever Python runs these tests."""

from __future__ import annotations

import ast
import hashlib
import sys

import pytest

from largestep.fingerprint.syntax import text, without_docstrings

# Something of all that versions of Python write down differently.
SAMPLE = '''
"""Docstring."""
from __future__ import annotations
import numpy as np, os.path
from . import sibling as other

LARGE, SMALL, DEEP = 1e400, 1.0e-320, -(2**70)
TEXT = "é\\u2028\\U0001fae8" u"kind" if b"\\x00" else None

@decorated(1, *others, key=..., **more)
class Net(Base, metaclass=Meta):
    width: int = 3

    async def forward(self, x, /, y=(), *rest, z: int = 2j, **options) -> None:
        """Docstring."""
        async with self.lock as held, other:
            return [await each async for each in x if each]

def first(values: list[int]) -> int:
    global LARGE
    try:
        for i, value in enumerate(values[1:, ::-1]):
            if not 0 < value <= 3:
                continue
            elif (found := value):
                break
        else:
            del values[0]
    except* (ValueError, OSError) as error:
        raise RuntimeError("no") from error
    finally:
        pass
    match values:
        case [1, *_] | {"a": 2, **others} if found:
            return lambda *, a, b=1: {**others, a: b}
        case Net(width=3) as net:
            yield from (yield)
    return f"{found!r:>{LARGE}.3f} {{}} {found = }" f"" "end" f"{found:}" f"{f'{SMALL}'}" "."
'''
EXPECTED = "a6b327271cfc7af4c71926b0e7c0e43aa757f44d02b691cd237f072bf7f40bbf"


def test_the_text_is_the_same_on_every_python() -> None:
    assert hashlib.sha256(text(ast.parse(SAMPLE)).encode()).hexdigest() == EXPECTED, sys.version


def same(one: str, other: str) -> bool:
    return text(ast.parse(one)) == text(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f'a{x}' 'b' f'{y}'", "f'a{x}b{y}'"),
        ("f'{x:}'", "f'{x}'"),
        ("u'a'", "'a'"),
        ("x = (\n  1,  # one\n)", "x = 1,"),
        ("0x10", "16"),
        ("'\\u00e9'", "'é'"),
    ],
)
def test_spelling_does_not_count(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "True"),
        ("'a'", "b'a'"),
        ("x = None", "x = 0"),
        ("return_(None)", "return_()"),
        ("f'{x}'", "f'{x!r}'"),
        ("f'{x}'", "f'{x:3}'"),
        ("f'x'", "'x'"),
        ("f'{x}'", "'{x}'"),
        ("f'{x}' + 'a'", "f'{x}a'"),
        ("a - b - c", "a - (b - c)"),
        ("[x for x in y]", "{x for x in y}"),
        ("f(*x)", "f(x)"),
        ("{**x}", "{None: x}"),
        ("def f(a, /): 0", "def f(a): 0"),
        ("def f(*, a, b=1): 0", "def f(*, a=1, b): 0"),
        ("from a import b", "from .a import b"),
        ("async def f():\n  [x async for x in y]", "async def f():\n  [x for x in y]"),
    ],
)
def test_meaning_counts(one: str, other: str) -> None:
    assert not same(one, other)


def test_docstrings_and_no_other_text_are_left_out() -> None:
    documented = (
        '"""Module."""\nclass A:\n    """Class."""\n    def f(self):\n        """Function."""\n        return "a"\n'
    )
    plain = "class A:\n    def f(self):\n        return 'a'\n"
    assert text(without_docstrings(ast.parse(documented))) == text(ast.parse(plain))
    assert text(without_docstrings(ast.parse("x = 1\n'text'\n"))) == text(ast.parse("x = 1\n'text'\n"))
