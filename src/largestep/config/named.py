"""What is written once at the top of `config.yaml` and named by cells and experiments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationInfo


def filled(kind: str, key: str, value: Any, info: ValidationInfo) -> Any:
    """A mapping whose `key` names what stands in `schedules` or `measures`, with the parts of that beside its own.

    Validation is given `schedules` and `measures` as its context. What is no mapping, or names nothing, is left as it
    is. Raises ValueError for a name that is not there, with those that are.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get(key), str):
        return value
    there, name = getattr(info.context, kind, {}), value[key]
    if name not in there:
        raise ValueError(f"{kind} has no {name}; there is {', '.join(sorted(there)) or 'nothing'}")
    return {part: getattr(there[name], part) for part in there[name].model_fields_set} | dict(value)
