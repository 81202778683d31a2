#!/usr/bin/env python3
"""Draws what `divs bench scale` measured.

    jobs/plot_scaling.py FILE_OR_FOLDER... [--out FOLDER]

Takes the JSON files of one or more benchmarks (a folder: every ranks-*.json in it, as jobs/scaling.sbatch writes them) and
puts their rank counts together. Writes efficiency, throughput and breakdown as PNG and SVG, scaling.json with all rows, and
scaling.html: the pictures, the figures, the configuration and the versions in one file that loads nothing from elsewhere.
"""

import argparse
import html
import json
import pathlib
import sys

import plot_style as style
from plot_style import BLUE, GREEN, GREY, ORANGE, PINK, plt

PARTS = (("compute", "forward and backward", BLUE), ("optimise", "optimiser", GREEN),
         ("exposed", "exposed communication", ORANGE), ("waiting", "waiting for clips", PINK),
         ("rest", "rest", GREY))
NAMES = {"strong": "strong scaling", "weak": "weak scaling", "apart": "independent jobs side by side"}
COLOURS = {"strong": BLUE, "weak": ORANGE, "apart": GREY}
MARKS = {"strong": "o", "weak": "s", "apart": "^"}


def read_reports(paths):
    files = []
    for path in paths:
        files += sorted(path.glob("ranks-*.json")) if path.is_dir() else [path]
    if not files:
        sys.exit(f"{', '.join(map(str, paths))}: no ranks-*.json, expected the files of jobs/scaling.sbatch")
    reports = []
    for file in files:
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            sys.exit(f"{file}: cannot be read as JSON: {error}")
        if not isinstance(report, dict) or report.get("benchmark") != "scale" or not report.get("runs"):
            sys.exit(f"{file}: expected the JSON of `divs bench scale`")
        reports.append((file, report))
    return reports


def merge(reports):
    """mode -> runs by rank count, each with its efficiency against the least count of its mode."""
    modes = {}
    for file, report in reports:
        if configuration(report) != configuration(reports[0][1]):
            print(f"{file}: another configuration than {reports[0][0]}; its rows are drawn nevertheless", file=sys.stderr)
        for run in report["runs"]:
            by_ranks = modes.setdefault(run["mode"], {})
            if run["ranks"] in by_ranks:
                print(f"{file}: {run['mode']} scaling of {run['ranks']} ranks once more; the last counts", file=sys.stderr)
            by_ranks[run["ranks"]] = run
    for by_ranks in modes.values():
        least = min(by_ranks)
        per_rank = rate(by_ranks[least]) / least
        for ranks, run in by_ranks.items():
            run["efficiency"] = rate(run) / ranks / per_rank
    return {mode: [runs[n] for n in sorted(runs)] for mode, runs in sorted(modes.items())}


def rate(run):
    return run["median"]["samples_per_s"]


def configuration(report):
    """What must agree between files that are drawn into one picture: all but the folder of the run."""
    return [line for line in str(report.get("configuration", "")).splitlines() if "folder" not in line]


def spread(runs, of):
    """Distances from the median down and up to the least and the largest of the rounds."""
    low, high = [], []
    for run in runs:
        values = [of(run, r["samples_per_s"]) for r in run["rounds"]]
        middle = of(run, rate(run))
        low.append(max(0, middle - min(values)))
        high.append(max(0, max(values) - middle))
    return [low, high]


def rank_axis(axis, modes):
    counts = sorted({run["ranks"] for runs in modes.values() for run in runs})
    if len(counts) > 1 and counts[-1] / counts[0] > 4:
        axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.minorticks_off()
    axis.set_xlabel("ranks")
    margin = 0.15 * (counts[-1] - counts[0]) if axis.get_xscale() == "linear" else None
    if margin is not None:
        axis.set_xlim(counts[0] - (margin or 0.5), counts[-1] + (margin or 0.5))


