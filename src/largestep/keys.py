"""The canonical text by which settings are compared."""

from __future__ import annotations

import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON that is equal when its value is equal: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
