"""docs/config.md and the JSON schema of `config.yaml`, written from the types and their descriptions: `make docs`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from largestep.config.root import Config
from largestep.config.scalars import DOTTED_NAME, NAME

CHECKOUT = Path(__file__).resolve().parents[3]
SCHEMA, PAGE, TEMPLATE = "workflow/schemas/config.schema.json", "docs/config.md", "docs/config.template.md"
NOTICE = f"<!-- Written by `make docs` from {TEMPLATE} and the types in src/largestep/config: edit those. -->\n\n"
HEADER = "| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n"
# A line of the template in whose place the keys of a type stand.
PLACE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The JSON schema of `config.yaml`, of the dialect 2020-12."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:largestep:config"}
    return dialect | Config.model_json_schema()


def types(schema: Schema) -> dict[str, Schema]:
    """The schema of every type with keys, by name. Raises ValueError naming the keys that are not described."""
    described = {
        Config.__name__: schema,
        **{name: each for name, each in schema["$defs"].items() if "properties" in each},
    }
    missing = [
        f"{name}.{key}"
        for name, each in described.items()
        for key, part in each["properties"].items()
        if not part.get("description")
    ]
    if missing:
        raise ValueError(f"give these keys a description: {', '.join(missing)}")
    return described


def page(template: str, schema: Schema) -> str:
    """The template with the keys of every type in its place.

    Raises ValueError for a key without a description, and where the template names a type twice, not at all, or one
    that is not there.
    """
    known, named = types(schema), PLACE.findall(template)
    if sorted(named) != sorted(known):
        wrong = sorted(set(known) ^ set(named)) or sorted({name for name in named if named.count(name) > 1})
        raise ValueError(f"{TEMPLATE} must have one line {{{{TYPE}}}} for every type; see {', '.join(wrong)}")
    return NOTICE + PLACE.sub(lambda place: section(place[1], known[place[1]]), template)


def section(name: str, schema: Schema) -> str:
    """Heading, meaning and table of the keys of a type, those first that have no default."""
    required, keys = schema.get("required", []), schema["properties"]
    rows = [
        f"| `{key}` | {type_of(keys[key])} | {default_of(keys[key], key in required)} "
        f"| {', '.join(bounds_of(keys[key]))} | {keys[key]['description']} |"
        for key in sorted(keys, key=lambda key: key not in required)
    ]
    return f"### {name}\n\n{schema['description']}\n\n{HEADER}" + "\n".join(rows)


def type_of(schema: Schema) -> str:
    """A type in words; a type with keys of its own links to them."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any value" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(type_of(each) for each in alternatives if each.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind: str = schema["type"]
    if kind == "array":
        return f"list of {type_of(schema['items'])}"
    if kind == "object":
        values = list(schema.get("patternProperties", {}).values()) or [schema["additionalProperties"]]
        keys = schema.get("propertyNames", {}).get("enum", [])
        return f"{', '.join(f'`{key}`' for key in keys) or 'name'} → {type_of(values[0])}"
    words = {NAME: "name", DOTTED_NAME: "dotted name", "string": "text", "boolean": "`true`, `false`"}
    return words.get(schema.get("pattern", "")) or words.get(kind, kind)


def default_of(schema: Schema, required: bool) -> str:
    """What holds where the key is not given; an empty list or mapping stands for the defaults of what is in it."""
    if required:
        return "needed"
    empty: dict[str, Any] = {"array": [], "object": {}}
    value = schema["default"] if "default" in schema else empty[schema["type"]]
    return f"`{json.dumps({} if isinstance(value, dict) else value)}`"


def bounds_of(schema: Schema) -> list[str]:
    """Bounds of a number, or of each in a list, and lengths of a list or mapping."""
    bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    for inner in (*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])):
        bounds += bounds_of(inner)
    low, high = (schema.get(f"{end}Items", schema.get(f"{end}Properties")) for end in ("min", "max"))
    if low is not None:
        bounds.append(f"{low} values" if low == high else f"at least {low} value{'s' if low > 1 else ''}")
    return bounds


def schema_text() -> str:
    """The JSON schema as it stands in `workflow/schemas`."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def page_text() -> str:
    """docs/config.md as it stands in the checkout."""
    return page((CHECKOUT / TEMPLATE).read_text(encoding="utf-8"), json_schema())


if __name__ == "__main__":
    (CHECKOUT / SCHEMA).write_text(schema_text(), encoding="utf-8")
    (CHECKOUT / PAGE).write_text(page_text(), encoding="utf-8")
