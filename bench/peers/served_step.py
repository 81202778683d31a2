"""step.py in a process of its own, which measures when it is asked to."""
import json
import pathlib
import subprocess
import sys


class ServedStep:
    def __init__(self, options, launch=()):
        """`options` of step.py; `launch`: words before the interpreter."""
        script = pathlib.Path(__file__).with_name("step.py")
        self.process = subprocess.Popen([*launch, sys.executable, str(script), *options, "--serve"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
