# Sourced by the *.sbatch scripts beside it. What a site may have to change stands here, and can be set in the environment;
# nodes, time and partition are options of sbatch.
DIVS=${DIVS:-divs}                  # the program, if it is not on PATH
MPI_TYPE=${MPI_TYPE:-pmix}          # srun --mpi=list shows what the site has; "none": launch with mpirun
MODULES=${MODULES:-}                # modules to load, e.g. "openmpi ffmpeg hdf5"
CONTAINER=${CONTAINER:-}            # an Apptainer image that holds divs; with --nv where the job has GPUs
LAUNCH_OPTIONS=${LAUNCH_OPTIONS:-}  # more options for srun or mpirun

job=$SLURM_JOB_ID
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # its own id may stand for all tasks
for module in $MODULES; do module load "$module"; done
[ "$MPI_TYPE" != none ] || . "$jobs/hosts_environment.sh"  # a host that does not answer ends the job in bounded time

# One rank a GPU where the job has GPUs, else what --ntasks-per-node says.
gpus=${SLURM_GPUS_ON_NODE:-0}
if [ "$gpus" -gt 0 ]; then
    ranks_per_node=$gpus
    threads=$((SLURM_CPUS_ON_NODE / gpus))
    [ "$threads" -gt 0 ] || threads=1
else
    ranks_per_node=${SLURM_NTASKS_PER_NODE:-1}
    threads=${SLURM_CPUS_PER_TASK:-1}
fi
ranks=$((SLURM_JOB_NUM_NODES * ranks_per_node))

program=("$DIVS")
if [ -n "$CONTAINER" ]; then
    program=(apptainer exec)
    [ "$gpus" -eq 0 ] || program+=(--nv)
    program+=("$CONTAINER" "$DIVS")
fi

# launcher RANKS THREADS: the words that start them, each rank bound to cores of its own, and to a GPU of its own.
launcher() {
    if [ "$MPI_TYPE" = none ]; then
        echo "mpirun -n $1 --map-by slot:PE=$2 --bind-to core $LAUNCH_OPTIONS"
    else
        echo "srun --mpi=$MPI_TYPE --ntasks=$1 --ntasks-per-node=$ranks_per_node --cpus-per-task=$2 --cpu-bind=cores" \
            "--kill-on-bad-exit=1 $([ "$gpus" -eq 0 ] || echo --gpu-bind=single:1) $LAUNCH_OPTIONS"
    fi
}

# run COMMAND...: in the background, so that signals reach this script. Two minutes before the time limit Slurm sends it
# USR1 (--signal), when the job is cancelled or preempted TERM. Either goes to the command as USR1, which srun and mpirun
# hand on to the ranks; mpirun would give them no time on TERM. Sets `asked` (USR1, TERM or empty) and `status`.
asked=
run() {
    status=0
    "$@" &
    local step=$!
    trap 'asked=${asked:-USR1}; kill -USR1 $step 2>/dev/null || true' USR1
    trap 'asked=TERM; kill -USR1 $step 2>/dev/null || true' TERM
    [ -z "$asked" ] || kill -USR1 $step || true
    wait $step || status=$?
    while kill -0 $step 2>/dev/null; do  # a trap interrupts wait
        status=0
        wait $step || status=$?
    done
}

# Whether Slurm takes the resources for another job. It tells the ranks alone (TERM) and, where the job ends by itself within
# the grace time, counts it as completed.
preempted() {
    scontrol show job "$job" | grep -qE 'PreemptTime=[0-9]'
}

# After run: queues this job again where another job takes its place, or where its time was up and it left in order. One that
# is cancelled stays so.
queue_again() {
    if preempted; then
        echo "preempted: queued again"
    elif [ "$asked" = USR1 ] && [ "$status" -eq 0 ]; then
        echo "the time is up: queued again"
    else
        return 0
    fi
    scontrol requeue "$job"
}
