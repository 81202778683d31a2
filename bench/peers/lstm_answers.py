#!/usr/bin/env python3
"""Writes what torch.nn.LSTM gives, for the unit tests of the LSTM.

    lstm_answers.py FOLDER     writes torch_lstm_answers.inc (C++) into FOLDER

Parameters, frames and the gradient of the output are hashes of (name, element), so the tests make the same ones without
torch. Everything is computed in double. Needs torch.
"""
import sys

import numpy
import torch

from hashes import hashes

CLIPS, FRAMES, CHANNELS, HEIGHT, WIDTH, HIDDEN = 2, 4, 3, 2, 1, 3


def numbers(name, *shape):
    """In [-1, 1)."""
    u = hashes(name, int(numpy.prod(shape))).astype(numpy.float64) / 2.0**31 - 1
    return torch.from_numpy(u.astype(numpy.float32).astype(numpy.float64).reshape(shape))


def main():
    lstm = torch.nn.LSTM(CHANNELS * HEIGHT * WIDTH, HIDDEN, batch_first=True).double()
    lstm.load_state_dict({name: numbers(name, *value.shape) for name, value in lstm.state_dict().items()})
    frames = numbers("frames", CLIPS * FRAMES, CHANNELS, HEIGHT, WIDTH).requires_grad_()
    output, _ = lstm(frames.reshape(CLIPS, FRAMES, -1))
    (output * numbers("output gradient", *output.shape)).sum().backward()
    answers = [("output", output.detach()), ("frames", frames.grad)]
    answers += [(name, parameter.grad) for name, parameter in lstm.named_parameters()]
    with open(sys.argv[1] + "/torch_lstm_answers.inc", "w") as out:
        out.write("// Made by bench/peers/lstm_answers.py with torch %s.\n" % torch.__version__.split("+")[0])
        for name, values in answers:
            row = '{"%s", {%s}},' % (name, ", ".join("%.9g" % v for v in values.flatten().tolist()))
            out.write(row + "\n")


if __name__ == "__main__":
    main()
