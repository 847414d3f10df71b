"""The canonical text and digest by which settings and code are compared, and texts that fit into one line."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON that is equal when its value is equal: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def escaped(text: str) -> str:
    """A text without line ends, halves of characters and what a terminal obeys, which names of files may have."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def digest(*texts: str) -> str:
    """sha256 of a sequence of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
