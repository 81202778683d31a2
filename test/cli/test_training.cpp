// Training end to end: what a run learns, repeats, resumes and survives does not depend on how many ranks
// there are.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "divs/train/checkpoint.hpp"
#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs;
using namespace divs::test;

namespace {

std::string config(const Scratch& scratch, const std::string& name, const std::string& more = "") {
    const auto file = scratch / (name + ".toml");
    write_text(file,
               "[data]\ndataset = \"data\"\nshard_seconds = 0.3\nmix = 16\n[clip]\nhop = 2\n"
               "[model]\nname = \"tiny\"\nheight = 32\nwidth = 48\nthreads = 1\n"
               "[optimizer]\nname = \"sgd\"\nlearning_rate = 0.02\n"
               "[train]\nfolder = \"" +
                   name + "\"\nepochs = 2\nbatch = 12\n" + more);
    return file.string();
}

// Without batch norm small differences of rounding stay small, and parameters can be compared closely.
void write_plain_model(const Scratch& scratch) {
    write_text(
        scratch / "plain.model",
        "conv out=8 kernel=5 stride=2 pad=2 bias\nrelu\nconv out=16 kernel=3 stride=2 pad=1 bias\nrelu\n"
        "adaptive_pool out=2\nlinear out=classes\n");
}

train::Checkpoint newest(const Scratch& scratch, const std::string& name) {
    auto checkpoint = train::load_newest(scratch / name);
    REQUIRE(checkpoint);
    return std::move(*checkpoint);
}

// The largest difference between parameters, relative to the largest parameter.
double difference(const train::Checkpoint& a, const train::Checkpoint& b) {
    double worst = 0, scale = 1e-12;
    REQUIRE(a.arrays.size() == b.arrays.size());
    for (const auto& array : a.arrays) {
        if (array.name.rfind("parameters/", 0) != 0) continue;
        const auto* other = b.find(array.name);
        REQUIRE(other);
        for (std::size_t i = 0; i < array.values.size(); ++i) {
            worst = std::max(worst, std::abs(double{array.values[i]} - other->values[i]));
            scale = std::max(scale, std::abs(double{array.values[i]}));
        }
    }
    return worst / scale;
}

std::vector<nlohmann::json> metrics(const Scratch& scratch, const std::string& name,
                                    const std::string& kind) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(read_text(scratch / name / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);)
        if (auto object = nlohmann::json::parse(line); object["kind"] == kind) lines.push_back(object);
    return lines;
}

}  // namespace

TEST_CASE("a model learns, evaluates and reports on one rank and on two") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    for (const int ranks : {0, 2}) {
        const std::string name = "run" + std::to_string(ranks);
        const auto outcome =
            divs::test::divs("train " + config(scratch, name) + " --set train.epochs=6 --trace", ranks);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        const auto evaluations = metrics(scratch, name, "eval");
        REQUIRE(evaluations.size() == 6);
        CHECK(evaluations.back()["accuracy"].get<double>() > 0.9);
        CHECK(evaluations.back()["samples"] == 4 * 12);
        double trained = 0;
        for (const auto& step : metrics(scratch, name, "step")) trained += step["samples"].get<double>();
        CHECK(trained == 6 * 8 * 12);  // each sample once an epoch
        CHECK(std::filesystem::exists(scratch / name / "report.html"));
        CHECK(nlohmann::json::accept(read_text(scratch / name / "trace.json")));
        const auto evaluated = divs::test::divs("eval " + config(scratch, name), ranks);
        CHECK(evaluated.status == 0);
        CHECK_THAT(evaluated.out, ContainsSubstring("accuracy") && ContainsSubstring("confusion"));
    }
}

TEST_CASE("a training that is through says so when it is started again, and keeps its report") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string command = "train " + config(scratch, "run");
    REQUIRE(divs::test::divs(command, 2).status == 0);
    const std::string report = read_text(scratch / "run/report.html");
    const auto again = divs::test::divs(command, 2);
    INFO(again.text());
    CHECK(again.status == 0);
    CHECK_THAT(again.text(), ContainsSubstring("finished before: step 16 was the last of epoch 2") &&
                                 !ContainsSubstring("limited by"));
    CHECK(read_text(scratch / "run/report.html") == report);
    CHECK(metrics(scratch, "run", "summary").size() == 1);

    // More epochs than before are trained.
    const auto more = divs::test::divs(command + " --set train.epochs=3", 2);
    INFO(more.text());
    CHECK(more.status == 0);
    CHECK_THAT(more.text(), ContainsSubstring("24 (8 in this run)"));
    CHECK(read_text(scratch / "run/report.html") != report);
}

