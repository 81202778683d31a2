// The NCCL library, opened when the program runs: a machine without it is told so, and does without.
#pragma once

#include <memory>
#include <string>

#include "nccl_abi.hpp"

namespace divs::comm {

struct NcclLibrary {
    // The file that DIVS_NCCL names, or libnccl.so.2 where the loader finds it. Null, and why, where it
    // cannot be opened, lacks a function or is older than nccl::least_version. It stays loaded to the end of
    // the program.
    static std::shared_ptr<const NcclLibrary> open(std::string& why_not);

    // What a call that failed is told to people with: NCCL's words for the code, and its last message.
    std::string words(nccl::Result code, nccl::CommHandle comm) const;

    int version = 0;  // 22809
    nccl::GetVersion get_version = nullptr;
    nccl::GetErrorString get_error_string = nullptr;
    nccl::GetLastError get_last_error = nullptr;
    nccl::GetUniqueId get_unique_id = nullptr;
    nccl::CommInitRankConfig init = nullptr;
    nccl::CommGetAsyncError get_async_error = nullptr;
    nccl::CommOf finalize = nullptr, destroy = nullptr, abort = nullptr;
    nccl::AllReduce all_reduce = nullptr;
    nccl::Reduce reduce = nullptr;
    nccl::Broadcast broadcast = nullptr;
};

}  // namespace divs::comm
