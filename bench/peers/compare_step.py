#!/usr/bin/env python3
"""Our training step and PyTorch's on the CPU, taking turns in one run.

    compare_step.py --divs PROGRAM [--rounds N] [--model resnet18,tsm_resnet18] [--threads 1,2]

PyTorch runs in one process that measures when it is asked to, in both memory formats; the better counts. Both are bound
to as many cores as they have threads. Ends with one line a figure.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

from served_step import ServedStep

GOAL = 1.15
MODELS = {"resnet18": ["--batch", "32"], "tsm_resnet18": ["--batch", "4", "--frames", "8"]}


def bound(threads):
    cores = sorted(os.sched_getaffinity(0))[:threads]
    return ["taskset", "-c", ",".join(map(str, cores))]


def ours(divs, model, threads):
    command = bound(threads) + [divs, "bench", "step", "--model", model, "--size", "112", *MODELS[model], "--threads",
                                str(threads), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["figures"][0]["value"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--divs", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=",".join(MODELS))
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    figures = []
    print(f"{'model':14} threads  {'ours':>8}  {'PyTorch':>8}  ratio   samples/s, medians of {options.rounds} rounds")
    for model in options.model.split(","):
        for threads in map(int, options.threads.split(",")):
            peer = ServedStep(["--model", model, "--size", "112", *MODELS[model], "--threads", str(threads)],
                              bound(threads))
            peer.measure()  # warms up
            pairs = [(ours(options.divs, model, threads), peer.measure()) for _ in range(options.rounds)]
            peer.close()
            mine = statistics.median(p[0] for p in pairs)
            theirs = statistics.median(p[1]["value"] for p in pairs)
            ratio = statistics.median(p[0] / p[1]["value"] for p in pairs)
            print(f"{model:14} {threads:7}  {mine:8.2f}  {theirs:8.2f}  {ratio:5.2f}   {pairs[0][1].get('torch', '')}",
                  flush=True)
            figures.append((f"step.{model}.threads{threads}", ratio))
    for name, value in figures:
        print(f"{name} {value:.3f} >= {GOAL} {'met' if value >= GOAL else 'missed'}")


main()
