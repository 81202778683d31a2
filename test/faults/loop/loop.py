#!/usr/bin/python3
"""Trains while things go wrong: ranks are killed and stopped, the disk fills, cables are cut, checkpoints rot,
videos vanish. After each fault another job goes on at another number of ranks. After each job, and against
undisturbed runs at the end of each training, it is checked that no sample was lost or trained twice, that no
corrupt state was loaded, that nothing hangs and no process is left over.

    loop.py DIVS [--rounds 100] [--seed 1] [--kinds kill cut ...]

One round is one fault. The seed fixes the faults' kinds, victims and moments, not what the machine makes of
them. A full disk and cut cables need root (namespaces of mounts and networks, which vanish with the loop);
without, they are left out, and this is said. Exit code 77: h5py or mpirun is missing.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    from state import Broken, require
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
from chain import VARIANTS, Chain, Workshop
from faults import HANG, KINDS, LEAST_RANKS, LIMIT, TooLate
from hosts import Hosts

ALONE = "DIVS_FAULT_LOOP_ALONE"  # set once the loop is in namespaces of its own


def in_own_namespaces():
    """Starts the loop again where nobody else sees its mounts, networks and processes, if that can be. All of
    them end with it, however it ends."""
    if ALONE in os.environ or os.geteuid() != 0:
        return
    alone = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], stderr=subprocess.DEVNULL,
                      check=False).returncode == 0:
        os.environ[ALONE] = "yes"
        os.execvp("unshare", [*alone, sys.executable, *sys.argv])


def mount_in_memory(folder, size):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)


class Loop:
    def __init__(self, arguments, folder):
        self.random = random.Random(arguments.seed)
        self.rounds, self.chain_rounds, self.folder = arguments.rounds, arguments.chain_rounds, folder
        self.kinds, self.deck = arguments.kinds, []
        hosts = self._prepare_namespaces()
        start = time.monotonic()
        self.shop = Workshop(os.path.abspath(arguments.divs), folder, arguments.timeout)
        self.shop.hosts = hosts
        say(f"undisturbed runs: {time.monotonic() - start:.0f} s; at 1 and 3 ranks they differ by "
            f"{self.shop.own_difference:.1e}")
        self.ranks, self.chains, self.counts = 0, 0, {}
        self.chain = None

    def _prepare_namespaces(self):
        run = os.path.join(self.folder, "run")
        os.makedirs(run)
        if ALONE not in os.environ:
            say("not root: without the faults \"full disk\" and \"cut\"")
            self.kinds = [kind for kind in self.kinds if kind not in ("full disk", "cut")]
            return None
        mount_in_memory(run, "2m")
        mount_in_memory("/run/netns", "1m")
        if not shutil.which("ip"):
            say("no ip (iproute2): without the fault \"cut\"")
            self.kinds = [kind for kind in self.kinds if kind != "cut"]
            return None
        return Hosts(os.path.join(self.folder, "net"), 3)

    def run(self):
        for number in range(1, self.rounds + 1):
            self._round(number)
            if self.chain and self.chain.rounds >= self.chain_rounds:
                self._finish()
        if self.chain:
            self._finish()
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items()))
        say(f"{self.rounds} faults ({counts}) in {self.chains} trainings: no sample lost or doubled, "
            "no corrupt state loaded, no hang")

    def _next_kind(self):
        if not self.deck:
            self.deck = random_order(self.random, self.kinds)
        return self.deck.pop()

    def _begin_chain(self, kind):
        variants = VARIANTS[self.chains % len(VARIANTS):] + VARIANTS[:self.chains % len(VARIANTS)]
        # What a deleted video would have taught is not in the parameters: they cannot be compared.
        variant = next(v for v in variants if kind != "delete" or v[0] == "still")
        self.chain = self.shop.chain = Chain(self.shop, variant, os.path.join(self.folder, "run"))
        self.chain.rounds = 0
        self.chains += 1

    def _start(self, kind, ranks=None):
        least = LEAST_RANKS.get(kind, 1)
        self.ranks = ranks or self.random.choice([n for n in range(least, 5) if n != self.ranks])
        log = os.path.join(self.folder, "job.log")
        timeout = self.shop.timeout if kind == "stop" else 60
        return self.chain.start(self.ranks, log, self.shop.hosts if kind == "cut" else None, timeout)

    def _round(self, number):
        kind = self._next_kind()
        if self.chain and kind == "delete" and self.chain.kind != "still":
            self._finish()
        while True:
            if not self.chain:
                self._begin_chain(kind)
            start = time.monotonic()
            job = self._start(kind)
            try:
                steps = self.random.randint(8 if kind == "corrupt" else 1, 40)
                reached = job.wait_for_steps(steps, LIMIT)
                if reached and kind == "corrupt":
                    reached = job.wait_until("two checkpoints", lambda: len(self.chain.intact()) >= 2, LIMIT)
                time.sleep(self.random.uniform(0, 0.05))
                if not reached or job.ended():
                    raise TooLate
                told = KINDS[kind](job, self.random, self.shop)
                break
            except TooLate:
                if kind == "stop" and job.wait(LIMIT) == HANG:
                    self._check(job, number, kind)
                    say(f"          a busy machine: nothing moved for {self.shop.timeout} s before anything was done")
                else:
                    self._end_chain(job)
            finally:
                job.end()
        self._check(job, number, kind)
        self.chain.rounds += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        newest = max((step for step, _ in self.chain.intact()), default=0)
        begin = self.chain.resumes_at
        say(f"round {number:3}: {self.ranks} ranks, {self.chain.kind}, from step {begin:3}, {told}: "
            f"{newest - begin} of {len(job.steps())} steps kept, {time.monotonic() - start:.1f} s")

    def _check(self, job, number, kind):
        try:
            self.chain.check(job)
        except Broken as broken:
            where = f"round {number} ({kind}, {self.ranks} ranks)"
            raise Broken(f"{where}: {broken}\n{job.log()[-3000:]}") from None

    def _finish(self):
        job = self._start("nothing")
        try:
            self._end_chain(job)
        finally:
            job.end()

    def _end_chain(self, job):
        status = job.wait(3 * LIMIT)
        require(status == 0, f"exit {status} of an undisturbed job:\n{job.log()[-3000:]}")
        self._check(job, "end of training", "nothing")
        told = self.chain.check_end(job)
        say(f"training {self.chains} ({self.chain.kind}) ends after {self.chain.rounds} faults: {told}")
        self.chain = None


def random_order(source, items):
    items = list(items)
    source.shuffle(items)
    return items


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Trains while things go wrong.")
    parser.add_argument("divs", help="the program")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--chain-rounds", type=int, default=6, help="faults after which a training may end")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=10, help="comm.timeout_s where a rank is stopped")
    arguments = parser.parse_args()
    if not shutil.which("mpirun"):
        say("skipped: no mpirun")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of every `finally`
    in_own_namespaces()
    if ALONE in os.environ:
        mount_in_memory("/dev/shm", "256m")
    start = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a slow disk would only slow the loop
    with tempfile.TemporaryDirectory(prefix="divs-faults-", dir=memory, ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = folder  # mpirun's, too
        try:
            Loop(arguments, folder).run()
        except Broken as broken:
            say(f"FAILED (seed {arguments.seed}): {broken}")
            return 1
    say(f"{time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
