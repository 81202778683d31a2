#!/usr/bin/env bash
# jobs/train.sbatch on a Slurm of two nodes, broken off in the middle in three ways: its time is up, an operator requeues it,
# a job of a higher priority takes its nodes. Each time it saves, is queued again, goes on by itself, and ends with the
# parameters of an unbroken run. A job that is cancelled stays so. Usage: test_requeue.sh DIVS. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
divs=$1
. "$here/common.sh"
"$here/cluster.sh" start "$folder/slurm" 2
train_whole

in_epoch() { grep -qs "^epoch $2 " "$folder/$1.log"; }

broken=$(train timeout)
wait_for 180 "its twentieth epoch" in_epoch timeout 20
scancel --batch --signal=USR1 "$broken"
wait_for 180 "the checkpoint before the end" grep -qs "queued again" "$folder/timeout.log"
grep -q "stopped by a signal" "$folder/timeout.log"
wait_for 600 "the end of the run whose time was up" hurry "$broken"
same_as_whole timeout
echo "time limit: the same parameters, each sample once an epoch"

broken=$(train requeued)
wait_for 180 "its twentieth epoch" in_epoch requeued 20
scontrol requeue "$broken"
wait_for 600 "the end of the run that was requeued" hurry "$broken"
grep -q "stopped by a signal" "$folder/requeued.log"
same_as_whole requeued
echo "scontrol requeue: the same parameters, each sample once an epoch"

broken=$(train preempted)
wait_for 180 "its twentieth epoch" in_epoch preempted 20
urgent=$(sbatch --parsable --partition=urgent --exclusive --nodes=2 --output="$folder/urgent.log" --wrap "sleep 2")
wait_for 180 "the urgent job" ended "$urgent"
[ "$(scontrol show job "$urgent" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p')" = COMPLETED ]
wait_for 600 "the end of the run that was preempted" hurry "$broken"
grep -q "stopped by a signal" "$folder/preempted.log"
same_as_whole preempted
echo "preempted: the same parameters, each sample once an epoch"

cancelled=$(train cancelled)
wait_for 180 "its tenth epoch" in_epoch cancelled 10
scancel "$cancelled"
wait_for 180 "the end of the cancelled job" ended "$cancelled"
grep -q "stopped by a signal" "$folder/cancelled.log"
! grep -q "queued again" "$folder/cancelled.log"
echo "scancel: a checkpoint, and not queued again"
