// Whether HDF5 files are locked on a file system, found by trying.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace divs::io {

// An HDF5 file that is held open for writing, locked as the library does it, until this goes. Removes the file.
class Hdf5LockTrial {
  public:
    explicit Hdf5LockTrial(const std::filesystem::path& file);
    ~Hdf5LockTrial();
    Hdf5LockTrial(const Hdf5LockTrial&) = delete;
    // Why the library could not make and lock the file; empty: it could.
    const std::string& fault() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// True where the file cannot be locked for reading now: somebody, on this host or another, holds it for writing.
bool is_locked(const std::filesystem::path& file);

}  // namespace divs::io
