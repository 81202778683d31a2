#!/usr/bin/env python3
"""The simulated job on 16 ranks: its sums are right, it repeats itself, a slow network costs what arithmetic says, and
the scheduler makes up for slow ranks. Usage: test_simulated.py SIMULATED_PROGRAM. Exit code 77: skipped."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "simulate"))
import platforms  # noqa: E402
import smpi  # noqa: E402

program = pathlib.Path(sys.argv[1])
if not smpi.version():
    print("skipped: SimGrid is not installed (package libsimgrid-dev)")
    sys.exit(77)
if not program.exists():
    print(f"skipped: {program} is not built; SimGrid was not there when the build was configured")
    sys.exit(77)

RANKS = 16
JOB = {"--model": "mobilenet_v2", "--step-ms": "20", "--samples": "32", "--tuning": "2", "--rounds": "6",
       "--warm-up": "3", "--interval": "2"}
failures = []


def expect(what, true):
    print(f"{'ok' if true else 'FAILED'}: {what}")
    if not true:
        failures.append(what)


def simulate(platform, *flags, **changes):
    options = JOB | {"--" + name.replace("_", "-"): value for name, value in changes.items()}
    words = [word for pair in options.items() for word in pair]
    return smpi.simulate(program, *platform, [*words, *flags], timeout=250)["figures"]


fast = simulate(platforms.fat_tree(RANKS, 100), "--check")  # fails by itself on a wrong sum
expect(f"efficiency {fast['efficiency']:.3f} on 100 Gb/s is above 0.9 and at most 1", 0.9 < fast["efficiency"] <= 1)
expect("a second run gives the same", simulate(platforms.fat_tree(RANKS, 100), "--check") == fast)

# All communication: a round lasts as long as the link needs for what a rank sends, 95 % of it being payload.
slow = simulate(platforms.fat_tree(RANKS, 1), "--shared-gradients", "--static", step_ms="0.01", tuning="0")
gradients = 3504872 * 4  # bytes; torchvision's count of MobileNetV2's parameters
bound = 1e3 * 2 * (RANKS - 1) / RANKS * gradients / (0.95 * 1e9 / 8)
expect(f"a round of sums alone on 1 Gb/s takes {slow['round']:.1f} ms, 1 to 1.2 times {bound:.1f} ms",
       1 <= slow["round"] / bound < 1.2)
apart = simulate(platforms.edge(RANKS, 0.1, site=4), "--shared-gradients", cluster_size="4")
expect("sites behind 0.1 Gb/s are slower than that", apart["efficiency"] < 20 / bound)

UNEQUAL = {"speeds": "0.5,0.25", "rounds": "34", "warm_up": "28", "interval": "4", "shard_samples": "16"}
static = simulate(platforms.fat_tree(RANKS, 100), "--shared-gradients", "--static", **UNEQUAL)
moved = simulate(platforms.fat_tree(RANKS, 100), "--shared-gradients", **UNEQUAL)
expect(f"static shares wait for a rank four times slower: {static['efficiency']:.3f}", static["efficiency"] < 0.3)
expect(f"the scheduler makes up for it: {moved['efficiency']:.3f}, {moved['moves']:.0f} moves",
       moved["efficiency"] > 0.85 and moved["moves"] > 0)
sys.exit(1 if failures else 0)
