# Sourced before an mpirun over several hosts, so that a host that does not answer ends the job in bounded time.
# mpirun (Open MPI 4) waits for its daemon on every host: without these for ever at the start, and, where a cable
# is cut, for the quarter of an hour in which the kernel repeats a message. Whatever is set already stays.
# The three keepalive values together must be well below comm.timeout_s: mpirun then knows of the lost host before
# the ranks' watchdog, and ends what is left on both sides of the cut.

# Seconds until all hosts must have begun; seconds of silence before the first probe, between probes, and how many
# may stay unanswered.
export OMPI_MCA_orte_startup_timeout=${OMPI_MCA_orte_startup_timeout:-120}
export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-30}
export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-10}
export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-3}
