// Analysis end to end: every stretch of every video is looked at once, and the answers do not depend on the
// ranks.
#include <nlohmann/json.hpp>
#include <sstream>

#include "divs/io/hdf5.hpp"
#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs;
using namespace divs::test;
namespace fs = std::filesystem;

namespace {

void train(const std::string& arguments) {
    const auto trained = divs::test::divs("train " + arguments);
    INFO(trained.text());
    REQUIRE(trained.status == 0);
}

// Trains in scratch / "run" on the small data set, by scratch / "run.toml".
void train_small_model(const Scratch& scratch, int epochs) {
    make_small_dataset(scratch / "data", {.frames = 50});
    write_text(scratch / "run.toml",
               "[data]\ndataset = \"data\"\n[clip]\nframes = 2\nstride = 2\n[model]\nheight = 32\nwidth = "
               "48\nthreads = 1\n"
               "[optimizer]\nlearning_rate = 0.02\n[train]\nfolder = \"run\"\nepochs = " +
                   std::to_string(epochs) + "\nbatch = 8\n");
    train((scratch / "run.toml").string());
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
    std::vector<nlohmann::json> objects;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) objects.push_back(nlohmann::json::parse(line));
    return objects;
}

}  // namespace

TEST_CASE(
    "analysis gives the same lines at 1, 2 and 4 ranks and however shards are cut, and the trained model's "
    "classes") {
    const Scratch scratch;
    train_small_model(scratch, 5);
    const std::string weights = (scratch / "model.h5").string();
    REQUIRE(divs::test::divs("export " + (scratch / "run").string() + " " + weights).status == 0);

    write_text(scratch / "data" / "notes.txt", "not a video");
    std::string first;
    // Shards of 8 frames, through which windows reach; and one of the whole video.
    for (const auto& [ranks, shard] : {std::pair{1, "0.3"}, {2, "0.3"}, {4, "0.3"}, {1, "10"}, {2, "0.9"}}) {
        const std::string out = (scratch / ("out" + std::to_string(ranks))).string();
        const auto outcome = divs::test::divs(
            "analyze --weights " + weights + " --input " + (scratch / "data").string() +
                " --every 0.4 --set analyze.threads=1 --set analyze.shard_seconds=" + shard + " --out " + out,
            ranks);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        CHECK_THAT(outcome.text(), ContainsSubstring("notes.txt is left out"));
        const std::string lines = read_text(out + ".jsonl");
        if (first.empty()) first = lines;
        CHECK(lines == first);
    }

    // 50 frames at 25/s: windows of frames 0 and 2 at 0, 0.4, ... 1.6, wherever shards are cut.
    std::map<std::string, std::vector<nlohmann::json>> by_file;
    for (const auto& object : json_lines(first)) by_file[object["file"]].push_back(object);
    REQUIRE(by_file.size() == 12);
    int right = 0;
    int windows = 0;
    for (const auto& [file, list] : by_file) {
        const std::string expected = std::stoi(file.substr(1)) % 2 == 0 ? "rise" : "fall";
        std::vector<double> starts;
        for (const auto& window : list) {
            starts.push_back(window["start"]);
            CHECK(window["end"].get<double>() > window["start"].get<double>());
            right += window["class"] == expected;
            ++windows;
        }
        CHECK(std::is_sorted(starts.begin(), starts.end()));
        REQUIRE(starts.size() == 5);
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(starts[i] == Approx(0.4 * static_cast<double>(i)).margin(1e-5));
            // Frames last 0.04 s, though the container does not say so.
            CHECK(list[i]["end"].get<double>() == Approx(starts[i] + 0.12).margin(1e-5));
        }
    }
    CHECK(right > 0.9 * windows);

    const io::Hdf5Reader summary((scratch / "out1.h5").string());
    std::int64_t counted = 0;
    for (const std::int64_t count : summary.integers("counts")) counted += count;
    CHECK(counted == windows);
}

