"""One training from its first step to its last, through any number of jobs, and what must hold of it all the
while.

Two kinds. `moving` learns, in an order fixed by the seed: at the end its parameters are those of a run that
nothing disturbed, which shows that no sample was lost, doubled or trained on a wrong state. `still` has a
learning rate of zero, so each sample's loss is a number of its own, whatever the order: the losses of an epoch
add up to those of its samples, each once, whoever trained them and wherever shards went.
"""
import itertools
import os
import subprocess

import numpy

from job import Job
from state import Broken, Checkpoint, checkpoint_files, largest_difference, require, steps_of_chain

# Of a parameter, relative to the largest of its array: the number of ranks changes the order of additions.
TOLERANCE = 2e-5
LOSS_TOLERANCE = 2e-4  # of an epoch's sum of losses
EPOCHS, BATCH = 12, 8

# No kinks: at one of them a rounding error, another one at each number of ranks, sends a training elsewhere.
MODEL = """conv out=8 kernel=5 stride=2 pad=2
conv out=12 kernel=3 stride=2 pad=1
adaptive_pool out=2
linear out=classes
"""
CONFIG = f"""[data]
dataset = "data"
shard_seconds = 0.5
mix = 16
[clip]
hop = 4
[model]
file = "small.model"
height = 24
width = 32
threads = 1
[schedule]
name = "constant"
[train]
folder = "run"
epochs = {EPOCHS}
batch = {BATCH}
checkpoint_steps = 3
keep_last = 3
hash_steps = 10
evaluate_epochs = 4
[scheduler]
interval = 2
lag = 1
"""
MOVING = ["optimizer.learning_rate=0.005", "train.order=global"]
STILL = ["optimizer.learning_rate=0.0"]
VARIANTS = [  # kind, settings, whether one rank is slowed so that shards and shares move
    ("still", ["scheduler.storage=local"], True),
    ("moving", ["train.deterministic=true"], False),
    ("still", [], True),
    ("moving", [], True),
    ("still", ["train.order=global"], True),
]


