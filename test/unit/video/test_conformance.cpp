// Streams that others made: frame counts as ffmpeg 5.1 reads them, decoded pictures as their authors
// published them.

extern "C" {
#include <libavutil/sha.h>
}

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"
#include "unit/video/frames.hpp"

namespace divs::video::test {
namespace {

std::filesystem::path conformance_folder() {
    const char* data = std::getenv("DIVS_DATA");
    const auto folder = std::filesystem::path(data ? data : "") / "conformance";
    return data && std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

std::vector<std::vector<std::string>> read_table(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::vector<std::vector<std::string>> rows;
    std::string line;
    std::getline(in, line);  // the column names
    while (std::getline(in, line)) {
        std::istringstream cells(line);
        rows.emplace_back();
        for (std::string cell; std::getline(cells, cell, '\t');) rows.back().push_back(cell);
    }
    return rows;
}

std::string sha1_of_planes(const VideoIndex& index, const Shard& shard) {
    std::unique_ptr<AVSHA, void (*)(void*)> sha(av_sha_alloc(), av_free);
    av_sha_init(sha.get(), 160);
    ShardDecoder decoder(index, shard, {});
    for (Frame frame; decoder.next(frame);) {
        const auto bytes = pixels(*frame.get());
        av_sha_update(sha.get(), bytes.data(), bytes.size());
    }
    std::uint8_t digest[20];
    av_sha_final(sha.get(), digest);
    std::string text;
    for (const std::uint8_t byte : digest) text += fmt::format("{:02x}", byte);
    return text;
}

}  // namespace

TEST_CASE("every conformance file is read, and valid ones give ffmpeg's number of frames") {
    const auto folder = conformance_folder();
    if (folder.empty()) {
        WARN("skipped: DIVS_DATA is not set to a folder with conformance/");
        return;
    }
    int valid = 0;
    for (const auto& row : read_table(folder / "ffmpeg-5.1-reading.tsv")) {
        INFO(row[0]);
        const VideoIndex index = index_video(folder / row[0]);
        CHECK(index.quarantine.empty() != index.packets.empty());
        // One shard, many shards, threads: the same frames.
        std::vector<std::size_t> counts;
        for (const double seconds : {1e9, 0.0}) {
            std::vector<Shown> frames;
            std::uint64_t promised = 0;
            for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = seconds})) {
                const Decoded decoded = decode(index, shard, seconds > 0 ? 1 : 3);
                frames.insert(frames.end(), decoded.frames.begin(), decoded.frames.end());
                promised += shard.frames;
                if (seconds == 0)
                    CHECK(decode_packed(index, shard, 1).frames.size() == decoded.frames.size());
            }
            counts.push_back(frames.size());
            if (row[5] == "0") CHECK(promised == frames.size());
        }
        CHECK(counts[0] == counts[1]);
        if (row[4] != "0" || row[5] != "0") continue;  // ffmpeg itself reports errors
        CHECK(counts[0] == std::stoul(row[3]));
        ++valid;
    }
    CHECK(valid > 60);
}

TEST_CASE("H.264 conformance streams decode to the published pictures") {
    const auto folder = conformance_folder();
    if (folder.empty()) {
        WARN("skipped: DIVS_DATA is not set to a folder with conformance/");
        return;
    }
    int matches = 0;
    for (const auto& row : read_table(folder / "h264" / "decoded-sha1.tsv")) {
        if (row[2] != "match") continue;
        INFO(row[0]);
        const VideoIndex index = index_video(folder / "h264" / row[0]);
        const auto shards = plan_shards(index, 0, 0, {.target_seconds = 1e9});
        REQUIRE(shards.size() == 1);
        CHECK(sha1_of_planes(index, shards[0]) == row[1]);
        ++matches;
    }
    CHECK(matches > 10);
}

}  // namespace divs::video::test
