#!/usr/bin/env bash
# Video from files to a GPU: what the program chooses to decode with and how long the GPU then waits for clips, by
# training a clip model on H.264 against its steps alone; and that an evaluation on frames decoded by the GPU gives what the CPU's frames give,
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
grep "video is decoded" "$folder/train.log" || { echo "the choice of decoder was not said" >&2; exit 1; }
grep "limited by" "$folder/train.log"
"$divs" bench step --backend cuda --precision bfloat16 --model tsm_resnet18 --frames 8 --size 224 --batch 32 --steps 30 \
    --warm-up 5 --json "$folder/alone.json" >/dev/null
python3 - "$folder/run/metrics.jsonl" "$folder/alone.json" <<'PYTHON'
import json, sys
steps = [s for s in map(json.loads, open(sys.argv[1])) if s["kind"] == "step"]
steps = steps[len(steps) // 3:]  # the first epochs start everything
alone = json.load(open(sys.argv[2]))["figures"][0]["value"]
rate = sum(s["samples"] for s in steps) / sum(s["seconds"] for s in steps)
# The host waits for clips while the GPU still has a step to do: what counts is what the GPU could have done.
idle = max(0, 1 - rate / alone)
print(f"tsm_resnet18, 8x224x224: {rate:.1f} clips/s, its steps alone {alone:.1f}")
print(f"gpu.video.idle {idle:.3f} <= 0.05 {'met' if idle <= 0.05 else 'missed'}")
PYTHON

# The scores of every window, from frames of one decoder.
scores() {  # DATA DECODER
    "$divs" --log info analyze --weights "$folder/run" --input "$folder/$1/videos" --every 0.5 --out "$folder/$1-$2" \
        --set analyze.backend=cuda --set "analyze.decode=$2" >"$folder/$1-$2.log" 2>&1 ||
        { cat "$folder/$1-$2.log" >&2; exit 1; }
    grep -o "video is decoded on the ${2^^}.*" "$folder/$1-$2.log" ||
        { echo "$1 was not decoded by the $2" >&2; exit 1; }
}
for codec in h264 hevc; do
    scores $codec cpu
    scores $codec gpu
done
python3 - "$folder" <<'PYTHON'
import json, sys
bad = 0
for codec in ("h264", "hevc"):
    cpu, gpu = ([json.loads(line) for line in open(f"{sys.argv[1]}/{codec}-{d}.jsonl")] for d in ("cpu", "gpu"))
    assert len(cpu) == len(gpu) > 0, f"{codec}: {len(cpu)} windows by the CPU, {len(gpu)} by the GPU"
    # Pixels differ by a level where the two conversions round differently.
    worst = max(abs(a["scores"][name] - b["scores"][name]) for a, b in zip(cpu, gpu) for name in a["scores"])
    print(f"{codec}: {len(cpu)} windows, scores from frames of the GPU and of the CPU differ by at most {worst:.4f}: "
          f"{'alike' if worst < 0.05 else 'NOT alike'}")
    bad += worst >= 0.05
sys.exit(bad)
PYTHON
