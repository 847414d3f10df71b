#!/usr/bin/env bash
# add_file without a destination puts a file under its base name: of the stores of two cells, both sparsity.nc, the crate
# holds one, and lists one.
. "$(dirname "$0")/lib.sh"
install rocrate==0.16.0
look <<'END'
from pathlib import Path
from rocrate.rocrate import ROCrate
from finding import report

crate = ROCrate()
for cell in ("small", "large"):
    Path(cell).mkdir()
    Path(cell, "sparsity.nc").write_text(cell)
    crate.add_file(f"{cell}/sparsity.nc")
crate.write("crate")
held = {str(path.relative_to("crate")): path.read_text() for path in Path("crate").rglob("*.nc")}
report("two files, or an error", f"{held}", held in ({"sparsity.nc": "large"}, {"sparsity.nc": "small"}))
END
