"""Runs the paced job, simulated under SimGrid's SMPI or for real under mpirun, and gives its figures."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

# Nothing here stands for one cluster's quirks: 95 % of a link's bandwidth is payload, a microsecond of processor time
# a message on either side, latencies as described. Collectives of MPI's own (at the start alone) as Open MPI picks them.
MODEL = ["--cfg=smpi/simulate-computation:no", "--cfg=network/model:SMPI", "--cfg=smpi/bw-factor:0:0.95",
         "--cfg=smpi/lat-factor:0:1", "--cfg=smpi/os:0:1e-6:0", "--cfg=smpi/ois:0:1e-6:0", "--cfg=smpi/or:0:1e-6:0",
         "--cfg=smpi/test:0", "--cfg=smpi/iprobe:0", "--cfg=smpi/grow-injected-times:no",
         "--cfg=smpi/send-is-detached-thresh:0", "--cfg=smpi/coll-selector:ompi", "--cfg=contexts/stack-size:512",
         "--log=root.thres:warning"]


class Failed(RuntimeError):
    pass


def version():
    """SimGrid's, or None where it is not installed."""
    if not shutil.which("smpirun"):
        return None
    text = subprocess.run(["smpirun", "-version"], capture_output=True, text=True, check=False).stdout
    return text.splitlines()[0].strip() if text else "SimGrid"


def figures(report):
    return {re.sub(r"^paced\.ranks\d+\.", "", f["name"]): f["value"] for f in report["figures"]}


def run(command, timeout, env=None):
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {timeout:.0f} s: {' '.join(map(str, command))}") from None
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {' '.join(map(str, command))}\n{done.stderr[-500:]}")
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            return {"figures": figures(report), "notes": report["notes"], "real_seconds": time.monotonic() - begin}
    raise Failed(f"no report: {' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def simulate(program, platform, hosts, options, timeout=3600):
    """`program`: the simulated job's library; platform, hosts: of platforms.py; options: of `divs bench paced`."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "platform.xml").write_text(platform)
        (folder / "hosts").write_text("\n".join(hosts) + "\n")
        # The job keeps nothing in globals, so ranks need no copies of them.
        command = ["smpirun", "-np", str(len(hosts)), "-platform", str(folder / "platform.xml"), "-hostfile",
                   str(folder / "hosts"), "-no-privatize", *MODEL, str(program), "paced", "--json", "-", *options]
        return run(command, timeout, {**os.environ, "TMPDIR": str(folder)})


def real(program, ranks, options, timeout=600):
    """The same job on this machine; the environment is that of jobs/mpi_environment.sh."""
    return run(["mpirun", "-n", str(ranks), str(program), "bench", "paced", "--json", "-", *options], timeout)
