"""Unions of types that `kind` tells apart: one value, several, or the dotted name of a user's own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel

# The tag of the type for a user's own code.
CUSTOM = "custom"


def kinds(*types: type[BaseModel]) -> dict[str, str]:
    """Every value that the literal `kind` of these types may have, each with the tag of its type: the first of them."""
    values = [get_args(each.model_fields["kind"].annotation) for each in types]
    return {kind: each[0] for each in values for kind in each}


def kinds_of(union: Any) -> dict[str, str]:
    """The same of a union of types with tags, without that for a user's own code, whose `kind` is any dotted name."""
    return kinds(*(get_args(tagged)[0] for tagged in get_args(get_args(union)[0])))


def tag_of(value: Any, tags: Mapping[str, str]) -> str:
    """The tag of the type that a mapping, or a model, with `kind` is of; of an unknown kind that kind itself."""
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    if isinstance(kind, str) and "." in kind:
        return CUSTOM
    return tags.get(str(kind), str(kind))
