"""The aggregate is written row by row: the same as all at once, with one row in memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from largestep import store
from largestep.store import variable

CELLS = [f"c{index}" for index in range(20)]


def row(index: int) -> xr.Dataset:
    draw = np.random.default_rng(index)
    return xr.Dataset(
        {
            "loss": variable(
                ("seed", "step"), np.where(draw.random((3, 4)) < 0.2, np.nan, draw.random((3, 4))), "1", "l"
            ),
            "image": variable(("seed", "pixel"), draw.random((3, 5)).astype(np.float32), "1", "without coordinate"),
            "count": variable((), draw.integers(9), "step", "a number"),
        },
        {"seed": variable(("seed",), np.arange(3), "1", "s"), "arm": variable(("arm",), ["order", "data"], "1", "a")},
        {"stores_sha256": str(index)},
    )


def shared(first: xr.Dataset) -> xr.Dataset:
    size = variable(("cell",), np.arange(20.0), "1", "step size")
    return xr.Dataset({"size": size}, first.coords, {"title": "t", "stores_sha256": "s"})


def rows(parts: Iterator[xr.Dataset]) -> store.Rows:
    return store.Rows(variable(("cell",), CELLS, "1", "cell"), parts, shared)


def write(path: Path, group: store.Rows) -> None:
    store.write_tree(path, {"one": group}, title="t", spec="{}", code="c")


def kinds(dataset: xr.Dataset) -> dict[object, str]:
    """The type of every variable; any kind of text is text."""
    return {name: "text" if v.dtype.kind in store.TEXT else str(v.dtype) for name, v in dataset.variables.items()}


def test_rows_are_those_of_one_dataset(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", rows(row(index) for index in range(20)))
    group = store.read_group(tmp_path / "a.nc", "one")
    parts = [row(index).drop_attrs(deep=False) for index in range(20)]
    joined = xr.concat(parts, dim=variable(("cell",), CELLS, "1", "cell"), data_vars="all", coords="minimal")
    joined["size"] = shared(row(0))["size"]
    xr.testing.assert_identical(group.drop_attrs(deep=False), joined)
    assert kinds(group) == kinds(joined)
    assert group.attrs["title"] == "t"


def test_few_rows_are_in_memory_at_once(tmp_path: Path) -> None:
    made: list[weakref.ref[xr.Dataset]] = []

    def parts() -> Iterator[xr.Dataset]:
        for index in range(20):
            # The first, whose layout the others must have, and the one before.
            assert sum(each() is not None for each in made) <= 2
            part = row(index)
            made.append(weakref.ref(part))
            yield part
            del part

    write(tmp_path / "a.nc", rows(parts()))
    assert len(made) == 20


def test_what_a_group_was_made_from_is_part_of_it(tmp_path: Path) -> None:
    seals = []
    for other in ("3", "another"):
        parts = (row(i).assign_attrs(stores_sha256=other) if i == 3 else row(i) for i in range(20))
        write(tmp_path / "a.nc", rows(parts))
        seals.append(store.read_group(tmp_path / "a.nc", "one").attrs["stores_sha256"])
    assert seals[0] != seals[1]


@pytest.mark.parametrize("change", ["coordinate", "variable"])
def test_rows_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: str) -> None:
    odd = row(7).assign_coords(seed=row(7)["seed"] + 1) if change == "coordinate" else row(7).drop_vars("loss")
    with pytest.raises(store.StoreError, match=r"a\.nc: one\.c7 has not the variables and coordinates of the first"):
        write(tmp_path / "a.nc", rows(odd if index == 7 else row(index) for index in range(20)))
    assert not list(tmp_path.iterdir())


def test_attributes_of_every_group_are_read_and_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    write(path, rows(row(index) for index in range(20)))
    attributes, groups = store.tree_attributes(path)
    assert attributes["spec"] == "{}"
    assert groups["one"]["title"] == "t"
    content = bytearray(path.read_bytes())
    at = content.index(np.float32(row(19)["image"].values[0, 0]).tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(store.RefusedError, match="does not match its checksum"):
        store.tree_attributes(path)
