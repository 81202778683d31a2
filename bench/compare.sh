#!/usr/bin/env bash
# Ours and a peer, interleaved in one run. Usage: compare.sh step|decode|conv|allreduce|balance|scale [ROUNDS [OPTIONS of scale]]
# Ends with one line a figure: NAME VALUE >= GOAL (or <=), "met" or "missed" behind it.
#   DIVS         the program (default: the release build; built where it is missing)
#   DIVS_PEERS   virtual environment with PyTorch and torchvision (set up where a benchmark needs it and it is missing:
#                several GB, from the Python package index); `decode` wants PyAV there
#   DIVS_DATA    folder of recordings for `decode`
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:?usage: compare.sh step|decode|conv|allreduce|balance|scale [ROUNDS]}
rounds=${2:-5}
divs=${DIVS:-}
[ -n "$divs" ] || divs=$("$here/../jobs/build.sh" release divs)/src/cli/divs
peers=${DIVS_PEERS:-$HOME/.cache/divs/peers}
. "$here/../jobs/mpi_environment.sh"

need_torch() {
    [ -x "$peers/bin/python" ] && "$peers/bin/python" -c 'import torch, torchvision' 2>/dev/null && return
    echo "Setting up PyTorch and torchvision in $peers (several GB)" >&2
    python3 -m venv "$peers"
    "$peers/bin/pip" install --quiet torch torchvision numpy h5py av torchcodec
}

need_av() {  # a few MB; without it the comparison goes on with ffmpeg alone
    [ -x "$peers/bin/python" ] || python3 -m venv "$peers" || return 0
    "$peers/bin/python" -c 'import av' 2>/dev/null || "$peers/bin/pip" install --quiet av || return 0
}

case $name in
    step) need_torch; exec "$peers/bin/python" "$here/peers/compare_step.py" --divs "$divs" --rounds "$rounds" ;;
    decode)
        need_av
        python=$peers/bin/python
        [ -x "$python" ] || python=python3
        exec "$python" "$here/peers/compare_decode.py" --divs "$divs" --rounds "$rounds" ;;
    conv) exec python3 "$here/peers/goals.py" --divs "$divs" conv ;;
    allreduce) exec python3 "$here/peers/goals.py" --divs "$divs" allreduce ;;
    balance) exec python3 "$here/peers/goals.py" --divs "$divs" balance ;;
    scale)
        need_torch
        need_av
        exec "$peers/bin/python" "$here/peers/compare_scale.py" --divs "$divs" --rounds "${2:-3}" "${@:3}" ;;
    *) echo "unknown benchmark $name: expected step, decode, conv, allreduce, balance or scale" >&2; exit 2 ;;
esac
