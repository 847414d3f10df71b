#!/usr/bin/env bash
# compliance-checker says that thresholds along a dimension do not ascend, unless the file also has a coordinate of texts,
# such as names of runs: then its check of the order fails on them and nothing is said of any coordinate.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check compliance-checker==6.1.0 netCDF4==1.7.5.1.post1 numpy==2.4.6 || exit 2
echo "versions: $(venv/bin/python --version), compliance-checker 6.1.0, netCDF4 1.7.5.1.post1, numpy 2.4.6"
venv/bin/python -W ignore - <<'END'
import subprocess
import sys

import netCDF4
import numpy as np

said = {}
for kind in ("no names", "names as texts", "names as characters"):
    with netCDF4.Dataset("a.nc", "w") as file:
        file.setncatts({"Conventions": "CF-1.11", "title": "ranks", "history": "made", "source": "runs"})
        file.createDimension("threshold", 3)
        levels = file.createVariable("threshold", "f8", ("threshold",))
        levels.setncatts({"units": "1", "long_name": "threshold"})
        levels[:] = [1e-4, 1e-3, 1e-6]
        if kind != "no names":
            file.createDimension("run", 2)
            file.createDimension("letters", 5)
            texts = kind == "names as texts"
            names = file.createVariable("run", str if texts else "S1", ("run",) if texts else ("run", "letters"))
            names.setncatts({"units": "1", "long_name": "run"})
            both = np.array(["small", "large"])
            names[:] = both.astype(object) if texts else netCDF4.stringtochar(both.astype("S5"))
    done = subprocess.run(
        ["venv/bin/compliance-checker", "--test=cf:1.11", "a.nc"], capture_output=True, text=True
    )
    said[kind] = "monotonic" in done.stdout
print("expected: the thresholds are said not to be monotonic in all three files")
print("seen:    ", said)
if said != {"no names": True, "names as texts": False, "names as characters": True}:
    sys.exit(1)
END
