#!/usr/bin/env bash
# job.sh STAGE ARGUMENT...: python -m largestep.STAGE ARGUMENT..., by the package beside this workflow.
set -euo pipefail
killed="error: the job was killed, most likely for want of memory; run fewer jobs at once or make it smaller in \
config.yaml, and start again"
# A process that is killed cannot say so itself.
trap '[[ $? != 137 ]] || echo "$killed" >&2' EXIT
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../src" && pwd -P)
export PATH="${LARGESTEP_PYTHON:+$LARGESTEP_PYTHON:}$PATH"
export PYTHONPATH="$source${PYTHONPATH:+:$PYTHONPATH}"
# A random.py or types.py in the folder where Snakemake runs replaces nothing that a library imports.
export PYTHONSAFEPATH=1 MPLBACKEND=Agg
# Stages then move a damaged input aside, so that the next run makes it anew.
export LARGESTEP_WORKFLOW=1
python -m "largestep.$1" "${@:2}"