def plot_efficiency(modes, out):
    figure, axis = plt.subplots(figsize=(6.4, 4.2))
    axis.axhline(100, color=GREY, linestyle="--", linewidth=1.2, label="ideal")
    top, bottom = 100, 100
    for mode, runs in modes.items():
        y = [100 * run["efficiency"] for run in runs]
        errors = spread(runs, lambda run, value: 100 * run["efficiency"] / rate(run) * value)
        top = max([top] + [v + e for v, e in zip(y, errors[1])])
        bottom = min([bottom] + [v - e for v, e in zip(y, errors[0])])
        axis.errorbar([run["ranks"] for run in runs], y, yerr=errors, capsize=3, marker=MARKS[mode], color=COLOURS[mode],
                      label=NAMES[mode])
        for run, value, low, high in zip(runs, y, *errors):
            if mode == "apart" or run is runs[0]:
                continue
            others = [100 * other["efficiency"] for name in ("strong", "weak") if name != mode
                      for other in modes.get(name, []) if other["ranks"] == run["ranks"]]
            below = any(value < other for other in others)  # of two the lower has its figure below
            place = (run["ranks"], value - low if below else value + high)
            axis.annotate(f"{value:.1f}", place, textcoords="offset points", xytext=(0, -14 if below else 7), ha="center",
                          color=COLOURS[mode], fontsize=9)
    rank_axis(axis, modes)
    axis.set(title="Efficiency", ylabel="% of ideal")
    axis.set_ylim(50 if bottom > 60 else 0, top + (6 if bottom > 60 else 12))
    axis.legend(loc="lower left")
    return style.save(figure, out, "efficiency")


def plot_throughput(modes, out):
    figure, axis = plt.subplots(figsize=(6.4, 4.2))
    bases = {mode: rate(runs[0]) / runs[0]["ranks"] for mode, runs in modes.items() if mode != "apart"}
    for mode, runs in modes.items():
        x = [run["ranks"] for run in runs]
        if mode in bases:
            axis.plot(x, [bases[mode] * n for n in x], linestyle="--", linewidth=1.2, color=COLOURS[mode], alpha=0.6,
                      label=f"ideal, {mode}")
        axis.errorbar(x, [rate(run) for run in runs], yerr=spread(runs, lambda run, value: value), capsize=3,
                      marker=MARKS[mode], color=COLOURS[mode], label=NAMES[mode],
                      linestyle="none" if mode == "apart" else "-")
    rank_axis(axis, modes)
    if axis.get_xscale() == "log":
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axis.set_ylim(bottom=0)
    axis.set(title="Throughput", ylabel="samples/s")
    axis.legend()
    return style.save(figure, out, "throughput")


def plot_breakdown(modes, out):
    """Where the time of a step goes, one bar a run: shares of the ranks' time."""
    runs = [(mode, run) for mode in ("strong", "weak", "apart") for run in modes.get(mode, [])]
    figure, axis = plt.subplots(figsize=(9.6, 1.4 + 0.42 * len(runs)))
    names = [f"{mode}, {run['ranks']} {'job' if mode == 'apart' else 'rank'}{'s' * (run['ranks'] > 1)}" for mode, run in runs]
    places = range(len(runs))[::-1]
    left = [0.0] * len(runs)
    for key, name, colour in PARTS:
        widths = [100 * run["median"][key] for _, run in runs]
        axis.barh(places, widths, left=left, color=colour, height=0.62, label=name)
        left = [a + b for a, b in zip(left, widths)]
    for place, total, (_, run) in zip(places, left, runs):
        axis.annotate(f"{1e3 * run['median']['step_s']:.0f} ms, {100 * run['median']['exposed']:.1f} % exposed", (total, place),
                      textcoords="offset points", xytext=(5, 0), va="center", fontsize=9.5)
    axis.set_yticks(places, names)
    axis.set_xticks(range(0, 101, 20))
    axis.set(title="A step's time", xlabel="% of the ranks' time; behind it the whole step", xlim=(0, 128))
    axis.grid(axis="y", visible=False)
    axis.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.45, -0.9 / (0.42 * len(runs) + 0.5)), fontsize=9.5,
                columnspacing=1.2, handlelength=1.2)
    return style.save(figure, out, "breakdown")


