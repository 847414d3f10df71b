"""The short form of make same-digits: the tiny workflow's stores hold what one process computes in the farthest mix."""

from __future__ import annotations

import platform

import pytest
import xarray as xr

from largestep import config, store
from tests.conftest import Project
from tests.same_digits.compute import digest
from tests.same_digits.mixes import ROOT, Mix, Work, dispatched

TINY = ROOT / "tests/tiny/config.yaml"
TOYS = ("diagonal", "dense")
FAR = Mix("generic", "Nehalem", " ".join(dispatched()), 2)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="is promised on x86-64")
def test_digits_are_the_same_whatever_computes_them(finished: Project) -> None:
    """A cell of every toy network and all studies of them, one after the other, with two threads each."""
    settings = config.load(TINY)
    cells = ("diagonal.decay50", "points.decay50", "teacher.small")
    studies = [name for name, study in settings.studies.items() if study.kind != "image_sharpness"]
    computed = Work(TINY, cells, studies).compute(FAR)
    assert len(computed) == len(cells) * 5 + len(studies) > 25
    for name, of_values in computed.items():
        stored = _stored(finished, name)
        if name == "studies/label_noise":
            toys = [each for each in stored["network"].values if settings.experiments[each].model.kind in TOYS]
            stored = stored.sel(network=toys, precision="float64")
        assert digest(stored) == of_values, name


def _stored(finished: Project, name: str) -> xr.Dataset:
    """A store of the workflow; data sets belong to an experiment, not to a cell."""
    results, parts = finished.folder / "results", name.split("/")
    if parts[-1] == "data":
        return store.read(results / f"data/{parts[1].partition('.')[0]}.nc")
    return store.read(results / f"{name}.nc")
