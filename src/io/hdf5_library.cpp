#include "hdf5_library.hpp"

#include <fmt/format.h>

#include <mutex>

#include "divs/io/hdf5.hpp"

namespace divs::io {
namespace hdf5 {
namespace {

// The library's state is the process's, so its lock must be too. How often this thread holds it is counted
// here and not by a recursive mutex, which would not know its owner again in a child process.
std::mutex& library_mutex() {
    static std::mutex mutex;
    return mutex;
}
thread_local int held = 0;

herr_t keep_innermost(unsigned, const H5E_error2_t* error, void* text) {
    auto& out = *static_cast<std::string*>(text);
    if (out.empty() && error->desc) out = error->desc;
    return 0;
}

}  // namespace

Entry::~Entry() {
    if (--held == 0) library_mutex().unlock();
}

Entry::Entry() {
    if (held == 0) library_mutex().lock();
    ++held;
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // per thread, hence here
    H5PLset_loading_state(0);
}

std::string last_error() {
    std::string text;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
    H5Eclear2(H5E_DEFAULT);
    return text;
}

}  // namespace hdf5

std::string hdf5_version() {
    const hdf5::Entry entry;
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace divs::io
