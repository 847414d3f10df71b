"""Which data set an image experiment takes, apart from how much of it: what the prepared file depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from largestep.keys import canonical, digest

# Of an experiment's data settings, those that the preparation reads; `examples` and the seed only choose from it.
PREPARED = ("kind", "folder", "sha256", "size", "channels", "background", "options")
# Hexadecimal digits that tell apart the files of a folder's or a user's own data sets.
DIGITS = 12


def image_spec(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the images stage reads of an experiment's `data`."""
    kept = {key: settings[key] for key in PREPARED if key in settings}
    # Where a folder lies does not matter, but the job has to find it: the path is looked up under the data root.
    return {"data": kept}


def image_name(settings: Mapping[str, Any]) -> str:
    """Name of the prepared file, without its ending: one per data set, shared by experiments."""
    spec = image_spec(settings)["data"]
    kind = str(spec["kind"]).replace(".", "_")
    return kind if len(spec) == 1 else f"{kind}-{digest(canonical(spec))[:DIGITS]}"
