#!/usr/bin/env python3
"""Draws what a training run wrote to metrics.jsonl.

    jobs/plot_training.py RUN_FOLDER [--out FOLDER]

Writes curves.png (loss and accuracy), throughput.png (samples/s and where a step's time goes), balance.png (imbalance and
the scheduler's decisions, where there were ranks to balance) and confusion.png, and puts them into report.html: into the
one that training wrote, or into a new one. Nothing that the report shows is loaded from elsewhere.
"""

import argparse
import html
import json
import math
import pathlib
import re
import sys

import plot_style
from plot_style import BLUE, GREEN, GREY, ORANGE, PINK, plt
from matplotlib.ticker import MaxNLocator  # behind plot_style: it finds the Python that has matplotlib


def read_lines(file):
    """The objects of a JSON Lines file. A line that a killed process left unfinished is passed over."""
    lines = []
    for number, text in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            print(f"{file}:{number}: not JSON, passed over", file=sys.stderr)
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines


def last_chain(lines):
    """What led to the current parameters: where a run was killed and went on from a checkpoint, the steps done twice
    count as they were done last."""
    kept = []
    for line in lines:
        if line.get("kind") == "step":
            step, epoch = line.get("step", 0), line.get("epoch", 0)
            while kept and is_undone(kept[-1], step, epoch):
                kept.pop()
        kept.append(line)
    return kept


def is_undone(line, step, epoch):
    if line.get("kind") == "step":
        return line.get("step", 0) >= step
    if line.get("kind") == "eval":
        return line.get("epoch", 0) >= epoch
    if line.get("kind") == "decision":
        return line.get("report_step", 0) >= step
    return line.get("kind") == "summary"


def number(value):
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def column(lines, key):
    return [number(line.get(key)) for line in lines]


def smooth(values, width):
    """Running mean over about `width` values; gaps are left out."""
    out, window = [], []
    for value in values:
        if not math.isnan(value):
            window.append(value)
            window = window[-width:]
        out.append(sum(window) / len(window) if window else math.nan)
    return out


def epochs_of(steps):
    """Each step's place on an axis of epochs: epoch + part of it."""
    first, count = {}, {}
    for line in steps:
        epoch = line.get("epoch", 0)
        first.setdefault(epoch, line.get("step", 0))
        count[epoch] = line.get("step", 0) - first[epoch] + 1
    per_epoch = max(count.values())
    return [line.get("epoch", 0) + (line.get("step", 0) - first[line.get("epoch", 0)] + 1) / per_epoch for line in steps]


