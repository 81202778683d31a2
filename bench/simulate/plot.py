#!/usr/bin/env python3
"""Draws simulated.json: efficiency over ranks, and the scheduler's cost. PNG and SVG beside it. Usage: plot.py FILE"""

import json
import os
import pathlib
import sys

try:
    import matplotlib
except ImportError:  # the packages are the system's; an own Python may stand before it in the path
    SYSTEM = "/usr/bin/python3"
    if sys.executable != SYSTEM and os.access(SYSTEM, os.X_OK) and not os.environ.get("DIVS_SYSTEM_PYTHON"):
        os.environ["DIVS_SYSTEM_PYTHON"] = "1"
        os.execv(SYSTEM, [SYSTEM, *sys.argv])
    sys.exit("matplotlib is missing (package python3-matplotlib); the figures themselves are written")

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Distinguishable with colour blindness (Okabe, Ito 2008).
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
plt.rcParams.update({"savefig.bbox": "tight", "font.size": 10.5, "axes.grid": True, "grid.color": "#e4e4e4",
                     "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
                     "axes.titlelocation": "left", "axes.titleweight": "bold", "legend.frameon": False})


def curves(axes, runs, value):
    names = list(dict.fromkeys(run["name"] for run in runs))
    for colour, name in zip(COLOURS, names):
        points = sorted((run["ranks"], value(run["figures"])) for run in runs if run["name"] == name)
        axes.plot(*zip(*points), marker="o", color=colour, label=name)
    axes.set_xscale("log", base=2)
    ticks = sorted({run["ranks"] for run in runs})
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set_xlabel("ranks")


def efficiency(data, network, title):
    runs = [run for run in data["runs"] if run["network"] == network and not run["name"].startswith("ten")]
    if not runs:
        return None
    figure, axes = plt.subplots(figsize=(7, 4.2))
    curves(axes, runs, lambda f: f["efficiency"])
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("efficiency: compute / round")
    axes.set_title(f"{title}  (SIMULATED)")
    axes.legend()
    return figure


def scheduler(data):
    if not data["decide"]:
        return None
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for colour, shards in zip(COLOURS, sorted({d["shards"] for d in data["decide"]})):
        points = sorted((d["ranks"], d["ms"]) for d in data["decide"] if d["shards"] == shards)
        axes.plot(*zip(*points), marker="o", color=colour, label=f"{shards:,} shards (measured)")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ranks = sorted({d["ranks"] for d in data["decide"]})
    axes.set_xticks(ranks, [str(r) for r in ranks])
    axes.set_xlabel("ranks")
    axes.set_ylabel("ms of rank 0 for one decision")
    axes.set_title("The scheduler's own time")
    axes.legend()
    return figure


def draw(data, out):
    figures = {"fat_tree": efficiency(data, "fat tree", "resnet18, 20 ms steps, fat tree"),
               "edge": efficiency(data, "edge", "resnet18 on CPUs, edge sites of 16 ranks"),
               "scheduler": scheduler(data)}
    for name, figure in figures.items():
        if figure:
            for kind in ("png", "svg"):
                figure.savefig(out / f"simulated_{name}.{kind}", dpi=110)
            plt.close(figure)


if __name__ == "__main__":
    source = pathlib.Path(sys.argv[1])
    draw(json.loads(source.read_text()), source.parent)
