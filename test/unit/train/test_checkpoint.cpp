#include <algorithm>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/bytes.hpp"
#include "divs/io/hdf5.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"
#include "unit/train/checkpoint_example.hpp"

using namespace divs;
using namespace divs::train;
using Catch::Matchers::ContainsSubstring;
using test::check_whole;
using test::example_info;
using test::Scratch;
using test::State;
namespace fs = std::filesystem;

namespace {

std::vector<std::int64_t> steps_in(const fs::path& folder) {
    std::vector<std::int64_t> steps;
    for (const auto& [step, file] : list_checkpoints(folder)) steps.push_back(step);
    return steps;
}

std::size_t files_in(const fs::path& folder) {  // without the lock of a store that lives
    const auto counts = [](const auto& entry) { return entry.path().filename() != ".divs-lock"; };
    return static_cast<std::size_t>(std::count_if(fs::directory_iterator(folder), {}, counts));
}

}  // namespace

TEST_CASE("checkpoint: all of it comes back") {
    const Scratch scratch;
    const State state(42);
    CheckpointInfo info = example_info(42);
    info.metric = 0.75;
    info.revision = "abc123";
    write_checkpoint(scratch / "a.h5", info, state.arrays());
    const Checkpoint in = read_checkpoint(scratch / "a.h5");
    check_whole(in);
    CHECK(in.info.model_json == info.model_json);
    CHECK(in.info.classes == info.classes);
    CHECK(in.info.clip_stride == 2);
    CHECK(in.info.step == 42);
    CHECK(in.info.trainer_json == info.trainer_json);
    CHECK(in.info.config == info.config);
    CHECK(in.info.revision == "abc123");
    CHECK(in.info.versions.at("onednn") == "2.6.3");
    CHECK(in.info.versions.at("hdf5") == io::hdf5_version());
    CHECK(in.info.data_fingerprint == 0xFEDCBA9876543210ULL);
    CHECK(in.info.metric == 0.75);
    CHECK(in.info.metric_name == "val accuracy");
    CHECK(in.info.created.size() == 20);
    CHECK(in.file == scratch / "a.h5");
    CHECK_FALSE(in.find("parameters/none"));
    CHECK(checkpoint_name(1200) == "step-00001200.h5");
}

TEST_CASE("checkpoint: arrays go back into an arena, or the error names what does not fit") {
    Checkpoint checkpoint;
    checkpoint.file = "some.h5";
    checkpoint.arrays = {{"parameters/a", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"parameters/b", {2}, {7, 8}}};
    std::vector<nn::ParameterView> views{{"a", {2, 3}, 0, 6}, {"b", {2}, 16, 2}};
    std::vector<float> arena(20, -1);
    restore_arrays(checkpoint, "parameters/", views, arena);
    CHECK(arena[5] == 6);
    CHECK(arena[6] == -1);
    CHECK(arena[17] == 8);
    std::vector<ArrayView> again;
    append_arrays(again, "parameters/", views, arena);
    REQUIRE(again.size() == 2);
    CHECK(again[1].name == "parameters/b");
    CHECK(again[1].values[0] == 7);
    views[0].dims = {3, 2};
    CHECK_THROWS_WITH(restore_arrays(checkpoint, "parameters/", views, arena),
                      ContainsSubstring("some.h5") && ContainsSubstring("shape (2, 3), expected (3, 2)"));
    views[0] = {"c", {2, 3}, 0, 6};
    CHECK_THROWS_WITH(restore_arrays(checkpoint, "parameters/", views, arena),
                      ContainsSubstring("has no \"parameters/c\""));
    views = {{"a", {2, 3}, 0, 6}};
    CHECK_THROWS_WITH(restore_arrays(checkpoint, "parameters/", views, arena), ContainsSubstring("of another model"));
}

TEST_CASE("checkpoint: the last k and the best are kept") {
    const Scratch scratch;
    const auto folder = scratch / "run";
    {
        CheckpointStore store(folder, 2, true);
        const std::vector<std::optional<double>> metrics{0.5, 0.9, std::nullopt, 0.7, 0.8};
        for (std::int64_t step = 1; step <= 5; ++step) {
            CheckpointInfo info = example_info(step);
            info.metric = metrics[static_cast<std::size_t>(step - 1)];
            const State state(step);
            CHECK(store.save(info, state.arrays(), CheckpointStore::Busy::wait) ==
                  CheckpointStore::Saved::started);
        }
        store.finish();
        CHECK(store.saves() == 5);
        CHECK(store.best_metric() == 0.9);
        CHECK(store.last_file() == folder / "step-00000005.h5");
        CHECK(store.failure().empty());
    }
    CHECK(steps_in(folder) == std::vector<std::int64_t>{5, 4});
    CHECK(load_best(folder)->info.step == 2);
    check_whole(*load_best(folder));
    CHECK(load_newest(folder)->info.step == 5);
    CHECK(CheckpointStore(folder, 2, true).best_metric() == 0.9);
    CHECK(files_in(folder) == 3);
}

