#!/usr/bin/env bash
# One training over three hosts of hosts.sh: the same parameters as on one, the bytes that the switch counts, links
# with a rate and a delay; hosts that do not answer, too few slots, a cable pulled in the middle.
# Usage: test_hosts.sh DIVS. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
divs=$(realpath "$1") hosts=$here/hosts.sh
for program in ip tc unshare mpirun h5diff; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
# In namespaces of its own (mounts, networks, processes), which end with it, however it ends.
alone=(unshare --mount --net --pid --fork --kill-child --mount-proc)
if [ -z "${DIVS_TEST_ALONE:-}" ]; then
    [ "$(id -u)" = 0 ] && "${alone[@]}" mount -t tmpfs tmpfs /dev/shm 2>/dev/null ||
        { echo "skipped: needs root, to make hosts"; exit 77; }
    DIVS_TEST_ALONE=yes exec "${alone[@]}" "$0" "$@"
fi
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip link set lo up
. "$here/../../jobs/mpi_environment.sh"
folder=$(mktemp -d -p /dev/shm)
export TMPDIR=$folder
cd "$folder"
net=$folder/net
fail() {
    echo "FAILED: $*"
    tail -n 30 "$folder"/*.log || true
    exit 1
}
trap '"$hosts" down "$net"' EXIT

"$divs" synth data --videos 16 --seconds 2 --size 64x48 --test-share 0 --log warn >/dev/null
# Without kinks, where a rounding error could send the training elsewhere.
cat >small.model <<MODEL
conv out=16 kernel=5 stride=2 pad=2
adaptive_pool out=4
linear out=512
linear out=512
linear out=classes
MODEL
cat >run.toml <<TOML
[data]
dataset = "data"
shard_seconds = 0.5
[clip]
hop = 4
[model]
file = "small.model"
height = 24
width = 32
threads = 1
[optimizer]
learning_rate = 0.01
[train]
epochs = 4
batch = 8
deterministic = true
checkpoint_steps = 5
evaluate_epochs = 0
TOML

train() { # name, ranks, more options ...: on the hosts
    local name=$1 ranks=$2
    shift 2
    MPIRUN_OPTIONS="--map-by node" "$hosts" run "$net" "$ranks" \
        "$divs" train run.toml --set train.folder="$name" $("$hosts" settings "$net") "$@" >"$name.log" 2>&1
}
same_parameters() { # folder of a run: as the run on one host, to what the order of additions changes
    h5diff -q -d 1e-5 "$(ls one/step-*.h5 | tail -n 1)" "$(ls "$1"/step-*.h5 | tail -n 1)" \
        /parameters /parameters ||
        fail "the parameters of $1 are not those of one host"
}
# What the program says it sent, by tier, beside what went over the cables. A rate that was set must have held.
report() { # name, bits/s of each of three cables (0: no limit)
    /usr/bin/env python3 - "$1" "$("$hosts" wire "$net" | awk '{sum += $3} END {print sum}')" "$2" <<'PYTHON'
import json, sys
name, wire, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
lines = [json.loads(line) for line in open(f"{name}/metrics.jsonl")]
tiers, steps = lines[-1]["tier_bytes"], [line for line in lines if line["kind"] == "step"]
most = {tier: max(rank[f"{tier}_s"] for rank in lines[-1]["ranks"]) for tier in tiers}
total, busy, exposed = (sum(s[k] for s in steps) for k in ("seconds", "communication", "exposed_comm"))
print(f"{name:>8}: " + ", ".join(f"{tier} {sent / 1e6:.1f} MB (a rank at most {most[tier]:.2f} s)"
                                 for tier, sent in tiers.items()) +
      f", on the cables {wire / 1e6:.1f} MB; {len(steps)} steps in {total:.2f} s, communication {busy:.2f} s, "
      f"{exposed:.2f} s of it exposed")
# The data, its headers (66 bytes in 1514 at worst), and what mpirun's daemons say.
if not tiers["centre"] <= wire <= 1.06 * tiers["centre"] + 2e6:
    sys.exit(f"the program counts {tiers['centre']:.0f} bytes between hosts, the switch {wire}")
if rate and total < 0.8 * wire / 3 * 8 / rate:
    sys.exit(f"{wire} bytes in {total:.2f} s are more than three cables of {rate:.3g} bit/s carry")
PYTHON
}
refused() { [ "$1" -ne 0 ] && [ "$1" -ne 124 ]; }  # and not for want of time
ended_cleanly() { # nothing runs on any host
    local name
    for _ in $(seq 100); do
        running=$(for name in $(ip netns list | awk '{print $1}'); do ip netns pids "$name"; done)
        [ -n "$running" ] || return 0
        sleep 0.2
    done
    fail "still running: $(for pid in $running; do tr '\0' ' ' <"/proc/$pid/cmdline"; echo; done)"
}

"$divs" train run.toml --set train.folder=one >one.log 2>&1 || fail "one host"

echo "== three hosts, four ranks"
SLOTS=2 "$hosts" up "$net" 3
train fast 4 || fail "three hosts"
grep -q "4 ranks" fast.log || fail "not four ranks"
same_parameters fast
report fast 0 || fail "bytes"

echo "== too few slots: mpirun refuses"
status=0
(unset OMPI_MCA_rmaps_base_oversubscribe PRTE_MCA_rmaps_default_mapping_policy; train slots 7) || status=$?
refused $status && grep -qi "not enough slots" slots.log || fail "slots: exit $status"

echo "== a host that does not exist, and one that is switched off"
{ cat "$net/hostfile"; echo "10.77.0.99 slots=2"; } >hostfile
status=0
HOSTFILE=$folder/hostfile TIMEOUT=60 train nowhere 4 || status=$?
refused $status && grep -q "10.77.0.99\|-99" nowhere.log || fail "nowhere: exit $status"
ended_cleanly
"$hosts" cut "$net" 3
status=0
OMPI_MCA_orte_startup_timeout=5 TIMEOUT=60 train off 4 || status=$?
refused $status || fail "off: exit $status"
"$hosts" mend "$net" 3
ended_cleanly

echo "== a cable pulled in the middle: the watchdog ends the job, and it goes on at another number of ranks"
train cut 3 --set comm.timeout_s=8 --throttle 1=40@2 &
job=$!
for _ in $(seq 600); do [ "$(ls cut/step-*.h5 2>/dev/null | wc -l)" -gt 1 ] && break; sleep 0.05; done
kill -0 $job || fail "the job ended before the cable was pulled"
"$hosts" cut "$net" 3
status=0
wait $job || status=$?
[ $status = 6 ] && grep -q "watchdog" cut.log || fail "cut: exit $status, expected 6"
"$hosts" mend "$net" 3
ended_cleanly
train cut 2 || fail "going on after the cut"
grep -q "resuming from cut/step-" cut.log || fail "did not go on"
grep -q "^epochs 1 to 4, each: .* 0 skipped" cut.log || fail "the ledger"
same_parameters cut
"$hosts" down "$net"
[ -z "$(ip netns list)" ] || fail "hosts are left over"

echo "== links of 200 Mbit/s, 3 ms one way"
RATE=200mbit DELAY=3 "$hosts" up "$net" 3
train slow 3 || fail "slow links"
same_parameters slow
report slow 200e6 || fail "bytes or rate"
echo "the same parameters every time"
