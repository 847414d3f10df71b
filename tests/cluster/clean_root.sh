#!/usr/bin/env bash
# A fresh Debian in a folder, a fresh clone in it, and a command there: does the repository install all that it needs?
#   tests/cluster/clean_root.sh [COMMAND]      by default a set-up, a dry run and a few tests; for all: 'bash .ci/run'
# Needs root. From this machine it takes the names of apt's and pip's sources and their certificates, nothing else.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
export COMMAND=${1:-'make setup && .venv/bin/snakemake --dry-run --cores 2 | tail -n 30 &&
    .venv/bin/python -m pytest -q tests/unit/test_config.py tests/unit/test_kernels.py'}
[[ $EUID == 0 ]] || { echo "needs root, for debootstrap and chroot"; exit 1; }
[[ -n ${LARGESTEP_IN_NAMESPACE:-} ]] || LARGESTEP_IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"

if ! command -v debootstrap > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends debootstrap > /dev/null
fi
root=$(mktemp -d /var/tmp/largestep-root-XXXXXX)
# Services of the root have users of their own.
chmod 755 "$root"
clear_up() {
    umount --recursive "$root" || true
    # Never into a mount.
    [[ -n $(findmnt --list --noheadings --output TARGET | grep "^$root") ]] || rm -rf --one-file-system "$root"
}
trap clear_up EXIT
mount --bind "$root" "$root"
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
begun=$SECONDS
debootstrap --variant=minbase --include=ca-certificates,git,make,python3,python3-venv \
    "$VERSION_CODENAME" "$root" "$mirror" > "$root.log" || { tail "$root.log"; exit 1; }
rm "$root.log"
echo "clean root made in $((SECONDS - begun)) s; no Python package in it but: $(chroot "$root" python3 -m pip list 2> /dev/null | tail -n +3 | tr -s ' \n' ' ')"

cp -r --remove-destination /etc/apt/. "$root/etc/apt/"
# Links in the root lead out of it as long as it is not entered.
for file in /etc/ssl/certs/ca-certificates.crt /etc/resolv.conf /etc/hosts /etc/pip.conf ~/.config/pip/pip.conf; do
    [[ ! -f $file ]] || install -D --no-target-directory -m 644 "$file" "$root${file/#$HOME//root}"
done
# Folders of packages that pip's configuration names.
for folder in $(python3 -m pip config list 2> /dev/null | grep -oE '/[A-Za-z0-9_./-]+' | sort -u); do
    if [[ -d $folder ]]; then
        # An index and the files that it names lie side by side.
        folder=$(realpath "$folder" | cut -d / -f 1-3)
        mkdir -p "$root$folder"
        mount --bind -o ro "$folder" "$root$folder"
    fi
done
for file in proc sys dev; do
    mount --rbind "/$file" "$root/$file"
done
git clone --quiet "$repository" "$root/root/largestep"
set +e
# Of the environment, only where pip finds what it may install.
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 CI=true \
    COMMAND="$COMMAND" $(env | grep -E '^(PIP_[A-Z_]*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE)=[^ ]*$') \
    chroot "$root" bash -c 'cd ~/largestep && time eval "$COMMAND"'
result=$?
echo "in a clean root: exit status $result after $((SECONDS - begun)) s"
exit $result
