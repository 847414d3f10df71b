#!/usr/bin/env bash
# add_file without a destination puts a file under its base name: of the stores of two cells, both sparsity.nc, the crate
# holds one, and lists one.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check rocrate==0.16.0 || exit 2
echo "versions: $(venv/bin/python --version), rocrate 0.16.0"
venv/bin/python -W ignore - <<'END'
import sys

from pathlib import Path
from rocrate.rocrate import ROCrate

crate = ROCrate()
for cell in ("small", "large"):
    Path(cell).mkdir()
    Path(cell, "sparsity.nc").write_text(cell)
    crate.add_file(f"{cell}/sparsity.nc")
crate.write("crate")
held = {str(path.relative_to("crate")): path.read_text() for path in Path("crate").rglob("*.nc")}
print("expected:", "two files, or an error")
print("seen:    ", f"{held}")
if not (held in ({"sparsity.nc": "large"}, {"sparsity.nc": "small"})):
    sys.exit(1)
END
