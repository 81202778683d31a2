// What a file system does to checkpoints: a disk that really is full, and things that are no files.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/jsonl.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"
#include "unit/train/checkpoint_example.hpp"

using namespace divs;
using namespace divs::train;
using Catch::Matchers::ContainsSubstring;
using test::example_info;
using test::Scratch;
using test::State;
namespace fs = std::filesystem;

namespace {

constexpr int cannot_mount = 77;

// Mounts a small disk in memory, seen by this process alone. Without privileges it needs user namespaces.
bool mount_disk(const fs::path& folder, const char* options) {
    fs::create_directories(folder);
    const int flags = CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
    return ::unshare(flags) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", folder.c_str(), "tmpfs", 0, options) == 0;
}

// Takes all the room there is.
void fill_disk(const fs::path& file) {
    std::FILE* out = std::fopen(file.c_str(), "wb");
    const std::string block(4096, 'x');
    while (std::fwrite(block.data(), 1, block.size(), out) == block.size() && std::fflush(out) == 0) {
    }
    std::fclose(out);
}

// Runs `work` in a child process and gives its exit code.
template <class Work>
int in_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        log::configure("off", 0, 1);
        int code = 99;
        try {
            code = work();
        } catch (const std::exception& e) {
            std::fprintf(stderr, "%s\n", e.what());
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// 0 where all went as it should, else the number of what did not.
int save_on_full_disk(const fs::path& disk) {
    if (!mount_disk(disk, "size=256k")) return cannot_mount;
    CheckpointStore store(disk, 3, true);
    io::JsonLines metrics(disk / "metrics.jsonl");
    const auto save = [&](std::int64_t step) {
        const State state(step);
        CheckpointInfo info = example_info(step);
        info.metric = static_cast<double>(step);
        store.save(info, state.arrays(), CheckpointStore::Busy::wait);
    };
    const auto fails = [&] {
        try {
            store.finish();
            return false;
        } catch (const StorageError& e) {
            return std::string(e.what()).find("No space left on device") != std::string::npos;
        }
    };
    save(1);
    store.finish();
    fill_disk(disk / "ballast");
    for (std::int64_t step = 2; step <= 4; ++step) {  // again and again, and nothing piles up
        save(step);
        if (!fails()) return 1;
        metrics.write({{"step", step}});
    }
    if (metrics.waiting() == 0) return 2;
    for (const auto& entry : fs::directory_iterator(disk))
        if (entry.path().filename().string().find(".tmp-") != std::string::npos) return 3;
    const auto kept = load_newest(disk);
    if (!kept || kept->info.step != 1 || kept->find("parameters/conv1.weight")->values != State(1).weight)
        return 4;
    if (store.best_metric() != 1.0) return 5;
    fs::remove(disk / "ballast");
    save(5);
    store.finish();
    metrics.write({{"step", 5}});
    if (load_newest(disk)->info.step != 5) return 6;
    std::string lines;  // those that waited are there too
    for (int step = 2; step <= 5; ++step) lines += "{\"step\":" + std::to_string(step) + "}\n";
    if (metrics.waiting() != 0 || test::read_text(disk / "metrics.jsonl") != lines) return 7;
    return 0;
}

}  // namespace

TEST_CASE("a full disk: older checkpoints stay, and it goes on when there is room") {
    const Scratch scratch;
    const int code = in_child([&] { return save_on_full_disk(scratch / "disk"); });
    if (code == cannot_mount) {
        WARN("cannot mount a small disk here: skipped");
        return;
    }
    CHECK(code == 0);
}

TEST_CASE("a disk that turned read-only: said, and older checkpoints are still read") {
    const Scratch scratch;
    const int code = in_child([&] {
        const auto disk = scratch / "disk";
        if (!mount_disk(disk, "size=1m")) return cannot_mount;
        CheckpointStore store(disk, 3, true);
        const State state(1);
        store.save(example_info(1), state.arrays());
        store.finish();
        if (::mount("none", disk.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return cannot_mount;
        store.save(example_info(2), state.arrays());
        try {
            store.finish();
            return 1;
        } catch (const StorageError& e) {
            if (std::string(e.what()).find("Read-only file system") == std::string::npos) return 2;
        }
        return load_newest(disk)->info.step == 1 ? 0 : 3;
    });
    if (code == cannot_mount) {
        WARN("cannot mount a small disk here: skipped");
        return;
    }
    CHECK(code == 0);
}

TEST_CASE("what is no file, or cannot be opened, is passed over by name") {
    const Scratch scratch;
    log::configure("off", 0, 1);
    test::write_example(scratch / checkpoint_name(1), 1);
    fs::create_directory(scratch / checkpoint_name(2));
    REQUIRE(::mkfifo((scratch / checkpoint_name(3)).c_str(), 0600) == 0);
    fs::create_symlink(scratch / "nowhere", scratch / checkpoint_name(4));
    test::write_example(scratch / checkpoint_name(5), 5);
    fs::permissions(scratch / checkpoint_name(5), fs::perms::none);
    const bool readable = ::access((scratch / checkpoint_name(5)).c_str(), R_OK) == 0;  // root may read all
    std::vector<std::string> rejected;
    const auto found = load_newest(scratch.path(), &rejected);
    REQUIRE(found);
    CHECK(found->info.step == (readable ? 5 : 1));
    if (!readable) {
        REQUIRE(rejected.size() == 4);
        CHECK_THAT(rejected[0], ContainsSubstring(checkpoint_name(5)) && ContainsSubstring("Permission denied"));
    }
    fs::permissions(scratch / checkpoint_name(5), fs::perms::owner_all);
    fs::remove(scratch / checkpoint_name(5));
    rejected.clear();
    REQUIRE(load_newest(scratch.path(), &rejected)->info.step == 1);
    REQUIRE(rejected.size() == 3);
    CHECK_THAT(rejected[0], ContainsSubstring(checkpoint_name(4)) && ContainsSubstring("No such file"));
    CHECK_THAT(rejected[1], ContainsSubstring(checkpoint_name(3)) && ContainsSubstring("not a regular file"));
    CHECK_THAT(rejected[2], ContainsSubstring(checkpoint_name(2)) && ContainsSubstring("is a folder"));
}
