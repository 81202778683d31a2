"""Reads what a training run leaves behind, by h5py and json alone: none of the program's own code.

The ledger's bytes (include/divs/train/ledger.hpp): version, hash of the sample numbers (8 bytes), epoch, the
closed epochs (epoch, samples, used, skipped, hash), a bit for each sample used, then one for each skipped, in
words of 64; the reasons. Numbers are seven bits a byte, least first, unless a width is given.
"""
import json
import os
import re

import h5py
import numpy


class Broken(Exception):
    """What must never happen, happened."""


def require(condition, text):
    if not condition:
        raise Broken(text)


class Ledger:
    def __init__(self, raw, samples):
        self._bytes, self._at = raw, 0
        require(self._number() == 1, "ledger: unknown version")
        self._take(8)
        self.epoch = self._number()
        self.history = [self._record() for _ in range(self._number())]
        self.used, self.skipped = self._bits(samples), self._bits(samples)
        self.reasons = {}
        for _ in range(self._number()):
            sample = self._number()
            self.reasons[sample] = self._take(self._number()).decode()
        require(len(raw) - self._at == 8, "ledger: its length is wrong")

    def _number(self):
        value = shift = 0
        while True:
            byte = self._bytes[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def _record(self):
        record = {name: self._number() for name in ("epoch", "samples", "used", "skipped")}
        self._take(8)
        return record

    def _take(self, size):
        self._at += size
        return self._bytes[self._at - size:self._at]

    def _bits(self, samples):
        words = (samples + 63) // 64
        bits = numpy.unpackbits(numpy.frombuffer(self._take(8 * words), numpy.uint8), bitorder="little")
        require(not bits[samples:].any(), "ledger: marks samples that do not exist")
        return set(numpy.flatnonzero(bits[:samples]).tolist())


class Checkpoint:
    def __init__(self, file, samples):
        with h5py.File(file, "r") as h5:
            self.step, self.epoch = int(h5.attrs["step"]), int(h5.attrs["epoch"])
            self.ledger = Ledger(h5["ledger"][()].tobytes(), samples)
            self.arrays = {}
            h5.visititems(lambda name, item: self.arrays.__setitem__(name, item[()])
                          if isinstance(item, h5py.Dataset) and name != "ledger" else None)


def checkpoint_files(folder):
    """[(step, path)], newest first."""
    found = []
    for name in os.listdir(folder):
        match = re.fullmatch(r"step-(\d+)\.h5", name)
        if match:
            found.append((int(match.group(1)), os.path.join(folder, name)))
    return sorted(found, reverse=True)


def step_lines(folder):
    """Every whole step line of the metrics, in order of writing."""
    try:
        with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    entries = (json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines())
    return [entry for entry in entries if entry["kind"] == "step"]


def steps_of_chain(folder):
    """The steps behind the newest parameters: {step: line}. A step written again undoes all from there on."""
    steps = {}
    for entry in step_lines(folder):
        for undone in range(entry["step"], max(steps, default=-1) + 1):
            steps.pop(undone, None)
        steps[entry["step"]] = entry
    return steps


def largest_difference(one, other):
    """Of two checkpoints' parameters, relative to the largest parameter of the array."""
    names = [name for name in one.arrays if name.startswith("parameters/")]
    require(names and set(one.arrays) == set(other.arrays), "two checkpoints hold different arrays")
    return max(float(numpy.abs(one.arrays[n] - other.arrays[n]).max() / numpy.abs(one.arrays[n]).max())
               for n in names)
