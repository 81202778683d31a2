#!/usr/bin/env bash
# Configures and builds one preset. Usage: build.sh PRESET [TARGET...]. Prints where the build folder is, last.
#   DIVS_BUILD=FOLDER   another folder than build/ for all presets
#   DIVS_TESTS=OFF      without the tests, for which packages.txt names more packages
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=$1
shift
folder=${DIVS_BUILD:-$top/build}/$preset
log=$(mktemp)
trap 'rm -f "$log"' EXIT
targets=()
[ $# -eq 0 ] || targets=(--target "$@")
echo "Building ($preset) in $folder" >&2
cd "$top"
if ! { cmake --preset "$preset" -B "$folder" -DDIVS_TESTS="${DIVS_TESTS:-ON}" -DDIVS_WERROR="${DIVS_WERROR:-OFF}" \
             ${DIVS_CMAKE_OPTIONS:-} &&
       cmake --build "$folder" -j "$(nproc)" "${targets[@]}"; } >"$log" 2>&1; then
    grep -E 'error|Error|FAILED|warning' "$log" | head -n 40 >&2 || true
    tail -n 30 "$log" >&2
    echo "the build failed; its first errors and last lines are above" >&2
    exit 1
fi
echo "$folder"
