"""The data sets of a toy problem, as the data stage wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from largestep import stages, store
from largestep.keys import canonical


def read_problem(path: Path, data: dict[str, Any]) -> xr.Dataset:
    """The data sets that a cell is trained on; data: the part `data` of its spec. Raises StoreError."""
    return store.read(path, spec=canonical(data), code=stages.chain("data", data["data"]["kind"]))
