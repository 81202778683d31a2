#!/usr/bin/env python3
"""Our decoding and ffmpeg's on the same files, interleaved.

    compare_decode.py --divs PROGRAM [--rounds N] [FILE ...]

Without files: recordings of $DIVS_DATA/clips, and 1080p and 720p footage that ffmpeg renders. Short files are repeated
(stream copy) until they last about a minute. Both programs are bound to as many cores as they have threads. ffmpeg is
timed by its own -benchmark, which leaves out its start; ours by the clock inside, with opening and seeking counted.
With several threads ours decodes as many shards at once, as in training; one shard by frame threads is timed beside it.
Conversion is compared with `-vf scale`, which gives YUV, and with what gives what ours gives: RGB, filtered alike.
Where PyAV or torchcodec can be imported, they are timed too. Ends with one line a figure.
"""
import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

SIZE = 224
MINUTE = 60.0
COMPARED = [("decode", "decode", "ffmpeg", 0.98),  # figure, ours, peer, goal
            ("decode_one_shard", "decode one shard", "ffmpeg", 0.98),
            ("decode_convert", "convert", "ffmpeg scale", 1.2),
            ("decode_convert_rgb", "convert", "ffmpeg scale to RGB", 1.2)]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done


def duration(file):
    probe = run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file])
    return float(probe.stdout.strip() or 0)


def render(folder, name, size, seconds):
    file = folder / name
    run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30:duration={seconds}",
         "-vf", "noise=alls=6:allf=t", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-g", "150",
         "-pix_fmt", "yuv420p", file])
    return file


def lengthen(folder, file):
    """The file repeated until it lasts a minute."""
    times = max(0, math.ceil(MINUTE / max(duration(file), 0.5)) - 1)
    out = folder / (pathlib.Path(file).stem + "-long" + pathlib.Path(file).suffix)
    run(["ffmpeg", "-v", "error", "-y", "-stream_loop", str(times), "-i", str(file), "-map", "0:v:0", "-c", "copy",
         str(out)])
    return out


def bound(threads):
    """Runs a command on the first `threads` cores that this process may use."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    return ["taskset", "-c", ",".join(map(str, cores))]


def ffmpeg_rate(file, frames, threads, scale=None):
    filters = ["-filter_threads", str(threads), "-vf", scale] if scale else []
    done = run(bound(threads) + ["ffmpeg", "-hide_banner", "-nostdin", "-benchmark", "-threads", str(threads), "-i",
                                 str(file), "-map", "0:v:0"] + filters + ["-f", "null", "-"])
    return frames / float(re.findall(r"rtime=([0-9.]+)s", done.stderr)[-1])


def our_rates(divs, file, threads, workers):
    """decode, decode + convert, frames of the file"""
    done = run(bound(threads * workers) + [divs, "bench", "decode", str(file), "--threads", str(threads), "--workers",
                                           str(workers), "--size", str(SIZE), "--rounds", "1", "--warm-up", "0",
                                           "--json", "-"])
    report = json.loads(done.stdout)
    row = dict(zip(report["columns"], report["rows"][0]))
    return row["decode frames/s"], row["+ convert frames/s"], row["frames"]


def pyav_rate(file, threads):
    import av
    started, frames = time.monotonic(), 0
    with av.open(str(file)) as container:
        container.streams.video[0].codec_context.thread_count = threads
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            frames += 1
    return frames / (time.monotonic() - started)


def torchcodec_rate(file, threads):
    from torchcodec.decoders import VideoDecoder
    started, frames = time.monotonic(), 0
    for _ in VideoDecoder(str(file), num_ffmpeg_threads=threads, seek_mode="approximate"):
        frames += 1
    return frames / (time.monotonic() - started)


def optional_peers():
    found = {}
    for name, module, rate in (("PyAV", "av", pyav_rate), ("torchcodec", "torchcodec.decoders", torchcodec_rate)):
        try:
            __import__(module)
            found[name] = rate
        except Exception:  # absent, or it does not load here: then it is no peer
            pass
    return found


def measure(arguments, file, threads, peers):
    """Medians by candidate; every candidate once a round, in turn. The first round does not count."""
    values = {}
    frames = our_rates(arguments.divs, file, threads, 1)[2]
    for turn in range(arguments.rounds + 1):
        ours = our_rates(arguments.divs, file, 1, threads)
        scale = f"scale={SIZE}:{SIZE}"
        one = {"decode": ours[0], "ffmpeg": ffmpeg_rate(file, frames, threads),
               "convert": ours[1], "ffmpeg scale": ffmpeg_rate(file, frames, threads, scale),
               "ffmpeg scale to RGB": ffmpeg_rate(file, frames, threads, scale + ":flags=bilinear,format=rgb24")}
        if threads > 1:
            one["decode one shard"] = our_rates(arguments.divs, file, threads, 1)[0]
        for name, rate in peers.items():
            one[name] = rate(file, threads)
        if turn:
            for name, value in one.items():
                values.setdefault(name, []).append(value)
    return {name: statistics.median(found) for name, found in values.items()}


def choose_files(folder, named):
    if named:
        return [lengthen(folder, file) for file in named]
    files = [render(folder, "rendered-1080p.mp4", "1920x1080", 15), render(folder, "rendered-720p.mp4", "1280x720", 30)]
    data = os.environ.get("DIVS_DATA")
    clips = sorted(pathlib.Path(data, "clips", "intel").glob("*.mp4")) if data else []
    return files + [lengthen(folder, clip) for clip in clips]


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def goal(name, value, least):
    print(f"{name} {value:.3f} >= {least} {'met' if value >= least else 'missed'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divs", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    peers = optional_peers()
    with tempfile.TemporaryDirectory(prefix="divs-decode-") as name:
        files = choose_files(pathlib.Path(name), arguments.files)
        figures = []
        for threads in arguments.threads:
            ratios = {}
            for file in files:
                rates = measure(arguments, file, threads, peers)
                print(f"{file.name}, {threads} threads, frames/s: " +
                      ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()), flush=True)
                for name, ours, peer, least in COMPARED:
                    if ours in rates:
                        ratios.setdefault((name, least), []).append(rates[ours] / rates[peer])
            figures += [(f"{name}.threads{threads}", geometric_mean(found), least)
                        for (name, least), found in ratios.items()]
    for figure in figures:
        goal(*figure)


if __name__ == "__main__":
    main()
