// A folder that is gone, with all in it, when the object is.
#pragma once

#include <filesystem>
#include <string>

namespace divs::io {

class TemporaryFolder {
  public:
    // "PARENT/NAME-XXXXXX"; the system's folder for such things by default. StorageError.
    explicit TemporaryFolder(const std::string& name, const std::filesystem::path& parent = {});
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    const std::filesystem::path& path() const noexcept { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

}  // namespace divs::io
