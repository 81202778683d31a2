#!/usr/bin/env bash
# A short training on a rendered data set, on the CPU and on the GPU in both precisions: the GPU must come within two
# points of the CPU's accuracy on the held-back split. Usage: training.sh PROGRAM [FOLDER]
set -euo pipefail
divs=$1
folder=${2:-$(mktemp -d)}
[ $# -ge 2 ] || trap 'rm -rf "$folder"' EXIT
if "$divs" info | grep -E "^ +cuda +not here" >&2; then
    echo "no GPU here"
    exit 77
fi
[ -f "$folder/data/labels.tsv" ] || "$divs" synth "$folder/data" --videos 40 --seconds 2 --size 160x96 >/dev/null
cat >"$folder/train.toml" <<TEXT
[data]
dataset = "$folder/data"
[clip]
hop = 4
[model]
name = "tiny"
height = 64
width = 96
[optimizer]
learning_rate = 0.02
[train]
epochs = 8
batch = 32
evaluate_epochs = 0
TEXT
accuracy() {  # RUN OPTIONS...: of the last evaluation
    local name=$1
    shift
    "$divs" --log warn train "$folder/train.toml" --set "train.folder=$folder/$name" "$@" >"$folder/$name.log" 2>&1 ||
        { cat "$folder/$name.log" >&2; exit 1; }
    grep '"kind":"eval"' "$folder/$name/metrics.jsonl" | tail -1 | grep -oE '"accuracy":[0-9.]+' | cut -d: -f2
}
cpu=$(accuracy cpu --set model.backend=cpu --set model.threads=8)
code=0
for precision in float32 bfloat16; do
    gpu=$(accuracy "$precision" --set model.backend=cuda --set "model.precision=$precision")
    awk -v gpu="$gpu" -v cpu="$cpu" -v what="$precision" 'BEGIN {
        good = gpu >= cpu - 0.02
        printf "accuracy after 8 epochs: cuda %s %.3f, cpu %.3f: %s\n", what, gpu, cpu, good ? "reached" : "NOT reached"
        exit !good }' || code=1
done
exit $code
