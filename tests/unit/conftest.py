"""What tests of image classifiers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from largestep import devices
from largestep.data import digits
from largestep.data.image_set import ImageSet, part
from tests.unit.image_runs import SETTINGS


@pytest.fixture(scope="session")
def data() -> ImageSet:
    """A few digits; torch computes with one thread from here on."""
    devices.prepare(1)
    return part(digits.prepare({"kind": "digits"}, Path("unused"), None), SETTINGS)
