// Bad videos, and ranks that die: each is survived or refused with a reason, and no sample is lost or trained
// twice.
#include <nlohmann/json.hpp>
#include <sstream>

#include "divs/core/random.hpp"
#include "divs/train/checkpoint.hpp"
#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs;
using namespace divs::test;
namespace fs = std::filesystem;

namespace {

std::string config(const Scratch& scratch, const std::string& more = "") {
    write_text(scratch / "run.toml",
               "[data]\ndataset = \"data\"\nshard_seconds = 0.3\n[clip]\nhop = 2\n[model]\nheight = "
               "24\nwidth = 32\nthreads = 1\n"
               "[optimizer]\nlearning_rate = 0.01\n[train]\nfolder = \"run\"\nepochs = 2\nbatch = 8\n" +
                   more);
    return (scratch / "run.toml").string();
}

// Steps' samples over the chain of updates that led to the end: after a restart the chain goes on at the
// first step that is written again.
double samples_in_chain(const Scratch& scratch) {
    std::map<std::int64_t, double> steps;
    std::istringstream text(read_text(scratch / "run" / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);)
        if (const auto object = nlohmann::json::parse(line); object["kind"] == "step") {
            steps.erase(steps.lower_bound(object["step"]), steps.end());
            steps[object["step"]] = object["samples"];
        }
    double sum = 0;
    for (const auto& [step, samples] : steps) sum += samples;
    return sum;
}

}  // namespace

TEST_CASE("files that cannot be read are named and left out, the rest is trained on") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const fs::path data = scratch / "data";
    const std::string whole = read_text(data / "v1.mp4");
    fs::remove(data / "v0.mp4");                                     // missing
    write_text(data / "v1.mp4", "");                                 // empty
    write_text(data / "v2.mp4", whole.substr(0, whole.size() / 3));  // truncated: its index is gone
    write_text(data / "v3.mp4", "this is no video at all\n");        // mislabelled
    fs::remove(data / "v4.mp4");
    fs::create_directory(data / "v4.mp4");  // a folder as a video
    const auto outcome = divs::test::divs("train " + config(scratch), 2);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    for (const char* name : {"v0.mp4", "v1.mp4", "v2.mp4", "v3.mp4", "v4.mp4"})
        CHECK_THAT(outcome.err, ContainsSubstring(std::string(name) + " is left out"));
    CHECK(samples_in_chain(scratch) == 2 * 3 * 12);
}

TEST_CASE("flipped bits in a video lose at most its own samples, each with a reason") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    std::string bytes = read_text(scratch / "data" / "v3.mp4");
    const Random random(4, Stream::test);
    for (std::uint64_t i = 0; i < 40; ++i)  // behind the header, before the index at the end
        bytes[100 + random.below(i, bytes.size() / 2)] ^= static_cast<char>(1 << random.below(100 + i, 8));
    write_text(scratch / "data" / "v3.mp4", bytes);
    const auto outcome = divs::test::divs("train " + config(scratch), 2);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring("used once"));
    CHECK(samples_in_chain(scratch) >= 2 * 7 * 12);
}

TEST_CASE("a video that changed after it was indexed is indexed anew") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    REQUIRE(divs::test::divs("index " + (scratch / "data").string()).status == 0);
    make_small_dataset(scratch / "other", {.videos = 2, .frames = 48, .val_videos = 1});
    fs::copy_file(scratch / "other" / "v0.mp4", scratch / "data" / "v0.mp4",
                  fs::copy_options::overwrite_existing);
    const auto outcome = divs::test::divs("train " + config(scratch), 2);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK(samples_in_chain(scratch) == 2 * (7 * 12 + 24));
}

TEST_CASE("videos that are gone in the middle of a training stop it, and it goes on when they are back") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string file = config(scratch);
    const int ranks = GENERATE(1, 2);
    const auto stopped =
        run_command("sh -c '" + divs_command("train " + file + " --set train.epochs=400", ranks) +
                    " & job=$!; until grep -qs eval " + (scratch / "run").string() +
                    "/metrics.jsonl; do kill -0 $job || break; sleep 0.05; done; mv " +
                    (scratch / "data").string() + " " + (scratch / "away").string() + "; wait $job'");
    INFO(stopped.text());
    CHECK(stopped.status == 3);
    CHECK_THAT(stopped.err, ContainsSubstring("none of its") && ContainsSubstring("could be read"));
    fs::rename(scratch / "away", scratch / "data");
    const auto epoch = train::load_newest(scratch / "run")->info.epoch;
    const auto resumed =
        divs::test::divs("train " + file + " --set train.epochs=" + std::to_string(epoch + 2), ranks);
    INFO(resumed.text());
    CHECK(resumed.status == 0);
    CHECK_THAT(resumed.err, ContainsSubstring("resuming from"));
}

TEST_CASE("a run does not go on with other data than it was begun with") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    REQUIRE(divs::test::divs("train " + config(scratch) + " --set train.epochs=1").status == 0);
    fs::remove(scratch / "data" / "v0.mp4");
    const auto outcome = divs::test::divs("train " + config(scratch), 2);
    CHECK(outcome.status == 3);
    CHECK_THAT(outcome.err, ContainsSubstring("other data"));
}

