"""One training job under mpirun: started, looked at, and ended with every process of it."""
import os
import signal
import subprocess
import time

from state import Broken, step_lines

ENVIRONMENT = {  # more ranks than cores, as root too; as jobs/mpi_environment.sh has it
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_hwloc_base_binding_policy": "none", "PRTE_MCA_hwloc_default_binding_policy": "none",
    # A host behind a cut cable is given up before the ranks' watchdog ends them.
    "OMPI_MCA_oob_tcp_keepalive_time": "1", "OMPI_MCA_oob_tcp_keepalive_intvl": "1",
    "OMPI_MCA_oob_tcp_keepalive_probes": "2", "OMPI_MCA_orte_startup_timeout": "60",
}
MARK = "DIVS_FAULT_LOOP"  # in the environment of every process of a job
count = 0


class Job:
    def __init__(self, command, ranks, run_folder, log, hosts=None):
        global count
        count += 1
        self.mark = f"{os.getpid()}-{count}"
        self.command, self.ranks, self.run_folder, self.log_file = command, ranks, run_folder, log
        launch = hosts.launcher(ranks) if hosts else ["mpirun", "-n", str(ranks)]
        self.lines_before = len(step_lines(run_folder))
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                launch + command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**os.environ, **ENVIRONMENT, MARK: self.mark})

    def processes(self):
        """{pid: rank or None} of all that the job started, on whichever host."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = file.read().split(b"\0")
                with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                    state = file.read().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if f"{MARK}={self.mark}".encode() in environment and state != "Z":
                rank = [e for e in environment if e.startswith(b"OMPI_COMM_WORLD_RANK=")]
                found[int(pid)] = int(rank[0].split(b"=")[1]) if rank else None
        return found

    def signal_rank(self, rank, number):
        """False where the rank is not there (any more)."""
        return any(send(pid, number) for pid, its in self.processes().items() if its == rank)

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def finished(self):
        return "result             finished" in self.log()

    def ended(self):
        return self.process.poll() is not None

    def wait_until(self, what, condition, seconds):
        """False where the job ended first. A job that does neither hangs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.ended():
                return condition()
            if time.monotonic() > deadline:
                raise Broken(f"no {what} in {seconds} s:\n{self.log()[-3000:]}")
            time.sleep(0.02)
        return True

    def steps(self):
        """What this job trained so far."""
        return step_lines(self.run_folder)[self.lines_before:]

    def wait_for_steps(self, number, seconds):
        return self.wait_until(f"{number} steps", lambda: len(self.steps()) >= number, seconds)

    def wait(self, seconds):
        """The exit status; then nothing of the job is left."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Broken(f"hangs: no end in {seconds} s:\n{self.log()[-3000:]}") from None
        deadline = time.monotonic() + 20
        while left := self.processes():
            if time.monotonic() > deadline:
                names = [(pid, name_of(pid)) for pid in left]
                raise Broken(f"processes are left over: {names}\n{self.log()[-3000:]}")
            time.sleep(0.05)
        return status

    def end(self):
        """Whatever it is doing. For the way out of an error."""
        for pid in self.processes():
            send(pid, signal.SIGKILL)
        self.process.wait()


def send(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def name_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode()[:120]
    except OSError:
        return "gone"
