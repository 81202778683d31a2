#!/usr/bin/env bash
# Packs what run.sh needs on a machine with a GPU: device tests, benchmarks, plugin and scripts, stripped, without cuDNN
# (the machine's own, or PyTorch's). Usage: pack.sh BUILD_FOLDER   writes BUILD_FOLDER/divs-gpu.tar.gz
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$here/../..
build=$1
folder=$build/divs-gpu
rm -rf "$folder"
mkdir -p "$folder/lib" "$folder/peers"
cp "$build/test/gpu/device_tests" "$build/bench/device/device_bench" "$build/src/cli/libdivs_cuda.so" "$folder"
cp "$here"/{run,communication,training,video}.sh "$folder"
cp "$top/bench/peers/"{step,served_step,compare_device_step}.py "$folder/peers"
strip "$folder/device_tests" "$folder/device_bench" "$folder/libdivs_cuda.so"
# Libraries that a bare machine may lack; the system's C library and whatever belongs to CUDA are taken as they are there.
for library in $(ldd "$folder/device_tests" "$folder/device_bench" "$folder/libdivs_cuda.so" |
                 awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u); do
    case $(basename "$library") in
        libc.so*|libm.so*|libdl.so*|librt.so*|libpthread.so*|libcudnn*|libcuda*|libnccl*) ;;
        *) cp -L "$library" "$folder/lib" ;;
    esac
done
tar -C "$build" -czf "$build/divs-gpu.tar.gz" divs-gpu
rm -rf "$folder"
du -h "$build/divs-gpu.tar.gz"
