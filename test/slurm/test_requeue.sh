#!/usr/bin/env bash
# jobs/train.sbatch on a Slurm of two nodes: told that its time is up in the middle, it saves, is queued again, goes on by
# itself, and ends with the parameters of an unbroken run. Usage: test_requeue.sh DIVS. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
divs=$1
for program in slurmctld slurmd munged srun unshare; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null || { echo "skipped: needs root, to start Slurm's daemons"; exit 77; }

folder=$(mktemp -d)
export SLURM_CONF=$folder/slurm/slurm.conf DIVS=$divs OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
finish() {
    code=$?
    [ $code -eq 0 ] || { tail -n 40 "$folder"/*.log "$folder"/slurm/log/slurmctld || true; } 2>/dev/null
    "$here/cluster.sh" stop "$folder/slurm"
    [ -n "${DIVS_TEST_KEEP:-}" ] || rm -rf "$folder"
}
trap finish EXIT

"$divs" synth "$folder/data" --videos 24 --seconds 2 --size 96x64 --log warn >/dev/null
cat >"$folder/run.toml" <<TOML
[data]
dataset = "$folder/data"
[clip]
hop = 2
[model]
height = 32
width = 48
[train]
folder = "run"
epochs = 60
batch = 16
deterministic = true
TOML
"$here/cluster.sh" start "$folder/slurm" 2

submit() { # name of the log; prints the job's number
    sbatch --parsable --nodes=2 --cpus-per-task=1 --chdir="$folder" --output="$folder/$1.log" --export=ALL \
        "$here/../../jobs/train.sbatch" "$folder/run.toml"
}
wait_for() { # seconds, what for, command ...
    local left=$1 what=$2
    shift 2
    until "$@"; do
        [ $((left -= 1)) -gt 0 ] || { echo "waited in vain: $what"; return 1; }
        sleep 1
    done
}
ended() { [ -z "$(squeue -h -j "$1" -o %T 2>/dev/null)" ]; }
# Where a job that was queued again waits, it may start now.
hurry() { scontrol update jobid="$1" StartTime=now 2>/dev/null || true; ended "$1"; }

whole=$(submit whole)
wait_for 200 "the unbroken run" ended "$whole"
grep -q "^result  *finished" "$folder/whole.log"
"$divs" export "$folder/run" "$folder/whole.h5" --newest >/dev/null
rm -r "$folder/run"

broken=$(submit broken)
wait_for 60 "its twentieth epoch" grep -qs "^epoch 20 " "$folder/broken.log"
scancel --batch --signal=USR1 "$broken"
wait_for 60 "the checkpoint before the end" grep -qs "queued again" "$folder/broken.log"
grep -q "stopped by a signal" "$folder/broken.log"
wait_for 240 "the end of the run that was queued again" hurry "$broken"
grep -q "resuming from" "$folder/broken.log"
grep -q "^result  *finished" "$folder/broken.log"
grep -qE "^epochs 1 to 60, each: ([0-9]+) of \1 samples used once, 0 skipped" "$folder/broken.log"

"$divs" export "$folder/run" "$folder/broken.h5" --newest >/dev/null
h5diff "$folder/whole.h5" "$folder/broken.h5"
echo "the same parameters, each sample once an epoch"
