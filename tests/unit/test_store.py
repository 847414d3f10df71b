"""Stores: documented, checked, and replaced in one move."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from largestep import machine, store


def dataset() -> xr.Dataset:
    return xr.Dataset({"loss": store.variable(("seed",), [1.0, np.nan, 3.0], "1", "a loss")})


def write(path: Path, content: xr.Dataset | None = None, spec: str = "{}") -> None:
    store.write(
        path,
        dataset() if content is None else content,
        title="t",
        stage="train",
        spec=spec,
        code="c",
        seeds="0",
        clock=store.Clock(),
    )


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "a.nc")
    back = store.read(tmp_path / "a.nc", spec="{}", code="c")
    np.testing.assert_array_equal(back["loss"], dataset()["loss"])
    assert list(tmp_path.iterdir()) == [tmp_path / "a.nc"]


def test_undocumented_variables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match=r"a\.nc: variable loss needs units and long_name"):
        write(tmp_path / "a.nc", xr.Dataset({"loss": ("seed", [1.0])}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("key", "message"), [("spec", "other settings"), ("code", "other code")])
def test_stale_stores_are_refused(tmp_path: Path, key: str, message: str) -> None:
    write(tmp_path / "a.nc")
    with pytest.raises(store.StoreError, match=f"is stale.*{message}"):
        store.read(tmp_path / "a.nc", **{key: "else"})


def test_a_store_of_the_same_cell_is_stale_and_that_of_another_is_refused(tmp_path: Path) -> None:
    """Settings may be edited while jobs run, and edited back; only what belongs elsewhere is to be moved away."""
    write(tmp_path / "a.nc", spec='{"cell":"a.b","steps":1}')
    with pytest.raises(store.StoreError, match="is stale: it was made from other settings; ") as stale:
        store.read(tmp_path / "a.nc", spec='{"cell":"a.b","steps":2}')
    assert not isinstance(stale.value, store.RefusedError)
    with pytest.raises(store.RefusedError, match=r"a\.nc: belongs to a\.b; "):
        store.read(tmp_path / "a.nc", spec='{"cell":"a.c","steps":1}')


def test_a_store_that_somebody_holds_a_lock_on_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.nc")
    with (tmp_path / "a.nc").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "loss" in store.read(tmp_path / "a.nc")


def test_what_was_set_aside_before_is_kept(tmp_path: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (tmp_path / "a.nc").write_bytes(content)
        store.set_aside(tmp_path / "a.nc")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"first", b"second", b"third"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "missing"])
def test_damaged_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.nc"
    write(path)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"not NetCDF"}[damage])
    problem = "cannot be read: No such file" if damage == "missing" else "is not a readable NetCDF file; delete it and"
    with pytest.raises(store.StoreError, match=rf"a\.nc: {problem}"):
        store.read(path)


def test_changed_values_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    write(path)
    changed = xr.load_dataset(path)
    changed["loss"][0] = 2.0
    changed.to_netcdf(path)
    with pytest.raises(store.StoreError, match="does not match its checksum"):
        store.read(path)


def test_foreign_stores_are_refused(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1])}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(store.StoreError, match="was not written by largestep"):
        store.read(tmp_path / "a.nc")


def test_other_versions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.nc")
    monkeypatch.setattr(store, "_versions", lambda: {"version_numpy": "99.0"})
    with pytest.raises(store.StoreError, match=r"was made with numpy .*, but 99.0 is installed"):
        store.read(tmp_path / "a.nc")


def test_tree_is_checked_group_by_group(tmp_path: Path) -> None:
    path = tmp_path / "tree.nc"
    groups = {"one": dataset(), "two": dataset(), "studies/three": dataset()}
    store.write_tree(path, groups, title="t", spec="{}", code="c")
    experiments, studies = store.read_all(path)
    assert (set(experiments), set(studies)) == ({"one", "two"}, {"three"})
    with netCDF4.Dataset(path, "a") as raw:
        raw["one"]["loss"][0] = 7.0
    with pytest.raises(store.StoreError, match="does not match its checksum"):
        store.read_group(path, "one")
    store.read_group(path, "two")
    with pytest.raises(store.StoreError, match="has no readable experiment three"):
        store.read_group(path, "three")


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(store.StoreError, match="cannot be written"):
        write(tmp_path / "file" / "a.nc")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_digest_sees_names_values_and_attributes_but_not_the_run() -> None:
    first = store.content_digest(dataset())
    assert store.content_digest(dataset().assign_attrs(wall_time_s=3.0)) == first
    assert store.content_digest(dataset().assign_attrs(spec="x")) != first
    assert store.content_digest(dataset().rename(loss="error")) != first
    assert store.content_digest(dataset() + 1e-16) == first
    assert store.content_digest(dataset() * 2) != first


def streamed(values: np.ndarray, lead: int) -> dict[str, store.Streamed]:
    """A variable in slabs over its first `lead` dimensions."""
    dims = ("arm", "seed", "parameter")
    slabs = [values[index] for index in np.ndindex(*values.shape[:lead])]
    return {"weights": store.Streamed(dims, values.shape, "f4", "1", "weights", lambda: iter(slabs))}


@pytest.mark.parametrize("lead", [1, 2])
def test_a_streamed_variable_is_one_like_any_other(tmp_path: Path, lead: int) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    values[0, 1] = np.nan
    attributes = {"title": "t", "stage": "train", "spec": "{}", "code": "c", "seeds": "0", "clock": store.Clock()}
    store.write(tmp_path / "a.nc", dataset(), streamed=streamed(values, lead), **attributes)
    back = store.read(tmp_path / "a.nc")
    np.testing.assert_array_equal(back["weights"], values)
    assert back["weights"].attrs == {"units": "1", "long_name": "weights"}


def test_a_store_is_checked_and_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    attributes = {"title": "t", "stage": "train", "spec": "{}", "code": "c", "seeds": "0", "clock": store.Clock()}
    store.write(tmp_path / "a.nc", dataset(), streamed=streamed(values, 2), **attributes)
    monkeypatch.setattr(store, "SLAB", 20)
    with store.opened(tmp_path / "a.nc", spec="{}", code="c") as lazily:
        np.testing.assert_array_equal(lazily["weights"][1, 2].values, values[1, 2])
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file["weights"][1, 2, 3] = -1.0
    with (
        pytest.raises(store.StoreError, match=r"a\.nc: its content does not match its checksum"),
        store.opened(tmp_path / "a.nc"),
    ):
        pass


class Opener:
    """Takes the place of the class `netCDF4.Dataset` and counts the files that are opened."""

    def __init__(self) -> None:
        self.dataset, self.opened = netCDF4.Dataset, 0

    def __call__(self, *args: Any, **kwargs: Any) -> netCDF4.Dataset:
        self.opened += 1
        return self.dataset(*args, **kwargs)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self.dataset)

    def count(self, do: Callable[[], object]) -> int:
        self.opened = 0
        do()
        return self.opened


@pytest.mark.parametrize("count", [3, 12])
def test_the_tree_is_opened_as_often_for_many_groups_as_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    path, opener = tmp_path / "tree.nc", Opener()
    monkeypatch.setattr(netCDF4, "Dataset", opener)
    groups = {name: dataset() for index in range(count) for name in (f"e{index}", f"studies/s{index}")}
    assert opener.count(lambda: store.write_tree(path, groups, title="t", spec="{}", code="c")) == 2
    assert opener.count(lambda: store.read_all(path)) == 1
    assert opener.count(lambda: store.tree_attributes(path)) == 1
    assert opener.count(lambda: store.read_group(path, "e0")) == 1
    assert [len(part) for part in store.read_all(path)] == [count, count]


def test_the_tree_is_compressed_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    steps = store.variable(("seed", "step"), np.arange(2e5).reshape(2, -1), "step", "easy to compress")
    group = xr.Dataset({"steps": steps, "flag": store.variable(steps.dims, steps > 5, "1", "a flag")})
    for name in ("a.nc", "b.nc"):
        store.write_tree(tmp_path / name, {"one": group}, title="t", spec="{}", code="c")
    content = (tmp_path / "a.nc").read_bytes()
    assert content == (tmp_path / "b.nc").read_bytes()
    assert len(content) < 0.3 * group.nbytes
    xr.testing.assert_equal(store.read_group(tmp_path / "a.nc", "one"), group)
    assert store.read_group(tmp_path / "a.nc", "one")["flag"].dtype == bool


def test_one_row_of_a_large_variable_is_compressed_at_a_time(tmp_path: Path) -> None:
    """Then a row is written once and read without its neighbours, and the library keeps none in memory."""
    row = xr.Dataset({"loss": store.variable(("seed", "step"), np.zeros((4, 2**18)), "1", "a loss")})
    row.attrs["stores_sha256"] = "x"
    rows = store.Rows(store.variable(("cell",), ["a", "b"], "1", "cell"), [row, row], lambda _: row[[]])
    store.write_tree(tmp_path / "a.nc", {"one": rows}, title="t", spec="{}", code="c")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["one"]["loss"].filters()["zlib"]
        assert file["one"]["loss"].chunking() == [1, 1, 2**17]


def test_what_computed_a_store_is_recorded_and_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seals = []
    for processor in ("this one", "another"):
        monkeypatch.setattr(machine, "processor", lambda name=processor: name)
        write(tmp_path / "a.nc")
        attributes = store.attributes(tmp_path / "a.nc")
        assert attributes["processor"] == processor
        assert "openblas" in str(attributes["blas"])
        assert "openblas" in str(attributes["threads"])
        assert set(machine.ATTRIBUTES) <= {*attributes, "compile_target"}
        seals.append(attributes["content_sha256"])
    assert seals[0] == seals[1]


def test_stores_of_another_scipy_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.nc")
    with pytest.raises(store.StaleError, match=r"was made with scipy 0\.1, but .* is installed"):
        store.check_versions(tmp_path / "a.nc", {"version_scipy": "0.1"})


@pytest.mark.parametrize(
    "error", [store.RefusedError(Path("a"), "is damaged", "why"), store.StaleError(Path("a"), "is stale")]
)
def test_errors_come_through_from_other_processes(error: store.StoreError) -> None:
    """As they do from the pools of `verify` and `compare`."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_as_many_rows_as_names(tmp_path: Path) -> None:
    row = xr.Dataset({"a": store.variable(("t",), [1.0], "1", "a")}, attrs={"stores_sha256": "b"})
    rows = store.Rows(
        store.variable(("cell",), ["one", "two"], "1", "cell"),
        iter([row]),
        lambda first: xr.Dataset(coords=first.coords, attrs={"stores_sha256": "c"}),
    )
    with pytest.raises(store.StoreError, match="1 rows for 2 names"):
        store.write_tree(tmp_path / "tree.nc", {"experiment": rows}, title="t", spec="{}", code="c")
    assert list(tmp_path.iterdir()) == []