TEST_CASE(
    "several weights, of two picture sizes, are averaged, alike at 1 and 2 ranks, in analysis and in "
    "evaluation") {
    const Scratch scratch;
    train_small_model(scratch, 1);
    train((scratch / "run.toml").string() +
          " --set model.height=40 --set model.width=24 --set train.folder=" + (scratch / "tall").string());
    std::vector<std::string> members;
    for (const char* run : {"run", "tall"})
        for (const auto& entry : std::filesystem::directory_iterator(scratch / run))
            if (entry.path().filename().string().starts_with("step-"))
                members.push_back(entry.path().string());
    REQUIRE(members.size() == 2);
    std::vector<std::int64_t> steps;
    for (const std::string& member : members)
        steps.push_back(std::stoll(std::filesystem::path(member).stem().string().substr(5)));

    const auto scores = [&](const std::string& weights, int ranks) {
        const std::string out = (scratch / "out").string();
        const auto outcome = divs::test::divs(
            "analyze " + weights + " --input " + (scratch / "data").string() +
                " --every 0.8 --set analyze.shard_seconds=0.5 --set analyze.threads=1 --out " + out,
            ranks);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        std::vector<std::map<std::string, double>> rows;
        for (const auto& line : json_lines(read_text(out + ".jsonl"))) rows.push_back(line["scores"]);
        return rows;
    };
    const auto first = scores("--weights " + members[0], 1);
    const auto second = scores("--weights " + members[1], 1);
    const auto mean = scores("--weights " + members[0] + " --weights " + members[1], 1);
    write_text(scratch / "both.toml",
               "[analyze]\nweights = [\"" + members[0] + "\", \"" + members[1] + "\"]\n");
    CHECK(scores((scratch / "both.toml").string(), 2) == mean);
    const io::Hdf5Reader summary((scratch / "out.h5").string());
    CHECK(summary.strings("models/file") == members);
    CHECK(summary.integers("models/step") == steps);
    CHECK(summary.number("", "every") == 0.8);
    REQUIRE(mean.size() == first.size());
    CHECK(first != second);
    for (std::size_t i = 0; i < mean.size(); ++i)
        for (const auto& [name, score] : mean[i])
            CHECK(score == Approx((first[i].at(name) + second[i].at(name)) / 2).margin(1e-5));

    const auto evaluated = divs::test::divs("eval " + (scratch / "run.toml").string() + " --weights " +
                                            members[0] + " --weights " + members[1]);
    INFO(evaluated.text());
    CHECK(evaluated.status == 0);
    CHECK_THAT(evaluated.out, ContainsSubstring("mean of " + members[0] + ", " + members[1] + " on val"));
    const auto foreign = (scratch / "foreign.h5").string();
    REQUIRE(divs::test::divs("export fresh:tiny " + foreign + " --size 32 --classes 2").status == 0);
    const auto refused = divs::test::divs("eval " + (scratch / "run.toml").string() + " --weights " +
                                          members[0] + " --weights " + foreign);
    CHECK(refused.status == 3);
    CHECK_THAT(refused.err, ContainsSubstring(members[0]) && ContainsSubstring("foreign.h5"));
}

