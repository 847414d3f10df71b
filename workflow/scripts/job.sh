#!/usr/bin/env bash
# job.sh STAGE ARGUMENT...: python -m largestep.STAGE ARGUMENT..., by the package beside this workflow.
set -euo pipefail
killed="error: the job was killed, most likely for want of memory; run fewer jobs at once or make it smaller in \
config.yaml, and start again"
unequipped="error: PYTHON has no package PACKAGE, which this job needs: install largestep beside Snakemake (make setup \
does it in a clone), or run Snakemake with --software-deployment-method conda"
missing="import importlib.util as u; print(*[p for p in ('netCDF4', 'numba', 'torch') if not u.find_spec(p)][:1])"
# A process that is killed cannot say so itself, and one without its libraries says it in a traceback.
explain() {
    local status=$? package
    [[ $status != 137 ]] || echo "$killed" >&2
    [[ $status != 1 ]] || { package=$(python -c "$missing") && [[ -n $package ]] || return 0
        unequipped=${unequipped/PYTHON/$(command -v python)}
        echo "${unequipped/PACKAGE/$package}" >&2; }
}
trap explain EXIT
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../src" && pwd -P)
export PATH="${LARGESTEP_PYTHON:+$LARGESTEP_PYTHON:}$PATH"
export PYTHONPATH="$source${PYTHONPATH:+:$PYTHONPATH}"
# A random.py or types.py in the folder where Snakemake runs replaces nothing that a library imports.
export PYTHONSAFEPATH=1 MPLBACKEND=Agg
# Stages then move a damaged input aside, so that the next run makes it anew.
export LARGESTEP_WORKFLOW=1
python -m "largestep.$1" "${@:2}"
