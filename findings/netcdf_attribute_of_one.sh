#!/usr/bin/env bash
# A list of one text or number as an attribute comes back from NetCDF as the text or the number. A loop over the names of
# arms or blocks then goes through letters, one over thresholds raises; with two entries both work. Zarr keeps the list.
. "$(dirname "$0")/lib.sh"
install netCDF4==1.7.5.1.post1 xarray==2026.9.0 zarr==3.1.6 numpy==2.4.6
look <<'END'
import xarray as xr
from finding import report

names = {}
for arms in (["order", "data"], ["order"]):
    made = xr.Dataset(attrs={"arms": arms, "thresholds": [1e-4] * len(arms)})
    made.to_netcdf("a.nc", engine="netcdf4")
    made.to_zarr("a.zarr", mode="w")
    names[len(arms)] = list(xr.open_dataset("a.nc").attrs["arms"]), list(xr.open_zarr("a.zarr").attrs["arms"])
threshold = xr.open_dataset("a.nc").attrs["thresholds"]
report(
    "['order'] is read as ['order']",
    f"NetCDF {names[1][0]}, Zarr {names[1][1]}; the threshold {threshold!r}",
    names == {2: (["order", "data"],) * 2, 1: (list("order"), ["order"])} and not hasattr(threshold, "__len__"),
)
END