def plot_curves(steps, evaluations, out):
    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(10.5, 3.9))
    if steps:
        x, width = epochs_of(steps), max(1, len(steps) // 60)
        for axis, key in ((loss, "loss"), (accuracy, "accuracy")):
            values = column(steps, key)
            if all(math.isnan(v) for v in values):
                continue
            axis.plot(x, values, color=BLUE, alpha=0.18, linewidth=0.8)
            axis.plot(x, smooth(values, width), color=BLUE, label="train (running mean)")
    for split, colour in (("val", ORANGE), ("test", GREEN)):
        rows = [line for line in evaluations if line.get("split", "val") == split]
        if not rows:
            continue
        x = [line.get("epoch", 0) + 1 for line in rows]
        loss.plot(x, column(rows, "loss"), "o-", color=colour, markersize=4, label=split)
        accuracy.plot(x, column(rows, "accuracy"), "o-", color=colour, markersize=4, label=split)
        if any(not math.isnan(v) for v in column(rows, "macro_f1")):
            accuracy.plot(x, column(rows, "macro_f1"), ":", color=colour, label=f"{split}, macro-F1")
        best = max(rows, key=lambda line: number(line.get("accuracy")) if line.get("accuracy") is not None else -1)
        accuracy.annotate(f"{number(best.get('accuracy')):.3f}", (best.get("epoch", 0) + 1, number(best.get("accuracy"))),
                          textcoords="offset points", xytext=(0, 7), ha="center", color=colour, fontsize=9)
    loss.set(title="Loss", xlabel="epoch")
    accuracy.set(title="Accuracy", xlabel="epoch")
    loss.set_ylim(bottom=0)
    accuracy.set_ylim(0, 1.06)
    for axis in (loss, accuracy):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis.get_legend_handles_labels()[0]:
            axis.legend()
    return save(figure, out / "curves.png")


# What a step's time is made of, by the names in metrics.jsonl; the rest is optimiser, logging and the like.
PARTS = (("compute", "compute", BLUE), ("wait_data", "waiting for clips", ORANGE),
         ("exposed_comm", "exposed communication", PINK))


def plot_throughput(steps, out):
    figure, (rate, parts) = plt.subplots(1, 2, figsize=(10.5, 3.9), gridspec_kw={"width_ratios": [1.25, 1]})
    x, values, width = column(steps, "step"), column(steps, "samples_per_s"), max(1, len(steps) // 60)
    rate.plot(x, values, color=GREEN, alpha=0.2, linewidth=0.8)
    rate.plot(x, smooth(values, width), color=GREEN)
    known = sorted(v for v in values if not math.isnan(v))
    title = "Samples per second, all ranks"
    if known:
        middle = known[len(known) // 2]
        title += f" (median {middle:.3g})" if middle < 1000 else f" (median {middle:.0f})"
        rate.axhline(middle, color=GREY, linestyle="--", linewidth=1)
        rate.set_ylim(0, 1.15 * known[min(len(known) - 1, int(0.99 * len(known)))])
    rate.set(title=title, xlabel="step")

    seconds = sum(v for v in column(steps, "seconds") if not math.isnan(v))
    shares, rest = [], 1.0
    for key, name, colour in PARTS:
        share = sum(v for v in column(steps, key) if not math.isnan(v)) / seconds if seconds else 0
        share = min(share, max(rest, 0))
        rest -= share
        shares.append((name, share, colour))
    shares.append(("rest", max(rest, 0), GREY))
    names = [name for name, _, _ in shares][::-1]
    parts.barh(names, [100 * share for _, share, _ in shares][::-1], color=[colour for _, _, colour in shares][::-1],
               height=0.6)
    for i, (_, share, _) in enumerate(shares[::-1]):
        parts.annotate(f"{100 * share:.1f} %", (100 * share, i), textcoords="offset points", xytext=(5, 0), va="center",
                       fontsize=9.5)
    parts.set(title="Where rank 0's time goes", xlabel="% of the time in steps", xlim=(0, 112))
    parts.grid(axis="y", visible=False)
    return save(figure, out / "throughput.png")


def plot_balance(steps, decisions, out):
    figure, (imbalance, shares) = plt.subplots(1, 2, figsize=(10.5, 3.9))
    values = column(steps, "imbalance")
    imbalance.plot(column(steps, "step"), [100 * v for v in values], color=BLUE)
    for line in decisions:
        if line.get("verdict") == "move" or line.get("moves"):
            imbalance.axvline(number(line.get("effective_step")), color=ORANGE, linewidth=0.9, linestyle="--", alpha=0.6)
    imbalance.plot([], [], color=ORANGE, linewidth=1, linestyle="--", label="shares moved")
    imbalance.set(title="Imbalance", xlabel="step", ylabel="slowest rank above the mean, %")
    imbalance.set_ylim(bottom=0)
    imbalance.legend()
    rows = [line for line in decisions if isinstance(line.get("batch_shares"), list) and line["batch_shares"]]
    if rows:
        ranks = max(len(line["batch_shares"]) for line in rows)
        x = [number(line.get("effective_step")) for line in rows]
        for rank in range(ranks):
            y = [line["batch_shares"][rank] if rank < len(line["batch_shares"]) else math.nan for line in rows]
            shares.step(x, y, where="post", marker=".", label=f"rank {rank}",
                        color=plt.cm.viridis(rank / max(1, ranks - 1) * 0.9),
                        linewidth=1.4 + 3 * (ranks - 1 - rank) / ranks)  # equal ranks stay visible under each other
        if ranks <= 8:
            shares.legend()
    shares.set(title="Batch shares of the ranks", xlabel="step", ylabel="samples of a global batch")
    shares.set_ylim(bottom=0)
    return save(figure, out / "balance.png")


def plot_confusion(line, out):
    matrix = line["confusion"]
    classes = [str(name) for name in line.get("classes", [])] or [str(i) for i in range(len(matrix))]
    size = len(matrix)
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    side = max(3.4, 0.62 * size + 1.6)
    figure, axis = plt.subplots(figsize=(side + 1.0, side))
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(size), classes, rotation=0 if size <= 4 and max(map(len, classes)) < 9 else 40,
                    ha="center" if size <= 4 and max(map(len, classes)) < 9 else "right")
    axis.set_yticks(range(size), classes)
    if size <= 20:
        for i in range(size):
            for j in range(size):
                axis.text(j, i, matrix[i][j], ha="center", va="center", fontsize=9.5,
                          color="white" if shares[i][j] > 0.55 else "#333333")
    accuracy = sum(matrix[i][i] for i in range(size)) / max(1, sum(map(sum, matrix)))
    axis.set(title=f"{line.get('split', 'val')}, epoch {line.get('epoch', 0) + 1}: accuracy {accuracy:.3f}",
             xlabel="predicted", ylabel="true")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    bar = figure.colorbar(image, fraction=0.046, pad=0.04)
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return save(figure, out / "confusion.png")


def save(figure, file):
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)
    return file


MARK = "<!-- plots -->"
BEGIN, END = "<!-- plots begin -->", "<!-- plots end -->"


def write_report(folder, out, images, summary):
    """Into the report that training wrote, over images of an earlier call; else into a plain one."""
    source = folder / "report.html"
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    text = re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: MARK, text, flags=re.DOTALL)
    if MARK not in text:
        rows = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>\n"
                       for k, v in summary.items() if k not in ("kind", "ranks"))
        text = plot_style.page(folder.resolve().name, f"<table>{rows}</table>\n{MARK}")
    block = BEGIN + "\n" + "".join(plot_style.figure_html(title, file) for title, file in images) + END
    report = out / "report.html"
    plot_style.write_whole(report, text.replace(MARK, block, 1))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="a run's folder, with metrics.jsonl")
    parser.add_argument("--out", type=pathlib.Path, help="where to write (default: the run's folder)")
    arguments = parser.parse_args()
    metrics = arguments.folder / "metrics.jsonl"
    if not metrics.is_file():
        sys.exit(f"{metrics}: is not there, expected the metrics of a training run")
    out = arguments.out or arguments.folder
    out.mkdir(parents=True, exist_ok=True)

    lines = last_chain(read_lines(metrics))
    kinds = {}
    for line in lines:
        kinds.setdefault(line.get("kind"), []).append(line)
    steps, evaluations = kinds.get("step", []), kinds.get("eval", [])
    decisions, summaries = kinds.get("decision", []), kinds.get("summary", [{}])
    if not steps and not evaluations:
        sys.exit(f"{metrics}: holds neither a step nor an evaluation yet")

    images = [("Loss and accuracy", plot_curves(steps, evaluations, out))]
    if steps:
        images.append(("Throughput", plot_throughput(steps, out)))
    if decisions:
        images.append(("Balance", plot_balance(steps, decisions, out)))
    confusions = [line for line in evaluations if line.get("confusion")]
    if confusions:
        images.append(("Confusion matrix", plot_confusion(confusions[-1], out)))
    report = write_report(arguments.folder, out, images, summaries[-1])
    for _, file in images:
        print(file)
    print(report)


if __name__ == "__main__":
    main()
