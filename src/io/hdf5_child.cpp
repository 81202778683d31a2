// A foreign HDF5 file is first read whole by a child process. What the library makes of a malformed file (a
// crash, a loop, all memory) then ends the child and not the program; what the child could read, the program
// can.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "divs/io/hdf5.hpp"
#include "hdf5_library.hpp"

namespace divs::io::hdf5 {
namespace {

// Seconds that the child may take for a file of this size.
unsigned most_seconds(std::uintmax_t bytes) {
    return 10 + static_cast<unsigned>(bytes / 20'000'000);
}
constexpr int most_depth = 64;  // groups in groups; also ends a cycle of hard links
constexpr int most_objects = 200'000;

// Reads all that the reader's calls could be asked for later.
class Visitor {
  public:
    explicit Visitor(const Hdf5Reader& reader) : reader_(reader) {}

    void group(const std::string& path, int depth) {
        if (depth > most_depth)
            throw_error<InputError>("{}: groups nested more than {} deep", file(), most_depth);
        for (const auto& name : reader_.names(path)) {
            if (++objects_ > most_objects)
                throw_error<InputError>("{}: more than {} objects", file(), most_objects);
            const std::string inner = path + (path.ends_with('/') ? "" : "/") + name;
            if (!reader_.has(inner)) continue;  // a link that is not followed
            if (reader_.is_group(inner))
                group(inner, depth + 1);
            else
                dataset(inner);
        }
    }

  private:
    std::string file() const { return reader_.file().string(); }

    // A dataset of a type that is not read here, or one that cannot be read, fails again, alone, when it is
    // asked for.
    void dataset(const std::string& path) {
        try {
            switch (reader_.type(path)) {
                case ElementType::float32:
                case ElementType::float64:
                    reader_.doubles(path);
                    break;
                case ElementType::string:
                    reader_.strings(path);
                    break;
                default:
                    reader_.integers(path);
            }
        } catch (const InputError&) {
        }
    }

    const Hdf5Reader& reader_;
    int objects_ = 0;
};

[[noreturn]] void run_child(const std::filesystem::path& file, unsigned seconds, int answer) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGTERM})
        ::signal(signal, SIG_DFL);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(seconds);
    std::string why;
    try {
        const Hdf5Reader reader(file, Hdf5Reader::Unchecked{});
        Visitor(reader).group("/", 0);
    } catch (const std::exception& e) {
        why = e.what();
    }
    const ssize_t sent = ::write(answer, why.data(), why.size());
    ::_exit(why.empty() ? 0 : sent < 0 ? 2 : 1);
}

std::string read_answer(int from) {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t got = ::read(from, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace

void read_in_child(const std::filesystem::path& file) {
    const Entry entry;  // no other thread may be inside the library while the process is copied
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        throw_error<InputError>("{}: no pipe to a child process: {}", file.string(),
                                std::generic_category().message(errno));
    const unsigned seconds = most_seconds(std::filesystem::file_size(file));
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(pipe[0]);
        run_child(file, seconds, pipe[1]);
    }
    ::close(pipe[1]);
    const std::string why = child > 0 ? read_answer(pipe[0]) : std::generic_category().message(errno);
    ::close(pipe[0]);
    if (child < 0) throw_error<InputError>("{}: no child process to read it: {}", file.string(), why);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        throw_error<InputError>("{}: damaged: reading it takes more than {} s", file.string(), seconds);
    if (WIFSIGNALED(status))
        throw_error<InputError>("{}: damaged: reading it ends in \"{}\"", file.string(),
                                ::strsignal(WTERMSIG(status)));
    if (!why.empty()) throw InputError(why);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw_error<InputError>("{}: damaged: a child process that reads it fails", file.string());
}

}  // namespace divs::io::hdf5
