"""What is written once at the top of `config.yaml` and named by cells and experiments."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo


def named(kind: str, name: str, info: ValidationInfo) -> Any:
    """What stands under a name in `schedules` or `measures`, which validation is given as its context.

    Raises ValueError, naming those that are there.
    """
    there = getattr(info.context, kind, {})
    if name not in there:
        raise ValueError(f"{kind} has no {name}; there is {', '.join(sorted(there)) or 'nothing'}")
    return there[name]
