#!/usr/bin/env python3
"""Writes what torchvision's models give, for the unit tests of the model zoo.

    known_answers.py FOLDER     writes torchvision_parameters.inc and torchvision_answers.inc (C++) into FOLDER

Weights and pixels are hashes of (name, element), so the tests make the same ones without torch. Everything is computed
in double. Needs torch and torchvision.
"""
import sys

import numpy
import torch
import torchvision

from hashes import hashes

CLASSES = 10
MEAN = numpy.array([0.485, 0.456, 0.406], dtype=numpy.float32).astype(numpy.float64)
DEVIATION = numpy.array([0.229, 0.224, 0.225], dtype=numpy.float32).astype(numpy.float64)


def weights(name, shape):
    u = hashes(name, int(numpy.prod(shape))).astype(numpy.float64) / 2.0**32 - 0.5  # [-0.5, 0.5)
    if len(shape) == 4:
        u *= 2 * numpy.sqrt(6 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        u *= 2 * numpy.sqrt(3 / shape[1])
    elif name.endswith("running_var"):
        u = 1 + 0.5 * u
    elif name.endswith("weight"):
        u = 1 + 0.4 * u
    else:
        u *= 0.2
    return torch.from_numpy(u.astype(numpy.float32).astype(numpy.float64).reshape(shape))


def shift(x, frames):
    """TSM, divisor 8: x (clips x frames, C, H, W)."""
    x = x.reshape(-1, frames, *x.shape[1:])
    fold, out = x.shape[2] // 8, torch.zeros_like(x)
    out[:, :-1, :fold] = x[:, 1:, :fold]
    out[:, 1:, fold:2 * fold] = x[:, :-1, fold:2 * fold]
    out[:, :, 2 * fold:] = x[:, :, 2 * fold:]
    return out.reshape(-1, *out.shape[2:])


def make(name, frames):
    base = name.removeprefix("tsm_")
    model = getattr(torchvision.models, base)(num_classes=CLASSES).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if name.startswith("tsm_") and isinstance(module, (torchvision.models.resnet.BasicBlock,
                                                           torchvision.models.resnet.Bottleneck)):
            module.conv1.register_forward_pre_hook(lambda _, inputs: (shift(inputs[0], frames),))
    state = model.state_dict()
    model.load_state_dict({k: weights(k, tuple(v.shape)) if v.is_floating_point() else v for k, v in state.items()})
    return model


def answer(name, size, clips, frames):
    model = make(name, frames)
    pixels = (hashes("pixels", clips * frames * size * size * 3) >> numpy.uint32(24)).astype(numpy.float64)
    x = (pixels.reshape(clips * frames, size, size, 3) / 255 - MEAN) / DEVIATION
    x = torch.from_numpy(numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    labels = torch.arange(clips) * 3 + 1
    logits = lambda: model(x).reshape(clips, frames, CLASSES).mean(1)
    model.eval()
    with torch.no_grad():
        evaluated = logits().flatten()
    model.train()
    loss = torch.nn.functional.cross_entropy(logits(), labels, reduction="sum", label_smoothing=0.1)
    loss.backward()
    gradients = [(n, p.grad) for n, p in model.named_parameters()]
    total = sum(float((g**2).sum()) for _, g in gradients)
    picked = gradients[:: max(1, len(gradients) // 12)]
    buffers = [(n, b) for n, b in model.named_buffers() if b.is_floating_point()]
    rows = ['    {"%s", %d, %d, %d,' % (name, size, clips, frames)]
    rows.append("     {%s}," % ", ".join("%.9g" % v for v in evaluated.tolist()))
    rows.append("     %.10g, %.10g," % (float(loss.detach()), total))
    rows.append("     {%s}," % ", ".join('{"%s", %.9g}' % (n, float((g**2).sum())) for n, g in picked))
    rows.append("     {%s}}," % ", ".join('{"%s", %.9g}' % (n, float(b.sum())) for n, b in buffers[::9]))
    return "\n".join(rows)


def parameters(name):
    model = getattr(torchvision.models, name)(num_classes=1000)
    rows = ['    {"%s", %d, {' % (name, sum(p.numel() for p in model.parameters()))]
    for n, p in model.named_parameters():
        rows.append('        {"%s", {%s}},' % (n, ", ".join(map(str, p.shape))))
    return "\n".join(rows) + "\n    }},"


def main():
    head = "// Made by bench/peers/known_answers.py with torchvision %s.\n" % torchvision.__version__.split("+")[0]
    with open(sys.argv[1] + "/torchvision_parameters.inc", "w") as out:
        out.write(head + "\n".join(map(parameters, ["alexnet", "resnet18", "resnet50", "mobilenet_v2"])) + "\n")
    with open(sys.argv[1] + "/torchvision_answers.inc", "w") as out:
        cases = [("resnet18", 64, 2, 1), ("mobilenet_v2", 64, 2, 1), ("tsm_resnet18", 48, 2, 4),
                 ("resnet50", 64, 2, 1), ("alexnet", 64, 2, 1)]
        out.write(head + "\n".join(answer(*case) for case in cases) + "\n")


if __name__ == "__main__":
    main()
