// The seal of our HDF5 files. User block, 512 bytes, little endian:
//   0 "DIVSSEAL"   8 version (1)   16 bytes of the whole file   24 hash of bytes [512, end)   32 zeros
//   504 hash of bytes [0, 504)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "divs/io/bytes.hpp"
#include "divs/io/hdf5.hpp"
#include "hdf5_library.hpp"

namespace divs::io {
namespace {

constexpr std::string_view magic = "DIVSSEAL";
constexpr std::size_t own_hash_at = 504;
constexpr std::uint64_t seal_version = 1;

void put(std::string& block, std::size_t at, std::uint64_t value) {
    for (std::size_t i = 0; i < 8; ++i) block[at + i] = static_cast<char>(value >> (8 * i));
}

std::uint64_t get(std::string_view block, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i)
        value |= std::uint64_t{static_cast<unsigned char>(block[at + i])} << (8 * i);
    return value;
}

std::uint64_t hash_of(std::string_view text) {
    Hash64 hash;
    hash.add(std::as_bytes(std::span(text.data(), text.size())));
    return hash.value();
}

class InputFile {
  public:
    explicit InputFile(const std::filesystem::path& file)
        : name_(file.string()), fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
        struct stat status {};
        if (fd_ < 0 || ::fstat(fd_, &status) != 0) fail("cannot be opened");
        if (!S_ISREG(status.st_mode)) {  // a pipe would also block
            ::close(fd_);
            throw_error<InputError>("{}: is {}, expected an HDF5 file", name_,
                                    S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
        }
        size_ = static_cast<std::uint64_t>(status.st_size);
    }
    ~InputFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    InputFile(const InputFile&) = delete;
    std::uint64_t size() const noexcept { return size_; }
    std::size_t read(std::span<char> into) const {  // fills it unless the file ends
        std::size_t done = 0;
        while (done < into.size()) {
            const ssize_t got = ::read(fd_, into.data() + done, into.size() - done);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) fail("cannot be read");
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

  private:
    [[noreturn]] void fail(std::string_view what) const {
        const int code = errno;
        throw_error<InputError>("{}: {}: {}", name_, what, std::generic_category().message(code));
    }
    std::string name_;
    int fd_;
    std::uint64_t size_ = 0;
};

std::uint64_t hash_rest(const InputFile& in) {
    Hash64 hash;
    std::vector<char> buffer(std::size_t{1} << 20);
    while (const std::size_t got = in.read(buffer)) hash.add(std::as_bytes(std::span(buffer.data(), got)));
    return hash.value();
}

std::string broken_because(const InputFile& in, std::string_view block) {
    if (get(block, own_hash_at) != hash_of(block.substr(0, own_hash_at)) || get(block, 8) != seal_version)
        return "its seal is damaged";
    if (get(block, 16) != in.size()) return fmt::format("{} bytes, expected {}", in.size(), get(block, 16));
    if (get(block, 24) != hash_rest(in)) return "its content does not match its checksum";
    return "";
}

}  // namespace

std::string hdf5::make_user_block(std::uint64_t file_bytes, std::uint64_t body_hash) {
    std::string block(user_block_bytes, '\0');
    block.replace(0, magic.size(), magic);
    put(block, 8, seal_version);
    put(block, 16, file_bytes);
    put(block, 24, body_hash);
    put(block, own_hash_at, hash_of(std::string_view(block).substr(0, own_hash_at)));
    return block;
}

Seal check_seal(const std::filesystem::path& file, std::string* why) {
    const InputFile in(file);
    std::array<char, hdf5::user_block_bytes> buffer{};
    const std::string_view block(buffer.data(), in.read(buffer));
    if (!block.starts_with(magic)) {
        if (why) *why = block.empty() ? "is empty" : "has no seal of this program";
        return Seal::none;
    }
    const std::string reason = block.size() < buffer.size() ? fmt::format("{} bytes, cut short", block.size())
                                                            : broken_because(in, block);
    if (why) *why = reason;
    return reason.empty() ? Seal::good : Seal::broken;
}

}  // namespace divs::io