TEST_CASE("a run does not go on with another model or optimizer than it was begun with") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string file = config(scratch);
    REQUIRE(divs::test::divs("train " + file + " --set train.epochs=1").status == 0);
    for (const auto& [change, words] : {std::pair{"model.name=resnet18", "another model (tiny"},
                                        std::pair{"model.height=32", "another model (tiny"},
                                        std::pair{"optimizer.name=adamw", "another optimizer"}}) {
        INFO(change);
        const auto outcome = divs::test::divs("train " + file + " --set " + change, 2);
        CHECK(outcome.status == 3);
        CHECK_THAT(outcome.err, ContainsSubstring(words) && ContainsSubstring("another train.folder"));
    }
}

TEST_CASE("kill -9 of any rank at any time loses nothing that was saved, and no sample is trained twice") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string file = config(scratch, "checkpoint_steps = 2\n");
    const Random random(9, Stream::test);
    for (std::uint64_t round = 0; round < 4; ++round) {
        const auto victim = random.below(round, 2);
        const double after = random.uniform(10 + round, 0.4, 2.0);
        // The rank's own process, found by its number in the environment that mpirun gave it.
        run_command("bash -c '" + divs_command("train " + file + " --throttle 1=6", 2) + " & job=$!; sleep " +
                    std::to_string(after) + "; for p in $(pgrep -P $job); do grep -qz OMPI_COMM_WORLD_RANK=" +
                    std::to_string(victim) + " /proc/$p/environ && kill -9 $p; done; wait $job'");
    }
    const auto outcome = divs::test::divs("train " + file, 4);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring("96 of 96 samples used once"));
    CHECK(samples_in_chain(scratch) == 2 * 8 * 12);
}

TEST_CASE("order = global: a run that goes on in front of an epoch's last, smaller batch leaves nothing out") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    // 96 samples: one batch of 64 and one of 32, with a checkpoint between them.
    const std::string file = config(scratch, "order = \"global\"\ncheckpoint_steps = 1\nkeep_last = 9\n");
    REQUIRE(divs::test::divs("train " + file + " --set train.batch=64").status == 0);
    for (const int ranks : {1, 3}) {
        for (const auto& [step, saved] : train::list_checkpoints(scratch / "run"))
            if (step > 1) fs::remove(saved);
        fs::remove(scratch / "run" / "best.h5");
        const auto outcome = divs::test::divs("train " + file + " --set train.batch=64", ranks);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        CHECK_THAT(outcome.err,
                   ContainsSubstring("step-00000001.h5") && ContainsSubstring("32 samples of it left"));
        CHECK(samples_in_chain(scratch) == 2 * 8 * 12);
    }
    SECTION("the same where the whole data set is less than a batch") {
        fs::remove_all(scratch / "run");
        const auto outcome = divs::test::divs("train " + file + " --set train.batch=1000", 2);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        CHECK(samples_in_chain(scratch) == 2 * 8 * 12);
    }
}

TEST_CASE("an unreadable checkpoint is named, and the one before is used") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string file = config(scratch, "checkpoint_steps = 4\nkeep_last = 4\n");
    REQUIRE(divs::test::divs("train " + file).status == 0);
    const auto saved = train::list_checkpoints(scratch / "run");
    REQUIRE(saved.size() >= 2);
    const std::string bytes = read_text(saved[0].second);
    write_text(saved[0].second, bytes.substr(0, bytes.size() / 2));
    const auto outcome = divs::test::divs("train " + file, 2);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring(saved[0].second.filename().string()) &&
                                ContainsSubstring("resuming from " + saved[1].second.string()));
    CHECK(samples_in_chain(scratch) == 2 * 8 * 12);
}

TEST_CASE("a disk without room does not stop training, and the end says so") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    // A limit on the size of written files stands for the full disk: the checkpoint cannot be written whole.
    const auto outcome =
        run_command("bash -c 'ulimit -f 5200; trap \"\" XFSZ; " +
                    divs_command("train " + config(scratch) + " --set optimizer.name=adamw") + "'");
    INFO(outcome.text());
    CHECK(outcome.status == 4);
    CHECK_THAT(outcome.err, ContainsSubstring("step-"));
    CHECK(samples_in_chain(scratch) == 2 * 8 * 12);
    for (const auto& entry : fs::directory_iterator(scratch / "run"))
        CHECK(entry.path().extension() != ".tmp");
}

TEST_CASE("a file longer than the process may write is an error that is told, and leaves nothing behind") {
    const Scratch scratch;
    const std::string file = (scratch / "model.h5").string();
    const auto outcome =
        run_command("bash -c 'ulimit -f 100; " +
                    divs_command("export fresh:tiny " + file + " --size 32 --classes 2") + "'");
    INFO(outcome.text());
    CHECK(outcome.status == 4);
    CHECK_THAT(outcome.err, ContainsSubstring("model.h5") && ContainsSubstring("File too large"));
    CHECK(fs::is_empty(scratch.path()));
}
