"""How reading and writing `results/largestep.nc` grow with its groups: python benchmarks/tree.py.

Made-up experiments and studies, from memory and into it, by `largestep.store` with its checksums and compression, and
by xarray alone, which opens the file once for all groups. CPU seconds, on which other jobs have little influence.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from bench import processor

from largestep import store

GROUPS = (14, 28, 56)
# Of a group: shapes of its variables and how many there are of each.
DIMS = ("cell", "arm", "seed", "step")
VARIABLES = (((6, 2, 20, 100), 4), ((6, 2, 20), 46))
# Times what one open takes.
GOAL = 2.0


def main() -> None:
    """Print one line per number of groups; exit status 1 if a goal is missed."""
    print(f"{processor()}; xarray {xr.__version__}")
    print(
        f"{'groups':>6s}{'written':>10s}{'xarray':>9s}{'ratio':>7s}{'read':>9s}{'xarray':>9s}{'ratio':>7s}{'size':>9s}{'':8s}"
    )
    missed = False
    for count in GROUPS:
        groups = {(f"e{i}" if i % 2 else f"{store.STUDIES}/s{i}"): made_up(i) for i in range(count)}
        with tempfile.TemporaryDirectory() as folder:
            missed |= measure(groups, Path(folder) / "ours.nc", Path(folder) / "xarray.nc")
    if missed:
        sys.exit("a goal was missed")


def made_up(seed: int) -> xr.Dataset:
    """An experiment of random numbers."""
    draw = np.random.default_rng(seed)
    shapes = [shape for shape, copies in VARIABLES for _ in range(copies)]
    return xr.Dataset(
        {f"v{k}": store.variable(DIMS[: len(s)], draw.random(s), "1", "made up") for k, s in enumerate(shapes)},
        {"cell": store.variable(("cell",), list("abcdef"), "1", "cell")},
    )


def measure(groups: dict[str, xr.Dataset], ours: Path, plain: Path) -> bool:
    """Measure one number of groups and print it; whether a goal was missed."""

    def read_plain() -> None:
        with xr.open_datatree(ours, engine="netcdf4") as tree:
            tree.load()

    tree = xr.DataTree.from_dict(groups)
    wrote = seconds(lambda: store.write_tree(ours, groups, title="made up", spec="{}", code=""))
    wrote_plain = seconds(lambda: tree.to_netcdf(plain, engine="netcdf4"))
    took, took_plain = seconds(lambda: store.read_all(ours)), seconds(read_plain)
    ok = wrote <= GOAL * wrote_plain and took <= GOAL * took_plain
    print(
        f"{len(groups):6d}{wrote:8.2f} s{wrote_plain:7.2f} s{wrote / wrote_plain:6.2f}x{took:7.2f} s{took_plain:7.2f} s"
        f"{took / took_plain:6.2f}x{ours.stat().st_size / 1e6:6.1f} MB  {'ok' if ok else 'short'}",
        flush=True,
    )
    return not ok


def seconds(do: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    do()
    return time.process_time() - start


if __name__ == "__main__":
    main()
