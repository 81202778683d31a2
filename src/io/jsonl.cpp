#include "divs/io/jsonl.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::io {

namespace {
constexpr std::size_t waiting_limit = std::size_t{1} << 20;  // bytes
}

struct JsonLines::Impl {
    std::filesystem::path file;
    int descriptor = -1;
    off_t end = 0;  // of the last whole line
    std::mutex mutex;
    std::deque<std::string> lines;  // that wait for room
    std::size_t bytes = 0;          // of them
    std::atomic<std::uint64_t> unwritten{0};
    bool told = false;

    ~Impl() {
        if (descriptor < 0) return;
        flush();
        ::close(descriptor);
    }

    void add(std::string line) {
        ++unwritten;
        if (bytes + line.size() > waiting_limit) return;
        bytes += line.size();
        lines.push_back(std::move(line));
    }

    // The code of what stands in the way; 0 where all lines are written.
    int flush() {
        while (!lines.empty()) {
            if (!put(lines.front())) {
                const int code = errno;
                if (::ftruncate(descriptor, end) != 0) return errno;  // no torn line stays behind
                return code;
            }
            end += static_cast<off_t>(lines.front().size());
            bytes -= lines.front().size();
            lines.pop_front();
            --unwritten;
        }
        return 0;
    }

    // Where the last whole line ends.
    off_t whole_lines() const {
        off_t at = ::lseek(descriptor, 0, SEEK_END);
        char last = 0;
        while (at > 0 && ::pread(descriptor, &last, 1, at - 1) == 1 && last != '\n') --at;
        return at;
    }

    bool put(const std::string& line) const {
        for (std::size_t done = 0; done < line.size();) {
            const ssize_t written =
                ::pwrite(descriptor, line.data() + done, line.size() - done, end + static_cast<off_t>(done));
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) return false;
            done += static_cast<std::size_t>(written);
        }
        return true;
    }
};

JsonLines::JsonLines(const std::filesystem::path& file, Existing existing) : impl_(std::make_unique<Impl>()) {
    impl_->file = file;
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | (existing == Existing::replace ? O_TRUNC : 0);
    impl_->descriptor = ::open(file.c_str(), flags, 0666);
    if (impl_->descriptor < 0)
        throw_error<StorageError>("{}: cannot be opened for writing: {}", file.string(),
                                  std::generic_category().message(errno));
    impl_->end = impl_->whole_lines();
    if (::ftruncate(impl_->descriptor, impl_->end) != 0 && errno != EINVAL)  // EINVAL: a pipe or a terminal
        throw_error<StorageError>("{}: cannot be cut to its last whole line: {}", file.string(),
                                  std::generic_category().message(errno));
}

JsonLines::~JsonLines() = default;
JsonLines::JsonLines(JsonLines&&) noexcept = default;
JsonLines& JsonLines::operator=(JsonLines&&) noexcept = default;

void JsonLines::write(const nlohmann::json& object) {
    const std::lock_guard lock(impl_->mutex);
    impl_->add(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    const int code = impl_->flush();
    if (code != 0 && !std::exchange(impl_->told, true))
        log::error("{}: cannot be written: {}; its lines wait for room", impl_->file.string(),
                   std::generic_category().message(code));
}

std::uint64_t JsonLines::waiting() const noexcept {
    return impl_->unwritten;
}
const std::filesystem::path& JsonLines::file() const noexcept {
    return impl_->file;
}

}  // namespace divs::io
