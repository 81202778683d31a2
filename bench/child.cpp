#include "child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"

namespace divs::bench {
namespace {

constexpr double patience = 20;           // seconds between asking to end and ending
constexpr std::size_t tail_bytes = 2000;  // of the output, in messages

void pause() {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// This thread runs on the given cores, and so does what it starts, until the end of the scope.
class OnCores {
  public:
    explicit OnCores(const std::vector<int>& cores) {
        if (cores.empty() || sched_getaffinity(0, sizeof before_, &before_) != 0) return;
        cpu_set_t wanted;
        CPU_ZERO(&wanted);
        for (const int core : cores) CPU_SET(static_cast<std::size_t>(core), &wanted);
        changed_ = sched_setaffinity(0, sizeof wanted, &wanted) == 0;
    }
    ~OnCores() {
        if (changed_) sched_setaffinity(0, sizeof before_, &before_);
    }
    OnCores(const OnCores&) = delete;
    OnCores& operator=(const OnCores&) = delete;

  private:
    cpu_set_t before_{};
    bool changed_ = false;
};

// Where a program's input and output go.
class FileActions {
  public:
    explicit FileActions(const std::string& log) {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                         0644);
        posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
    }
    ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_{};
};

}  // namespace

Child::Child(const std::vector<std::string>& command, std::filesystem::path log,
             const std::vector<int>& cores)
    : command_(command), log_(std::move(log)) {
    std::vector<char*> arguments;
    for (std::string& word : command_) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const OnCores bound(cores);
    const FileActions actions(log_.string());
    const int error =
        posix_spawnp(&process_, arguments[0], actions.get(), nullptr, arguments.data(), environ);
    if (error != 0) {
        process_ = -1;
        throw_error<Error>("{}: cannot be started: {}", command_[0], std::generic_category().message(error));
    }
}

Child::Child(Child&& other) noexcept
    : command_(std::move(other.command_)),
      log_(std::move(other.log_)),
      process_(std::exchange(other.process_, -1)),
      status_(other.status_) {}

Child::~Child() {
    // A launcher hands USR1 on and waits for its ranks; on TERM mpirun may be gone before they are.
    for (const int signal : {SIGUSR1, SIGTERM, SIGKILL}) {
        if (!running()) return;
        kill(process_, signal);
        const Stopwatch watch;
        while (running() && watch.seconds() < patience) pause();
    }
}

bool Child::running() {
    if (process_ < 0) return false;
    int raw = 0;
    if (waitpid(process_, &raw, WNOHANG) == 0) return true;
    status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    process_ = -1;
    return false;
}

std::string Child::describe() const {
    std::string text;
    for (const std::string& word : command_) text += (text.empty() ? "" : " ") + word;
    return text;
}

std::string Child::last_words() const {
    std::ifstream in(log_, std::ios::binary);
    const std::string all{std::istreambuf_iterator<char>(in), {}};
    return all.substr(all.size() - std::min(all.size(), tail_bytes));
}

void wait_for(std::vector<Child>& children, double seconds, const std::function<bool()>& stopped) {
    const Stopwatch watch;
    const auto runs = [](Child& child) { return child.running(); };
    while (std::ranges::any_of(children, runs)) {
        if (stopped()) throw_error<Error>("stopped by a signal");
        if (watch.seconds() > seconds)
            throw_error<Error>("{}: did not end within {:.0f} s; its last words:\n{}", children[0].describe(),
                               seconds, children[0].last_words());
        for (Child& child : children)
            if (!child.running() && child.status() != 0)
                throw_error<Error>("{}: ended with code {}; its last words:\n{}", child.describe(),
                                   child.status(), child.last_words());
        pause();
    }
    for (const Child& child : children)
        if (child.status() != 0)
            throw_error<Error>("{}: ended with code {}; its last words:\n{}", child.describe(),
                               child.status(), child.last_words());
}

std::vector<int> own_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cores;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
    for (int core = 0; core < CPU_SETSIZE; ++core)
        if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
    return cores;
}

}  // namespace divs::bench
