// Training on devices, alone and mixed with CPUs, through the program: the devices and NCCL are doubles, all
// else is what a user runs. The parameters must be those of the CPU.
#include <algorithm>
#include <cmath>
#include <filesystem>
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

// The doubles, for as long as a test case runs.
class Devices {
  public:
    explicit Devices(const std::string& words = "", const std::string& nccl = NCCL_DOUBLE) {
        setenv("DIVS_PLUGINS", GPU_DOUBLE_FOLDER, 1);
        setenv("DIVS_NCCL", nccl.c_str(), 1);
        setenv("DIVS_GPU_DOUBLE", words.c_str(), 1);
    }
    ~Devices() {
        for (const char* name : {"DIVS_PLUGINS", "DIVS_NCCL", "DIVS_GPU_DOUBLE"}) unsetenv(name);
    }
};

// Each sample's place in a batch depends on the seed alone, and the same ranks get the same shares.
std::string config(const Scratch& scratch, const std::string& name, const std::string& backend) {
    write_text(scratch / "plain.model",
               "conv out=8 kernel=5 stride=2 pad=2 bias\nrelu\nadaptive_pool out=2\n"
               "linear out=classes\n");
    write_text(scratch / "normed.model",
               "conv out=8 kernel=5 stride=2 pad=2\nnorm relu\nconv out=8 kernel=3 pad=1\nnorm relu\n"
               "adaptive_pool out=2\nlinear out=classes\n");
    const auto file = scratch / (name + ".toml");
    write_text(file,
               "[data]\ndataset = \"data\"\nshard_seconds = 0.3\n[clip]\nhop = 2\n"
               "[model]\nfile = \"plain.model\"\nheight = 32\nwidth = 48\nthreads = 1\nbackend = \"" +
                   backend + "\"\n[train]\nfolder = \"" + name +
                   "\"\nepochs = 1\nbatch = 12\ndeterministic = true\nbucket_mib = 0.001\n"
                   "hash_steps = 3\ncheckpoint_steps = 2\n");
    return file.string();
}

train::Checkpoint train_on(const Scratch& scratch, const std::string& name, const std::string& backend,
                           int ranks, std::string* said = nullptr, const std::string& more = "") {
    const Outcome outcome = divs::test::divs("train " + config(scratch, name, backend) + more, ranks);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    if (said) *said = outcome.text();
    auto checkpoint = train::load_newest(scratch / name);
    REQUIRE(checkpoint);
    return std::move(*checkpoint);
}

void check_equal(const train::Checkpoint& a, const train::Checkpoint& b, double tolerance) {
    REQUIRE(a.arrays.size() == b.arrays.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.arrays.size(); ++i) {
        REQUIRE(a.arrays[i].name == b.arrays[i].name);
        for (std::size_t j = 0; j < a.arrays[i].values.size(); ++j)
            worst = std::max<double>(worst, std::abs(a.arrays[i].values[j] - b.arrays[i].values[j]));
    }
    CHECK(worst <= tolerance);
}

// The lines of a run's metrics that are of this kind, in order.
std::vector<nlohmann::json> lines_of(const Scratch& scratch, const std::string& name,
                                     const std::string& kind) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(read_text(scratch / name / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);)
        if (auto object = nlohmann::json::parse(line); object["kind"] == kind)
            lines.push_back(std::move(object));
    return lines;
}

}  // namespace

TEST_CASE(
    "on devices, alone or mixed with CPUs, training gives the CPU's parameters and says who takes which "
    "path") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 8, .val_videos = 2});
    struct Variant {
        std::string name, words, nccl;
        int ranks;
        std::string said;
    };
    for (const Variant& variant :
         {Variant{"nccl2", "", NCCL_DOUBLE, 2, "gradients: ranks 0, 1 by NCCL 2.28.9"},
          Variant{"shared", "0:share,1:share", NCCL_DOUBLE, 2,
                  "ranks 0, 1 through pinned memory and MPI (sharing GPU 0000:09:00.0"},
          Variant{"without", "", "/nowhere/libnccl.so.2", 2, "(no NCCL: /nowhere/libnccl.so.2: cannot open"},
          Variant{"cpu1", "1:none", NCCL_DOUBLE, 2, "rank 1 by MPI from host memory"},
          Variant{"cpu0", "0:none", NCCL_DOUBLE, 2, "rank 0 by MPI from host memory"},
          Variant{"nccl4", "", NCCL_DOUBLE, 4, "gradients: ranks 0-3 by NCCL 2.28.9"},
          Variant{"mixed4", "1:share,2:share", NCCL_DOUBLE, 4, "ranks 0, 3 by NCCL 2.28.9"},
          Variant{"cpus4", "1:none,2:none", NCCL_DOUBLE, 4,
                  "rank 0 takes the NCCL ranks' sum to the others"}}) {
        INFO(variant.name);
        const std::string plain = "plain" + std::to_string(variant.ranks);
        if (!std::filesystem::exists(scratch / plain)) train_on(scratch, plain, "cpu", variant.ranks);
        const Devices devices(variant.words, variant.nccl);
        std::string said;
        const auto trained = train_on(scratch, variant.name, "auto", variant.ranks, &said);
        CHECK_THAT(said, ContainsSubstring(variant.said));
        // Sums of two have one result; of more, the order of additions shows in the last bits.
        check_equal(trained, *train::load_newest(scratch / plain), variant.ranks == 2 ? 0 : 1e-5);
        if (variant.words.find("none") == std::string::npos) continue;
        CHECK_THAT(said, ContainsSubstring("drifted apart by") &&
                             (variant.name == "cpu0"
                                  ? ContainsSubstring("there is no NVIDIA driver here; the CPU is used")
                                  : ContainsSubstring("by MPI from host memory")));
    }
}

