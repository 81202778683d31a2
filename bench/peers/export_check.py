#!/usr/bin/env python3
"""Loads weights that `divs export --probe 2` wrote into torchvision's model and compares logits.

    export_check.py FILE.h5 [FILE.h5 ...] [--tolerance 1e-4]

The file holds its own probe: random pixels and the logits that DIVS computed for them. Needs torch, torchvision, h5py.
Ends with one JSON line a file {"name", "value", "unit", "goal"}: the largest difference of a logit over the largest
logit. Exits with 1 where one exceeds the tolerance.
"""
import argparse
import json
import os
import sys

import h5py
import numpy
import torch
import torchvision


def shift(x, frames, divisor=8):
    """Temporal shift: x (clips x frames, C, H, W)."""
    y = x.view(-1, frames, *x.shape[1:])
    fold, out = y.shape[2] // divisor, torch.zeros_like(y)
    out[:, :-1, :fold] = y[:, 1:, :fold]
    out[:, 1:, fold:2 * fold] = y[:, :-1, fold:2 * fold]
    out[:, :, 2 * fold:] = y[:, :, 2 * fold:]
    return out.view_as(x)


def make_model(description, state):
    name = description["architecture"]
    model = getattr(torchvision.models, name.removeprefix("tsm_"))(num_classes=description["classes"])
    # Strict: every name and shape of torchvision's, and none beside.
    model.load_state_dict(state, strict=True)
    blocks = (torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck)
    if name.startswith("tsm_"):
        for module in model.modules():
            if isinstance(module, blocks):
                module.conv1.register_forward_pre_hook(lambda _, inputs: (shift(inputs[0], description["frames"]),))
    return model.eval()


def check(path):
    with h5py.File(path) as file:
        description = json.loads(file.attrs["model"])
        state = {name: torch.from_numpy(numpy.asarray(data[()])) for name, data in file["weights"].items()}
        if "probe" not in file:
            sys.exit(f"{path}: holds no probe; export it with --probe 2")
        pixels, expected = file["probe/input"][()], file["probe/logits"][()]
    model = make_model(description, state)
    mean, deviation = (numpy.array(description[k], dtype=numpy.float32) for k in ("mean", "deviation"))
    x = (pixels.astype(numpy.float32) / 255 - mean) / deviation
    with torch.no_grad():
        logits = model(torch.from_numpy(numpy.ascontiguousarray(x.transpose(0, 3, 1, 2))))
    logits = logits.view(len(expected), -1, logits.shape[1]).mean(1).numpy()
    return description["architecture"], float(abs(logits - expected).max() / abs(logits).max())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    worst = 0.0
    for path in options.files:
        architecture, error = check(path)
        worst = max(worst, error)
        print(json.dumps({"name": f"export.{architecture}", "value": error, "unit": "relative error",
                          "goal": f"<= {options.tolerance}", "file": os.path.basename(path)}))
    sys.exit(0 if worst <= options.tolerance else 1)


if __name__ == "__main__":
    main()