TEST_CASE("checkpoint: a snapshot is what the state was, whatever training does next") {
    const Scratch scratch;
    CheckpointStore store(scratch.path(), 3, false);
    State state(1);
    store.reserve(state.arrays());
    for (std::int64_t step = 1; step <= 20; ++step) {
        state = State(step);
        store.save(example_info(step), state.arrays(), CheckpointStore::Busy::wait);
        std::fill(state.weight.begin(), state.weight.end(), 0.0F);
    }
    int skipped = 0;
    for (std::int64_t step = 21; step <= 40; ++step) {
        state = State(step);
        skipped += store.save(example_info(step), state.arrays()) == CheckpointStore::Saved::skipped;
    }
    store.finish();
    CHECK(store.saves() == 40 - skipped);
    for (const auto& [step, file] : list_checkpoints(scratch.path())) check_whole(read_checkpoint(file));
}

TEST_CASE("checkpoint: no folder or an empty one is no checkpoint") {
    const Scratch scratch;
    CHECK_FALSE(load_newest(scratch / "none"));
    CHECK_FALSE(load_newest(scratch.path()));
    test::write_text(scratch / "step-x.h5", "not a name of ours");
    test::write_text(scratch / "metrics.jsonl", "");
    CHECK_FALSE(load_newest(scratch.path()));
    test::write_text(scratch / "file", "x");
    CHECK_THROWS_AS(CheckpointStore(scratch / "file", 1, true), StorageError);
    CHECK_THROWS_AS(CheckpointStore(scratch / "run", 0, true), ConfigError);
}

TEST_CASE("checkpoint: a damaged one is named and the one before is used") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    for (std::int64_t step : {10, 20, 30}) test::write_example(scratch / checkpoint_name(step), step);
    const auto newest = scratch / checkpoint_name(30);
    const std::string good = test::read_text(newest);
    std::vector<std::string> bad;
    for (const double part : {0.0, 0.001, 0.01, 0.3, 0.7, 0.99})
        bad.push_back(good.substr(0, static_cast<std::size_t>(part * static_cast<double>(good.size()))));
    bad.push_back(good + "more");
    const Random random(1, Stream::test);
    for (std::uint64_t i = 0; i < 60; ++i) {  // seal, superblock, headers, attributes and data alike
        std::string flipped = good;
        const std::uint64_t at = i < 30 ? random.below(i, 4096) : random.below(i, good.size());
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << random.below(1000 + i, 8)));
        bad.push_back(flipped);
    }
    for (const auto& content : bad) {
        test::write_text(newest, content);
        std::vector<std::string> rejected;
        const auto found = load_newest(scratch.path(), &rejected);
        REQUIRE(found);
        CHECK(found->info.step == 20);
        check_whole(*found);
        REQUIRE(rejected.size() == 1);
        CHECK_THAT(rejected[0], ContainsSubstring("step-00000030.h5"));
    }
    test::write_text(scratch / checkpoint_name(20), "");
    test::write_text(scratch / checkpoint_name(10), good.substr(0, 2000));
    CHECK_THROWS_WITH(load_newest(scratch.path()),
                      ContainsSubstring("none of its 3 checkpoints") && ContainsSubstring("step-00000030.h5"));
    test::write_example(scratch / "best.h5", 15);
    CHECK(load_newest(scratch.path())->info.step == 15);
}

TEST_CASE("checkpoint: after a damaged one was passed over, new ones take its place") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    for (std::int64_t step : {10, 20, 30}) test::write_example(scratch / checkpoint_name(step), step);
    test::write_text(scratch / checkpoint_name(30), "damaged");
    CheckpointStore store(scratch.path(), 2, true);
    CHECK(load_newest(scratch.path())->info.step == 20);
    const State state(25);
    store.save(example_info(25), state.arrays());
    store.finish();
    CHECK(steps_in(scratch.path()) == std::vector<std::int64_t>{25, 20});
    check_whole(*load_newest(scratch.path()));
}

