#include "nccl_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "divs/comm/paths.hpp"

namespace divs::comm {
namespace {

// Fills one entry of the table after the other until one is missing.
class Entries {
  public:
    explicit Entries(void* library) : library_(library) {}

    template <class Function>
    void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(library_, name));
        if (!function && missing_.empty()) missing_ = name;
    }
    const std::string& missing() const noexcept { return missing_; }

  private:
    void* library_;
    std::string missing_;
};

std::string fill(NcclLibrary& library, void* handle) {
    Entries entries(handle);
    entries.find(library.get_version, "ncclGetVersion");
    entries.find(library.get_error_string, "ncclGetErrorString");
    entries.find(library.get_last_error, "ncclGetLastError");
    entries.find(library.get_unique_id, "ncclGetUniqueId");
    entries.find(library.init, "ncclCommInitRankConfig");
    entries.find(library.get_async_error, "ncclCommGetAsyncError");
    entries.find(library.finalize, "ncclCommFinalize");
    entries.find(library.destroy, "ncclCommDestroy");
    entries.find(library.abort, "ncclCommAbort");
    entries.find(library.all_reduce, "ncclAllReduce");
    entries.find(library.reduce, "ncclReduce");
    entries.find(library.broadcast, "ncclBroadcast");
    return entries.missing();
}

}  // namespace

std::shared_ptr<const NcclLibrary> NcclLibrary::open(std::string& why_not) {
    const char* named = std::getenv("DIVS_NCCL");
    const std::string file = named && *named ? named : "libnccl.so.2";
    void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        why_not = dlerror();
        return nullptr;
    }
    auto library = std::make_shared<NcclLibrary>();
    if (const std::string missing = fill(*library, handle); !missing.empty()) {
        why_not = fmt::format("{}: the function {} is missing", file, missing);
        return nullptr;
    }
    if (const nccl::Result code = library->get_version(&library->version); code != nccl::success) {
        why_not = fmt::format("{}: ncclGetVersion: {}", file, library->get_error_string(code));
        return nullptr;
    }
    if (library->version < nccl::least_version) {
        why_not = fmt::format("{}: NCCL {}, expected {} or later", file, nccl_version_text(library->version),
                              nccl_version_text(nccl::least_version));
        return nullptr;
    }
    return library;
}

std::string NcclLibrary::words(nccl::Result code, nccl::CommHandle comm) const {
    const char* last = get_last_error(comm);
    return fmt::format("{}{}{}", get_error_string(code), last && *last ? ": " : "", last ? last : "");
}

}  // namespace divs::comm
