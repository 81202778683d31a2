#!/usr/bin/env bash
# Installs what is missing of the packages in packages.txt. Usage: install_packages.sh SECTION...
# Says what it installs; never asks. Does nothing, and needs no root, where all is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

packages_of() {  # the packages of the named sections
    awk -v wanted=" $* " '/^#|^$/ {next} /^\[/ {gsub(/[][]/, ""); on = index(wanted, " " $0 " "); next} on {print $1}' \
        "$here/packages.txt"
}

missing=()
for package in $(packages_of "$@"); do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        echo "Missing packages, and neither root nor sudo without a password to install them. Ask for:" >&2
        echo "  apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
echo "Installing with apt: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "${missing[@]}"; } \
       >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    echo "apt failed; its last lines are above" >&2
    exit 1
fi
