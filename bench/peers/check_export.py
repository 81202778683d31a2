#!/usr/bin/env python3
"""Loads weights that `divs export --probe N` wrote into torchvision and compares the logits.

    check_export.py FILE.h5 [FILE.h5 ...]
    check_export.py --divs PROGRAM [--folder FOLDER]     makes the files itself: ResNet-18 and MobileNetV2

The dictionary is the file's own, loaded with strict=True; input and expected logits are the file's probe. The error is the
largest difference relative to the largest logit. Needs torch, torchvision, h5py. Ends with one line a file:
NAME VALUE <= GOAL, and whether it is met.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy
import torch
import torchvision

GOAL = 1e-4


def load(file):
    """The torchvision model with the file's weights, in evaluation mode."""
    architecture = file.attrs["architecture"]
    model = getattr(torchvision.models, architecture)(weights=None, num_classes=len(file.attrs["classes"]))
    state = {name: torch.from_numpy(numpy.asarray(data[()])) for name, data in file["weights"].items()}
    model.load_state_dict(state, strict=True)
    return model.eval()


def relative_error(path):
    with h5py.File(path) as file:
        if "probe" not in file:
            sys.exit(f"{path}: has no probe, expected a file of divs export --probe N")
        model = load(file)
        pixels = torch.from_numpy(file["probe/input"][()]).permute(0, 3, 1, 2).float() / 255
        mean = torch.tensor(file.attrs["mean"], dtype=torch.float32).view(1, 3, 1, 1)
        deviation = torch.tensor(file.attrs["deviation"], dtype=torch.float32).view(1, 3, 1, 1)
        expected = torch.from_numpy(file["probe/logits"][()])
        with torch.no_grad():
            found = model((pixels - mean) / deviation)
        if found.shape != expected.shape:
            sys.exit(f"{path}: logits {tuple(expected.shape)}, torchvision gives {tuple(found.shape)}")
        error = (found - expected).abs().max() / expected.abs().max()
        return file.attrs["architecture"], len(file["weights"]), error.item()


def example_state(name, classes):
    """Weights of torchvision's own initialisation, with running statistics that are not the initial ones."""
    torch.manual_seed(1)
    random = numpy.random.default_rng(1)
    state = {}
    for key, value in getattr(torchvision.models, name)(weights=None, num_classes=classes).state_dict().items():
        value = value.numpy()
        if key.endswith("running_mean"):
            value = random.normal(0, 0.1, value.shape).astype("f4")
        elif key.endswith("running_var"):
            value = random.uniform(0.5, 2, value.shape).astype("f4")
        state[key] = value
    return state


def make_files(divs, folder):
    """divs describes the model, torch gives the weights, divs reads them as a foreign file and exports them: the names are
    tried both ways."""
    files = []
    for name, classes in (("resnet18", 6), ("mobilenet_v2", 6)):
        fresh, filled, out = (pathlib.Path(folder) / f"{name}{end}.h5" for end in ("-fresh", "-filled", ""))
        subprocess.run([divs, "export", f"fresh:{name}", fresh, "--classes", str(classes), "--size", "112"], check=True)
        with h5py.File(fresh) as source, h5py.File(filled, "w") as target:
            target.attrs.update(source.attrs)
            for key, value in example_state(name, classes).items():
                target["weights/" + key] = value
        subprocess.run([divs, "export", filled, out, "--probe", "4"], check=True)
        files.append(out)
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--divs", help="the program, to make the files with")
    parser.add_argument("--folder", help="where to make them (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = arguments.files
        if arguments.divs:
            files = files + make_files(arguments.divs, arguments.folder or temporary)
        if not files:
            parser.error("no files")
        missed = False
        lines = []
        for path in files:
            architecture, arrays, error = relative_error(path)
            print(f"{path}: {architecture}, {arrays} arrays loaded with strict=True, "
                  f"torch {torch.__version__}, torchvision {torchvision.__version__}")
            met = error <= GOAL
            missed = missed or not met
            lines.append(f"export_{architecture} {error:.2e} <= {GOAL:g} {'met' if met else 'missed'}")
    print("\n".join(lines))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
