#!/usr/bin/env bash
# A version without quotes in CITATION.cff is a number to YAML: 1.10 is valid, and cited as 1.1.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check cffconvert==2.0.0 || exit 2
echo "versions: $(venv/bin/python --version), cffconvert 2.0.0"
cat > CITATION.cff <<'END'
cff-version: 1.2.0
message: Please cite.
title: Simulator
authors: [{name: Simulator developers}]
version: 1.10
END
valid=$(venv/bin/cffconvert --validate 2> /dev/null)
cited=$(venv/bin/cffconvert --format apalike 2> /dev/null)
export valid cited
venv/bin/python -W ignore - <<'END'
import os
import sys

valid, cited = os.environ["valid"], os.environ["cited"]
print("expected:", "version 1.10, or that it is not valid")
print("seen:    ", f"{valid} {cited}")
if not (" valid " in valid and "(version 1.1)" in cited):
    sys.exit(1)
END
