#!/usr/bin/env bash
# A Slurm of its own on one machine: munge, slurmctld and NODES slurmd on loopback, each with a name and a mount
# namespace of its own. Needs root.
#   cluster.sh start FOLDER NODES     FOLDER/slurm.conf is the SLURM_CONF for sbatch and its kin
#   cluster.sh stop FOLDER
set -euo pipefail
action=$1 folder=$2 nodes=${3:-2}

# The first of `nodes` + 1 ports on which nobody listens, below those that the system hands out to connections.
free_ports() {
    local lowest_ephemeral first port
    read -r lowest_ephemeral _ </proc/sys/net/ipv4/ip_local_port_range
    for ((first = lowest_ephemeral - 12000 + $$ % 10000; ; first += nodes + 1)); do
        for ((port = first; port <= first + nodes; ++port)); do
            ! (: </dev/tcp/127.0.0.1/$port) 2>/dev/null || continue 2
        done
        echo "$first"
        return
    done
}

configure() {
    mkdir -p "$folder"/{state,munge,log}
    chmod 755 "$folder"
    head -c 1024 /dev/urandom >"$folder/munge/key"
    chmod 400 "$folder/munge/key"
    local host port
    host=$(hostname -s)
    port=$(free_ports)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=divs
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=2,sched_interval=2
ReturnToService=2
MpiDefault=pmix
KillWait=10
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=2 Gres=gpu:2
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
CONF
    echo "PMIxCliTmpDirBase=/run/spmix" >"$folder/mpi.conf"
    echo "Name=gpu File=/dev/tty[1-2]" >"$folder/gres.conf"  # any device files do for counting and handing out
}

start() {
    configure
    export SLURM_CONF=$folder/slurm.conf
    munged --force --foreground --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
        --pid-file="$folder/munge/pid" --seed-file="$folder/munge/seed" --log-file="$folder/log/munge" \
        >/dev/null 2>&1 &
    echo $! >"$folder/pids"
    for _ in $(seq 50); do [ -S "$folder/munge/socket" ] && break; sleep 0.1; done
    slurmctld -D >/dev/null 2>&1 &
    local controller=$!
    echo $controller >>"$folder/pids"
    mkdir -p /run/spmix
    for node in $(seq "$nodes"); do
        mkdir -p "$folder/spool.n$node"
        unshare --mount --uts --propagation private sh -c \
            "hostname n$node && mount -t tmpfs tmpfs /run/spmix && exec slurmd -D -N n$node" >/dev/null 2>&1 &
        echo $! >>"$folder/pids"
    done
    for _ in $(seq 100); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null | head -n 1)" = "$nodes" ] && return
        kill -0 $controller 2>/dev/null || break  # sinfo would wait long for it each time
        sleep 0.3
    done
    ! kill -0 $controller 2>/dev/null || sinfo >&2 || true
    tail -n 20 "$folder"/log/* >&2 || true
    echo "the nodes did not come up" >&2
    return 1
}

stop() {
    [ -f "$folder/pids" ] || return 0
    # What jobs have started outlives the daemons.
    export SLURM_CONF=$folder/slurm.conf
    timeout 10 squeue -h -o %A | xargs -r timeout 10 scancel || true
    for _ in $(seq 40); do
        [ -n "$(timeout 10 squeue -h -o %A)" ] || break
        sleep 0.5
    done
    tac "$folder/pids" | while read -r pid; do kill "$pid" 2>/dev/null || true; done
    sleep 1
    tac "$folder/pids" | while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done
}

"$action"
