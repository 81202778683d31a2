"""What can go wrong, one function a kind: each is given a running job, does its harm, and returns when the job
has ended. What it says afterwards is printed."""
import os
import shutil
import signal
import time

from job import Job
from state import require

LIMIT = 90  # seconds in which anything that should happen on this machine happens
CORRUPTIONS = ["one bit flipped", "bits flipped", "page of zeros", "cut in half", "one byte short", "empty"]
HANG, INPUT, STORAGE = 6, 3, 4  # exit codes; include/divs/core/error.hpp


class TooLate(Exception):
    """The training was over before the harm was done."""


def end_of(job, seconds=LIMIT):
    """The exit status of a job that cannot have ended well."""
    status = job.wait(seconds)
    if status == 0 and job.finished():
        raise TooLate
    require(status != 0, f"exit 0 after a fault:\n{job.log()[-3000:]}")
    return status


def kill(job, random, _):
    """kill -9 of one rank, of all, or of mpirun itself."""
    what = random.choice(["rank", "rank", "rank", "all ranks", "mpirun"])
    if what == "mpirun":
        job.process.kill()
    else:
        victim = random.randrange(job.ranks)
        job.signal_rank(victim, signal.SIGKILL)
        for rank in range(job.ranks if what == "all ranks" else 0):
            job.signal_rank(rank, signal.SIGKILL)
    end_of(job)
    return f"kill -9 of {what if what != 'rank' else f'rank {victim}'}"


def stop(job, random, shop):
    """A rank that stands still for longer than comm.timeout_s: the others' watchdogs end the job."""
    victim = random.randrange(job.ranks)
    job.signal_rank(victim, signal.SIGSTOP)
    status = end_of(job, LIMIT + shop.timeout)
    require(status == HANG and "watchdog" in job.log(),
            f"exit {status}, expected {HANG}:\n{job.log()[-3000:]}")
    return f"rank {victim} stopped for good"


def pause(job, random, shop):
    """A rank that stands still for less: nobody gives up. Then all are asked to leave."""
    victim = random.randrange(job.ranks)
    job.signal_rank(victim, signal.SIGSTOP)
    time.sleep(shop.timeout / 4)
    before = len(job.steps())
    job.signal_rank(victim, signal.SIGCONT)
    if job.wait_for_steps(before + 3, LIMIT):
        job.signal_rank(random.randrange(job.ranks), signal.SIGUSR1)
    status = job.wait(LIMIT)
    require(status == 0, f"exit {status}, expected 0 after a pause:\n{job.log()[-3000:]}")
    return f"rank {victim} stopped for {shop.timeout / 4:.1f} s, then SIGUSR1"


def full_disk(job, random, _):
    """Not a byte is left under the checkpoint folder; then a rank is killed, or the job may run to its end."""
    ballast = os.path.join(job.run_folder, "ballast")
    with open(ballast, "wb", buffering=0) as file:
        def fill():
            for block in (1 << 16, 4096):
                try:
                    while file.write(b"x" * block) == block:
                        pass
                except OSError:
                    pass
            return "No space left on device" in job.log()
        fill()
        job.wait_until("failed checkpoint", fill, LIMIT)
        to_the_end = random.random() < 0.3
        if not to_the_end:
            time.sleep(random.uniform(0, 1))
            fill()
            job.signal_rank(random.randrange(job.ranks), signal.SIGKILL)
        try:
            status = end_of(job, 3 * LIMIT)
        finally:
            os.remove(ballast)
    if to_the_end:
        require(status == STORAGE, f"exit {status}, expected {STORAGE}:\n{job.log()[-3000:]}")
    return "disk full" + (" to the end" if to_the_end else ", then kill -9")


def cut(job, random, shop):
    """The cable of one host is pulled."""
    host = random.randint(1, min(job.ranks, shop.hosts.number))
    shop.hosts.cut(host)
    try:
        end_of(job)
    finally:
        shop.hosts.mend(host)
    return f"cable of host {host} of {min(job.ranks, shop.hosts.number)} cut"


def corrupt(job, random, shop):
    """After a kill the newest checkpoint is not what was written."""
    job.signal_rank(random.randrange(job.ranks), signal.SIGKILL)
    end_of(job)
    step, file = shop.chain.intact()[0]
    with open(file, "rb") as whole:
        data = bytearray(whole.read())
    if not shop.corruptions:
        shop.corruptions = random.sample(CORRUPTIONS, len(CORRUPTIONS))
    how = shop.corruptions.pop()
    if "flipped" in how:
        for _ in range(1 if how == "one bit flipped" else 50):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif how == "page of zeros":
        at = 4096 * random.randrange(len(data) // 4096)
        data[at:at + 4096] = bytes(4096)
    else:
        del data[{"cut in half": len(data) // 2, "one byte short": len(data) - 1, "empty": 0}[how]:]
    with open(file, "wb") as spoiled:  # in place, as a bad disk does it
        spoiled.write(data)
    shop.chain.spoiled(file)
    return f"checkpoint of step {step}: {how}"


def delete(job, random, shop):
    """A video goes while it is trained on. The job goes on without; the next one wants it back."""
    video = random.choice(shop.videos)
    path, kept = os.path.join(shop.folder, "data", video), os.path.join(shop.folder, "kept.mp4")
    shutil.copyfile(path, kept)
    os.remove(path)
    shop.chain.deleted.append(video)
    job.wait_for_steps(len(job.steps()) + random.randint(5, 40), LIMIT)
    if not job.ended():
        job.signal_rank(random.randrange(job.ranks), signal.SIGKILL)
        job.wait(LIMIT)
    else:
        require(job.wait(LIMIT) == 0, f"a video is gone, and the job failed:\n{job.log()[-3000:]}")
    before = sorted(os.listdir(job.run_folder))
    again = Job(job.command, job.ranks, job.run_folder, job.log_file + ".refused")
    try:
        status = again.wait(LIMIT)
    finally:
        again.end()
    if shop.chain.intact():
        require(status == INPUT and "other data" in again.log(),
                f"exit {status}, expected {INPUT} where a video is missing:\n{again.log()[-3000:]}")
        require([n for n in before if not n.startswith(".")] == sorted(os.listdir(job.run_folder)),
                "a refused job changed the folder")
    shutil.copyfile(kept, path)
    os.remove(kept)
    return f"{os.path.basename(video)} deleted"


KINDS = {"kill": kill, "stop": stop, "pause": pause, "full disk": full_disk, "cut": cut, "corrupt": corrupt,
         "delete": delete}
LEAST_RANKS = {"stop": 2, "cut": 2}
