#!/usr/bin/env python3
"""The training step of `divs bench step` in PyTorch: forward, cross-entropy, backward, SGD with momentum.

    step.py --model resnet18 --size 112 --batch 32 --threads 1 [--frames 8] [--compile] [--device cuda] [--serve]

On the CPU: contiguous and channels_last, and with --compile also torch.compile of both; the best counts. On a GPU:
channels_last under autocast to bfloat16, eager and with --compile also compiled; steps are queued and count together.
Prints one JSON line {"name", "value", "unit", "variants", "torch"}. With --serve each line read from standard input
makes it measure again, so that two programs can take turns.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torchvision


def shift(x, frames):
    """TSM, divisor 8: x (clips x frames, C, H, W)."""
    y = x.view(-1, frames, *x.shape[1:])
    fold, out = y.shape[2] // 8, torch.zeros_like(y)
    out[:, :-1, :fold] = y[:, 1:, :fold]
    out[:, 1:, fold:2 * fold] = y[:, :-1, fold:2 * fold]
    out[:, :, 2 * fold:] = y[:, :, 2 * fold:]
    return out.view_as(x)


class ClipModel(torch.nn.Module):
    def __init__(self, image_model, frames, shifted):
        super().__init__()
        self.image_model, self.frames = image_model, frames
        blocks = (torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck)
        for module in image_model.modules():
            if shifted and isinstance(module, blocks):
                module.conv1.register_forward_pre_hook(lambda _, inputs: (shift(inputs[0], frames),))

    def forward(self, x):
        logits = self.image_model(x)
        return logits.view(-1, self.frames, logits.shape[1]).mean(1) if self.frames > 1 else logits


class Variant:
    def __init__(self, options, memory_format, compiled):
        self.device = torch.device(options.device)
        base = options.model.removeprefix("tsm_")
        model = getattr(torchvision.models, base)(num_classes=options.classes)
        model = ClipModel(model, options.frames, options.model.startswith("tsm_"))
        self.model = model.to(self.device, memory_format=memory_format).train()
        self.run = torch.compile(self.model) if compiled else self.model
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        rows = options.batch * options.frames
        generator = torch.Generator().manual_seed(1)
        self.pixels = torch.randint(0, 256, (rows, 3, options.size, options.size), generator=generator).float()
        self.pixels = (self.pixels / 255 - 0.45).div(0.225).to(self.device, memory_format=memory_format)
        self.labels = torch.randint(0, options.classes, (options.batch,), generator=generator).to(self.device)

    def step(self):
        start = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = torch.nn.functional.cross_entropy(self.run(self.pixels), self.labels)
        loss.backward()
        self.optimiser.step()
        return time.perf_counter() - start

    def queued_steps(self, count):
        """Seconds of each of so many steps on a GPU, which are waited for together."""
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            self.step()
        torch.cuda.synchronize()
        return [(time.perf_counter() - start) / count]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.device == "cuda":
        formats, eager, compiled = {"": torch.channels_last}, "eager", "compiled"
    else:
        formats, eager, compiled = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}, "", "compiled "
    variants = {eager + name: Variant(options, layout, False) for name, layout in formats.items()}
    if options.compile:
        variants |= {compiled + name: Variant(options, layout, True) for name, layout in formats.items()}
    for variant in variants.values():
        for _ in range(options.warm_up):
            variant.step()
    while True:
        if options.serve and not sys.stdin.readline():
            break
        if options.device == "cuda":
            seconds = {name: variant.queued_steps(options.steps) for name, variant in variants.items()}
        else:
            seconds = {name: [] for name in variants}
            for _ in range(options.steps):
                for name, variant in variants.items():
                    seconds[name].append(variant.step())
        rates = {name: options.batch / statistics.median(values) for name, values in seconds.items()}
        print(json.dumps({"name": f"step.{options.model}.threads{options.threads}", "value": max(rates.values()),
                          "unit": "samples/s", "variants": rates, "torch": torch.__version__}), flush=True)
        if not options.serve:
            break


if __name__ == "__main__":
    main()
