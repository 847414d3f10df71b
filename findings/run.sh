#!/usr/bin/env bash
# Runs all findings, or those named, one after the other. Leaves with 1 when one has changed or could not be installed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ $# -gt 0 ] || set -- "$here"/*.sh
failed=0
for each; do
    name=$(basename "$each" .sh)
    case $name in lib | run) continue ;; esac
    status=0
    "$here/$name.sh" > "$log" 2>&1 || status=$?
    case $status in
        0) echo "as described   $name" ;;
        2) echo "not installed  $name" ;;
        *) echo "changed        $name" ;;
    esac
    if [ "$status" -ne 0 ]; then
        failed=1
        sed 's/^/    /' "$log"
    fi
done
exit "$failed"
