#!/usr/bin/env bash
# From nothing to a trained model: installs what is missing, builds, renders a labelled traffic data set, trains on it
# with two ranks, evaluates on the held-back split, exports HDF5, and draws the plots.
# Usage: quickstart.sh [FOLDER]   (default: quickstart/ in the current folder; a second run goes on from there)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-quickstart}
mkdir -p "$out"
out=$(cd "$out" && pwd)

"$here/install_packages.sh" build run
build=$(DIVS_TESTS=OFF "$here/build.sh" release divs)
divs=$build/src/cli/divs

. "$here/mpi_environment.sh"
settings=(--set "data.dataset=$out/data" --set "train.folder=$out/run")

echo "== Rendering traffic into $out/data"
[ -f "$out/data/labels.tsv" ] || "$divs" synth "$out/data"
echo "== Training on two ranks"
mpirun -n 2 "$divs" train "$here/quickstart.toml" "${settings[@]}"
echo "== Evaluating on the test split, which the training never saw"
mpirun -n 2 "$divs" eval "$here/quickstart.toml" "${settings[@]}" --split test --json "$out/run/eval.json"
echo "== Exporting"
"$divs" export "$out/run" "$out/model.h5"
echo "== Drawing"
python3 "$here/plot_training.py" "$out/run"

cat <<TEXT

Done.
  report   $out/run/report.html
  plots    $out/run/*.png
  weights  $out/model.h5
Next: the README shows how to train on your own videos.
TEXT
