"""The text of a syntax tree: the same on every Python from 3.11 on, which that of `ast.dump` is not."""

from __future__ import annotations

import ast

# What an interpreter adds for itself: how a name is used follows from where it stands.
LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def text(node: object) -> str:
    """Canonical text of a tree: fields by name, those that are absent, empty or 0 left out, no positions.

    Newer versions of Python give nodes more fields, and split the literal parts of an f-string elsewhere.
    """
    if isinstance(node, ast.Constant):
        return f"Constant({node.value!a})"
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({_joined(_parts(node))})"
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in sorted(node._fields) if name not in LEFT_OUT)
        kept = (f"{name}={text(value)}" for name, value in fields if not _is_empty(value))
        return f"{type(node).__name__}({','.join(kept)})"
    if isinstance(node, list):
        return f"[{','.join(map(text, node))}]"
    return ascii(node)


def _is_empty(value: object) -> bool:
    """A field that a node has without meaning; `f"{x:}"` has an empty format."""
    # `case False` is not `case None`.
    return (value in (None, 0, []) and value is not False) or (isinstance(value, ast.JoinedStr) and not _parts(value))


def _parts(node: ast.JoinedStr) -> list[ast.expr | str]:
    """The parts of an f-string, literal ones joined; those without a letter are none."""
    joined: list[ast.expr | str] = []
    for value in node.values:
        parts: list[ast.expr | str] = _parts(value) if isinstance(value, ast.JoinedStr) else [value]
        for part in parts:
            letters = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else part
            if isinstance(letters, str) and joined and isinstance(joined[-1], str):
                joined[-1] += letters
            elif letters != "":
                joined.append(letters)
    return joined


def _joined(parts: list[ast.expr | str]) -> str:
    return ",".join(ascii(part) if isinstance(part, str) else text(part) for part in parts)


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree, changed in place, less the docstrings of modules, classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and _is_text(first.value):
                node.body = node.body[1:]
    return tree


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
