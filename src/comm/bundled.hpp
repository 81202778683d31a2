// Open MPI as it lies in an archive that brings its own.
#pragma once

namespace divs::comm {

// Where Open MPI lies beside this program (../lib/divs/openmpi), tells it so, as bin/mpirun does for the
// ranks it starts: else a program that is started alone would look for its plugins where Open MPI was built.
// Before MPI starts.
void find_bundled_mpi();

}  // namespace divs::comm