TEST_CASE("checkpoint: a newer format is refused and not passed over") {
    const Scratch scratch;
    test::write_example(scratch / checkpoint_name(1), 1);
    io::Hdf5Writer out;
    out.attribute("", "kind", "divs checkpoint");
    out.attribute("", "format", std::int64_t{checkpoint_format + 1});
    out.save(scratch / checkpoint_name(2));
    CHECK_THROWS_WITH(load_newest(scratch.path()),
                      ContainsSubstring("step-00000002.h5") && ContainsSubstring("format 2, newer than 1"));
    io::Hdf5Writer other;
    other.attribute("", "kind", "something else");
    other.save(scratch / checkpoint_name(2));
    CHECK_THROWS_WITH(read_checkpoint(scratch / checkpoint_name(2)), ContainsSubstring("is not a checkpoint of divs"));
    CHECK(load_newest(scratch.path())->info.step == 1);
}

TEST_CASE("checkpoint: a disk that is full costs the new one only") {
    log::configure("off", 0, 1);
    const Scratch scratch;
    const pid_t child = ::fork();
    if (child == 0) {  // the limit on the size of files stands for the full disk
        int wrong = 0;
        {
            CheckpointStore store(scratch.path(), 2, true);
            const State first(1);
            store.save(example_info(1), first.arrays());
            store.finish();
            ::signal(SIGXFSZ, SIG_IGN);
            const rlimit limit{20'000, RLIM_INFINITY};
            ::setrlimit(RLIMIT_FSIZE, &limit);
            const State second(2);
            store.save(example_info(2), second.arrays());
            try {
                store.finish();
                wrong = 1;
            } catch (const StorageError& e) {
                if (std::string(e.what()).find("step-00000002.h5") == std::string::npos) wrong = 2;
            }
            if (files_in(scratch.path()) != 1 || load_newest(scratch.path())->info.step != 1) wrong = 3;
            const rlimit room{RLIM_INFINITY, RLIM_INFINITY};
            ::setrlimit(RLIMIT_FSIZE, &room);
            const State third(3);
            store.save(example_info(3), third.arrays());  // room again: it goes on
            store.finish();
            if (!store.failure().empty() || load_newest(scratch.path())->info.step != 3) wrong = 4;
        }
        ::_exit(wrong);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    check_whole(*load_newest(scratch.path()));
}

TEST_CASE(
    "checkpoint: killed at any instant, the newest is whole and never older than one that was finished") {
    const Scratch scratch;
    const Random random(9, Stream::test);
    constexpr std::size_t size = 60'000;
    std::int64_t step = 0;
    for (std::uint64_t round = 0; round < 25; ++round) {
        int pipe[2];
        REQUIRE(::pipe(pipe) == 0);
        const pid_t child = ::fork();
        if (child == 0) {
            CheckpointStore store(scratch.path(), 2, true);
            for (std::int64_t s = step + 1;; ++s) {
                const State state(s, size);
                CheckpointInfo info = example_info(s);
                info.metric = static_cast<double>(s % 7);
                store.save(info, state.arrays(), CheckpointStore::Busy::wait);
                if (s % 3 == 0) {
                    store.finish();
                    if (::write(pipe[1], &s, sizeof s) != sizeof s) ::_exit(1);
                }
            }
        }
        ::close(pipe[1]);
        std::int64_t finished = 0, told = 0;
        REQUIRE(::read(pipe[0], &told, sizeof told) == sizeof told);  // it is under way
        finished = told;
        ::usleep(static_cast<useconds_t>(random.below(round, 15'000)));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        while (::read(pipe[0], &told, sizeof told) == sizeof told) finished = told;
        ::close(pipe[0]);
        std::vector<std::string> rejected;
        const auto found = load_newest(scratch.path(), &rejected);
        REQUIRE(found);
        CHECK(rejected.empty());
        check_whole(*found, size);
        CHECK(found->info.step >= finished);
        step = found->info.step;
    }
    CheckpointStore store(scratch.path(), 2, true);  // sweeps what the killed left
    for (const auto& entry : fs::directory_iterator(scratch.path()))
        CHECK_THAT(entry.path().filename().string(), !ContainsSubstring(".tmp-"));
    check_whole(*load_best(scratch.path()), size);
    CHECK(steps_in(scratch.path()).size() <= 3);
}
