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

    // The line is with the system when this returns. A line that cannot be written (disk full) is dropped,
    // counted and logged the first time: a run must not end because its metrics have no room.
    void write(const nlohmann::json& object);
    std::uint64_t dropped() const noexcept;
    const std::filesystem::path& file() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::io
