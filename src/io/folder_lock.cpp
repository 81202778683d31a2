#include "divs/io/folder_lock.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "descriptor.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"

namespace divs::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* lock_name = ".divs-lock";
constexpr double poll_seconds = 0.05;

void sleep_for(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

enum class Kernel { granted, refused, unsupported };

// Of the open file, not of the process: closing another descriptor of the same file does not drop it.
Kernel lock_by_kernel(const Descriptor& file) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    if (::fcntl(file.get(), F_OFD_SETLK, &whole) == 0) return Kernel::granted;
    return errno == EAGAIN || errno == EACCES ? Kernel::refused : Kernel::unsupported;
}

bool is_free_by_kernel(const Descriptor& file) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return ::fcntl(file.get(), F_OFD_GETLK, &whole) == 0 && whole.l_type == F_UNLCK;
}

std::string read_all(const Descriptor& file) {
    std::string text(4096, '\0');
    const ssize_t bytes = ::pread(file.get(), text.data(), text.size(), 0);
    text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return text;
}

// Opened anew each time: that is when a network file system asks its server.
std::string read_all(const fs::path& path) {
    const Descriptor file(path, O_RDONLY);
    return file ? read_all(file) : std::string();
}

bool is_same_file(const Descriptor& file, const fs::path& path) {
    struct stat mine {
    }, there{};
    return ::fstat(file.get(), &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

std::string first_line_of(const char* file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

FolderHolder this_process() {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    FolderHolder me{host.data(),
                    first_line_of("/proc/sys/kernel/random/boot_id"),
                    std::to_string(::getpid()),
                    {},
                    {},
                    fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))};
    for (const auto& [name, queue] :
         {std::pair{"SLURM_JOB_ID", "Slurm"}, {"PBS_JOBID", "PBS"}, {"LSB_JOBID", "LSF"}})
        if (const std::string id = environment(name); !id.empty() && me.job.empty())
            me.job = fmt::format("{} job {}", queue, id);
    me.attempt = environment("SLURM_RESTART_COUNT");
    return me;
}

// One "key value" a line; the beat last and of fixed length, so that it is overwritten in place.
std::string file_text(const FolderHolder& me, const std::string& token, std::uint64_t beat) {
    return fmt::format(
        "token {}\nhost {}\nboot {}\nprocess {}\njob {}\nattempt {}\nstarted {}\nbeat {:020}\n", token,
        me.host, me.boot, me.process, me.job, me.attempt, me.started, beat);
}

FolderHolder parse(const std::string& text) {
    FolderHolder holder;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto space = line.find(' ');
        if (space == std::string::npos) continue;
        const std::string key = line.substr(0, space), value = line.substr(space + 1);
        for (const auto& [name, field] : {std::pair{"host", &holder.host},
                                          {"boot", &holder.boot},
                                          {"process", &holder.process},
                                          {"job", &holder.job},
                                          {"attempt", &holder.attempt},
                                          {"started", &holder.started}})
            if (key == name) *field = value;
    }
    return holder;
}

[[noreturn]] void refuse(const fs::path& folder, const std::string& text) {
    throw_error<StorageError>(
        "{}: another job works in this folder: {}. Wait for it or stop it, or name another train.folder",
        folder.string(), text.empty() ? "it has not yet said who it is" : parse(text).text());
}

// The kernel gave us the lock that this holder had: where both run under one kernel, or the holder was an
// earlier start of our own job, it is gone.
bool is_surely_dead(const FolderHolder& holder, const FolderHolder& me) {
    if (!holder.boot.empty() && holder.boot == me.boot) return true;
    return !holder.job.empty() && holder.job == me.job && holder.attempt != me.attempt;
}

}  // namespace

std::string FolderHolder::text() const {
    std::string out = fmt::format("host {}, process {}", host, process);
    if (!job.empty()) out += ", " + job;
    if (!started.empty()) out += ", since " + started;
    return out;
}

struct FolderLock::Impl {
    fs::path folder, path;
    FolderLockOptions options;
    FolderHolder me = this_process();
    std::string token;
    Descriptor file;

    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    std::thread thread;

