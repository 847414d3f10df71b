"""What may be meant by a name that is not there: a key that the settings have, an experiment or study like it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Location = tuple[int | str, ...]
# Of two names, the share of letters in common where one stands for the other: so high that decay50 is not taken for
# decay10.
ALIKE = 0.9
# Parts of the location of one's own key; below a study's name pydantic puts its kind.
OWN_KEYS = {"experiments": 3, "studies": 4}


def similar(name: str, names: Iterable[str]) -> str:
    """The end of a message on a name that is not there: which one may be meant, if one of `names` is like it."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def keys(schema: Mapping[str, Any], location: Location) -> list[str]:
    """The keys that may stand where the last one of a location does, by the JSON schema of the whole.

    location: as pydantic gives it, with the tags that tell alternatives apart, of which no schema has a level.
    """
    there = list(_alternatives(schema, schema))
    for part in location[:-1]:
        tagged = [each for each in there if _has_kind(each, part)]
        inside = [own for each in there for inner in _under(each, part) for own in _alternatives(inner, schema)]
        there = tagged or inside or there
    return sorted({key for each in there for key in each.get("properties", ())})


def entry(raw: Mapping[str, Any], location: Location) -> str:
    """The end of a message on an experiment or study that lacks a key: the one that its settings may be meant for."""
    kind, name = map(str, location[:2]) if len(location) > 1 else ("", "")
    others = raw.get(kind)
    # Its own keys alone: what lacks deeper inside lacks there.
    if len(location) > OWN_KEYS.get(kind, 0) or not isinstance(others, Mapping):
        return ""
    near = difflib.get_close_matches(name, [other for other in map(str, others) if other != name], n=1, cutoff=ALIKE)
    return f"; did you mean {kind}.{near[0]}?" if near else ""


def _alternatives(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemas of which a value may meet one."""
    if "$ref" in schema:
        yield from _alternatives(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    for each in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _alternatives(each, whole)
    yield schema


def _under(schema: Mapping[str, Any], part: int | str) -> Iterator[Mapping[str, Any]]:
    """The schemas of what stands under a key, or at a place of a list."""
    if isinstance(part, int):
        inside = [schema.get("items")]
    elif part in schema.get("properties", ()):
        inside = [schema["properties"][part]]
    else:
        inside = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    yield from (each for each in inside if isinstance(each, Mapping))


def _has_kind(schema: Mapping[str, Any], kind: int | str) -> bool:
    settings = schema.get("properties", {}).get("kind", {})
    return kind in settings.get("enum", [settings.get("const")])
