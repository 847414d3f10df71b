"""The data sets of a toy problem, as the data stage wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from largestep import stages, store

if TYPE_CHECKING:
    from largestep.specs.cells import DataSpec


def read_problem(path: Path, data: DataSpec) -> xr.Dataset:
    """The data sets that a cell is trained on; data: the part `data` of its spec. Raises StoreError."""
    return store.read(path, spec=data.text(), code=stages.chain("data", data.data.kind))
