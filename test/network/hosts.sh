#!/usr/bin/env bash
# Hosts of a small cluster on one machine, as network namespaces: each with a name and an address of its own, on
# one switch, over TCP. Needs root. The machine's own network is not touched.
#   hosts.sh up FOLDER [HOSTS]         makes them (3 by default); FOLDER keeps what the other actions need
#   hosts.sh run FOLDER N COMMAND...   N ranks over the hosts, by mpirun on the first
#   hosts.sh settings FOLDER           options for `divs train` that emulate DELAY where the kernel cannot
#   hosts.sh wire FOLDER               bytes that each host has sent so far, by the switch's count
#   hosts.sh cut FOLDER HOST           pulls the cable of host 1, 2, ...
#   hosts.sh mend FOLDER HOST          puts it back
#   hosts.sh down FOLDER               ends what runs there and removes the hosts
# Variables of `up`: RATE (bandwidth of each host's link, as tc takes it: 100mbit; none by default), DELAY
# (milliseconds one way; 0), SLOTS (ranks a host; 1). Of `run`: HOSTFILE, TIMEOUT (seconds; 600), MPIRUN_OPTIONS.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() { sed -n '2,/^set /{s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
[ $# -ge 2 ] || usage
action=$1 folder=$2
shift 2

name() { echo "$prefix-$1"; }                        # of a namespace; 0: the switch
inside() { ip netns exec "$(name "$1")" "${@:2}"; }  # runs a command on a host

# Delay by netem where the kernel has it, bandwidth by a token bucket.
shape() { # host, interface
    local at=(root)
    if [ "$delay" != 0 ] && [ $netem = yes ]; then
        inside "$1" tc qdisc add dev "$2" root handle 1: netem delay "${delay}ms" limit 100000
        at=(parent 1:1)
    fi
    # Packets are as large as 64 KiB here: no card cuts them.
    [ -z "$rate" ] || inside "$1" tc qdisc add dev "$2" "${at[@]}" tbf rate "$rate" burst 256k latency 100ms
}

# What mpirun calls instead of ssh: agent ADDRESS COMMAND...
write_agent() {
    cat >"$folder/agent" <<AGENT
#!/bin/sh
number=\${1##*.}
shift
exec ip netns exec "$prefix-\$number" unshare --uts sh -c "hostname divs-host\$number && \$*"
AGENT
    chmod +x "$folder/agent"
}

connect() { # host
    ip netns add "$(name "$1")"
    inside 0 ip link add "port$1" type veth peer name net0 netns "$(name "$1")"
    inside 0 ip link set "port$1" master switch up
    inside "$1" ip address add "10.77.0.$1/24" dev net0
    inside "$1" ip link set lo up
    inside "$1" ip link set net0 up
    # A connection that gets no answer is given up after seconds, not a quarter of an hour.
    inside "$1" sh -c 'echo 5 >/proc/sys/net/ipv4/tcp_retries2'
    shape "$1" net0
    shape 0 "port$1"
    echo "10.77.0.$1 slots=${SLOTS:-1}" >>"$folder/hostfile"
}

up() {
    hosts=${1:-3} rate=${RATE:-} delay=${DELAY:-0} prefix=divs$$ netem=no
    mkdir -p "$folder"
    [ ! -e "$folder/state" ] || { echo "$folder: holds hosts already" >&2; exit 1; }
    trap down EXIT  # what was begun, where anything fails
    echo "prefix=$prefix hosts=$hosts" >"$folder/state"
    : >"$folder/hostfile"
    : >"$folder/settings"
    ip netns add "$(name 0)"
    inside 0 ip link add switch type bridge
    inside 0 ip link set switch up
    if inside 0 tc qdisc add dev lo root netem delay 1ms 2>/dev/null; then netem=yes; fi
    for host in $(seq "$hosts"); do connect "$host"; done
    if [ "$delay" != 0 ] && [ $netem = no ]; then
        awk "BEGIN {printf \"--set topology.emulate_centre=[%g,0.0]\n\", $delay / 1000}" >"$folder/settings"
        echo "this kernel has no netem: the program emulates the delay, see hosts.sh settings" >&2
    fi
    write_agent
    trap - EXIT
}

run() { # ranks, command ...
    . "$here/../../jobs/hosts_environment.sh"
    local network=10.77.0.0/24 ranks=$1
    shift
    # shellcheck disable=SC2086
    exec timeout -k 10 "${TIMEOUT:-600}" ip netns exec "$(name 1)" unshare --uts \
        sh -c 'hostname divs-host1; exec "$@"' sh \
        mpirun --mca plm_rsh_agent "$folder/agent" --mca pml ob1 --mca btl tcp,vader,self \
        --mca btl_tcp_if_include $network --mca oob_tcp_if_include $network \
        --hostfile "${HOSTFILE:-$folder/hostfile}" ${MPIRUN_OPTIONS:-} -n "$ranks" "$@"
}

wire() {
    for host in $(seq "$hosts"); do
        echo "host $host $(inside 0 cat "/sys/class/net/port$host/statistics/rx_bytes")"
    done
}

settings() { cat "$folder/settings"; }
cut() { inside 0 ip link set "port$1" down; }

# A host that could not be reached stays unreachable for a moment after its cable is back: until its refusal of a
# connection is heard.
mend() {
    local other
    inside 0 ip link set "port$1" up
    for other in $(seq "$hosts"); do
        [ "$other" = "$1" ] || await "$1" "$other"
    done
}
await() { # host, another host
    local tries answer
    for tries in $(seq 100); do
        answer=$(inside "$1" timeout 2 bash -c ": </dev/tcp/10.77.0.$2/9" 2>&1) || true
        case $answer in *refused*) return ;; esac
        sleep 0.1
    done
    echo "host $1 does not reach host $2: $answer" >&2
    return 1
}

down() {
    local number pid
    for number in $(seq 0 "$hosts"); do
        for pid in $(ip netns pids "$(name "$number")" 2>/dev/null); do
            kill -9 "$pid" 2>/dev/null || true
        done
        ip netns delete "$(name "$number")" 2>/dev/null || true
    done
    rm -f "$folder"/{state,agent,hostfile,settings}
}

case $action in
    up) mkdir -p "$folder" ;;
    run | settings | wire | cut | mend)
        [ -e "$folder/state" ] || { echo "$folder: no hosts here" >&2; exit 1; }
        ;;
    down) [ -e "$folder/state" ] || exit 0 ;;
    *) usage ;;
esac
folder=$(cd "$folder" && pwd)
[ "$action" = up ] || . "$folder/state"
"$action" "$@"
