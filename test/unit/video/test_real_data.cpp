// The real recordings of DIVS_DATA, through the descriptors in datasets/.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "divs/video/clips.hpp"
#include "divs/video/indexing.hpp"
#include "support/catch.hpp"
#include "unit/video/convert_oracle.hpp"

using namespace divs;
using namespace divs::video;
using namespace divs::video::test;

namespace {

bool have_data() {
    if (std::getenv("DIVS_DATA")) return true;
    WARN("skipped: set DIVS_DATA to the folder of real recordings");
    return false;
}

const Scratch& cache() {
    static const Scratch folder;
    return folder;
}

Catalogue open_set(const std::string& name, const ClipOptions& clip) {
    Dataset set = read_dataset(std::filesystem::path(DIVS_SOURCE) / "datasets" / (name + ".toml"));
    IndexingOptions options;
    options.threads = 2;
    options.saved = cache() / name;
    std::vector<VideoIndex> files = index_dataset(set, options).files;
    return make_catalogue(std::move(set), std::move(files), {clip, {}, {}});
}

std::map<std::pair<std::string, Split>, int> counts(const Catalogue& catalogue) {
    std::map<std::pair<std::string, Split>, int> out;
    for (const Sample& sample : catalogue.samples)
        ++out[{catalogue.dataset.classes[static_cast<std::size_t>(sample.label)], sample.split}];
    return out;
}

// The frames that ffmpeg shows of a file, scaled by it to RGB.
std::vector<std::uint8_t> by_ffmpeg(const std::filesystem::path& file, int width, int height, bool bt709) {
    const std::string command = fmt::format(
        "ffmpeg -v error -nostdin -threads 1 -i '{}' -fps_mode passthrough -vf "
        "scale={}:{}:flags=bilinear+accurate_rnd+full_chroma_int{} -pix_fmt rgb24 -f rawvideo - 2>/dev/null",
        file.string(), width, height, bt709 ? ":in_color_matrix=bt709" : "");
    std::vector<std::uint8_t> bytes;
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::uint8_t part[65536];
    for (std::size_t n; (n = fread(part, 1, sizeof part, pipe)) > 0;)
        bytes.insert(bytes.end(), part, part + n);
    REQUIRE(pclose(pipe) == 0);
    return bytes;
}

}  // namespace

TEST_CASE("the fight clips load in place") {
    if (!have_data()) return;
    const Catalogue catalogue = open_set("fight", {8, 2, 0});
    CHECK(catalogue.dataset.files.size() == 115);
    CHECK(catalogue.dataset.classes == std::vector<std::string>{"noFight", "fight"});
    CHECK(catalogue.quarantined().empty());
    CHECK(catalogue.empty_rows.empty());
    std::set<std::uint32_t> files;
    for (const Sample& sample : catalogue.samples) files.insert(catalogue.shards[sample.shard].file);
    CHECK(files.size() == 115);
}

TEST_CASE("the images of vehicles and congestion load in place") {
    if (!have_data()) return;
    const Catalogue vehicles = open_set("vehicles", {1, 1, 0});
    CHECK(vehicles.dataset.files.size() == 3840);
    CHECK(vehicles.samples.size() == 3840);
    for (const auto& [key, count] : counts(vehicles))
        CHECK(count == (key.second == Split::train ? 512 : 128));
    const Catalogue congestion = open_set("congestion", {1, 1, 0});
    CHECK(congestion.samples.size() == 400);
    const auto by_class = counts(congestion);
    CHECK(by_class.at({"Empty", Split::val}) == 15);
    CHECK(by_class.at({"High", Split::train}) == 72);
    CHECK(by_class.at({"Traffic_Jam", Split::val}) == 8);
    const Sample& sample = congestion.samples[7];
    ClipReader reader(congestion, sample.shard, {7}, {.sizes = {{64, 64}}});
    Clip clip;
    REQUIRE(reader.next(clip));
    CHECK(clip.skipped.empty());
    CHECK(clip.pixels[0]->size() == 64 * 64 * 3);
}

TEST_CASE("clips of real videos show what ffmpeg shows") {
    if (!have_data()) return;
    if (std::system("ffmpeg -version > /dev/null 2>&1") != 0) {
        WARN("skipped: there is no ffmpeg program here");
        return;
    }
    const Catalogue catalogue = open_set("fight", {4, 3, 0});
    constexpr int width = 112, height = 96;
    constexpr std::size_t picture = width * height * 3;
    double worst = 99;
    for (const Shard& shard : catalogue.shards) {
        const VideoIndex& index = catalogue.files[shard.file];
        if (shard.file % 12 != 0 && index.height < 720) continue;
        const auto shown = by_ffmpeg(index.path, width, height, index.height >= 720);
        std::vector<std::int64_t> pts;
        for (const PacketInfo& packet : index.packets)
            if (packet.gives_frame()) pts.push_back(packet.pts);
        std::sort(pts.begin(), pts.end());
        INFO(index.path);
        REQUIRE(shown.size() == pts.size() * picture);
        ClipReader reader(catalogue, shard.id, catalogue.shard_samples[shard.id],
                          {.sizes = {{height, width}}});
        for (Clip clip; reader.next(clip);) {
            REQUIRE(clip.skipped.empty());
            for (std::size_t t = 0; t < 4; ++t) {
                const std::int64_t at = catalogue.samples[clip.sample].pts[t];
                const auto n =
                    static_cast<std::size_t>(std::lower_bound(pts.begin(), pts.end(), at) - pts.begin());
                const auto theirs = shown.begin() + static_cast<std::ptrdiff_t>(n * picture);
                const auto ours = clip.pixels[0]->host().begin() + static_cast<std::ptrdiff_t>(t * picture);
                worst = std::min(worst, psnr({ours, ours + picture},
                                             {theirs, theirs + static_cast<std::ptrdiff_t>(picture)}));
            }
        }
    }
    INFO("worst PSNR " << worst << " dB");
    CHECK(worst > 30);
    WARN("worst PSNR against ffmpeg: " << worst << " dB");
}
