# Sourced by the tests: a Slurm of two nodes in a scratch folder that is gone at the end, a small data set, a training
# configuration, and ways to wait. Expects $here and $divs. Exit code 77: skipped.
for program in slurmctld slurmd munged srun unshare; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null || { echo "skipped: needs root, to start Slurm's daemons"; exit 77; }

jobs=$(cd "$here/../../jobs" && pwd)
folder=$(mktemp -d)
export SLURM_CONF=$folder/slurm/slurm.conf DIVS=$divs OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ulimit -c unlimited 2>/dev/null || true # Slurm hands it on: a rank that crashes leaves its core in the jobs' folder
finish() {
    code=$?
    [ $code -eq 0 ] || { tail -n 40 "$folder"/*.log "$folder"/slurm/log/slurmctld || true; } 2>/dev/null
    for core in "$folder"/core*; do
        [ ! -e "$core" ] || gdb -batch -ex "thread apply all backtrace" "$divs" "$core" 2>&1 || true
    done
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

wait_for() { # seconds, what for, command ...
    local left=$1 what=$2
    shift 2
    until "$@"; do
        [ $((left -= 1)) -gt 0 ] || { echo "waited in vain: $what"; return 1; }
        sleep 1
    done
}
ended() { [ -z "$(squeue -h -j "$1" -o %T 2>/dev/null)" ]; }
in_state() { [ "$(squeue -h -j "$1" -o %T 2>/dev/null)" = "$2" ]; }
# Where a job that was queued again waits, it may start now: two minutes are Slurm's way to let its nodes forget it, and in
# the second of its end they would refuse it.
hurry() {
    if in_state "$1" PENDING; then
        sleep 3
        scontrol update jobid="$1" StartTime=now 2>/dev/null || true
    fi
    ended "$1"
}

train() { # name of the log; prints the job's number
    sbatch --parsable --nodes=2 --cpus-per-task=1 --chdir="$folder" --output="$folder/$1.log" --export=ALL \
        "$jobs/train.sbatch" "$folder/run.toml"
}
# An unbroken run, for the others to be compared with.
train_whole() {
    local whole
    whole=$(train whole)
    wait_for 600 "the unbroken run" ended "$whole"
    grep -q "^result  *finished" "$folder/whole.log"
    "$divs" export "$folder/run" "$folder/whole.h5" --newest >/dev/null
    rm -r "$folder/run"
}
# A run that was broken went on from a checkpoint, used each sample once an epoch, and ended with the same parameters.
same_as_whole() { # name of its log
    grep -q "resuming from" "$folder/$1.log"
    grep -q "^result  *finished" "$folder/$1.log"
    grep -qE "^epochs 1 to 60, each: ([0-9]+) of \1 samples used once, 0 skipped" "$folder/$1.log"
    "$divs" export "$folder/run" "$folder/$1.h5" --newest >/dev/null
    h5diff "$folder/whole.h5" "$folder/$1.h5"
    rm -r "$folder/run"
}
