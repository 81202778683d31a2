"""Descriptions of networks for SimGrid, as XML: a full-bisection fat tree, and edge sites behind slow uplinks."""

HEAD = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
"""


def rate(gbps):
    return f"{gbps * 1e9 / 8:.0f}Bps"


def plain(ranks, bytes_per_second, latency):
    """Hosts on one ideal switch; `latency` from host to host, seconds."""
    text = (f'  <cluster id="plain" prefix="node-" suffix="" radical="0-{ranks - 1}" speed="1Gf" '
            f'bw="{bytes_per_second:.0f}Bps" lat="{latency / 2:.3e}s"/>\n')
    return HEAD + text + "</platform>\n", [f"node-{i}" for i in range(ranks)]


def fat_tree(ranks, gbps, latency=1e-6):
    """Two levels, as many links up as down (Leiserson, 1985); one rank a host, `latency` a link, seconds."""
    bits = (ranks - 1).bit_length()
    leaf = 1 << (bits + 1) // 2  # hosts a leaf switch
    if ranks % leaf:
        raise ValueError(f"{ranks} ranks do not fill leaf switches of {leaf}")
    text = (f'  <cluster id="tree" prefix="node-" suffix="" radical="0-{ranks - 1}" speed="1Gf" bw="{rate(gbps)}" '
            f'lat="{latency:.3e}s" topology="FAT_TREE" topo_parameters="2;{leaf},{ranks // leaf};1,{leaf};1,1" '
            'sharing_policy="SPLITDUPLEX"/>\n')
    return HEAD + text + "</platform>\n", [f"node-{i}" for i in range(ranks)]


def edge(ranks, uplink_gbps, site=16, lan_gbps=10, lan_latency=20e-6, uplink_latency=5e-3):
    """Sites of `site` ranks on a switch each, joined at a centre by one slow uplink a site."""
    if ranks % site:
        raise ValueError(f"{ranks} ranks do not fill sites of {site}")
    zones, routes, hosts = [], [], []
    for s in range(ranks // site):
        zones.append(f'    <cluster id="site-{s}" prefix="s{s}-" suffix="" radical="0-{site - 1}" speed="1Gf" '
                     f'bw="{rate(lan_gbps)}" lat="{lan_latency / 2:.3e}s" router_id="s{s}-router"/>\n')
        routes.append(f'    <link id="uplink-{s}" bandwidth="{rate(uplink_gbps)}" latency="{uplink_latency:.3e}s" '
                      'sharing_policy="SPLITDUPLEX"/>\n')
        hosts += [f"s{s}-{i}" for i in range(site)]
    for s in range(ranks // site):
        ends = (f"site-{s}", f"s{s}-router"), ("hub", "centre")
        for (src, gw_src), (dst, gw_dst), way in ((*ends, "UP"), (*ends[::-1], "DOWN")):
            routes.append(f'    <zoneRoute src="{src}" dst="{dst}" gw_src="{gw_src}" gw_dst="{gw_dst}" '
                          f'symmetrical="NO"><link_ctn id="uplink-{s}" direction="{way}"/></zoneRoute>\n')
    hub = '    <zone id="hub" routing="Full"><router id="centre"/></zone>\n'
    return (HEAD + '  <zone id="edge" routing="Floyd">\n' + "".join(zones) + hub + "".join(routes) + "  </zone>\n"
            "</platform>\n"), hosts
