// One process at a time in a folder, on any host that sees it. The file .divs-lock names the holder; the
// kernel's lock on it ends with the process, however that ends. Not every shared file system carries such
// locks from host to host, so the holder also counts a beat in the file, and whoever finds a holder of
// another host watches it for a while: no clock is compared with another, so clocks may differ.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace divs::io {

struct FolderHolder {
    std::string host, boot;  // boot: the kernel's own name for this run of the host; empty where it has none
    std::string process;     // its number on the host
    std::string job, attempt;  // "Slurm job 17" and how often that was started again; empty outside a queue
    std::string started;       // UTC, ISO 8601
    // "host n1, process 4242, Slurm job 17, since 2026-01-31T12:00:00Z"
    std::string text() const;
};

struct FolderLockOptions {
    double patience = 3;  // seconds that a holder gets to leave: one that was killed takes a moment to end
    double beat = 2;      // seconds from one beat to the next
    double watch = 9;     // seconds without a beat after which a holder of another host counts as dead
};

class FolderLock {
  public:
    // Makes the folder. StorageError where it cannot be written, and, naming the holder, where another lives.
    explicit FolderLock(const std::filesystem::path& folder, const FolderLockOptions& options = {});
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;

    // StorageError where another process took this one for dead (it stood still for long) and holds the
    // folder now: nothing may be written there any more.
    void require_held();

    // Who holds the folder, as far as the kernel and the file say now; waits for nothing.
    static std::optional<FolderHolder> holder(const std::filesystem::path& folder);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::io