TEST_CASE("every evaluated epoch has its checkpoint, and a checkpoint says what its own parameters reached") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    // A checkpoint is under way wherever an epoch of 8 steps ends.
    const auto outcome =
        divs::test::divs("train " + config(scratch, "run") +
                         " --set train.epochs=6 --set train.evaluate_epochs=2 --set train.keep_last=99"
                         " --set train.checkpoint_steps=7 --set train.checkpoint_epochs=1");
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    std::map<std::int64_t, double> reached;  // by the step after the epoch
    for (const auto& line : metrics(scratch, "run", "eval"))
        reached[8 * (line["epoch"].get<std::int64_t>() + 1)] = line["accuracy"];
    REQUIRE(reached.size() == 3);
    for (std::int64_t step = 8; step <= 48; step += 8) {
        INFO("step " << step);
        const auto checkpoint = train::read_checkpoint(scratch / "run" / train::checkpoint_name(step));
        const auto found = reached.find(step);
        REQUIRE(checkpoint.info.metric.has_value() == (found != reached.end()));
        if (found != reached.end()) CHECK(*checkpoint.info.metric == Approx(found->second));
    }
    const auto best = train::read_checkpoint(scratch / "run" / "best.h5");
    for (const auto& [step, accuracy] : reached) CHECK(*best.info.metric >= Approx(accuracy));
    // What was asked for beside training is kept with it.
    CHECK_THAT(best.info.config, ContainsSubstring("[topology]") && ContainsSubstring("timeout_s"));
}

TEST_CASE("in a global order the parameters do not depend on the number of ranks or their shares") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    write_plain_model(scratch);
    // With batch norm over all ranks rounding grows from step to step: few steps, and a wider bound.
    struct Variant {
        std::string name, more;
        double tolerance;
    };
    for (const Variant& variant :
         {Variant{"plain", " --set model.file=plain.model", 1e-5},
          Variant{"normed", " --set optimizer.learning_rate=0.001 --set train.epochs=1", 2e-3}}) {
        const std::string order = "order = \"global\"\nnorm = \"sync\"\nseed = 5\n";
        const std::string one = variant.name + "1";
        REQUIRE(divs::test::divs("train " + config(scratch, one, order) + variant.more).status == 0);
        for (const int ranks : {2, 4}) {
            const std::string name = variant.name + std::to_string(ranks);
            // Slowing a rank makes the scheduler give it smaller shares of the batch.
            const auto outcome =
                divs::test::divs("train " + config(scratch, name, order + "[scheduler]\ninterval = 3\n") +
                                     variant.more + " --throttle 1=3",
                                 ranks);
            INFO(variant.name << " at " << ranks << " ranks: " << outcome.text());
            REQUIRE(outcome.status == 0);
            CHECK(difference(newest(scratch, one), newest(scratch, name)) < variant.tolerance);
        }
    }
}

TEST_CASE("a deterministic run repeats bit for bit") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    for (const std::string name : {"a", "b"}) {
        const auto outcome = divs::test::divs("train " + config(scratch, name, "deterministic = true\n"), 2);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
    }
    CHECK(difference(newest(scratch, "a"), newest(scratch, "b")) == 0);
}

TEST_CASE("where each rank has files of its own, shards travel and every sample is trained once") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    namespace fs = std::filesystem;
    for (const std::string node : {"node0", "node1"}) fs::create_directories(scratch / node);
    for (int video = 0; video < 12; ++video) {
        const std::string name = "v" + std::to_string(video) + ".mp4";
        fs::rename(scratch / "data" / name, scratch / (video % 4 < 2 ? "node0" : "node1") / name);
    }
    write_text(scratch / "data" / "dataset.toml", "root = \"${NODE}\"\nlabels = \"labels.tsv\"\n");
    // The epochs are so short that a move that took its usual 50 ms would never pay.
    // The epochs are so short that moves that took their usual 50 ms would never pay.
    const std::string file = config(
        scratch, "run", "[scheduler]\ninterval = 2\nstorage = \"local\"\nmove_seconds = 0.001\n");
    const auto outcome =
        run_command("mpirun -n 2 sh -c 'NODE=" + (scratch / "node").string() + "$OMPI_COMM_WORLD_RANK exec " +
                    DIVS_PROGRAM + " train " + file + " --set train.batch=8 --set train.epochs=4 --throttle 1=20'");
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring("epochs 1 to 4, each: 96 of 96 samples used once, 0 skipped"));
    std::size_t moves = 0;
    for (const auto& decision : metrics(scratch, "run", "decision")) moves += decision["moves"].size();
    CHECK(moves > 0);
}

TEST_CASE("a killed run goes on from its checkpoint at another number of ranks, to the same parameters") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    write_plain_model(scratch);
    const std::string plain = " --set model.file=plain.model --set train.order=global";
    const std::string file = config(scratch, "run", "checkpoint_steps = 3\n") + plain;
    REQUIRE(divs::test::divs("train " + config(scratch, "whole") + plain).status == 0);
    // It crawls once the checkpoint of step 3 is written, so that the kill comes in the middle of an epoch.
    const std::string victim = divs_command("train " + file + " --throttle 0=1000@4", 2);
    run_command("sh -c '" + victim + " & job=$!; while kill -0 $job; do ls " + (scratch / "run").string() +
                "/step-*3.h5 >/dev/null 2>&1 && break; sleep 0.05; done; pkill -9 -P $job; wait $job'");
    const auto after_kill = newest(scratch, "run");
    CHECK(after_kill.info.step > 0);
    CHECK(after_kill.info.epoch < 2);
    const auto resumed = divs::test::divs("train " + file, 4);
    INFO(resumed.text());
    REQUIRE(resumed.status == 0);
    CHECK_THAT(resumed.err, ContainsSubstring("resuming from"));
    CHECK(difference(newest(scratch, "whole"), newest(scratch, "run")) < 1e-5);
}

