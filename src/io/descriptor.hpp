// A file descriptor that closes itself, and the error that a failed call becomes.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::io {

class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0)
        : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
    ~Descriptor() { close(); }
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    int get() const noexcept { return fd_; }
    int close() noexcept { return fd_ >= 0 ? ::close(std::exchange(fd_, -1)) : 0; }

  private:
    int fd_ = -1;
};

// "file: cannot be created: No space left on device"
[[noreturn]] inline void storage_failure(const std::filesystem::path& file, std::string_view doing,
                                         int code) {
    throw_error<StorageError>("{}: {}: {}", file.string(), doing, std::generic_category().message(code));
}

}  // namespace divs::io
