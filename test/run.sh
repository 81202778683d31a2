#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests: once as released, once under AddressSanitizer and
# UndefinedBehaviorSanitizer, and what has threads under ThreadSanitizer; where there is a CUDA compiler, the CUDA
# backend too is built for every architecture, and what can be said of it without a GPU is checked.
#   DIVS_DATA=FOLDER   real recordings; tests on them are skipped where it is not set
#   DIVS_PRESETS=...   "release asan tsan cuda" by default
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
"$top/jobs/install_packages.sh" build run test simulate
export DIVS_WERROR=ON
. "$top/jobs/mpi_environment.sh"
[ -z "${DIVS_DATA:-}" ] || DIVS_DATA=$(cd "$DIVS_DATA" && pwd)
[ -n "${DIVS_DATA:-}" ] || echo "DIVS_DATA is not set: tests on real recordings will be skipped"

suppressions=$top/test/sanitizers
export ASAN_OPTIONS="detect_leaks=1"
export LSAN_OPTIONS="suppressions=$suppressions/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:suppressions=$suppressions/tsan.supp:halt_on_error=1"
# Several tests share the cores: their threads wait asleep.
export OMP_WAIT_POLICY=passive

failed=()
for preset in ${DIVS_PRESETS:-release asan tsan cuda}; do
    targets=() select=() jobs=$(nproc)
    case $preset in
        cuda)
            if ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
                echo "== cuda: there is no nvcc here; the CUDA backend is not built"
                continue
            fi
            targets=(divs_cuda test_gpu_plugin device_tests device_bench) select=(-L gpu_build)
            ;;
        # Many tests wait for other processes: one more at a time than there are cores. Sanitised, they compute.
        release) jobs=$((jobs + 1)) ;;
        # Only what runs several threads of our own; the rest has nothing for it to see.
        tsan) targets=(thread_tests) select=(-L threads) ;;
        # Long runs of the program, whose code the other tests cover.
        asan) select=(-LE not_sanitized) ;;
    esac
    folder=$("$top/jobs/build.sh" "$preset" "${targets[@]}")
    echo "== $preset"
    (cd "$folder" && timeout -k 30 "${DIVS_TEST_TIMEOUT:-2400}" \
        ctest --output-on-failure --no-tests=error -j "$jobs" "${select[@]}") || failed+=("$preset")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
