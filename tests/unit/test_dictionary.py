"""The dictionary of variables is what an aggregate says of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from largestep import dictionary, store


def aggregate(path: Path) -> Path:
    """Two experiments that share a variable, one of which has another; and a study."""
    shared = store.variable(("seed",), np.zeros(2), "1", "loss | of *all*")
    groups = {
        "first": xr.Dataset({"loss": shared, "error": store.variable((), 1.0, "percent", "error")}),
        "second": xr.Dataset({"loss": shared}),
        "studies/third": xr.Dataset({"gap": store.variable((), 1.0, "1", "distance < 1")}),
    }
    store.write_tree(path, groups, title="", spec="{}", code="")
    return path


def test_each_variable_of_experiments_stands_once(tmp_path: Path) -> None:
    page = dictionary.page(dictionary.variables(aggregate(tmp_path / "largestep.nc")))
    assert "\n4 variables in 3 groups " in page
    assert r"| `loss` | seed | 1 | loss \| of \*all\* | all |" in page.splitlines()
    assert "| `error` |  | percent | error | first |" in page.splitlines()
    assert page.endswith("## Study third\n\n| variable | dimensions | units | what it is |\n|---|---|---|---|\n"
                         "| `gap` |  | 1 | distance &lt; 1 |\n")  # fmt: skip


def test_what_is_no_aggregate_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none.nc").write_bytes(b"none")
    monkeypatch.setattr(
        "sys.argv", ["dictionary", "--input", str(tmp_path / "none.nc"), "--output", str(tmp_path / "page")]
    )
    with pytest.raises(SystemExit, match=r"none\.nc: is no aggregate"):
        dictionary.main()
    assert not (tmp_path / "page").exists()
