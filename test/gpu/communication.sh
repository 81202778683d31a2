#!/usr/bin/env bash
# Gradients between ranks on GPUs, on whatever this machine has: two ranks on one GPU (staged), a GPU beside a
# CPU, and, where there are two GPUs, NCCL alone and mixed with a CPU. Every job trains the same batches as one
# rank on its CPU, so the losses must be the same; each checks after every second step that its replicas are
# equal.
# Usage: communication.sh PROGRAM [FOLDER]    needs mpirun; ends with "no GPU here" (77) where there is none
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
divs=$1
folder=${2:-$(mktemp -d)}
[ $# -ge 2 ] || trap 'rm -rf "$folder"' EXIT
[ ! -f "$here/../../jobs/mpi_environment.sh" ] || . "$here/../../jobs/mpi_environment.sh"

if "$divs" info | grep -E "^ +cuda +not here" >&2; then
    echo "no GPU here"
    exit 77
fi
# DIVS_GPUS: for machines whose GPUs nvidia-smi does not know.
gpus=${DIVS_GPUS:-$(nvidia-smi --list-gpus | wc -l)}

mkdir -p "$folder"
[ -f "$folder/data/labels.tsv" ] ||
    "$divs" synth "$folder/data" --videos 16 --seconds 2 --size 160x96 >/dev/null
cat >"$folder/small.model" <<'TEXT'
conv out=16 kernel=5 stride=2 pad=2 bias
relu
conv out=32 kernel=3 stride=2 pad=1 bias
relu
adaptive_pool out=2
linear out=classes
TEXT
cat >"$folder/small.toml" <<TEXT
[data]
dataset = "$folder/data"
[clip]
hop = 2
[model]
file = "$folder/small.model"
height = 64
width = 96
[train]
epochs = 3
batch = 16
deterministic = true
bucket_mib = 0.002
hash_steps = 2
TEXT

# losses RUN: one a step
losses() { grep '"kind":"step"' "$folder/$1/metrics.jsonl" | grep -oE '"loss":[-+.0-9e]+' | cut -d: -f2; }

# job NAME EXPECTED MPIRUN_ARGUMENTS...: trains, wants a line with EXPECTED, and the losses of the run "cpu".
job() {
    local name=$1 expected=$2
    shift 2
    local log=$folder/$name.log
    rm -rf "${folder:?}/$name"
    timeout -k 10 300 mpirun "$@" >"$log" 2>&1 || { cat "$log"; echo "$name: failed"; exit 1; }
    grep -E "gradients: " "$log" || true
    grep -qF "$expected" "$log" || { cat "$log"; echo "$name: expected a line with: $expected"; exit 1; }
    paste <(losses cpu) <(losses "$name") | awk -v name="$name" '
        NF != 2 { print name ": another number of steps"; bad = 1; exit }
        { d = $1 - $2; if (d < 0) d = -d; if (d > worst) worst = d; n++ }
        END { if (bad || n < 3) exit 1
              printf "%s: %d steps, losses within %.2g of the CPU'\''s\n", name, n, worst
              exit worst > 2e-3 }' || { echo "$name: its losses are not the CPU's"; exit 1; }
}

train=("$divs" train "$folder/small.toml" --set)
cpu=("${train[@]}" model.backend=cpu --set)
gpu=("${train[@]}" model.backend=auto --set)
rm -rf "$folder/cpu"
"${cpu[@]}" "train.folder=$folder/cpu" >"$folder/cpu.log" 2>&1 || { cat "$folder/cpu.log"; exit 1; }

one=(-x CUDA_VISIBLE_DEVICES=0) none=(-x CUDA_VISIBLE_DEVICES=)
job staged "through pinned memory and MPI (sharing GPU" \
    -n 2 "${one[@]}" "${gpu[@]}" "train.folder=$folder/staged"
job beside "rank 1 by MPI from host memory" \
    -n 1 "${one[@]}" "${gpu[@]}" "train.folder=$folder/beside" : \
    -n 1 "${none[@]}" "${gpu[@]}" "train.folder=$folder/beside"
if [ "$gpus" -lt 2 ]; then
    echo "one GPU: NCCL between GPUs was not run"
    exit 0
fi
job nccl "gradients: ranks 0, 1 by NCCL" -n 2 "${gpu[@]}" "train.folder=$folder/nccl"
job mixed "rank 0 takes the NCCL ranks' sum to the others" \
    -n 2 "${gpu[@]}" "train.folder=$folder/mixed" : -n 1 "${none[@]}" "${gpu[@]}" "train.folder=$folder/mixed"
