#!/usr/bin/env bash
# jobs/scaling.sbatch and jobs/analyze.sbatch on a Slurm of two nodes with two GPUs each (device files that are none stand for them): what
# they write, and how they go on where they were broken off. Usage: test_scripts.sh DIVS. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
divs=$1
. "$here/common.sh"
"$here/cluster.sh" start "$folder/slurm" 2

# Scaling: a rank count a task of the array, with srun and with mpirun; the plots put them together.
export RANK_BATCH=8
scaling=$(sbatch --parsable --nodes=2 --cpus-per-task=1 --array=1,2%1 --chdir="$folder" --output="$folder/scaling-%a.log" \
    "$jobs/scaling.sbatch" "$folder/scaling" "$folder/run.toml" --epochs 2 --set train.deterministic=false)
wait_for 600 "the scaling benchmark" ended "$scaling"
for count in 1 2; do grep -q "^scale.weak.ranks$count " "$folder/scaling-$count.log"; done
python3 "$jobs/plot_scaling.py" "$folder/scaling" >/dev/null
python3 - "$folder/scaling/scaling.json" <<'PYTHON'
import json, sys
modes = json.load(open(sys.argv[1]))
assert [(r["ranks"], r["batch"]) for r in modes["strong"]] == [(1, 16), (2, 16)], modes["strong"]
assert [(r["ranks"], r["batch"]) for r in modes["weak"]] == [(1, 8), (2, 16)], modes["weak"]
assert all(r["median"]["samples_per_s"] > 0 for runs in modes.values() for r in runs)
centre = {r["ranks"]: r["median"]["centre_bytes"] for r in modes["strong"]}
assert centre[1] == 0 and centre[2] > 0, centre  # two nodes: to and from rank 0's
PYTHON
grep -q 'srun --mpi=pmix' "$folder/scaling/scaling.html"
echo "scaling: two rank counts, one report"

# Broken off between its runs it goes on behind them.
broken=$(sbatch --parsable --nodes=2 --cpus-per-task=1 --array=2 --chdir="$folder" --output="$folder/again-%a.log" \
    "$jobs/scaling.sbatch" "$folder/again" "$folder/run.toml" --epochs 12 --set train.deterministic=false)
wait_for 300 "its first run" test -f "$folder/again/ranks-2/runs/strong-2-round1.json"
scancel --batch --signal=USR1 "${broken}_2"
wait_for 180 "queued again" grep -qs "queued again" "$folder/again-2.log"
wait_for 600 "the end of the benchmark that was queued again" hurry "${broken}_2"
[ -f "$folder/again/ranks-2.json" ]
grep -q "strong-2, round 1: measured before" "$folder/again-2.log"
echo "scaling: queued again, and nothing measured twice"

# Analysis: with weights from a short training.
"$divs" train "$folder/run.toml" --set train.epochs=1 --set train.folder="$folder/trained" --log warn 2>/dev/null
mkdir "$folder/night"
cp "$folder"/data/videos/v000[0-3].mp4 "$folder/night"
cp "$folder"/data/videos/v0004.mp4 "$folder/gate.mp4"
analyze() { # name of the log
    sbatch --parsable --nodes=2 --cpus-per-task=1 --chdir="$folder" --output="$folder/$1.log" "$jobs/analyze.sbatch" \
        "$folder/trained" "$folder/out" "$folder/night" "$folder/gate.mp4" -- --every 0.5
}
job=$(analyze analysis)
wait_for 300 "the analysis" ended "$job"
for name in night gate.mp4; do
    [ -s "$folder/out/$name.jsonl" ] && h5dump -H "$folder/out/$name.h5" >/dev/null
done
"$divs" analyze --weights "$folder/trained" --input "$folder/night" --out "$folder/alone" --every 0.5 >/dev/null
[ "$(wc -l <"$folder/alone.jsonl")" = "$(wc -l <"$folder/out/night.jsonl")" ]
rm "$folder/out/gate.mp4."*
job=$(analyze twice)
wait_for 300 "the analysis of what was left" ended "$job"
grep -q "night: done before" "$folder/twice.log"
[ -s "$folder/out/gate.mp4.jsonl" ]
echo "analysis: two inputs, and only what was left the second time"

# mpirun inside the allocation, two ranks of one node.
job=$(MPI_TYPE=none sbatch --parsable --nodes=1 --ntasks-per-node=2 --cpus-per-task=1 --chdir="$folder" \
    --output="$folder/mpirun.log" "$jobs/train.sbatch" "$folder/run.toml" --set train.epochs=2)
wait_for 300 "the training under mpirun" ended "$job"
grep -q "^throughput .* on 2 ranks" "$folder/mpirun.log"
echo "mpirun: two ranks"

# One rank a GPU, each with one of its own.
job=$(DIVS=$here/print_gpu.sh sbatch --parsable --nodes=2 --gpus-per-node=2 --cpus-per-task=2 --chdir="$folder" \
    --output="$folder/gpus.log" "$jobs/train.sbatch" "$folder/run.toml")
wait_for 180 "the ranks with GPUs" ended "$job"
[ "$(grep '^rank' "$folder/gpus.log" | sort | uniq | wc -l)" = 4 ]
[ "$(sed -n 's/^rank .* gpu //p' "$folder/gpus.log" | sort | tr '\n' ' ')" = "0 0 1 1 " ]
echo "GPUs: one a rank"
