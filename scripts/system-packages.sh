#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which and why.
# Usage: system-packages.sh "reason" package...
set -euo pipefail
reason=$1; shift
if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system: please make sure these are installed to $reason: $*" >&2
    exit 0
fi
missing=()
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "Installing, to $reason: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Not root and no sudo: please run as root: apt-get install ${missing[*]}" >&2; exit 2; }
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
