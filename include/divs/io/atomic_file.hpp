// Files that appear whole or not at all, whatever happens to the process or the machine meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace divs::io {

// Writes all pieces, in order, to ".NAME.tmp-PID" beside the target, fsyncs it, renames it to the target and
// fsyncs the folder. A target that is a link is what it leads to. Throws StorageError with the system's words
// (disk full, no permission), or where the target is no regular file; the temporary file is then gone and an
// older target untouched.
void write_atomically(const std::filesystem::path& target,
                      std::span<const std::span<const std::byte>> pieces);
void write_atomically(const std::filesystem::path& target, std::string_view text);

// Removes what killed processes left of write_atomically() in this folder. Only for whoever alone writes
// there.
void remove_stale_temporaries(const std::filesystem::path& folder);

// Makes a second name for a file (a hard link, or a copy where the file system has none), replacing `target`
// at once.
void link_atomically(const std::filesystem::path& existing, const std::filesystem::path& target);

// StorageError where write_atomically() could not begin: for what is written only after long work. Makes the
// target's folder.
void require_writable(const std::filesystem::path& target);

// StorageError unless a file of that many bytes can be written to the folder now (permission, room, quota), as far as
// the file system can say; writes nothing of that length.
void require_room(const std::filesystem::path& folder, std::uint64_t bytes);

// Makes a folder and its parents; StorageError where that fails or where a file is in the way.
void make_folder(const std::filesystem::path& folder);

}  // namespace divs::io