def test_rows_of_every_kind_come_back(tmp_path: Path) -> None:
    """Truth values and texts too, of which no measure of ours is one."""
    parts = {
        "flag": [True, False],
        "yes": True,
        "word": "naïve",
        "words": ["a", "longer"],
        "count": 3,
        "value": [0.5, np.nan],
    }
    row = xr.Dataset(
        {
            key: store.variable(("t",) if isinstance(value, list) else (), np.array(value), "1", key)
            for key, value in parts.items()
        },
        attrs={"stores_sha256": "b"},
    )
    names = store.variable(("cell",), ["one", "two"], "1", "cell")
    rows = store.Rows(names, iter([row, row]), lambda _: row[[]].assign_attrs(stores_sha256="c"))
    store.write_tree(tmp_path / "tree.nc", {"experiment": rows}, title="t", spec="{}", code="c")
    group = store.read_all(tmp_path / "tree.nc")[0]["experiment"]
    for key, value in parts.items():
        np.testing.assert_array_equal(group[key].values, np.array([value, value]))
    assert group["flag"].dtype == bool


def cells(*names: str) -> xr.Dataset:
    """A measure of cells with names."""
    labels = store.variable(("cell",), list(names), "1", "cell")
    marks = store.variable(("cell",), ["é", *[""] * (len(names) - 1)], "1", "mark")
    values = store.variable(("cell",), np.arange(float(len(names))), "1", "loss")
    return xr.Dataset({"loss": values, "mark": marks}, {"cell": labels, "x": values})


def test_text_is_characters_and_coordinates_have_no_fill_value(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", cells("small", "decay50"))
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert (file["cell"].dtype, file["mark"].dtype) == ("S1", "S1")
        assert [name for name in ("cell", "x") if "_FillValue" in file[name].ncattrs()] == []
    back = store.read(tmp_path / "a.nc")
    assert (back["cell"].values.tolist(), back["mark"].values.tolist()) == (["small", "decay50"], ["é", ""])


def test_names_stay_whole_when_stores_are_joined_and_saved(tmp_path: Path) -> None:
    for path, names in (("a.nc", ["small"]), ("b.nc", ["decay50_larger"])):
        write(tmp_path / path, cells(*names))
    joined = xr.concat([xr.load_dataset(tmp_path / path) for path in ("a.nc", "b.nc")], "cell")
    with pytest.warns(UserWarning, match="string5"):
        joined.to_netcdf(tmp_path / "both.nc")
    assert xr.load_dataset(tmp_path / "both.nc")["cell"].values.tolist() == ["small", "decay50_larger"]
