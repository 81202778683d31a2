#!/usr/bin/env bash
# Runs a compiler; what ptxas says of each kernel's registers and spills goes into OBJECT.resources beside the object,
# everything else where it belongs. Usage: keep_log.sh COMPILER ARGUMENTS...
set -uo pipefail
object=
for ((i = 1; i < $#; ++i)); do
    [ "${!i}" != -o ] || { next=$((i + 1)); object=${!next}; }
done
[ -n "$object" ] || exec "$@"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" 2>"$log"
status=$?
resources='^ptxas info|bytes stack frame|^$'
grep -E "$resources" "$log" >"$object.resources"
grep -vE "$resources" "$log" >&2
exit $status
