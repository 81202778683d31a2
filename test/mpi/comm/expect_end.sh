#!/usr/bin/env bash
# expect_end.sh CODE PATTERN COMMAND...: the command ends by itself with this exit code (several: 1|137), its output
# matches the pattern, and none of its processes is left.
set -u
codes=$1 pattern=$2
shift 2
job=DIVS_TEST_JOB=$$.$RANDOM
output=$(env "$job" timeout -k 10 60 "$@" 2>&1)
code=$?
printf '%s\n' "$output"
echo "exit code $code, expected $codes"
[[ "$code" =~ ^($codes)$ ]] || exit 1
grep -qE "$pattern" <<<"$output" || { echo "expected output with: $pattern"; exit 1; }
for ((i = 0; i < 100; i++)); do
    left=$(grep -lzs "^$job$" /proc/[0-9]*/environ | wc -l)
    [[ $left -eq 0 ]] && exit 0
    sleep 0.1
done
echo "$left processes of the job are still there"
exit 1
