// Entry points need parameter sets: those the stream began with, or their own.
#include <fstream>
#include <iterator>

#include "support/catch.hpp"
#include "unit/video/encode.hpp"
#include "unit/video/frames.hpp"

namespace divs::video::test {
namespace {

using Unit = std::vector<char>;

// The NAL units of a raw stream whose start codes have four bytes or three; start codes are not part of them.
std::vector<Unit> units_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    std::vector<Unit> units;
    std::size_t begin = 0;
    const auto end_unit = [&](std::size_t end) {
        while (end > begin && bytes[end - 1] == 0) --end;
        if (begin > 0)
            units.emplace_back(bytes.begin() + static_cast<long>(begin),
                               bytes.begin() + static_cast<long>(end));
    };
    for (std::size_t i = 0; i + 3 <= bytes.size(); ++i)
        if (bytes[i] == 0 && bytes[i + 1] == 0 && bytes[i + 2] == 1) {
            end_unit(i);
            begin = i + 3;
        }
    end_unit(bytes.size());
    return units;
}

void append(std::vector<char>& stream, const std::vector<Unit>& units, bool repeat_sets) {
    bool seen_picture = false;
    for (const Unit& unit : units) {
        const int type = unit[0] & 0x1F;
        const bool set = type == 7 || type == 8;
        seen_picture = seen_picture || type == 5;
        if (set && seen_picture && !repeat_sets) continue;
        for (const char byte : {0, 0, 0, 1}) stream.push_back(byte);
        stream.insert(stream.end(), unit.begin(), unit.end());
    }
}

std::vector<int> cut_positions(const VideoIndex& index) {  // by frame
    std::vector<int> cuts;
    int frame = 0;
    for (const PacketInfo& packet : index.packets) {
        if (packet.safe_cut) cuts.push_back(frame);
        frame += packet.gives_frame();
    }
    return cuts;
}

}  // namespace

TEST_CASE("after parameters changed, only entry points that bring their own are safe") {
    const Scratch folder;
    const std::map<std::string, std::string> options{{"preset", "veryfast"}, {"x264-params", "scenecut=0"}};
    const Recipe small{.extension = ".264", .frames = 36, .gop = 12, .options = options, .muxer = "h264"};
    Recipe large = small;
    large.width = 96;
    large.height = 80;
    const auto first = units_of(encode(folder, small, "small")),
               second = units_of(encode(folder, large, "large"));

    struct Expected {
        bool repeat_sets;
        std::vector<int> cuts;
    };
    // Without repetition, a decoder that starts at frame 48 or 60 would have the small pictures' sets.
    for (const Expected& expected :
         {Expected{true, {0, 12, 24, 36, 48, 60}}, Expected{false, {0, 12, 24, 36}}}) {
        std::vector<char> stream;
        append(stream, first, expected.repeat_sets);
        append(stream, second, expected.repeat_sets);
        const auto file = folder / "both.264";
        std::ofstream(file, std::ios::binary)
            .write(stream.data(), static_cast<std::streamsize>(stream.size()));
        const VideoIndex index = index_video(file);
        REQUIRE(index.quarantine == "");
        CHECK(cut_positions(index) == expected.cuts);
        // The size changes in the middle of a shard or between shards; the frames are the same.
        const std::vector<Shown> whole = decode_linearly(file);
        REQUIRE(whole.size() == 72);
        for (const double seconds : {0.0, 1.0, 1e9}) {
            std::vector<Shown> joined;
            for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = seconds})) {
                const auto part = decode(index, shard).frames;
                CHECK(decode_packed(index, shard, 2).frames == part);
                joined.insert(joined.end(), part.begin(), part.end());
            }
            CHECK(hashes(joined) == hashes(whole));
        }
    }
}

}  // namespace divs::video::test
