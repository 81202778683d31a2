"""What is simulated: rank counts, networks and jobs, and the goals that the results are held against."""

import platforms
import smpi

GPU_STEP = ["--step-ms", "20", "--samples", "32", "--pixels", "224"]
# Ten nodes that are not like the others, as shares of their speed: old, throttled, shared, and two newer ones.
UNEQUAL = "0.25,0.4,0.5,0.5,0.6,0.7,0.8,0.9,1.5,2"


def short():
    """Equal ranks of a simulation repeat themselves: one round shows all, once the bucket lengths are chosen (two rounds
    for that) and in use. The last two never count."""
    return ["--rounds", "8", "--warm-up", "5", "--tuning", "2"]


def jobs(ranks, fat_tree_gbps, uplink_gbps, edge_step_ms, decision_ms):
    """(name, network, ranks, platform, options) of each simulation."""
    for gbps in fat_tree_gbps:
        for n in ranks:
            yield f"fat tree {gbps:g} Gb/s", "fat tree", n, platforms.fat_tree(n, gbps), [*GPU_STEP, *short()]
    for gbps in uplink_gbps:
        for n in ranks:
            options = ["--step-ms", f"{edge_step_ms:g}", "--samples", "32", "--pixels", "112", *short(),
                       "--cluster-size", "16"]
            yield f"edge, uplinks {gbps:g} Gb/s", "edge", n, platforms.edge(n, gbps), options
    for split in ("--static", None):
        n = 256
        options = [*GPU_STEP, "--speeds", UNEQUAL, "--rounds", "50", "--warm-up", "42", "--interval", "8", "--tuning",
                   "2", "--shard-samples", "64", "--decision-ms", f"{decision_ms:.3f}"]
        name = "ten unequal nodes, " + ("static" if split else "scheduled")
        yield name, "fat tree", n, platforms.fat_tree(n, 100), options + ([split] if split else [])


def run_all(program, adding, chosen, log):
    results = []
    for name, network, ranks, (platform, hosts), options in chosen:
        # smpirun takes words apart at their spaces.
        options = [*options, "--name", name.replace(" ", "-"), "--adding", f"{adding:.2f}", "--shared-gradients"]
        result = smpi.simulate(program, platform, hosts, options)
        result.update(name=name, network=network, ranks=ranks, options=options, simulated=True)
        f = result["figures"]
        log(f"simulated: {name}, {ranks} ranks: efficiency {f['efficiency']:.3f}, round {f['round']:.2f} ms "
            f"(took {result['real_seconds']:.0f} s)")
        results.append(result)
    return results


def goals(results, decide):
    """(what, value, goal, met) of what was run."""
    found = {(r["name"], r["ranks"]): r["figures"]["efficiency"] for r in results}
    for name, text in (("fat tree 100 Gb/s", "simulated: efficiency of 256 ranks, 100 Gb/s fat tree"),
                       ("ten unequal nodes, scheduled", "simulated: the same with ten unequal nodes, of the sum of rates")):
        if (name, 256) in found:
            value = found[name, 256]
            yield text, value, ">= 0.9", value >= 0.9
    value = decide.get((1024, 10000)) if decide else None
    if value is not None:
        yield "measured: decision at 10k shards and 1024 ranks, ms", value, "< 50", value < 50
