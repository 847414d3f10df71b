#!/usr/bin/env bash
# The same text means one thing in a configuration file and another after --config: 1e-3 is text and a number, yes true and
# text, 010 eight and ten. false after --config is a text, which is true.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check snakemake==9.27.1 || exit 2
echo "versions: $(venv/bin/python --version), snakemake 9.27.1"
cat > Snakefile <<'END'
import json
with open("seen.json", "w") as file:
    json.dump(config, file)
rule nothing:
END
texts=(1e-3 yes 010 12:30 false)
settings=()
: > config.yaml
for i in "${!texts[@]}"; do
    echo "file_$i: ${texts[$i]}" >> config.yaml
    settings+=("line_$i=${texts[$i]}")
done
venv/bin/snakemake --dry-run --configfile config.yaml --config "${settings[@]}" > log.txt 2>&1 || { cat log.txt; exit 1; }
venv/bin/python -W ignore - <<'END'
import json
import sys

config = json.load(open("seen.json"))
pairs = [(config[f"file_{i}"], config[f"line_{i}"]) for i in range(5)]
print("expected:", "the same value by both ways")
print("seen:    ", "; ".join(f"{file!r} in the file, {line!r} by --config" for file, line in pairs))
if not (repr(pairs) == repr([("1e-3", 0.001), (True, "yes"), (8, 10), (750, "12:30"), (False, "false")])):
    sys.exit(1)
END
