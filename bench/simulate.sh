#!/usr/bin/env bash
# Jobs of 64 to 1024 ranks, SIMULATED by SimGrid on described networks: the program's own scheduler, agents, buckets and
# sums, with compute replaced by measured times. Usage: simulate.sh [PART...] [-- OPTION...]
#   decide   rank 0's own time for a decision of the scheduler (measured, not simulated)
#   agree    the same job at 2 and 4 ranks for real and simulated, and the error
#   sweep    the simulations: fat trees of 10/100/400 Gb/s, edge sites behind slow uplinks, ten unequal nodes
#   table    nothing new: the table and the plots again
# Without PART: decide, agree and sweep. Options are those of simulate/simulate.py: --ranks 64,256 --gbps 100 ...
#   DIVS_OUT   where simulated.json, simulated.txt and the plots go (default: build/simulated)
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
parts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do parts+=("$1"); shift; done
[ $# -eq 0 ] || shift
"$top/jobs/install_packages.sh" build run simulate
folder=$("$top/jobs/build.sh" release divs divs_simulated)
. "$top/jobs/mpi_environment.sh"
out=${DIVS_OUT:-$top/build/simulated}
code=0
python3 "$top/bench/simulate/simulate.py" "${parts[@]}" --divs "$folder/src/cli/divs" \
    --program "$folder/bench/simulate/divs_simulated.so" --out "$out" "$@" || code=$?
[ ! -e "$out/simulated.json" ] || python3 "$top/bench/simulate/plot.py" "$out/simulated.json"
exit $code
