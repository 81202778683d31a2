#include "divs/comm/library.hpp"

#include <mpi.h>

#include <algorithm>

namespace divs::comm {

std::string mpi_library() {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    std::string line(text, std::find(text, text + length, '\n'));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\0')) line.pop_back();
    return line;
}

}  // namespace divs::comm
