#!/usr/bin/env python3
"""Simulates training jobs of many ranks; see ../simulate.sh. Writes simulated.json and simulated.txt."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import agreement
import smpi
import sweep


def numbers(text):
    return [float(x) for x in text.split(",") if x]


def log(line):
    print(line, flush=True)


def decide(divs, out):
    """Median milliseconds of a decision by (ranks, shards), in real time on this machine."""
    file = out / "decide.json"
    subprocess.run([divs, "bench", "decide", "--json", file], check=True)
    return {(row[0], row[1]): row[2] for row in json.loads(file.read_text())["rows"]}


def table(data):
    lines = [f"SIMULATED by {data['simulator']}; not a measurement. resnet18's gradients, {data['adding']:.1f} GB/s added "
             "up a rank.", "", f"{'job':34} {'ranks':>5} {'round ms':>9} {'best ms':>8} {'efficiency':>10} "
             f"{'exposed ms':>10} {'decision ms':>11} {'moves':>6}"]
    for run in data["runs"]:
        f = run["figures"]
        lines.append(f"{run['name']:34} {run['ranks']:5} {f['round']:9.2f} {f['best']:8.2f} {f['efficiency']:10.3f} "
                     f"{f['exposed']:10.2f} {f['decision_stall']:11.2f} {f['moves']:6.0f}")
    if data["decide"]:
        lines += ["", "Measured: the scheduler's own time for a decision, ms", "ranks  shards     median"]
        lines += [f"{d['ranks']:5} {d['shards']:7} {d['ms']:10.2f}" for d in data["decide"]]
    if data["agreement"]:
        lines += ["", "Simulation against reality, a round's ms", f"{'link':26} {'step':22} ranks     real simulated   error"]
        lines += [f"{a['link']:26} {a['step']:22} {a['ranks']:5} {a['real_ms']:8.1f} {a['simulated_ms']:9.1f} "
                  f"{100 * a['error']:+6.1f} %" for a in data["agreement"]]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["decide", "agree", "sweep"], help="decide, agree, sweep; none anew: table")
    parser.add_argument("--divs", required=True)
    parser.add_argument("--program", required=True, help="the simulated job: divs_simulated.so")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--ranks", type=numbers, default=numbers("64,128,256,512,1024"))
    parser.add_argument("--gbps", type=numbers, default=numbers("10,100,400"), help="of the fat tree's links")
    parser.add_argument("--uplinks", type=numbers, default=numbers("0.1,1,10"), help="Gb/s of the edge sites' uplinks")
    parser.add_argument("--edge-step-ms", type=float, default=500, help="32 images on one CPU thread, measured")
    args = parser.parse_args()
    if unknown := set(args.parts) - {"decide", "agree", "sweep", "table"}:
        parser.error(f"unknown part {', '.join(unknown)}")
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "simulated.json"
    data = json.loads(file.read_text()) if file.exists() else {"runs": [], "decide": [], "agreement": []}
    data.update(label="SIMULATED", simulator=smpi.version(), model=smpi.MODEL)
    if "adding" not in data:
        text = subprocess.run([args.divs, "bench", "paced", "--adding-rate"], capture_output=True, text=True, check=True)
        data["adding"] = float(text.stdout)

    def keep():
        file.write_text(json.dumps(data, indent=1) + "\n")
        (args.out / "simulated.txt").write_text(table(data))

    if "decide" in args.parts:
        data["decide"] = [{"ranks": r, "shards": s, "ms": ms} for (r, s), ms in decide(args.divs, args.out).items()]
        keep()
    measured = {(d["ranks"], d["shards"]): d["ms"] for d in data["decide"]}
    if "agree" in args.parts:
        data["load"] = os.getloadavg()
        data["agreement"] = agreement.compare(args.divs, args.program, data["adding"], log)
        keep()
    if "sweep" in args.parts:
        chosen = sweep.jobs([int(r) for r in args.ranks], args.gbps, args.uplinks, args.edge_step_ms,
                            measured.get((256, 10000), 0))
        data["runs"] = []
        for job in chosen:  # one by one: what is done stays where a later one fails
            data["runs"] += sweep.run_all(args.program, data["adding"], [job], log)
            keep()
    keep()
    log("\n" + table(data))
    missed = 0
    for what, value, goal, met in sweep.goals(data["runs"], measured):
        log(f"{what}: {value:.3g} {goal} {'met' if met else 'missed'}")
        missed += not met
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except smpi.Failed as e:
        sys.exit(f"simulate: {e}")
