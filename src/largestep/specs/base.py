"""The base of all specs."""

from __future__ import annotations

import json
from typing import Self

from pydantic import ValidationError

from largestep.config.errors import one_line
from largestep.config.scalars import Strict
from largestep.keys import canonical


class Spec(Strict):
    """The settings of a stage."""

    @classmethod
    def read(cls, text: str) -> Self:
        """The spec that a text holds. Raises ValueError, one line, where it holds none."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise ValueError(one_line(error, "spec")) from None

    def text(self) -> str:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json"))
