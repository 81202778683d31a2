// The one place that turns MPI's error codes into exceptions.
#pragma once

#include <mpi.h>

#include <string>

#include "divs/core/error.hpp"

namespace divs::comm {

inline void check_mpi(int code, const char* call, int rank) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw_error<CommunicationError>("rank {}: {} failed: {}", rank, call,
                                    std::string(text, static_cast<std::size_t>(length)));
}

}  // namespace divs::comm

// DIVS_MPI(rank, MPI_Isend, buffer, count, ...): calls, and throws CommunicationError naming call and rank.
#define DIVS_MPI(rank, call, ...) ::divs::comm::check_mpi(call(__VA_ARGS__), #call, rank)
