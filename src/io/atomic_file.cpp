#include "divs/io/atomic_file.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "descriptor.hpp"
#include "divs/core/error.hpp"
#include "divs/core/units.hpp"

namespace divs::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view marker = ".tmp-";

constexpr auto fail = storage_failure;

// Removes a file that did not become what it should.
class Unlinked {
  public:
    explicit Unlinked(fs::path path) : path_(std::move(path)) {}
    ~Unlinked() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }
    Unlinked(const Unlinked&) = delete;
    void keep() { path_.clear(); }

  private:
    fs::path path_;
};

fs::path folder_of(const fs::path& file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

fs::path temporary_for(const fs::path& target) {
    return folder_of(target) / fmt::format(".{}{}{}", target.filename().string(), marker, ::getpid());
}

void write_all(const Descriptor& out, std::span<const std::byte> bytes, const fs::path& target) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(out.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail(target, "cannot be written", written < 0 ? errno : ENOSPC);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

// Where a link leads. What is no file (a device, a pipe, a folder) is not replaced by one.
fs::path replaceable(const fs::path& target) {
    std::error_code code;
    const fs::file_status status = fs::status(target, code);
    if (status.type() == fs::file_type::none) fail(target, "cannot be created", code.value());  // links that go round
    if (fs::exists(status) && !fs::is_regular_file(status))
        throw_error<StorageError>("{}: is no regular file, expected one or none there", target.string());
    fs::path file = target;
    while (fs::is_symlink(file, code)) file = folder_of(file) / fs::read_symlink(file);
    return file;
}

// Some file systems cannot sync a folder and say EINVAL; the rename is then as durable as they can make it.
void sync_folder(const fs::path& folder) {
    const Descriptor in(folder, O_RDONLY | O_DIRECTORY);
    if (!in) fail(folder, "cannot be opened", errno);
    if (::fsync(in.get()) != 0 && errno != EINVAL && errno != EROFS) fail(folder, "cannot be synced", errno);
}

}  // namespace

void write_atomically(const fs::path& named, std::span<const std::span<const std::byte>> pieces) {
    const fs::path target = replaceable(named);
    const fs::path temporary = temporary_for(target);
    Descriptor out(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!out) fail(target, "cannot be created", errno);
    Unlinked guard(temporary);
    for (const auto piece : pieces) write_all(out, piece, target);
    if (::fsync(out.get()) != 0) fail(target, "cannot be synced", errno);
    if (out.close() != 0) fail(target, "cannot be closed", errno);
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail(target, "cannot be renamed into place", errno);
    guard.keep();
    sync_folder(folder_of(target));
}

void write_atomically(const fs::path& target, std::string_view text) {
    const std::span<const std::byte> piece = std::as_bytes(std::span(text.data(), text.size()));
    write_atomically(target, std::span(&piece, 1));
}

void remove_stale_temporaries(const fs::path& folder) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with('.') && name.find(marker) != std::string::npos && entry.is_regular_file(ignored))
            fs::remove(entry.path(), ignored);
    }
}

void link_atomically(const fs::path& existing, const fs::path& target) {
    const fs::path temporary = temporary_for(target);
    ::unlink(temporary.c_str());
    Unlinked guard(temporary);
    if (::link(existing.c_str(), temporary.c_str()) != 0) {
        std::error_code code;
        if (!fs::copy_file(existing, temporary, fs::copy_options::overwrite_existing, code))
            fail(target, "cannot be linked or copied from " + existing.filename().string(), code.value());
        const Descriptor copy(temporary, O_RDONLY);
        if (!copy || ::fsync(copy.get()) != 0) fail(target, "cannot be synced", errno);
    }
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail(target, "cannot be renamed into place", errno);
    // Where both names are one file already, rename() does nothing and the guard removes the temporary name.
    sync_folder(folder_of(target));
}

void require_writable(const fs::path& named) {
    const fs::path target = replaceable(named);
    make_folder(folder_of(target));
    const fs::path probe = temporary_for(target);
    const Descriptor out(probe, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!out) fail(named, "cannot be created", errno);
    const Unlinked guard(probe);
}

void require_room(const fs::path& folder, std::uint64_t bytes) {
    rlimit limit{};
    // Longer files than the process may write: that is told where they are written.
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes) return;
    const fs::path probe = temporary_for(folder / "room");
    const Descriptor out(probe, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!out) fail(folder, "cannot be written", errno);
    const Unlinked guard(probe);
    // Asks the file system itself, which knows quotas too; one that cannot answer is asked for its free blocks.
    const bool refused = ::fallocate(out.get(), 0, 0, static_cast<off_t>(bytes)) != 0;
    const int why = refused ? errno : 0;
    struct statvfs disk {};
    if (::statvfs(folder.c_str(), &disk) != 0) return;
    const std::uint64_t room = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    if (why == ENOSPC || why == EDQUOT || (refused && room < bytes))
        throw_error<StorageError>("{}: too little room: {} are free{}, expected {} for what will be saved there",
                                  folder.string(), bytes_text(static_cast<double>(room)),
                                  why == EDQUOT ? " and the quota is used up" : "",
                                  bytes_text(static_cast<double>(bytes)));
}

void make_folder(const fs::path& folder) {
    std::error_code code;
    fs::create_directories(folder, code);
    if (code) fail(folder, "cannot be made a folder", code.value());
    if (!fs::is_directory(folder, code))
        throw_error<StorageError>("{}: is a file, expected a folder", folder.string());
}

}  // namespace divs::io
