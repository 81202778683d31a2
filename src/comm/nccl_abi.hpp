// NCCL's interface as far as it is used here, in types of our own: the program opens the library when it
// runs, and is compiled where neither NCCL's header nor CUDA's is. nccl_abi_check.cpp holds it against
// nccl.h where that is.
#pragma once

#include <cstddef>

namespace divs::comm::nccl {

struct Comm;  // ncclComm
using CommHandle = Comm*;

struct UniqueId {
    char internal[128];
};

// ncclResult_t
enum Result : int {
    success = 0,
    unhandled_cuda_error = 1,
    system_error = 2,
    internal_error = 3,
    invalid_argument = 4,
    invalid_usage = 5,
    remote_error = 6,
    in_progress = 7
};

// The head of ncclConfig_t as of 2.14; later versions take what is missing from their defaults.
struct Config {
    std::size_t size = sizeof(Config);
    unsigned int magic = 0xcafebeef;
    unsigned int version = 21400;
    int blocking = 0;
};

inline constexpr int float32 = 7;            // ncclFloat32
inline constexpr int float64 = 8;            // ncclFloat64
inline constexpr int sum = 0;                // ncclSum
inline constexpr int least_version = 21400;  // the first with communicators that do not block

// `stream`: a cudaStream_t.
using GetVersion = Result (*)(int* version);
using GetErrorString = const char* (*)(Result);
using GetLastError = const char* (*)(CommHandle);
using GetUniqueId = Result (*)(UniqueId*);
using CommInitRankConfig = Result (*)(CommHandle*, int ranks, UniqueId, int rank, Config*);
using CommGetAsyncError = Result (*)(CommHandle, Result*);
using CommOf = Result (*)(CommHandle);  // ncclCommFinalize, ncclCommDestroy, ncclCommAbort
using AllReduce = Result (*)(const void* from, void* into, std::size_t count, int type, int operation,
                             CommHandle, void* stream);
using Reduce = Result (*)(const void* from, void* into, std::size_t count, int type, int operation, int root,
                          CommHandle, void* stream);
using Broadcast = Result (*)(const void* from, void* into, std::size_t count, int type, int root, CommHandle,
                             void* stream);

}  // namespace divs::comm::nccl