TEST_CASE("a signal stops all ranks at one step with a checkpoint, and the run goes on from there") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const std::string file = config(scratch, "run");
    const std::string job = divs_command("train " + file + " --throttle 1=8", 2);
    const auto stopped = run_command(
        "sh -c '" + job + " & job=$!; while kill -0 $job; do grep -q step " + (scratch / "run").string() +
        "/metrics.jsonl 2>/dev/null && break; sleep 0.05; done; kill -USR1 $job; wait $job'");
    INFO(stopped.text());
    CHECK(stopped.status == 0);
    CHECK_THAT(stopped.err, ContainsSubstring("stopped by a signal"));
    const auto resumed = divs::test::divs("train " + file, 1);
    INFO(resumed.text());
    CHECK(resumed.status == 0);
    CHECK_THAT(resumed.err, ContainsSubstring("resuming from"));
    double trained = 0;
    for (const auto& step : metrics(scratch, "run", "step")) trained += step["samples"].get<double>();
    CHECK(trained == 2 * 8 * 12);
}

TEST_CASE("checkpoints may be left out after epochs, but not at the end") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const auto outcome = divs::test::divs("train " + config(scratch, "run") +
                                          " --set train.epochs=4 --set train.evaluate_epochs=0 --set train.keep_last=9"
                                          " --set train.checkpoint_epochs=0");
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(scratch / "run"))
        files += entry.path().filename().string().starts_with("step-");
    CHECK(files == 1);
    CHECK(newest(scratch, "run").info.epoch == 4);
}

TEST_CASE("a signal that comes before the first step stops the run after it") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    // Caught signals as a hexadecimal mask: SIGUSR1, number 10, is the second bit of the third digit from the right.
    const auto stopped = run_command(
        "sh -c '" + divs_command("train " + config(scratch, "run")) +
        " & job=$!; while kill -0 $job && ! grep -qE \"^SigCgt:.*[2367abef]..$\" /proc/$job/status; do sleep 0.01; done; "
        "kill -USR1 $job; wait $job'");
    INFO(stopped.text());
    CHECK(stopped.status == 0);
    CHECK_THAT(stopped.err, ContainsSubstring("stopped by a signal"));
    CHECK(newest(scratch, "run").info.step == 1);
}

TEST_CASE("more ranks than shards, and ranks without a sample, train all the same") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 4, .frames = 8, .val_videos = 1});
    for (const std::string norm : {"local", "sync"}) {
        const auto outcome =
            divs::test::divs("train " + config(scratch, "run-" + norm, "norm = \"" + norm + "\"\n") +
                                 " --set data.shard_seconds=60 --set train.batch=3",
                             4);
        INFO(outcome.text());
        CHECK(outcome.status == 0);
    }
}

TEST_CASE("a diverging run stops, says which sample and layer, and keeps the last good checkpoint") {
    const Scratch scratch;
    make_small_dataset(scratch / "data");
    const auto good = divs::test::divs("train " + config(scratch, "run") + " --set train.epochs=1", 2);
    REQUIRE(good.status == 0);
    const auto step = newest(scratch, "run").info.step;
    const auto bad = divs::test::divs(
        "train " + config(scratch, "run") +
            " --set train.epochs=4 --set optimizer.learning_rate=1e30 --set schedule.name=constant",
        2);
    INFO(bad.text());
    CHECK(bad.status == 7);
    CHECK_THAT(bad.err, ContainsSubstring("not finite") && ContainsSubstring("layer"));
    CHECK(newest(scratch, "run").info.step == step);
}

TEST_CASE("commands that are one process refuse to be several") {
    const Scratch scratch;
    for (const std::string command : {"synth ", "index ", "export run ", "import weights.h5 "}) {
        const auto outcome = divs::test::divs(command + (scratch / "out").string(), 2);
        INFO(command << outcome.text());
        CHECK(outcome.status == 2);
        CHECK_THAT(outcome.err, ContainsSubstring("expected one"));
        CHECK_FALSE(std::filesystem::exists(scratch / "out"));
    }
}

TEST_CASE("bad configurations are refused with the key and what was expected") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 2, .frames = 4, .val_videos = 1});
    const std::string file = config(scratch, "run");
    const auto typo = divs::test::divs("train " + file + " --set train.epoch=3");
    CHECK(typo.status == 2);
    CHECK_THAT(typo.err, ContainsSubstring("train.epoch") && ContainsSubstring("train.epochs"));
    const auto model = divs::test::divs("train " + file + " --set model.name=resnet19");
    CHECK(model.status == 2);
    CHECK_THAT(model.err, ContainsSubstring("resnet18"));
    const auto missing = divs::test::divs("train " + (scratch / "absent.toml").string());
    CHECK(missing.status == 3);
    const auto folder =
        divs::test::divs("train " + file + " --set data.dataset=" + (scratch / "nowhere").string());
    CHECK(folder.status == 3);
}
