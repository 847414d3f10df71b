# shellcheck shell=bash
# Sourced by the findings beside it. Gives each a temporary folder, which it is in, and a virtual environment there.
set -euo pipefail
unset PYTHONPATH PYTHONHOME
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > finding.py <<'END'
import sys


def report(expected: str, seen: object, as_described: bool) -> None:
    """Print both and leave: with 0 while the surprise is there, with 1 when it is no more."""
    print(f"expected: {expected}\nseen:     {seen}")
    sys.exit(0 if as_described else 1)
END

# install NAME==VERSION ...: into the virtual environment, with what they need. Leaves with 2 where they cannot be had.
install() {
    { "${PYTHON:-python3}" -m venv venv &&
        venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; } ||
        { echo "not installed: $*" >&2 && exit 2; }
    echo "versions: $(venv/bin/python --version), $*"
}

# look: runs the Python that it reads.
look() {
    venv/bin/python -W ignore -
}
