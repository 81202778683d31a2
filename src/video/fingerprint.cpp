#include "fingerprint.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <vector>

#include "divs/core/error.hpp"
#include "divs/io/bytes.hpp"

namespace divs::video {

FileState file_state(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    FileState state;
    state.bytes = fs::file_size(path, error);
    if (error) throw_error<InputError>("{}: {}", path, error.message());
    const auto time = fs::last_write_time(path, error);
    if (error) throw_error<InputError>("{}: {}", path, error.message());
    state.modified_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
    return state;
}

std::uint64_t fingerprint(const std::string& path, std::uint64_t bytes) {
    constexpr std::uint64_t block = 4096, blocks = 16;
    std::ifstream file(path, std::ios::binary);
    std::vector<char> buffer(block);
    io::Hash64 hash;
    hash.add(bytes);
    const std::uint64_t count = bytes <= block * blocks ? (bytes + block - 1) / block : blocks;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t at = bytes <= block * blocks ? i * block : (bytes - block) / (blocks - 1) * i;
        const std::uint64_t want = std::min(block, bytes - at);
        file.seekg(static_cast<std::streamoff>(at));
        file.read(buffer.data(), static_cast<std::streamsize>(want));
        if (!file) throw_error<InputError>("{}: cannot read {} bytes at {}", path, want, at);
        hash.add(std::as_bytes(std::span(buffer)).first(want));
    }
    return hash.value();
}

}  // namespace divs::video
