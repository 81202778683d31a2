#include "divs/io/temporary_folder.hpp"

#include <cerrno>
#include <cstdlib>

#include "descriptor.hpp"

namespace divs::io {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder(const std::string& name, const fs::path& parent) {
    std::string path = ((parent.empty() ? fs::temp_directory_path() : parent) / (name + "-XXXXXX")).string();
    if (!::mkdtemp(path.data())) storage_failure(path, "cannot be made a folder", errno);
    path_ = path;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

}  // namespace divs::io
