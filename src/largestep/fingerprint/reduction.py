"""Code less what cannot change a number, by rules that hold for the code of this package.

Left out are docstrings, the annotations of arguments, results and variables (those of the fields of a class stay: they
make dataclasses and validate settings), what only type checkers read, what a `raise` says and the errors themselves,
prints, logs, the text of progress bars and the help of command lines. Of a user's own code only docstrings are left
out, by `syntax`.
"""

from __future__ import annotations

import ast
from typing import TypeVar

Function = TypeVar("Function", ast.FunctionDef, ast.AsyncFunctionDef)
# Keywords that are words for a person, by the name of what is called.
WORDS = {
    "add_argument": {"help", "metavar"},
    "ArgumentParser": {"description", "epilog", "usage"},
    "tqdm": {"desc", "unit", "mininterval", "ascii", "leave", "ncols", "disable"},
}
# Calls that say something, where they are statements.
SAYING = {"set_description", "set_description_str", "set_postfix", "set_postfix_str"}
LOGGERS = {"logging", "logger", "warnings"}
LOGGING = {"debug", "info", "warn", "warning", "error", "exception", "critical"}


def reduced(tree: ast.Module) -> tuple[ast.Module, list[ast.Import | ast.ImportFrom]]:
    """The tree, changed in place, and all its imports."""
    reduction = _Reduction()
    return reduction.visit(tree), reduction.imports


class _Reduction(ast.NodeTransformer):
    """Each method returns what is left of a node, None where that is nothing."""

    def __init__(self) -> None:
        self._in_class = False
        self.imports: list[ast.Import | ast.ImportFrom] = []

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.imports.append(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        """What only type checkers read is not run."""
        if ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        self.imports.append(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(_last_name(base).endswith(("Error", "Exception")) for base in node.bases):
            node.body = []
            return node
        return self._visit_in(node, is_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self._in_class:
            return node
        if node.value is not None:
            return ast.Assign(targets=[node.target], value=node.value)
        del node.annotation
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) or _says(node.value) else node

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Which error it is, if it says so; what stops an iteration may carry a value."""
        if isinstance(node.exc, ast.Call):
            name = _last_name(node.exc.func)
            if name[:1].isupper() and not name.endswith("Error"):
                return self.generic_visit(node)
            node.exc = ast.Constant(name) if name.endswith("Error") else None
        node.cause = None
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = _last_name(node.func)
        if name == "exit":
            node.args = []
        if name in WORDS:
            node.keywords = [each for each in node.keywords if each.arg not in WORDS[name]]
        return node

    def _function(self, node: Function) -> Function:
        node.returns = None
        self._visit_in(node, is_class=False)
        inside = [*ast.walk(node)]
        if any(isinstance(each, ast.Assign) and _is_text(each.value) for each in inside):
            used = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
            used |= {name for each in inside if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names}
            node.body = [left for each in node.body if (left := _Unsaid(used).visit(each)) is not None]
        return node

    def _visit_in(self, node: ast.AST, *, is_class: bool) -> ast.AST:
        before, self._in_class = self._in_class, is_class
        self.generic_visit(node)
        self._in_class = before
        return node


class _Unsaid(ast.NodeTransformer):
    """Takes out text that a function puts together for an error, and that nothing else reads."""

    def __init__(self, used: set[str]) -> None:
        self._used = used

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        [target, *others] = node.targets
        unused = isinstance(target, ast.Name) and target.id not in self._used and not others
        return None if unused and _is_text(node.value) else node


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) and _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _says(node: ast.expr) -> bool:
    """A call that prints to the terminal, logs or labels a progress bar, and keeps nothing for later."""
    if not isinstance(node, ast.Call) or any(isinstance(each, ast.NamedExpr) for each in ast.walk(node)):
        return False
    name = _last_name(node.func)
    if name == "print":
        return all(each.arg != "file" or ast.unparse(each.value) == "sys.stderr" for each in node.keywords)
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return name in SAYING or (name in LOGGING and owner is not None and _last_name(owner).lower() in LOGGERS)


def _last_name(node: ast.expr) -> str:
    """`b` of `b` and of `a.b`, empty for anything else."""
    return getattr(node, "attr", getattr(node, "id", ""))
