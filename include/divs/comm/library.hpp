// The MPI library behind the comm room.
#pragma once

#include <string>

namespace divs::comm {

// What it calls itself, first line: "Open MPI v4.1.4, package: ...". Needs no MPI_Init.
std::string mpi_library();

}  // namespace divs::comm