TEST_CASE("analysis names what it leaves out, and writes no results of nothing") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 2, .frames = 10});
    const auto weights = (scratch / "fresh.h5").string();
    REQUIRE(divs::test::divs("export fresh:tiny " + weights + " --size 32 --classes 2").status == 0);
    const auto analyse = [&](const std::string& input, const std::string& out, int ranks = 0) {
        return divs::test::divs("analyze --weights " + weights + " --input " + (scratch / input).string() +
                                    " --out " + (scratch / out).string(),
                                ranks);
    };
    fs::create_symlink("nowhere.mp4", scratch / "data" / "dangling.mp4");
    fs::create_directory_symlink("..", scratch / "data" / "loop");
    fs::create_symlink("v1.mp4", scratch / "data" / "linked.mp4");
    for (const int ranks : {1, 2}) {
        const auto outcome = analyse("data", "out", ranks);
        INFO(outcome.text());
        CHECK(outcome.status == 0);
        CHECK_THAT(outcome.err, ContainsSubstring("dangling.mp4 is left out: a link that leads nowhere") &&
                                    ContainsSubstring("loop is left out: a link to a folder"));
        std::map<std::string, int> windows;
        for (const auto& line : json_lines(read_text(scratch / "out.jsonl"))) ++windows[line["file"]];
        CHECK(windows == std::map<std::string, int>{{"linked.mp4", 1}, {"v0.mp4", 1}, {"v1.mp4", 1}});
    }
    write_text(scratch / "empty.mp4", "");
    const auto nothing = analyse("empty.mp4", "none");
    CHECK(nothing.status == 3);
    CHECK_THAT(nothing.err, ContainsSubstring("empty.mp4") && ContainsSubstring("no window"));
    CHECK_FALSE(fs::exists(scratch / "none.jsonl"));
    fs::create_directories(scratch / "taken.h5");
    const auto taken = analyse("data", "taken");
    CHECK(taken.status == 4);
    CHECK_THAT(taken.err, ContainsSubstring("taken.h5"));
    CHECK_FALSE(fs::exists(scratch / "taken.jsonl"));
}

TEST_CASE("analysis refuses what it cannot use, with the reason") {
    const Scratch scratch;
    write_text(scratch / "empty.mp4", "");
    const auto no_weights = divs::test::divs("analyze --input " + scratch.path().string());
    CHECK(no_weights.status == 2);
    CHECK_THAT(no_weights.err, ContainsSubstring("--weights"));
    const auto bad_weights = divs::test::divs("analyze --input " + scratch.path().string() + " --weights " +
                                              (scratch / "empty.mp4").string());
    CHECK(bad_weights.status == 3);
    CHECK_THAT(bad_weights.err, ContainsSubstring("empty.mp4"));
    const auto bad_key = divs::test::divs("analyze --input " + scratch.path().string() +
                                          " --weights none --set analyze.bach=4");
    CHECK(bad_key.status == 2);
    CHECK_THAT(bad_key.err, ContainsSubstring("analyze.bach"));
    for (const char* every : {"nan", "0", "1e-9", "inf", "-1"}) {
        const auto bad_every = divs::test::divs("analyze --input " + scratch.path().string() +
                                                " --weights none --every " + every);
        CHECK(bad_every.status == 2);
        CHECK_THAT(bad_every.err, ContainsSubstring("every"));
    }
    const auto no_name =
        divs::test::divs("analyze --input " + scratch.path().string() + " --weights none --out here/");
    CHECK(no_name.status == 2);
    CHECK_THAT(no_name.err, ContainsSubstring("--out"));
    const std::string reference = std::string(DIVS_SOURCE) + "/jobs/reference_analyze.toml ";
    const auto all_keys = divs::test::divs("analyze " + reference + "--input " + scratch.path().string() +
                                           " --every 0.5 --weights " + (scratch / "empty.mp4").string());
    CHECK(all_keys.status == 3);  // it came as far as the weights
    CHECK_THAT(all_keys.err, ContainsSubstring("empty.mp4"));
    // What follows the value of an option that may be given again is not another value.
    for (const std::string option : {"--weights none", "--throttle 0=2", "--set analyze.batch=4"}) {
        const auto no_file = divs::test::divs("analyze " + option + " " + (scratch / "none.toml").string());
        CHECK(no_file.status == 3);
        CHECK_THAT(no_file.err, ContainsSubstring("none.toml: cannot be opened, expected a configuration"));
    }
    const auto no_gpu = divs::test::divs("analyze --input " + scratch.path().string() +
                                         " --weights none --set analyze.decode=nvdec");
    CHECK(no_gpu.status == 2);
    CHECK_THAT(no_gpu.err, ContainsSubstring("analyze.decode"));
}
