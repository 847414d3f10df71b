"""One clear line for what is wrong in a configuration: the file, the key as the user wrote it, how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from largestep.config import meant
from largestep.config.data import DATA_KINDS
from largestep.config.kinds import CUSTOM
from largestep.config.models import MODEL_KINDS
from largestep.config.oddities import written
from largestep.config.schedules import WARMUP_KINDS
from largestep.keys import escaped

# Letters of a message, and of the key in it.
LONGEST, LONGEST_KEY = 240, 110


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line naming the file and the key."""


def line(source: str, problem: str) -> str:
    """A message in one line of bounded length, without characters that a terminal obeys."""
    text = printable(problem)
    return f"{source}: {text if len(text) <= LONGEST else text[: LONGEST - 2] + ' …'}"


def printable(text: str) -> str:
    """A text in one line, without characters that a terminal obeys."""
    return escaped(" ".join(text.split()))


def shown(value: Any) -> str:
    """What was given, shortened."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or a list in itself
        return f"a value of type {type(value).__name__} that is too large"
    return text if len(text) <= 60 else f"{text[:58]} …"


# What a text under these keys has to be; under all others it is a name.
_PATTERNS = {
    "mirror": "the address of a server; write it like https://example.org/datasets",
    "sha256": "a checksum of 64 hexadecimal digits; python -m largestep.images --checksum FOLDER prints it",
    "kind": "a dotted name; write it like my_module.my_function",
}
# How a check of the whole file begins its message: with the key.
_KEY_FIRST = re.compile(r"((?:only|scale|studies|experiments|published)[\w.]*): (.*)", re.DOTALL)
_NUMBERS = {"float_type", "int_type", "int_from_float"}


# Tags that pydantic puts after a key whose value is one of several types.
_ALTERNATIVES = {
    "data": {*DATA_KINDS, CUSTOM},
    "model": {*MODEL_KINDS, CUSTOM},
    "warmup": {*WARMUP_KINDS},
}
# Where a study's tag stands: studies, its name, the tag.
_STUDY_TAG = 2


def _keys(location: tuple[int | str, ...]) -> list[int | str]:
    """The keys of the file in a pydantic location, without the tags of alternatives and of dictionary keys."""
    if location[:1] == ("studies",):
        location = location[:_STUDY_TAG] + location[_STUDY_TAG + 1 :]
    before = (None, *location)
    return [
        part
        for previous, part in zip(before, location, strict=False)
        if part != "[key]" and part not in _ALTERNATIVES.get(str(previous), ())
    ]


def one_line(
    error: ValidationError,
    source: str,
    raw: Mapping[str, Any] | None = None,
    schema: Callable[[], Mapping[str, Any]] = dict,
) -> str:
    """The first problem that validation found, and how many there are.

    raw: what was validated. schema: gives the JSON schema that it was to meet.
    """
    # A misspelt key is unknown and leaves another one missing: the spelling is the problem to name.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    key = ".".join(map(str, _keys(first["loc"])))
    given = first.get("input")
    kind = first["type"]
    absent = [
        each["loc"][-1] for each in problems if each["type"] == "missing" and each["loc"][:-1] == first["loc"][:-1]
    ]
    if kind == "missing":
        # One key may be forgotten; of a name that is misspelt several lack.
        message = f"this key is missing{meant.entry(raw or {}, first['loc']) if len(absent) > 1 else ''}"
    elif kind == "extra_forbidden":
        name = str(first["loc"][-1])
        likely = meant.similar(name, map(str, absent)) or meant.similar(name, meant.keys(schema(), first["loc"]))
        message = f"unknown key; check its spelling or remove it{likely}"
    elif kind in _NUMBERS and isinstance(given, str) and (number := written(given)):
        message = f"'{given}' is text in YAML; write {number}, without quotes"
    elif kind in _NUMBERS and isinstance(given, bool):
        message = f"must be a number, not {str(given).lower()}, which YAML makes of on, off, yes and no too"
    elif kind in _NUMBERS and isinstance(given, float) and given.is_integer():
        message = f"must be a whole number; write {given:.0f} (given: {given})"
    elif kind == "list_type" and isinstance(given, str | int | float):
        message = "must be a list, such as [a, b]" if set("[]") & {*str(given)} else f"must be a list; write [{given}]"
    elif kind == "string_type" and isinstance(given, bool | int | float):
        message = f"must be text, but YAML takes this for {str(given).lower()}; put it in quotes"
    elif kind == "union_tag_invalid" and first["loc"][-1] in ("data", "model"):
        known = DATA_KINDS if first["loc"][-1] == "data" else MODEL_KINDS
        own = ", or the dotted name of your own" if first["loc"][0] == "experiments" else ""
        wrong = given.get("kind") if isinstance(given, Mapping) else given
        unknown = "the key kind is missing" if wrong is None else f"unknown kind {shown(wrong)}"
        message = f"{unknown}; choose one of {', '.join(known)}{own}"
    elif kind == "union_tag_invalid" and first["loc"][0] == "studies":
        kinds = [each.strip(" '") for each in first["ctx"]["expected_tags"].split(",")]
        wrong = first["ctx"]["tag"]
        unknown = "the key kind is empty" if wrong == "None" else f"unknown kind {shown(wrong)}"
        message = f"{unknown}{meant.similar(wrong, kinds) or '; docs/config.md lists the kinds'}"
    elif kind == "union_tag_not_found":
        message = f"the key kind is missing{meant.entry(raw or {}, first['loc'])}"
    elif kind == "string_pattern_mismatch" and first["loc"][-1] in _PATTERNS:
        message = f"{shown(given)} is not {_PATTERNS[str(first['loc'][-1])]}"
    elif kind == "string_pattern_mismatch":
        message = f"{shown(given)} is not a name; use at most 48 lower-case letters, digits and _, a letter first"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        if not key and (named := _KEY_FIRST.fullmatch(reason)):
            key, reason = named.groups()
        value = "" if isinstance(given, (Mapping, list, BaseModel)) else f" (given: {shown(given)})"
        message = f"{reason[0].lower()}{reason[1:]}{value}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return at_key(source, key, message + more)


def at_key(source: str, key: str, message: str) -> str:
    """A message in one line that names file and key."""
    if len(key) > LONGEST_KEY:
        key = f"{key[: LONGEST_KEY // 2]} … {key[-LONGEST_KEY // 2 :]}"
    return line(source, f"{key or 'the whole file'}: {message}")
