#!/usr/bin/env bash
# Proof on a GPU, part by part, from a packed build (pack.sh) or a build folder; no root, no network. Each part takes less
# than eight minutes on a GPU of the H200's class.
# Usage: run.sh [PART...]   without one: all that can run here
#   operations   every operation, model and loss against the oracle, on fresh numbers, with poisoned outputs
#   kernels      every convolution algorithm on awkward shapes against its definition
#   memcheck     the small tests under compute-sanitizer memcheck
#   racecheck    the same under racecheck
#   memory       memory-bound kernels against a copy's bandwidth
#   conv         our convolutions against cuDNN's, layer by layer
#   step         training steps against PyTorch, eager and compiled
#   training     a training run that reaches the CPU's accuracy           (needs the whole program)
#   video        what decodes, how long the GPU waits for clips, frames of GPU and CPU   (needs the whole program)
#   ranks        two ranks on one GPU, a GPU beside a CPU, NCCL           (needs the whole program)
#   DIVS        the program, where its own parts are to run (an unpacked archive's bin/divs)
#   DIVS_OUT    where logs and JSON go (default: gpu-results)
#   DIVS_BUILD  build folder (default: the folder of this script, where it was unpacked)
# Ends with 77 where there is no GPU, with 1 where a part failed. A missed goal is printed, and is no failure.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${DIVS_OUT:-gpu-results}
limit=480  # seconds a part

find_parts() {
    if [ -x "$here/device_tests" ]; then
        tests=$here/device_tests bench=$here/device_bench peers=$here/peers plugins=$here
    else
        local build=${DIVS_BUILD:-$here/../../build/cuda}
        tests=$build/test/gpu/device_tests bench=$build/bench/device/device_bench plugins=$build/src/cli
        peers=$here/../../bench/peers
    fi
}

# cuDNN and NCCL as the machine has them, or as PyTorch brought them.
find_libraries() {
    local folders
    folders=$(python3 - 2>/dev/null <<'PYTHON'
import importlib.util, pathlib
found = importlib.util.find_spec("nvidia")
for root in found.submodule_search_locations if found else []:
    for folder in sorted(pathlib.Path(root).glob("*/lib")):
        print(folder, end=":")
PYTHON
)
    export LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:-}
    export DIVS_PLUGINS=$plugins
}

require_gpu() {
    local said code=0
    [ -x "$tests" ] || { echo "$tests is not there: jobs/build.sh cuda device_tests device_bench builds it, pack.sh packs it" >&2; exit 2; }
    said=$("$tests" --help 2>&1) || code=$?
    [ $code -eq 0 ] || { echo "$said"; exit $code; }
}

machine() {
    date -u +%Y-%m-%dT%H:%MZ
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null
}

sanitized() {  # the tests of small shapes; under the sanitizer a launch is slow
    compute-sanitizer --tool "$1" --error-exitcode 9 "$tests" "cuda agrees with the oracle in evaluation,A model on cuda*,The LSTM cell*,cuda: optimisers*,cuda: softmax*"
}

# part NAME COMMAND...
failed=() skipped=() done=()
part() {
    local name=$1 code=0 start=$SECONDS
    shift
    echo "== $name"
    timeout -k 10 $limit bash -c 'set -o pipefail; "$@" 2>&1 | tee "$0"' "$out/$name.log" "$@" || code=$?
    case $code in
        0) done+=("$name ($((SECONDS - start)) s)") ;;
        77) skipped+=("$name") ;;
        124 | 137) failed+=("$name (not done after $limit s)") ;;
        *) failed+=("$name (code $code)") ;;
    esac
}

whole_program() {  # NAME SCRIPT
    if [ -n "${DIVS:-}" ]; then part "$1" "$here/$2" "$DIVS"; else echo "== $1: skipped, DIVS is not set"; fi
}

run() {
    case $1 in
        operations) part operations "$tests" ;;
        kernels) part kernels "$bench" check ;;
        memcheck | racecheck)
            if command -v compute-sanitizer >/dev/null; then part "$1" sanitized "$1"; else echo "== $1: skipped, no compute-sanitizer"; fi ;;
        memory) part memory "$bench" memory --json "$out/memory.json" ;;
        conv) part conv "$bench" conv --json "$out/conv.json" ;;
        step) part step python3 "$peers/compare_device_step.py" --bench "$bench" --json "$out/step.json" ;;
        training) whole_program training training.sh ;;
        video) whole_program video video.sh ;;
        ranks) whole_program ranks communication.sh ;;
        *) echo "unknown part $1" >&2; sed -n '/^#   [a-z]/s/^# //p' "$0" >&2; exit 2 ;;
    esac
}

find_parts
find_libraries
require_gpu
mkdir -p "$out"
export -f sanitized
export tests
machine | tee "$out/machine.txt"
[ $# -gt 0 ] || set -- operations kernels memcheck racecheck memory conv step training video ranks
for name in "$@"; do run "$name"; done
echo "passed: ${done[*]:-none}; skipped: ${skipped[*]:-none}; failed: ${failed[*]:-none}"
[ ${#failed[@]} -eq 0 ] || exit 1
[ ${#done[@]} -gt 0 ] || exit 77
