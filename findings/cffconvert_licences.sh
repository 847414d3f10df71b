#!/usr/bin/env bash
# Two licences in CITATION.cff, which the format allows: in schema.org and CodeMeta cffconvert writes the Python list into
# one address, which leads nowhere.
. "$(dirname "$0")/lib.sh"
install cffconvert==2.0.0
cat > CITATION.cff <<'END'
cff-version: 1.2.0
message: Please cite.
title: Simulator
authors: [{name: Simulator developers}]
license: [MIT, Apache-2.0]
END
venv/bin/cffconvert --validate > /dev/null 2>&1
venv/bin/cffconvert --format schema.org > about.json 2> /dev/null
look <<'END'
import json
from finding import report

licence = json.load(open("about.json"))["license"]
report("two addresses", repr(licence), licence == "https://spdx.org/licenses/['MIT', 'Apache-2.0']")
END
