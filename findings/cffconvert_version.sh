#!/usr/bin/env bash
# A version without quotes in CITATION.cff is a number to YAML: 1.10 is valid, and cited as 1.1.
. "$(dirname "$0")/lib.sh"
install cffconvert==2.0.0
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
look <<'END'
import os
from finding import report

valid, cited = os.environ["valid"], os.environ["cited"]
report("version 1.10, or that it is not valid", f"{valid} {cited}", " valid " in valid and "(version 1.1)" in cited)
END