class Workshop:
    """The data set and what undisturbed runs give, made once."""

    def __init__(self, divs, folder, timeout):
        self.divs, self.folder, self.timeout = divs, folder, timeout
        subprocess.run([divs, "synth", os.path.join(folder, "data"), "--videos", "16", "--seconds", "2",
                        "--size", "64x48", "--val-share", "0.15", "--test-share", "0", "--log", "warn"],
                       check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "small.model"), "w", encoding="utf-8") as file:
            file.write(MODEL)
        with open(os.path.join(folder, "run.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIG)
        with open(os.path.join(folder, "data", "labels.tsv"), encoding="utf-8") as file:
            rows = [line.split("\t") for line in file.read().splitlines()[1:]]
        self.videos = [row[0] for row in rows if row[2] == "train"]
        self.still = STILL
        self.corruptions = []  # the kinds still to come before one comes again
        self.samples = self._count_samples()
        require(self.samples % len(self.videos) == 0, "videos of unequal length")
        self.expected = self._undisturbed("expected", 1)
        self.own_difference = largest_difference(self.expected, self._undisturbed("expected-3", 3))
        require(self.own_difference < TOLERANCE / 4, f"undisturbed runs differ by {self.own_difference:.2g}")
        # What has learned tells samples apart; a fresh model gives all of a class about the same loss.
        weights = os.path.join(folder, "weights.h5")
        subprocess.run([divs, "export", os.path.join(folder, "expected"), weights, "--newest"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.still = STILL + [f"model.init={weights}"]
        self.losses = self._losses_of_samples()

    def samples_of(self, video):
        each = self.samples // len(self.videos)
        return range(self.videos.index(video) * each, (self.videos.index(video) + 1) * each)

    def command(self, settings, slowed=None, timeout=60):
        """With a patient watchdog, except where it is what is looked at: a busy machine is no fault."""
        words = [self.divs, "train", os.path.join(self.folder, "run.toml")]
        for setting in [*settings, f"comm.timeout_s={timeout}"]:
            words += ["--set", setting]
        return words + (["--throttle", slowed] if slowed else [])

    def _run(self, name, settings, ranks, slowed=None):
        folder = os.path.join(self.folder, name)
        job = Job(self.command(settings + [f"train.folder={folder}"], slowed), ranks, folder,
                  os.path.join(self.folder, name + ".log"))
        try:
            require(job.wait(300) == 0, f"the undisturbed run failed:\n{job.log()[-3000:]}")
        finally:
            job.end()
        return folder

    def settings(self, variant):
        return (self.still if variant[0] == "still" else MOVING) + variant[1]

    def _undisturbed(self, name, ranks):
        folder = self._run(name, MOVING + ["train.deterministic=true"], ranks)
        return Checkpoint(checkpoint_files(folder)[0][1], self.samples)

    def _count_samples(self):
        folder = self._run("count", STILL + ["train.epochs=1"], 1)
        return int(sum(line["samples"] for line in steps_of_chain(folder).values()))

    def _losses_of_samples(self):
        """{sample: loss}. The samples between two checkpoints, by what the ledger gains, and their losses' sum, by
        the steps, are an equation; a few orders give enough of them."""
        sets, sums = [], []
        for seed in range(20):
            folder = self._run(f"losses-{seed}", self.still + [
                "train.epochs=1", "train.batch=1", "train.checkpoint_steps=1", "train.keep_last=1000",
                f"train.seed={seed}"], 1, slowed=f"0={30 * (seed + 1)}@1")
            steps, done, before = steps_of_chain(folder), set(), 0
            for step, file in reversed(checkpoint_files(folder)):
                ledger = Checkpoint(file, self.samples).ledger
                used = ledger.used if ledger.epoch == 0 else set(range(self.samples))
                sets.append([float(sample in used - done) for sample in range(self.samples)])
                sums.append(sum(steps[k]["loss"] for k in range(before, step)))
                done, before = used, step
            if numpy.linalg.matrix_rank(numpy.array(sets)) == self.samples:
                break
        else:
            raise Broken("too few checkpoints to know every sample's loss")
        losses = numpy.linalg.lstsq(numpy.array(sets), numpy.array(sums), rcond=None)[0]
        worst = numpy.abs(numpy.array(sets) @ losses - sums).max()
        require(worst < LOSS_TOLERANCE / 10, f"the samples' losses contradict each other by {worst:.2g}")
        return dict(enumerate(losses.tolist()))


class Chain:
    def __init__(self, shop, variant, folder):
        self.shop, self.folder = shop, folder
        self.kind, self.settings, self.throttled = variant[0], shop.settings(variant), variant[2]
        self.corrupted = set()  # contents of checkpoints that were spoiled
        self.deleted = []       # videos that were away for a while: their samples may be skipped
        for entry in os.listdir(folder):
            os.remove(os.path.join(folder, entry))

    def start(self, ranks, log, hosts=None, timeout=60):
        if not self.intact():  # it begins anew, and so do its metrics
            for entry in os.listdir(self.folder):
                os.remove(os.path.join(self.folder, entry))
        self.resumes_at = max((step for step, _ in self.intact()), default=0)
        slowed = f"{ranks - 1}=4" if self.throttled else None
        settings = self.settings + [f"train.folder={self.folder}"]
        return Job(self.shop.command(settings, slowed, timeout), ranks, self.folder, log, hosts)

    def intact(self):
        """[(step, path)], newest first. A running job may remove a file after it was listed."""
        return [(step, file) for step, file in checkpoint_files(self.folder)
                if content(file) not in self.corrupted | {None}]

    def spoiled(self, file):
        self.corrupted.add(content(file))

    def check(self, job):
        """After a job has ended, however it ended."""
        lines = job.steps()
        if lines:
            require(lines[0]["step"] == self.resumes_at,
                    f"went on at step {lines[0]['step']}, expected {self.resumes_at}, "
                    "that of the newest whole checkpoint")
        steps = steps_of_chain(self.folder)
        require(sorted(steps) == list(range(len(steps))), "a step is missing from the chain")
        for step, file in self.intact():
            self._check_checkpoint(step, Checkpoint(file, self.shop.samples), steps)

    def _check_checkpoint(self, name_step, checkpoint, steps):
        ledger, total = checkpoint.ledger, self.shop.samples
        require(checkpoint.step == name_step and checkpoint.epoch == ledger.epoch,
                "a checkpoint contradicts itself")
        require(len(ledger.history) == ledger.epoch, "the ledger's epochs are not those done")
        behind = [line for step, line in steps.items() if step < name_step]
        require(len(behind) == name_step,
                f"{name_step} steps are behind a checkpoint, {len(behind)} in the metrics")
        for record in ledger.history:
            require(record["samples"] == total and record["used"] + record["skipped"] == total,
                    f"epoch {record['epoch']}: {record}")
            self._check_epoch([e for e in behind if e["epoch"] == record["epoch"]], record["used"], None)
        require(not ledger.used & ledger.skipped and len(ledger.skipped) == len(ledger.reasons),
                "the ledger contradicts itself")
        away = {sample for video in self.deleted for sample in self.shop.samples_of(video)}
        require(ledger.skipped <= away, f"samples {sorted(ledger.skipped - away)} skipped: {ledger.reasons}")
        require(all(any(video in reason for video in self.deleted) for reason in ledger.reasons.values()),
                f"a reason names no deleted video: {ledger.reasons}")
        self._check_epoch([e for e in behind if e["epoch"] == ledger.epoch], len(ledger.used), ledger.used)

    def _check_epoch(self, lines, used, which):
        trained = sum(line["samples"] for line in lines)
        require(trained == used, f"{trained} samples were trained, the ledger counts {used}")
        if self.kind != "still":
            return
        losses = self.shop.losses
        seen = sum(line["loss"] * line["samples"] for line in lines)
        if which is not None:
            expected = [sum(losses[s] for s in which)]
        else:  # any set that leaves out as many samples of deleted videos
            missing = self.shop.samples - used
            away = sorted({sample for video in self.deleted for sample in self.shop.samples_of(video)})
            whole = sum(losses.values())
            expected = [whole - sum(losses[s] for s in skipped)
                        for skipped in itertools.combinations(away, missing)]
        nearest = min((abs(seen - sum_) for sum_ in expected), default=float("inf"))
        require(nearest < LOSS_TOLERANCE,
                f"the losses of an epoch are off by {nearest:.4f}: other samples than said")

    def check_end(self, job):
        require(job.finished(), f"not finished:\n{job.log()[-3000:]}")
        leftovers = [name for name in os.listdir(self.folder) if name.startswith(".")]
        require(not leftovers, f"temporary files are left over: {leftovers}")
        final = Checkpoint(self.intact()[0][1], self.shop.samples)
        require(final.epoch == EPOCHS, f"ends after {final.epoch} epochs")
        skipped = sum(record["skipped"] for record in final.ledger.history)
        if self.kind == "still":
            return f"losses of {EPOCHS} epochs add up, {skipped} samples skipped for a reason"
        require(skipped == 0, f"{skipped} samples skipped, and no video was ever deleted")
        difference = largest_difference(self.shop.expected, final)
        require(difference < TOLERANCE, f"parameters differ by {difference:.2g} from the undisturbed run's")
        return f"parameters within {difference:.1e} of the undisturbed run's"


def content(file):
    """None: it is no longer there."""
    try:
        with open(file, "rb") as opened:
            return hash(opened.read())
    except FileNotFoundError:
        return None
