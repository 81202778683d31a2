#!/usr/bin/env bash
# Video from files to a GPU: what the program chooses to decode with and how long the GPU then waits for clips, by
# training a clip model on H.264; and that an evaluation on frames decoded by the GPU gives what the CPU's frames give,
# for H.264 and HEVC. Usage: video.sh PROGRAM [FOLDER]
set -euo pipefail
divs=$1
folder=${2:-$(mktemp -d)}
[ $# -ge 2 ] || trap 'rm -rf "$folder"' EXIT
if "$divs" info | grep -E "^ +cuda +not here" >&2; then
    echo "no GPU here"
    exit 77
fi
for codec in h264 hevc; do
    [ -f "$folder/$codec/labels.tsv" ] ||
        "$divs" --log warn synth "$folder/$codec" --codec $codec --videos 8 --seconds 8 --size 1280x720 --fps 25 >/dev/null
done
cat >"$folder/train.toml" <<TEXT
[data]
dataset = "$folder/h264"
decode_threads = $(($(nproc) > 2 ? $(nproc) - 1 : 1))
[clip]
frames = 8
hop = 4
[model]
name = "tsm_resnet18"
height = 224
width = 224
backend = "cuda"
precision = "bfloat16"
[optimizer]
learning_rate = 0.02
[train]
folder = "$folder/run"
epochs = 20
batch = 32
evaluate_epochs = 0
TEXT
"$divs" train "$folder/train.toml" >"$folder/train.log" 2>&1 || { cat "$folder/train.log" >&2; exit 1; }
grep -E "video is decoded|limited by" "$folder/train.log" || { echo "the choice of decoder was not said" >&2; exit 1; }
python3 - "$folder/run/metrics.jsonl" <<'PYTHON'
import json, statistics, sys
steps = [s for s in map(json.loads, open(sys.argv[1])) if s["kind"] == "step"]
steps = steps[len(steps) // 3:]  # the first epochs start everything
idle = sum(s["wait_data"] for s in steps) / sum(s["seconds"] for s in steps)
rate = statistics.median(s["samples_per_s"] for s in steps)
print(f"tsm_resnet18, 8x224x224: {rate:.1f} clips/s")
print(f"gpu.video.idle {idle:.3f} <= 0.05 {'met' if idle <= 0.05 else 'missed'}")
PYTHON

accuracy() {  # DATA DECODER
    "$divs" --log info eval "$folder/train.toml" --set "data.dataset=$folder/$1" --set "data.decode=$2" --split train \
        --json "$folder/$1-$2.json" >"$folder/$1-$2.log" 2>&1 || { cat "$folder/$1-$2.log" >&2; exit 1; }
    grep -o "video is decoded.*" "$folder/$1-$2.log" >&2
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["accuracy"])' "$folder/$1-$2.json"
}
code=0
for codec in h264 hevc; do
    cpu=$(accuracy $codec cpu)
    if ! gpu=$(accuracy $codec gpu); then
        echo "$codec is not decoded by this GPU, this driver or this FFmpeg"
        continue
    fi
    # Pixels differ by a level where the two conversions round differently; a few clips may tip over.
    awk -v gpu="$gpu" -v cpu="$cpu" -v codec=$codec 'BEGIN {
        good = gpu >= cpu - 0.02 && gpu <= cpu + 0.02
        printf "%s: accuracy on frames of the GPU %.3f, of the CPU %.3f: %s\n", codec, gpu, cpu, good ? "alike" : "NOT alike"
        exit !good }' || code=1
done
exit $code