TEST_CASE(
    "without a device that can be used the CPU is used and it is said, but not where it is asked for by "
    "name") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 6, .val_videos = 2});
    const Devices devices("0:none");
    std::string said;
    train_on(scratch, "run", "auto", 0, &said);
    CHECK_THAT(said,
               ContainsSubstring(
                   "libdivs_cuda.so: cannot be used here: there is no NVIDIA driver here; the CPU is used"));
    const Outcome outcome = divs::test::divs("train " + config(scratch, "named", "cuda"));
    CHECK(outcome.status == 1);
    CHECK_THAT(outcome.text(), ContainsSubstring("there is no NVIDIA driver here"));
}

TEST_CASE(
    "a GPU lost in the middle ends the job with rank, host and operation, and it goes on from its "
    "checkpoint") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 8, .val_videos = 2});
    for (const std::string sharing : {"", "0:share"}) {  // by NCCL; staged beside it
        const std::string plain = "plain" + sharing.substr(0, 1), name = "lost" + sharing.substr(0, 1);
        {
            const Devices devices(sharing);
            train_on(scratch, plain, "auto", 2);
        }
        {
            const Devices devices("1:lose@4");
            const Outcome outcome = divs::test::divs("train " + config(scratch, name, "auto"), 2);
            INFO(outcome.text());
            CHECK(outcome.status == 1);
            CHECK_THAT(outcome.text(),
                       ContainsSubstring("rank 1 on ") && ContainsSubstring("the device is lost"));
        }
        const Devices devices(sharing);
        std::string said;
        const auto resumed = train_on(scratch, name, "auto", 2, &said);
        CHECK_THAT(said, ContainsSubstring("resuming from"));
        check_equal(resumed, *train::load_newest(scratch / plain), 0);
    }
}

TEST_CASE("norms over all ranks, clipping and late steps on devices give what one rank's CPU gives") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 8, .val_videos = 2});
    const std::string more =
        " --set train.norm=sync --set optimizer.clip_norm=0.5 --set train.epochs=2"
        " --set train.hash_steps=5 --set train.checkpoint_steps=0 --set model.file=normed.model";
    const auto alone = train_on(scratch, "alone", "cpu", 0, nullptr, more);
    const auto steps = lines_of(scratch, "alone", "step");
    REQUIRE(steps.size() > 8);
    for (const auto& [words, ranks, said] :
         {std::tuple{"", 1, ""}, std::tuple{"", 2, "ranks 0, 1 by NCCL"},
          std::tuple{"", 3, "ranks 0-2 by NCCL"},
          std::tuple{"0:share,1:share", 2, "ranks 0, 1 through pinned memory"},
          std::tuple{"1:none", 2, "rank 1 by MPI from host memory"}}) {
        INFO(ranks << " ranks, " << words);
        const std::string name = "run" + std::to_string(ranks) + std::string(words).substr(0, 3);
        const Devices devices(words);
        std::string text;
        const auto trained = train_on(scratch, name, "auto", ranks, &text, more);
        CHECK_THAT(text, ContainsSubstring(said));
        check_equal(trained, alone, 2e-4);
        // Each line has its own step's numbers, whenever they came.
        const auto seen = lines_of(scratch, name, "step");
        REQUIRE(seen.size() == steps.size());
        for (std::size_t i = 0; i < steps.size(); ++i) {
            CHECK(seen[i]["step"] == steps[i]["step"]);
            CHECK(seen[i]["loss"].get<double>() == Approx(steps[i]["loss"].get<double>()).epsilon(1e-3));
            CHECK(seen[i]["gradient_norm"].get<double>() ==
                  Approx(steps[i]["gradient_norm"].get<double>()).epsilon(1e-3));
            CHECK(seen[i]["compute"].get<double>() > 0);
        }
    }
}

