// JSON Lines: one JSON object a line, readable while it grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace divs::io {

enum class Existing { replace, append };

// Numbers that are not finite become null. Safe from any thread.
class JsonLines {
  public:
    // Throws StorageError. With `append`, a last line that a killed process left unfinished is cut off first.
    explicit JsonLines(const std::filesystem::path& file, Existing existing = Existing::replace);
    ~JsonLines();
    JsonLines(JsonLines&&) noexcept;
    JsonLines& operator=(JsonLines&&) noexcept;

    // The line is with the system when this returns. One that cannot be written (disk full) waits, with all
    // behind it, until there is room: a run must not end because its metrics have none, and no gap may stay.
    // That is logged the first time. Beyond a megabyte of them, and where there is no room to the end, lines
    // are lost.
    void write(const nlohmann::json& object);
    std::uint64_t waiting() const noexcept;  // and lost
    const std::filesystem::path& file() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::io
