"""Plain words of YAML 1.1 that mean something else than they look like, each with what to write in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

# What people take for a number and YAML 1.1 for text: an exponent without a point or sign, 09, 0o10.
_NUMBER = re.compile(r"([-+]?)(\d+\.?\d*|\.\d+)(?:[eE]([-+]?\d+))?")
# But 1,000, which may be a thousand.
_DECIMAL_COMMA = re.compile(r"(?<!\d)([-+]?(?:0|\d+(?!,\d{3}$))),(\d+)")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_MODERN_OCTAL = re.compile(r"0o[0-7]+")
_TAG = "tag:yaml.org,2002:"
# Names of other files or texts may look so; quotes settle what is meant.
_QUOTES = "or put it in quotes if it is text"


@dataclass(frozen=True)
class Odd:
    """A value that is refused where it stands, unless another file lies on top of it."""

    text: str
    problem: str

    def __str__(self) -> str:
        return self.text


def odd(node: yaml.ScalarNode, value: Any, *, is_key: bool) -> Odd | None:
    """What is odd about an unquoted word, or None.

    value: what YAML makes of it. is_key: of a mapping, where nothing but text belongs.
    """
    text, kind = node.value, node.tag.removeprefix(_TAG)
    problem = None
    if kind == "timestamp":
        problem = "is a date in YAML; put it in quotes"
    elif kind == "str":
        problem = _number_taken_for_text(text)
    elif is_key and kind in ("bool", "int", "float", "null"):
        comma = ", or write a point where it follows the comma of a number" if kind == "int" else ""
        problem = f"is {str(value).lower()} in YAML, not a name; put it in quotes{comma}"
    elif kind in ("int", "float") and ":" in text:
        problem = f"is a number to the base 60 in YAML, {value}; write {value}, {_QUOTES}"
    elif kind == "int" and _OCTAL.fullmatch(text):
        decimal = int(text.replace("_", ""))
        problem = f"is octal in YAML, and means {value}; write {decimal} or {value}, {_QUOTES}"
    return Odd(text, f"{text} {problem}") if problem else None


def _number_taken_for_text(text: str) -> str | None:
    if _MODERN_OCTAL.fullmatch(text):
        return f"is text in YAML 1.1; write {int(text, 8)}, {_QUOTES}"
    number = _NUMBER.fullmatch(text)
    return f"is text in YAML; write {_number(number)}, {_QUOTES}" if number else None


def written(text: str) -> str | None:
    """How YAML takes a text for the number that it looks like, 0,5 too; None where it looks like none."""
    number = _NUMBER.fullmatch(_DECIMAL_COMMA.sub(r"\1.\2", text.strip()))
    return _number(number) if number else None


def _number(number: re.Match[str]) -> str:
    sign, digits, exponent = number.groups()
    if exponent is None:
        digits = re.sub(r"^0+(?=\d)", "", digits)
    # YAML takes .5 for a number, but not -.5.
    if sign and digits.startswith("."):
        digits = f"0{digits}"
    if exponent is None:
        return f"{sign}{digits}"
    point = digits if "." in digits else f"{digits}.0"
    power = exponent if exponent[0] in "+-" else f"+{exponent}"
    whole = float(number[0])
    short = f", or {whole:.0f} for a whole number" if whole.is_integer() and abs(whole) < 2**53 else ""
    return f"{sign}{point}e{power}{short}"