TEST_CASE(
    "a gradient that is not finite ends a job on devices as on the CPU: by its step, its words, and the last "
    "good checkpoint") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 8, .val_videos = 2});
    for (const int ranks : {1, 2}) {
        const std::string name = "run" + std::to_string(ranks);
        const Devices devices("0:overflow@4");
        const Outcome outcome = divs::test::divs("train " + config(scratch, name, "auto"), ranks);
        INFO(outcome.text());
        CHECK(outcome.status == 7);
        CHECK_THAT(
            outcome.err,
            ContainsSubstring("step 3: the gradient's norm is not finite: no layer's output shows it. The "
                              "last good checkpoint stays"));
        const auto kept = train::load_newest(scratch / name);
        REQUIRE(kept);
        CHECK(kept->info.step == 2);
        for (const auto& array : kept->arrays)
            CHECK(std::all_of(array.values.begin(), array.values.end(),
                              [](float v) { return std::isfinite(v); }));
        CHECK(lines_of(scratch, name, "step").size() == 3);
    }
}

TEST_CASE(
    "a loss that is not finite ends a job on devices, heard of late: by its step, its sample and layer") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 8, .val_videos = 2});
    for (const int ranks : {1, 2}) {
        const std::string name = "run" + std::to_string(ranks);
        const Devices devices;
        const Outcome outcome =
            divs::test::divs("train " + config(scratch, name, "auto") +
                                 " --set optimizer.learning_rate=1e30 --set schedule.name=constant",
                             ranks);
        INFO(outcome.text());
        CHECK(outcome.status == 7);
        CHECK_THAT(outcome.err, ContainsSubstring("step 1: the loss is not finite: sample ") &&
                                    ContainsSubstring(", first in layer \"") &&
                                    !ContainsSubstring("first in layer \"\""));
        CHECK_FALSE(train::load_newest(scratch / name));
        CHECK(lines_of(scratch, name, "step").size() == 1);
    }
}

TEST_CASE("the checks that a machine with GPUs runs, on doubles of two GPUs, and where there is none") {
    const Scratch scratch;
    const std::string check = std::string(SOURCE_FOLDER) + "/test/gpu/communication.sh " + DIVS_PROGRAM +
                              " " + scratch.path().string();
    {
        const Devices devices;
        const Outcome outcome = run_command("env DIVS_GPUS=2 " + check, 600);
        INFO(outcome.text());
        CHECK(outcome.status == 0);
        for (const char* job : {"staged: ", "beside: ", "nccl: ", "mixed: "})
            CHECK_THAT(outcome.out, ContainsSubstring(job + std::string("24 steps, losses within")));
    }
    const Devices devices("0:none");
    const Outcome outcome = run_command(check);
    CHECK(outcome.status == 77);
    CHECK_THAT(outcome.out, ContainsSubstring("no GPU here"));
}

TEST_CASE("in a job of GPU and CPU ranks the scheduler gives each the share that it measured") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 14, .val_videos = 2});
    for (const int slow : {0, 1}) {  // the GPU's rank, the CPU's
        const Devices devices("1:none");
        const std::string name = "run" + std::to_string(slow);
        const auto file = scratch / (name + ".toml");
        write_text(file,
                   "[data]\ndataset = \"data\"\n[clip]\nhop = 2\n[model]\nname = \"tiny\"\nheight = 32\n"
                   "width = 48\nthreads = 1\n[scheduler]\ninterval = 3\n[train]\nepochs = 3\nbatch = 16\n"
                   "order = \"global\"\nnorm = \"sync\"\nfolder = \"" +
                       name + "\"\n");
        const Outcome outcome =
            divs::test::divs("train " + file.string() + " --throttle " + std::to_string(slow) + "=4", 2);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        std::vector<int> shares;
        std::istringstream text(read_text(scratch / name / "metrics.jsonl"));
        for (std::string line; std::getline(text, line);)
            if (const auto object = nlohmann::json::parse(line); object["kind"] == "decision")
                shares = object["batch_shares"].get<std::vector<int>>();
        REQUIRE(shares.size() == 2);
        const auto s = static_cast<std::size_t>(slow);
        CHECK(2 * shares[s] < shares[1 - s]);
    }
}
