// A whole data set on disk: read back by the data set's own reader, checked against the truth beside it.
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "divs/core/error.hpp"
#include "divs/synth/make.hpp"
#include "divs/video/dataset.hpp"
#include "divs/video/index.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using divs::test::Scratch;
using namespace divs::synth;
namespace fs = std::filesystem;

namespace {

SynthOptions small() {
    SynthOptions o;
    o.videos = 6;
    o.scenes = 3;
    o.seconds = 2;
    o.width = 160;
    o.height = 90;
    o.fps = 10;
    o.gop = 8;
    o.test_share = 0;
    o.seed = 4;
    o.threads = 2;
    return o;
}

std::vector<nlohmann::json> lines_of(const fs::path& file) {
    std::ifstream in(file);
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

}  // namespace

TEST_CASE("a data set can be read, and its truth agrees with its files") {
    const Scratch scratch;
    const SynthOptions o = small();
    const Summary made = make_dataset(o, scratch / "set");
    const video::Dataset set = video::read_dataset(scratch / "set");
    CHECK(set.files.size() == 6);
    CHECK(set.classes == std::vector<std::string>(level_names.begin(), level_names.end()));
    CHECK(made.frames == 6 * 20);
    std::map<std::string, video::Split> split;
    for (const video::LabelRow& row : set.rows) {
        const auto [at, fresh] = split.emplace(row.group, row.split);
        CHECK(at->second == row.split);
    }
    std::uint64_t boxes = 0;
    for (std::uint32_t f = 0; f < set.files.size(); ++f) {
        const video::VideoIndex index = video::index_video(set.path_of(f));
        REQUIRE(index.quarantine.empty());
        const auto lines =
            lines_of(scratch / "set" / "truth" / (fs::path(set.files[f]).stem().string() + ".jsonl"));
        REQUIRE(lines[0]["type"] == "video");
        CHECK(lines[0]["file"] == set.files[f]);
        CHECK(lines[0]["time_base"][1] == index.time_base.den);
        std::multiset<std::int64_t> in_truth, in_file;
        for (const auto& line : lines) {
            if (line["type"] != "frame") continue;
            in_truth.insert(line["pts"].get<std::int64_t>());
            boxes += line["boxes"].size();
            CHECK(index.seconds(line["pts"]) == Approx(line["time"].get<double>()).margin(1e-4));
        }
        for (const video::PacketInfo& p : index.packets) in_file.insert(p.pts);
        CHECK(in_truth == in_file);
        for (const video::LabelRow& row : set.rows) {  // each row is a union of intervals of that level
            if (row.file != f) continue;
            for (const auto& line : lines) {
                if (line["type"] != "level" || line["start"] < row.start || line["end"] > row.end) continue;
                CHECK(line["level"] == set.classes[static_cast<std::size_t>(row.label)]);
            }
        }
    }
    CHECK(boxes == made.boxes);
}

TEST_CASE("the files do not depend on the number of threads") {
    const Scratch scratch;
    SynthOptions o = small();
    o.videos = 4;
    o.seconds = 1;
    o.threads = 1;
    make_dataset(o, scratch / "one");
    o.threads = 3;
    make_dataset(o, scratch / "three");
    for (const char* file :
         {"labels.tsv", "dataset.toml", "videos/v0001.mp4", "videos/v0003.mp4", "truth/v0002.jsonl"}) {
        INFO(file);
        CHECK((test::read_text(scratch / "one" / file) == test::read_text(scratch / "three" / file)));
        CHECK(!test::read_text(scratch / "one" / file).empty());
    }
}

TEST_CASE("only a folder of our own is written over, unless forced") {
    const Scratch scratch;
    SynthOptions o = small();
    o.videos = 3;
    o.seconds = 0.3;
    const fs::path out = scratch / "set";
    make_dataset(o, out);
    o.videos = 2;
    o.scenes = 2;
    make_dataset(o, out);  // ours: made anew, without remains
    CHECK(!fs::exists(out / "videos/v0002.mp4"));
    const fs::path other = scratch / "other";
    fs::create_directories(other);
    std::ofstream(other / "holiday.txt") << "precious";
    CHECK_THROWS_AS(make_dataset(o, other), ConfigError);
    o.force = true;
    make_dataset(o, other);
    CHECK(fs::exists(other / "holiday.txt"));
    CHECK(fs::exists(other / "labels.tsv"));
    std::ofstream(scratch / "file") << "x";
    CHECK_THROWS_AS(make_dataset(o, scratch / "file"), ConfigError);
}

TEST_CASE("crops of vehicles are balanced JPEG files in a data set of their own") {
    const Scratch scratch;
    SynthOptions o = small();
    o.task = Task::vehicles;
    o.seconds = 4;
    o.width = 320;
    o.height = 180;
    o.crop = 32;
    o.preview = true;
    const Summary made = make_dataset(o, scratch / "crops");
    const video::Dataset set = video::read_dataset(scratch / "crops");
    CHECK(made.crops == set.files.size());
    CHECK(made.crops > 12);
    std::map<video::Split, std::map<int, int>> count;
    for (const video::LabelRow& row : set.rows) ++count[row.split][row.label];
    for (const auto& [split, classes] : count) {
        CHECK(classes.size() == vehicle_class_names.size());
        for (const auto& [label, n] : classes) CHECK(n == classes.begin()->second);
    }
    std::size_t on_disk = 0;
    for (const auto& entry : fs::recursive_directory_iterator(scratch / "crops" / "crops"))
        on_disk += entry.is_regular_file();
    CHECK(on_disk == set.files.size());
    const video::VideoIndex index = video::index_video(set.path_of(0));
    CHECK(index.image);
    CHECK(index.width == 32);
    CHECK(video::index_video(scratch / "crops" / "preview.png").image);
}
