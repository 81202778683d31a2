#!/usr/bin/env python3
"""Reads what ptxas said of every kernel while the build compiled them, and fails where a kernel spills registers, where
products of warpgroups are made to wait for each other, or where one of the architectures is missing. Usage: check_resources.py FOLDER ARCHITECTURE..."""
import pathlib
import re
import subprocess
import sys


def kernels_of(text):
    """(architecture, name, stack bytes, spilled bytes, registers) of each kernel of one log."""
    entry = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
    properties = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
    current = frame = None
    for line in text.splitlines():
        if match := entry.search(line):
            current, frame = match.groups(), None
        elif (match := properties.search(line)) and current and frame is None:
            frame = tuple(map(int, match.groups()))
        elif (match := re.search(r"Used (\d+) registers", line)) and current and frame:
            yield current[1], current[0], frame[0], frame[1] + frame[2], int(match.group(1))
            current = None


def readable(name):
    """The kernel's name without its arguments, where c++filt is there to tell."""
    try:
        text = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return name
    return text.split("(anonymous namespace)::")[-1].split("(")[0]


def main():
    folder, wanted = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
    logs = sorted(folder.rglob("*.resources"))
    rows = [row for log in logs for row in kernels_of(log.read_text())]
    if not rows:
        sys.exit(f"{folder}: no kernel's resources are known; expected *.resources beside the objects")
    missing = wanted - {architecture for architecture, *_ in rows}
    if missing:
        sys.exit(f"{folder}: nothing was compiled for {', '.join(sorted(missing))}")
    spilling = [row for row in rows if row[3] > 0]
    for architecture, name, stack, spilled, registers in spilling:
        print(f"{architecture} {readable(name)}: {spilled} bytes spilled, {stack} bytes of stack, {registers} registers")
    serialised = sum(log.read_text().count("instructions are serialized") for log in logs)
    most = max(row[4] for row in rows)
    print(f"{len(rows)} kernels in {len(logs)} files, at most {most} registers, {len(spilling)} spill, "
          f"{serialised} have serialised products")
    sys.exit(1 if spilling or serialised else 0)


if __name__ == "__main__":
    main()
