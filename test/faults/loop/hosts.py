"""Hosts as network namespaces, by test/network/hosts.sh."""
import os
import subprocess

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "network", "hosts.sh")


class Hosts:
    def __init__(self, folder, number):
        self.folder, self.number = folder, number
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self._do("up", number)

    def _do(self, action, *arguments):
        subprocess.run([SCRIPT, action, self.folder, *map(str, arguments)], check=True,
                       env={**os.environ, "SLOTS": "2"})

    def launcher(self, ranks):
        """One rank on each host in turn, so that every cable is used."""
        return ["env", "MPIRUN_OPTIONS=--map-by node", SCRIPT, "run", self.folder, str(ranks)]

    def cut(self, host):
        self._do("cut", host)

    def mend(self, host):
        self._do("mend", host)

    def down(self):
        self._do("down")
