#!/usr/bin/env python3
"""One training job of several ranks against as many independent jobs side by side, ours and PyTorch DDP (gloo), taking
turns in one run: same model, same rendered videos, same ranks and threads, every rank and job bound to its own cores.

    compare_scale.py --divs PROGRAM [--rounds N] [--ranks 2] [--threads 1] [--model resnet18] [--size 112] [--batch 32]

In each round every program runs job, apart, apart, job; a ratio is that of neighbours, and the median over all counts.
Ends with one line a figure. With --json FILE also what divs measured, for jobs/plot_scaling.py.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

GOAL = 0.97


def cores_of(rank, threads):
    cores = sorted(os.sched_getaffinity(0))
    return ",".join(map(str, cores[rank * threads:(rank + 1) * threads]))


def ours(options, folder):
    """Two rounds of `divs bench scale`: its report."""
    done = subprocess.run(
        [options.divs, "--log", "warn", "bench", "scale", "--mode", "weak", "--apart", "--ranks", str(options.ranks),
         "--threads", str(options.threads), "--model", options.model, "--size", str(options.size), "--backend", "cpu", "--rank-batch",
         str(options.batch), "--videos", str(options.videos), "--epochs", "1", "--rounds", "2", "--folder", str(folder),
         "--json", "-"], capture_output=True, text=True, timeout=1800)
    if done.returncode:
        sys.exit(done.stderr)
    for kept in (folder / "runs").glob("*.json"):  # the next round measures again
        kept.unlink()
    return json.loads(done.stdout)


def torch_rate(options, folder, together):
    """Samples/s of all processes: ranks of one job, or jobs alone."""
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    script = pathlib.Path(__file__).with_name("ddp.py")
    processes = []
    for rank in range(options.ranks):
        command = ["taskset", "-c", cores_of(rank, options.threads), sys.executable, str(script), "--data",
                   str(folder / "data"), "--model", options.model, "--size", str(options.size), "--batch",
                   str(options.batch), "--threads", str(options.threads), "--steps", str(options.steps)]
        if options.channels_last:
            command.append("--channels-last")
        if together:
            command += ["--rank", str(rank), "--ranks", str(options.ranks), "--meeting", str(meeting)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    rate, version = 0, ""
    for process in processes:
        out, _ = process.communicate(timeout=1800)
        if process.returncode:
            sys.exit(f"PyTorch ended with code {process.returncode}")
        line = json.loads(out)
        rate += line["samples"] / line["seconds"]
        version = line["torch"]
    return rate, version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divs", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32, help="samples a rank and step")
    parser.add_argument("--videos", type=int, default=144, help="rendered; an epoch of them is measured")
    parser.add_argument("--steps", type=int, default=20, help="that PyTorch is timed for")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's memory format")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    mine, theirs = [], []  # (job, apart), samples/s
    with tempfile.TemporaryDirectory(prefix="divs-scale-") as name:
        folder = pathlib.Path(name)
        for turn in range(options.rounds):
            report = ours(options, folder)
            runs = {run["mode"]: [r["samples_per_s"] for r in run["rounds"]] for run in report["runs"]}
            mine += zip(runs["weak"], runs["apart"])
            order = [torch_rate(options, folder, together) for together in (True, False, False, True)]
            theirs += [(order[0][0], order[1][0]), (order[3][0], order[2][0])]
            for who, pairs in (("ours", mine), ("PyTorch " + order[0][1], theirs)):
                print(f"round {turn + 1}, {who}: " + ", ".join(
                    f"{job:.1f} against {apart:.1f} samples/s ({job / apart:.3f})" for job, apart in pairs[-2:]),
                    flush=True)
    share, peer = (statistics.median(job / apart for job, apart in pairs) for pairs in (mine, theirs))
    print(f"medians, samples/s, {options.ranks} ranks of {options.threads} thread(s): ours "
          f"{statistics.median(job for job, _ in mine):.1f}, apart {statistics.median(a for _, a in mine):.1f}; PyTorch "
          f"{statistics.median(job for job, _ in theirs):.1f}, apart {statistics.median(a for _, a in theirs):.1f}")
    if options.json:
        options.json.write_text(json.dumps(report | {"pairs": mine, "peer": {"name": "PyTorch DDP (gloo)",
                                "version": order[0][1], "pairs": theirs}}, indent=1))
    print(f"scale.share.ranks{options.ranks} {share:.3f} >= {GOAL} {'met' if share >= GOAL else 'missed'}")
    print(f"scale.share.ranks{options.ranks}.over_ddp {share / peer:.3f} >= 1 {'met' if share > peer else 'missed'}"
          f" (DDP's share: {peer:.3f})")


main()
