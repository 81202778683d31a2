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

TEST_CASE("analysis gives the same lines at 1, 2 and 4 ranks, and the trained model's classes") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.frames = 50});
    write_text(scratch / "run.toml",
               "[data]\ndataset = \"data\"\n[clip]\nframes = 2\nstride = 2\n[model]\nheight = 32\nwidth = "
               "48\nthreads = 1\n"
               "[optimizer]\nlearning_rate = 0.02\n[train]\nfolder = \"run\"\nepochs = 5\nbatch = 8\n");
    const auto trained = divs::test::divs("train " + (scratch / "run.toml").string());
    INFO(trained.text());
    REQUIRE(trained.status == 0);
    const std::string weights = (scratch / "model.h5").string();
    REQUIRE(divs::test::divs("export " + (scratch / "run").string() + " " + weights).status == 0);

    write_text(scratch / "data" / "notes.txt", "not a video");
    std::string first;
    for (const int ranks : {1, 2, 4}) {
        const std::string out = (scratch / ("out" + std::to_string(ranks))).string();
        const auto outcome = divs::test::divs(
            "analyze --weights " + weights + " --input " + (scratch / "data").string() +
                " --every 0.4 --set analyze.shard_seconds=0.5 --set analyze.threads=1 --out " + out,
            ranks);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
        CHECK_THAT(outcome.text(), ContainsSubstring("notes.txt is left out"));
        const std::string lines = read_text(out + ".jsonl");
        if (first.empty()) first = lines;
        CHECK(lines == first);
    }

    // 50 frames at 25/s: windows at 0, 0.4, ... 1.6, and one at each shard's first frame.
    std::map<std::string, std::vector<nlohmann::json>> by_file;
    std::istringstream text(first);
    for (std::string line; std::getline(text, line);) {
        const auto object = nlohmann::json::parse(line);
        by_file[object["file"]].push_back(object);
    }
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
        for (const double due : {0.0, 0.4, 0.8, 1.2, 1.6})
            CHECK(std::count_if(starts.begin(), starts.end(),
                                [&](double s) { return std::abs(s - due) < 0.021; }) >= 1);
    }
    CHECK(right > 0.9 * windows);

    const io::Hdf5Reader summary((scratch / "out1.h5").string());
    std::int64_t counted = 0;
    for (const std::int64_t count : summary.integers("counts")) counted += count;
    CHECK(counted == windows);
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
    const std::string reference = std::string(DIVS_SOURCE) + "/jobs/reference_analyze.toml ";
    const auto all_keys = divs::test::divs("analyze " + reference + "--input " + scratch.path().string() +
                                           " --every 0.5 --weights " + (scratch / "empty.mp4").string());
    CHECK(all_keys.status == 3);  // it came as far as the weights
    CHECK_THAT(all_keys.err, ContainsSubstring("empty.mp4"));
    const auto no_gpu = divs::test::divs("analyze --input " + scratch.path().string() +
                                         " --weights none --set analyze.decode=nvdec");
    CHECK(no_gpu.status == 2);
    CHECK_THAT(no_gpu.err, ContainsSubstring("analyze.decode"));
}