    Impl(const fs::path& where, const FolderLockOptions& how)
        : folder(where), path(where / lock_name), options(how) {
        std::random_device random;
        token = fmt::format("{:08x}{:08x}", random(), random());
        make_folder(folder);
        take();
        thread = std::thread([this] { beat(); });
    }

    ~Impl() {
        {
            const std::lock_guard lock(mutex);
            stopping = true;
        }
        changed.notify_all();
        thread.join();
        if (is_ours()) ::unlink(path.c_str());
    }

    void take() {
        const Stopwatch since;
        bool told = false;
        for (;;) {
            Descriptor found(path, O_RDWR | O_CREAT, 0666);
            if (!found) storage_failure(path, "cannot be created", errno);
            const Kernel kernel = lock_by_kernel(found);
            const std::string text = read_all(found);
            if (kernel == Kernel::refused) {
                if (since.seconds() > options.patience) refuse(folder, text);
                if (!std::exchange(told, true))
                    log::info("{}: waiting for the job before to leave: {}", folder.string(),
                              parse(text).text());
                sleep_for(poll_seconds);
                continue;
            }
            if (!is_same_file(found, path)) continue;  // its holder has just left and removed it
            const bool dead = kernel == Kernel::granted && is_surely_dead(parse(text), me);
            if (!text.empty() && !dead) watch(text);
            file = std::move(found);
            write(0);
            if (kernel == Kernel::unsupported) settle();
            return;
        }
    }

    // Returns where the holder that wrote `text` shows no sign of life.
    void watch(const std::string& text) const {
        log::warn("{}: {} did not leave it in order; watching for {:.0f} s whether that one still lives",
                  folder.string(), parse(text).text(), options.watch);
        const Stopwatch since;
        while (since.seconds() < options.watch) {
            sleep_for(poll_seconds);
            const std::string now = read_all(path);
            if (now.empty()) return;
            if (now != text) refuse(folder, now);
        }
    }

    // Without the kernel's help two may come at once: the last to write has it.
    void settle() const {
        sleep_for(std::max(0.5, options.beat));
        if (!is_ours()) refuse(folder, read_all(path));
    }

    bool is_ours() const { return read_all(path).find("token " + token + "\n") != std::string::npos; }

    void write(std::uint64_t beat_number) const {
        const std::string text = file_text(me, token, beat_number);
        if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            storage_failure(path, "cannot be written", errno ? errno : ENOSPC);
        if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 || ::fdatasync(file.get()) != 0)
            storage_failure(path, "cannot be written", errno);
    }

    void beat() {
        std::unique_lock lock(mutex);
        const std::chrono::duration<double> interval(options.beat);
        for (std::uint64_t number = 1; !changed.wait_for(lock, interval, [&] { return stopping; });
             ++number) {
            try {
                if (is_ours()) write(number);
            } catch (const StorageError& e) {
                log::debug("{}", e.what());  // whoever saves next hears of a disk that fails
            }
        }
    }

    void require_held() {
        const std::lock_guard lock(mutex);
        if (is_ours()) return;
        const std::string text = read_all(path);
        if (text.empty()) return take();  // somebody tidied it away
        throw_error<StorageError>(
            "{}: this job stood still for so long that another took the folder over: {}; it stops here",
            folder.string(), parse(text).text());
    }
};

FolderLock::FolderLock(const fs::path& folder, const FolderLockOptions& options)
    : impl_(std::make_unique<Impl>(folder, options)) {}
FolderLock::~FolderLock() = default;

void FolderLock::require_held() {
    impl_->require_held();
}

std::optional<FolderHolder> FolderLock::holder(const fs::path& folder) {
    const Descriptor file(folder / lock_name, O_RDONLY);
    if (!file) return std::nullopt;
    const std::string text = read_all(file);
    const FolderHolder found = parse(text);
    if (text.empty() || (is_free_by_kernel(file) && is_surely_dead(found, this_process())))
        return std::nullopt;
    return found;
}

}  // namespace divs::io
