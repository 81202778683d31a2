#!/bin/sh
# mpirun of the Open MPI in this archive.
home=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
export OPAL_PREFIX="$home/lib/divs/openmpi"
export PMIX_INSTALL_PREFIX="$home/lib/divs/openmpi"
export OPAL_PKGLIBDIR="$home/lib/divs/openmpi/lib/openmpi3"
export PMIX_MCA_pcompress_base_silence_warning=1
export LD_LIBRARY_PATH="$home/lib/divs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# Without ssh there are no other hosts, and Open MPI would refuse to start at all.
command -v ssh >/dev/null || export OMPI_MCA_plm="${OMPI_MCA_plm:-isolated}"
exec "$home/lib/divs/openmpi/bin/orterun" -x PMIX_MCA_pcompress_base_silence_warning -x OPAL_PREFIX -x OPAL_PKGLIBDIR -x PMIX_INSTALL_PREFIX -x LD_LIBRARY_PATH "$@"
