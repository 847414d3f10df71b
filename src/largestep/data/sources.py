"""Where image data sets come from in a run of the workflow: what the workflow exports of config.yaml."""

from __future__ import annotations

import os
from pathlib import Path


def sources() -> tuple[Path, str | None]:
    """The data root and the mirror."""
    root = os.environ.get("LARGESTEP_DATA_ROOT") or "results/downloads"
    return Path(root), os.environ.get("LARGESTEP_DATA_MIRROR") or None
