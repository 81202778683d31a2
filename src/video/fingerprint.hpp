#pragma once

#include <cstdint>
#include <string>

namespace divs::video {

struct FileState {
    std::uint64_t bytes = 0;
    std::int64_t modified_ns = 0;  // since the epoch of std::filesystem's clock
};

// Size and time of last change. InputError where the file is missing.
FileState file_state(const std::string& path);

// A hash of the size and of the content: the whole of a small file, else blocks spread evenly over it, first
// and last included. InputError where the file cannot be read.
std::uint64_t fingerprint(const std::string& path, std::uint64_t bytes);

}  // namespace divs::video
