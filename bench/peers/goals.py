#!/usr/bin/env python3
"""Benchmarks that measure their own roof or peer in the same run, and their goals.

    goals.py --divs PROGRAM conv|allreduce|balance

Prints each benchmark's table, then one line a figure: NAME VALUE >= GOAL, and whether it was met.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

MPIRUN = ["mpirun", "-n"]  # compare.sh sets the environment
RUNS = {
    "conv": [[], [["conv", "--threads", "1"], ["conv", "--threads", "2"]]],
    "allreduce": [MPIRUN, [[2, "allreduce"], [4, "allreduce", "--sums-only"]]],
    "balance": [MPIRUN, [[4, "balance"]]],
}
GOALS = [  # (pattern of the figure's name, at least?, goal)
    (r"conv\..*\.forward$", True, 0.90),
    (r"conv\..*\.backward.data$", True, 0.85),
    (r"conv\..*\.backward.weights$", True, 0.70),
    (r"allreduce\.ranks\d+\.100MB(\.shared)?\.against_mpi$", True, 0.90),
    (r".*\.exposed_ratio$", False, 0.25),
    (r"balance\.efficiency\.throttled$", True, 0.90),
]


def commands(divs, name):
    launcher, runs = RUNS[name]
    for run in runs:
        yield [*launcher, str(run[0]), divs, "bench", *run[1:]] if launcher else [divs, "bench", *run]


def judge(name, value):
    for pattern, at_least, goal in GOALS:
        if re.fullmatch(pattern, name):
            met = value >= goal if at_least else value <= goal
            print(f"{name} {value:.3f} {'>=' if at_least else '<='} {goal} {'met' if met else 'missed'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--divs", required=True)
    parser.add_argument("name", choices=sorted(RUNS))
    options = parser.parse_args()
    os.environ.setdefault("OMPI_MCA_hwloc_base_binding_policy", "none")
    figures = []
    for command in commands(options.divs, options.name):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "figures.json"
            if subprocess.run([*command, "--json", str(file)], timeout=1800).returncode:
                sys.exit(1)
            figures += json.loads(file.read_text())["figures"]
        print(flush=True)
    for figure in figures:
        judge(figure["name"], figure["value"])


main()
