"""What the stores of a run hold."""

from __future__ import annotations

from pathlib import Path

import xarray as xr


def digests(folder: Path) -> dict[str, str]:
    """The checksum of every store below a folder, by its path."""
    sums = {}
    for path in sorted(folder.glob("results/**/*.nc")):
        with xr.open_dataset(path) as dataset:
            sums[str(path.relative_to(folder))] = dataset.attrs["content_sha256"]
    return sums
