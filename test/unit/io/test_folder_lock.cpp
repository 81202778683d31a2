// One process at a time in a folder: dead holders do not block, living ones do, on this host and on others.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/folder_lock.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::io;
using Catch::Matchers::ContainsSubstring;
using test::Scratch;
namespace fs = std::filesystem;

namespace {

const FolderLockOptions quick{0.1, 0.05, 0.5};

// The lock file of a job on another host, whose clock is years ahead.
std::string foreign(std::uint64_t beat, const std::string& job = "", const std::string& attempt = "") {
    return fmt::format(
        "token 0123456789abcdef\nhost elsewhere\nboot 00000000-1111\nprocess 4242\njob {}\nattempt {}\n"
        "started 2039-01-02T03:04:05Z\nbeat {:020}\n",
        job, attempt, beat);
}

std::string refusal(const fs::path& folder, const FolderLockOptions& options = quick) {
    try {
        const FolderLock lock(folder, options);
    } catch (const StorageError& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("folder lock: a second is refused, naming the first, until that leaves") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    {
        setenv("SLURM_JOB_ID", "17", 1);
        FolderLock first(scratch / "run", quick);
        unsetenv("SLURM_JOB_ID");
        char host[256] = "";
        gethostname(host, sizeof host - 1);
        const std::string why = refusal(scratch / "run");
        CHECK_THAT(why, ContainsSubstring((scratch / "run").string()) && ContainsSubstring(host) &&
                            ContainsSubstring("process " + std::to_string(getpid())) &&
                            ContainsSubstring("Slurm job 17") && ContainsSubstring("since 2"));
        REQUIRE(FolderLock::holder(scratch / "run"));
        CHECK(FolderLock::holder(scratch / "run")->process == std::to_string(getpid()));
        first.require_held();
    }
    CHECK(fs::is_empty(scratch / "run"));
    CHECK_FALSE(FolderLock::holder(scratch / "run"));
    CHECK(refusal(scratch / "run").empty());
}

TEST_CASE("folder lock: a holder that was killed blocks nobody") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const FolderLock lock(scratch.path(), quick);
        if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    char ready = 0;
    REQUIRE(::read(pipe[0], &ready, 1) == 1);
    CHECK_THAT(refusal(scratch.path()), ContainsSubstring("process " + std::to_string(child)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK(fs::exists(scratch / ".divs-lock"));
    CHECK_FALSE(FolderLock::holder(scratch.path()));
    CHECK(refusal(scratch.path(), {0.1, 1, 1000}).empty());  // and nothing is watched for
}

TEST_CASE("folder lock: a dead holder of another host is waited out, whatever the clocks say") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    test::write_text(scratch / ".divs-lock", foreign(7));
    CHECK(FolderLock::holder(scratch.path())->host == "elsewhere");
    Stopwatch watch;
    CHECK(refusal(scratch.path()).empty());
    CHECK(watch.seconds() >= quick.watch);
}

TEST_CASE("folder lock: a living holder of another host is seen by its beat") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    std::atomic<bool> stop{false};
    test::write_text(scratch / ".divs-lock", foreign(0));
    std::thread other([&] {
        for (std::uint64_t beat = 1; !stop; ++beat) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            std::ofstream(scratch / ".divs-lock", std::ios::in | std::ios::out) << foreign(beat);
        }
    });
    const std::string why = refusal(scratch.path(), {0.1, 0.05, 60});
    stop = true;
    other.join();
    CHECK_THAT(why, ContainsSubstring("host elsewhere, process 4242") && ContainsSubstring("2039-01-02"));
}

TEST_CASE("folder lock: an earlier start of the same queued job is known to be dead") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    test::write_text(scratch / ".divs-lock", foreign(7, "Slurm job 17", "1"));
    setenv("SLURM_JOB_ID", "17", 1);
    setenv("SLURM_RESTART_COUNT", "2", 1);
    CHECK(refusal(scratch.path(), {0.1, 1, 1000}).empty());
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

TEST_CASE("folder lock: of several that come at once one gets in") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    std::atomic<int> in{0}, refused{0}, done{0};
    constexpr int count = 8;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&] {
            try {
                const FolderLock lock(scratch.path(), quick);
                ++in;
                ++done;
                while (done < count) std::this_thread::sleep_for(std::chrono::milliseconds(5));
            } catch (const StorageError&) {
                ++refused;
                ++done;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(in == 1);
    CHECK(refused == count - 1);
}

TEST_CASE("folder lock: who was taken for dead stops, who only lost the file goes on") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    FolderLock lock(scratch.path(), {0.1, 1000, 0.5});
    fs::remove(scratch / ".divs-lock");
    lock.require_held();
    CHECK_THAT(refusal(scratch.path()), ContainsSubstring("another job"));
    test::write_text(scratch / ".divs-lock", foreign(7));
    CHECK_THROWS_WITH(lock.require_held(),
                      ContainsSubstring("elsewhere") && ContainsSubstring("took the folder over"));
}

TEST_CASE("folder lock: where it cannot be written it says so at once") {
    const Scratch scratch;
    test::write_text(scratch / "file", "");
    CHECK_THAT(refusal(scratch / "file"), ContainsSubstring("file"));
    CHECK_THAT(refusal("/proc/1/fdinfo"), ContainsSubstring("cannot be"));
}

TEST_CASE("room in a folder is asked for before it is needed") {
    const Scratch scratch;
    require_room(scratch.path(), 1 << 20);
    CHECK(fs::is_empty(scratch.path()));
    CHECK_THROWS_WITH(require_room(scratch.path(), std::uint64_t{1} << 60),
                      ContainsSubstring("too little room"));
    CHECK_THROWS_AS(require_room(scratch / "nowhere", 1), StorageError);
    CHECK(fs::is_empty(scratch.path()));
}
