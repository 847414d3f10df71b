#!/usr/bin/env bash
# A set of names as a parameter of a rule: Snakemake keeps how Python prints it, which differs from process to process, so
# that the rule runs again and again because "params have changed". A sorted list does not.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check snakemake==9.27.1 || exit 2
echo "versions: $(venv/bin/python --version), snakemake 9.27.1"
cat > Snakefile <<'END'
names = {"small", "decay10", "decay30", "decay50", "larger", "annealed"}
rule set_of_names:
    output: "set.txt"
    params: names=names
    shell: "touch {output}"
rule list_of_names:
    output: "list.txt"
    params: names=sorted(names)
    shell: "touch {output}"
END
PYTHONHASHSEED=0 venv/bin/snakemake --cores 1 set.txt list.txt > run.txt 2>&1
for seed in 1 2; do
    PYTHONHASHSEED=$seed venv/bin/snakemake --dry-run set.txt list.txt > "$seed.txt" 2>&1
done
venv/bin/python -W ignore - <<'END'
import sys

again = {
    name: sum(f"rule {name}_of_names" in open(f"{seed}.txt").read() for seed in (1, 2)) for name in ("set", "list")
}
print("expected:", "nothing to do after a run")
print("seen:    ", ", ".join(f"the rule with a {name} would run again in {count} of 2 tries" for name, count in again.items()))
if not (again == {"set": 2, "list": 0} and "Params have changed" in open("1.txt").read()):
    sys.exit(1)
END