COLUMNS = (("ranks", lambda run: run["ranks"], "{}"), ("global batch", lambda run: run["batch"], "{}"),
           ("samples/s", rate, "{:.1f}"), ("efficiency", lambda run: run["efficiency"], "{:.3f}"),
           ("step, ms", lambda run: 1e3 * run["median"]["step_s"], "{:.0f}"),
           ("exposed, %", lambda run: 100 * run["median"]["exposed"], "{:.1f}"),
           ("least exposed, %", lambda run: 100 * run["median"]["least_exposed"], "{:.1f}"),
           ("communicating, %", lambda run: 100 * run["median"]["communicating"], "{:.1f}"),
           ("waiting for clips, %", lambda run: 100 * run["median"]["waiting"], "{:.1f}"),
           ("imbalance, %", lambda run: 100 * run["median"]["imbalance"], "{:.1f}"),
           ("edge, MiB a step", lambda run: run["median"]["edge_bytes"] / 2**20, "{:.1f}"),
           ("cluster, MiB a step", lambda run: run["median"]["cluster_bytes"] / 2**20, "{:.1f}"),
           ("centre, MiB a step", lambda run: run["median"]["centre_bytes"] / 2**20, "{:.1f}"),
           ("memory, MiB", lambda run: run["median"]["memory_bytes"] / 2**20, "{:.0f}"))
EXPLAINED = """Efficiency is the throughput of a rank against that at the fewest ranks of its mode. Shares are of the ranks'
time, means over the ranks; least exposed is that of the rank that waits least: communication itself, without waiting for
slower ranks. Bytes are those that all ranks send in a step, by the tier that they cross; memory is the peak of the largest
rank. Bars show the least and the largest of the rounds."""


def table_html(header, rows):
    cell = lambda tag, value: f"<{tag}>{html.escape(str(value))}</{tag}>"
    body = "".join("<tr>" + "".join(cell("td", value) for value in row) + "</tr>\n" for row in rows)
    head = "<tr>" + "".join(cell("th", name) for name in header) + "</tr>\n" if header else ""
    return f'<div class="wide"><table>{head}{body}</table></div>'


def write_report(reports, modes, images, out):
    first = reports[0][1]
    rows = [[NAMES[mode]] + [form.format(value(run)) for _, value, form in COLUMNS] for mode, runs in modes.items()
            for run in runs]
    figures = [(figure["name"], f"{figure['value']:.3f}") for _, report in reports for figure in report.get("figures", [])
               if "apart" in figure["name"]]
    blocks = [style.figure_html(title, file) for title, file in images]
    blocks.append("<h2>Figures</h2>" + table_html(["mode"] + [name for name, _, _ in COLUMNS], rows))
    blocks.append(f"<p>{EXPLAINED}</p>")
    if figures:
        blocks.append(table_html(["throughput against independent jobs side by side", ""], figures))
    blocks += [f"<p>{html.escape(note)}</p>" for note in dict.fromkeys(
        n for _, report in reports for n in report.get("notes", []) if "cores" in n)]
    blocks.append("<h2>Launched by</h2>" + table_html([], [("launcher", first.get("launcher", "")),
                                                           ("compute threads of a rank", first.get("threads", ""))]))
    blocks.append("<h2>Machine and versions</h2>" + table_html([], [*first.get("machine", {}).items(),
                                                                    *first.get("versions", {}).items()]))
    blocks.append(f"<h2>Configuration</h2><pre>{html.escape(first.get('configuration', ''))}</pre>")
    file = out / "scaling.html"
    style.write_whole(file, style.page("Scaling", "\n".join(blocks)))
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=pathlib.Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--out", type=pathlib.Path, help="where to write (default: the first folder, or the file's)")
    arguments = parser.parse_args()
    reports = read_reports(arguments.paths)
    first = arguments.paths[0]
    out = arguments.out or (first if first.is_dir() else first.parent)
    out.mkdir(parents=True, exist_ok=True)
    modes = merge(reports)
    images = [("Efficiency", plot_efficiency(modes, out)), ("Throughput against ideal", plot_throughput(modes, out)),
              ("Where a step's time goes", plot_breakdown(modes, out))]
    style.write_whole(out / "scaling.json", json.dumps(modes, indent=1))
    for _, file in images:
        print(file)
        print(file.with_suffix(".svg"))
    print(write_report(reports, modes, images, out))


if __name__ == "__main__":
    main()
