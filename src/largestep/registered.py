"""What the modules of the package declare of themselves: figures, measures and studies, each in its own file.

Declarations are literals at the top of a module. They are read from its text and not imported, so that a command knows
all names and captions without loading matplotlib, torch or numba, and a stage does not come to depend on what it
has only heard of. What reads the declarations of all measures depends on them (`fingerprint.definitions`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
# Measures that come first in tables and figures, by module; those of other modules follow by name.
FIRST_MEASURES = (
    *("outcomes", "column_norms", "thresholds", "units", "unit_tensors"),
    *("support", "kinks", "alignment", "stabilisation"),
)


class RegistrationError(ValueError):
    """A module lacks a part; the message is one line that names the file and the part."""


@dataclass(frozen=True)
class Suits:
    """Experiments that a view can be drawn of; all of them unless something is given.

    data: kinds of data. images: image classifiers alone. dimension: of the inputs. decays: those with a cell whose
    step size is divided.
    """

    data: tuple[str, ...] = ()
    images: bool = False
    dimension: int | None = None
    decays: bool = False


@dataclass(frozen=True)
class View:
    """What a figure needs, what it suits, and its caption: a Jinja template (see `largestep.captions`)."""

    needs: tuple[str, ...]
    suits: Suits
    caption: str


@dataclass(frozen=True)
class Panel:
    """How a measure along training is plotted: title, units of the axis, and whether that is logarithmic.

    at: coordinates at which it is taken. over: a dimension of which the mean is taken. percent: in hundredths.
    """

    title: str
    units: str
    logarithmic: bool = False
    at: dict[str, float] = field(default_factory=dict)
    over: str | None = None
    percent: bool = False


@dataclass(frozen=True)
class Row:
    """What a measure is called in the tables, and its unit there.

    phase: only cells with a decay have it. error: it is the uncertainty of another one.
    """

    title: str
    unit: str = "1"
    phase: bool = False
    error: bool = False


@dataclass(frozen=True)
class Measure:
    """A variable of the stores, in the view `progress` and in the tables; None where it is not shown there."""

    panel: Panel | None
    row: Row | None


CLASSES = {each.__name__: each for each in (Suits, Panel, Row, Measure)}


@cache
def figures() -> tuple[str, ...]:
    """Every figure of an experiment or a study, by the name of its module: it has a part of one."""

    def has_parts(module: str) -> bool:
        parts = {name for name in ("NEEDS", "CAPTION", "SUITS", "draw", "main") if declares(module, name)}
        # A command of its own draws what is neither.
        return not parts.isdisjoint({"NEEDS", "CAPTION", "SUITS"}) or ("draw" in parts and "main" not in parts)

    return tuple(name for name in modules("figures") if has_parts(f"figures.{name}"))


@cache
def views() -> tuple[str, ...]:
    """Every figure that an experiment may ask for, by the name of its module."""
    return tuple(name for name in figures() if name not in study_kinds())


@cache
def view(name: str) -> View:
    """What the module of a figure declares. Raises RegistrationError for one that lacks a part."""
    module = f"figures.{name}"
    part(module, "draw", "the function that draws it")
    return View(
        part(module, "NEEDS", "names of the variables that it shows"),
        Suits() if name in study_kinds() else part(module, "SUITS", "what experiments it suits"),
        part(module, "CAPTION", "what the report says of it"),
    )


@cache
def study_kinds() -> tuple[str, ...]:
    """Kinds of study, by the name of the module that runs them."""
    return modules("studies")


@cache
def toys() -> dict[str, str]:
    """Every kind of toy network, by the module of its `Net`, and the module that measures its snapshots."""
    kinds = [name for name in modules("toys") if declares(f"toys.{name}", "Net")]
    named = {kind: "FEATURES" in definitions(f"toys.{kind}") for kind in kinds}
    return {kind: literal(f"toys.{kind}", "FEATURES") if named[kind] else "" for kind in kinds}


@cache
def workers_called(module: str) -> frozenset[str]:
    """Stages whose workers a module calls, as in `stages.worker("features", kind)`."""
    calls = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.Call) and node.args]
    named = [node.args[0] for node in calls if ast.unparse(node.func).rpartition(".")[2] == "worker"]
    return frozenset(str(ast.literal_eval(stage)) for stage in named)


@cache
def measures() -> dict[str, Measure]:
    """How the measures of all modules are shown, by variable, in the order of tables and figures."""
    declared = measure_modules()
    return {name: measure for module in declared for name, measure in literal(f"measures.{module}", "MEASURES").items()}


@cache
def measure_modules() -> tuple[str, ...]:
    """Modules that declare measures, in the order in which they are shown."""
    declared = [name for name in modules("measures") if declares(f"measures.{name}", "MEASURES")]
    first = [name for name in FIRST_MEASURES if name in declared]
    return (*first, *(name for name in declared if name not in first))


@cache
def measure_captions() -> str:
    """What the report says of the measures along training, as a template."""
    captions = [
        part(f"measures.{name}", "CAPTION", "what the report says of it")
        for name in measure_modules()
        if any(each.panel for each in literal(f"measures.{name}", "MEASURES").values())
    ]
    return "".join(captions)


def check() -> None:
    """Raise RegistrationError for the first thing that has been begun and lacks a part."""
    for kind in modules("config.studies"):
        if kind != "base" and kind not in study_kinds():
            raise RegistrationError(
                f"{_named('config.studies.' + kind)}: lacks what runs it, studies/{kind}.py; add it"
            )
    for name in figures():
        view(name)
    measures()
    measure_captions()
    for kind, features in toys().items():
        part(f"toys.{kind}", "FEATURES", "the module of measures/ that takes its features")
        if features not in modules("measures"):
            raise RegistrationError(f"{_named(f'toys.{kind}')}: FEATURES names {features}, which measures/ has not")
    _check_claims()
    for kind in study_kinds():
        part(f"studies.{kind}", "study", "the function that runs it")
        for package, what in (("config.studies", "its settings"), ("figures", "its figure")):
            if kind not in modules(package):
                where = f"{package.replace('.', '/')}/{kind}.py"
                raise RegistrationError(f"{_named('studies.' + kind)}: lacks {what}, the module {where}; add it")
    for name in modules("measures"):
        if "RUN" in imported(f"measures.{name}") and "features" not in definitions(f"measures.{name}"):
            part(f"measures.{name}", "MEASURES", "how its variables are shown")


def _check_claims() -> None:
    tested = {node.id for node in ast.walk(_constant("claims.__main__", "MODULES")) if isinstance(node, ast.Name)}
    for name in modules("claims"):
        parts = {*definitions(f"claims.{name}"), *imported(f"claims.{name}")}
        if name in tested:
            for each in ("CLAIMS", "measured"):
                if each not in parts:
                    raise _lacks(f"claims.{name}", each)
        elif {"CLAIMS", "measured"} <= parts:
            raise RegistrationError(f"{_named(f'claims.{name}')}: is missing in MODULES of claims/__main__.py; add it")


def modules(package: str) -> tuple[str, ...]:
    """The modules of a package, without those that only it uses (`__main__` and the like), by name."""
    return tuple(sorted(path.stem for path in (ROOT / package.replace(".", "/")).glob("[a-z]*.py")))


def part(module: str, name: str, what: str) -> Any:
    """A literal or a function that a module has to have. Raises RegistrationError where it has not."""
    if name not in definitions(module):
        raise _lacks(module, f"{name}, {what}")
    return literal(module, name)


def _constant(module: str, name: str) -> ast.expr:
    node = definitions(module).get(name)
    if node is None:
        raise _lacks(module, name)
    return node


def _lacks(module: str, what: str) -> RegistrationError:
    return RegistrationError(f"{_named(module)}: lacks {what}; add it (docs/extending.md)")


def literal(module: str, name: str) -> Any:
    """The value of a constant; None for a function. Raises RegistrationError for one that is not written out."""
    node = definitions(module)[name]
    try:
        return None if node is None else _value(node)
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{_named(module)}: {name} cannot be read: {error}; write it out") from error


def declares(module: str, name: str) -> bool:
    """Whether a module defines a name at its top: asked of the text, since every command asks it of all files."""
    return re.search(rf"^(?:{name}(?: =|:)|(?:def|class) {name}\b)", _text(module), flags=re.MULTILINE) is not None


@cache
def definitions(module: str) -> dict[str, ast.expr | None]:
    """What a module assigns at its top, and its functions and classes, which have no expression."""
    values: dict[str, ast.expr | None] = {}
    for statement in _tree(module).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            values[statement.name] = None
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            values |= {target.id: statement.value for target in targets if isinstance(target, ast.Name)}
    return values


def imported(module: str) -> set[str]:
    """Names that a module imports from others."""
    return {alias.name for node in _tree(module).body if isinstance(node, ast.ImportFrom) for alias in node.names}


def _value(node: ast.expr) -> Any:
    """The value of a literal in which objects of `CLASSES` may stand."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
        given = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
        return CLASSES[node.func.id](*map(_value, node.args), **given)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return dict(zip(_values(node.keys), _values(node.values), strict=True))
    if isinstance(node, ast.Tuple):
        return tuple(_values(node.elts))
    return ast.literal_eval(node)


def _values(nodes: Any) -> Iterator[Any]:
    return map(_value, nodes)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_text(module))


@cache
def _text(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def _named(module: str) -> str:
    """The file of a module, for messages."""
    return str(_path(module).relative_to(ROOT.parent))
