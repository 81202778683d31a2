#!/usr/bin/env python3
"""The training job of `divs bench scale` in PyTorch: one rank of DistributedDataParallel on gloo, or a job alone.

    ddp.py --data FOLDER --rank 0 --ranks 2 --meeting FILE [--model resnet18 --size 112 --batch 32 --threads 1]

Reads what `divs train` reads: the videos of labels.tsv, decoded by PyAV, every fourth frame a sample, resized by swscale,
mixed in a reservoir, cross-entropy, SGD with momentum. Decoding runs in a worker process beside the training, as a
DataLoader does it. Prints one JSON line {"samples", "seconds"} for the steps behind the warm-up.
"""
import argparse
import json
import pathlib
import random
import time

import av
import torch
import torch.distributed
import torchvision

HOP = 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_table(folder):
    lines = (folder / "labels.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    return [row for row in rows if row["split"] == "train"]


class Clips(torch.utils.data.IterableDataset):
    """The samples of this rank's videos, epoch after epoch without end; which videos are its own changes each epoch."""

    def __init__(self, options):
        rows = read_table(options.data)
        self.folder, self.size, self.rank, self.ranks = options.data, options.size, options.rank, options.ranks
        self.classes = sorted({row["label"] for row in rows})
        self.intervals = {}
        for row in rows:
            self.intervals.setdefault(row["path"], []).append(
                (float(row.get("start") or 0), float(row.get("end") or 1e9), self.classes.index(row["label"])))
        self.mix = options.mix

    def decode(self, path):
        with av.open(str(self.folder / path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for number, frame in enumerate(container.decode(stream)):
                label = next((l for start, end, l in self.intervals[path] if start <= frame.time < end), None)
                if number % HOP == 0 and label is not None:
                    yield torch.from_numpy(frame.to_ndarray(width=self.size, height=self.size, format="rgb24")), label

    def __iter__(self):
        epoch = 0
        while True:
            order = random.Random(epoch)
            paths = sorted(self.intervals)
            order.shuffle(paths)
            mixed = []
            for path in paths[self.rank::self.ranks]:
                for clip in self.decode(path):
                    mixed.append(clip)
                    if len(mixed) > self.mix:
                        yield mixed.pop(order.randrange(len(mixed)))
            order.shuffle(mixed)
            yield from mixed
            epoch += 1


class Job:
    def __init__(self, options):
        clips = Clips(options)
        self.batches = iter(torch.utils.data.DataLoader(clips, options.batch, num_workers=1, prefetch_factor=2))
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        model = getattr(torchvision.models, options.model)(num_classes=len(clips.classes))
        self.model = model.to(memory_format=layout).train()
        self.layout = layout
        if options.ranks > 1:
            self.model = torch.nn.parallel.DistributedDataParallel(self.model, gradient_as_bucket_view=True)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self.std = torch.tensor(STD).view(1, 3, 1, 1)

    def step(self):
        pixels, labels = next(self.batches)
        pixels = pixels.permute(0, 3, 1, 2).float().div_(255).sub_(self.mean).div_(self.std)
        self.optimiser.zero_grad(set_to_none=True)
        logits = self.model(pixels.contiguous(memory_format=self.layout))
        torch.nn.functional.cross_entropy(logits, labels).backward()
        self.optimiser.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--meeting", help="a file that does not exist yet, where the ranks meet")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--mix", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    if options.ranks > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{options.meeting}", rank=options.rank,
                                             world_size=options.ranks)
    job = Job(options)
    for _ in range(options.warm_up):
        job.step()
    start = time.perf_counter()
    for _ in range(options.steps):
        job.step()
    print(json.dumps({"samples": options.steps * options.batch, "seconds": time.perf_counter() - start,
                      "torch": torch.__version__}), flush=True)
    if options.ranks > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
