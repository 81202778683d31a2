"""Whether simulation and reality agree: the same paced job on this machine and on a described one that has its measured
latency and bandwidth, at 2 and 4 ranks."""

import platforms
import smpi

# Steps that are nearly all communication, and steps that hide part of it.
STEPS = [("sums alone", ["--step-ms", "0.01"]), ("with 60 ms of compute", ["--step-ms", "60"])]
COMMON = ["--samples", "8", "--pixels", "112", "--tuning", "0", "--interval", "100", "--static"]
MANY = ["--rounds", "24", "--warm-up", "6"]
# Links slowed by the program itself: with little work for the cores, of which there are fewer than threads. Their rounds
# take seconds and are all alike.
FEW = ["--rounds", "9", "--warm-up", "2"]
SLOWED = [("emulated 1 Gb/s, 0.2 ms", 0.2e-3, 1e9 / 8), ("emulated 0.25 Gb/s, 2 ms", 2e-3, 0.25e9 / 8)]


def calibrate(divs, ranks):
    """Latency, and bandwidth where all ranks send at once: seconds, bytes/s."""
    f = smpi.real(divs, ranks, ["--ping"])["figures"]
    return f["latency"], f["bandwidth"]


def compare(divs, program, adding, log, ranks=(2, 4), repeats=3):
    rows = []
    for n in ranks:
        latency, bandwidth = calibrate(divs, n)
        # SMPI's own factors are those of the sweep; the description makes up for the payload's share.
        links = [("shared memory, measured", latency, bandwidth, [], MANY)]
        links += [(name, lat, bw, ["--link", f"{lat:g},{bw:.0f}"], FEW) for name, lat, bw in SLOWED]
        for name, lat, bw, link, rounds in links:
            platform, hosts = platforms.plain(n, bw / 0.95, lat)
            for step, options in STEPS:
                options = [*options, *COMMON, *rounds]
                taken = sorted(smpi.real(divs, n, [*options, *link])["figures"]["round"] for _ in range(repeats))
                real = taken[repeats // 2]
                simulated = smpi.simulate(program, platform, hosts,
                                          [*options, "--adding", f"{adding:.2f}", "--check"])["figures"]["round"]
                row = {"ranks": n, "link": name, "latency": lat, "bandwidth": bw, "step": step, "real_ms": real,
                       "real_all_ms": taken, "simulated_ms": simulated, "error": simulated / real - 1}
                log(f"{n} ranks, {name}, {step}: real {real:.1f} ms, simulated {simulated:.1f} ms, "
                    f"error {100 * row['error']:+.1f} %")
                rows.append(row)
    return rows
