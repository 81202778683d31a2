#!/usr/bin/env python3
"""Training steps on one GPU, ours and PyTorch's, taking turns in one run.

    compare_device_step.py --bench DEVICE_BENCH [--rounds 3] [--models resnet50,tsm_resnet50] [--json FILE]

bfloat16: PyTorch under autocast, channels_last, eager and torch.compile; ours with its own choice of convolutions. Ends
with one line a figure. Code 77: no GPU or no PyTorch here.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from served_step import ServedStep

MODELS = {"resnet50": ["--batch", "256"], "tsm_resnet50": ["--batch", "32", "--frames", "8"]}
SIZE = ["--size", "224"]
GOALS = {"compiled": 1.0, "eager": 1.3}


def ours(bench, model, steps):
    done = subprocess.run([bench, "step", "--backend", "cuda", "--precision", "bfloat16", "--model", model, *SIZE,
                           *MODELS[model], "--steps", str(steps), "--warm-up", "8", "--json", "-"],
                          capture_output=True, text=True, timeout=450, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["figures"][0]["value"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("no PyTorch here")
        sys.exit(77)
    if not torch.cuda.is_available():
        print("no GPU here")
        sys.exit(77)
    results = {}
    peers = {model: ServedStep(["--device", "cuda", "--compile", "--model", model, *SIZE, *MODELS[model], "--steps",
                                str(options.steps), "--warm-up", "8"]) for model in options.models.split(",")}
    for model, peer in peers.items():  # they compile side by side, which takes minutes
        rows = []
        for turn in range(options.rounds):
            theirs = peer.measure()
            rows.append({"divs": ours(options.bench, model, options.steps)} | theirs["variants"])
            print(f"{model} round {turn + 1}, samples/s: " + ", ".join(f"{k} {v:.1f}" for k, v in rows[-1].items()),
                  flush=True)
        peer.close()
        results[model] = rows
        for variant, least in GOALS.items():
            ratio = statistics.median(row["divs"] / row[variant] for row in rows)
            print(f"step.{model}.against_{variant} {ratio:.3f} >= {least} {'met' if ratio >= least else 'missed'}")
    if options.json:
        options.json.write_text(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__,
                                            "samples_per_s": results}, indent=1))


main()
