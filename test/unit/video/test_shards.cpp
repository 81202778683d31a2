// Planning shards, and shards as bytes.
#include <random>

#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"
#include "unit/video/frames.hpp"

namespace divs::video::test {
namespace {

using Catch::Matchers::ContainsSubstring;

// A stream at 25 frames/s without reordering, with entry points at random.
VideoIndex random_index(std::mt19937& random) {
    VideoIndex index;
    index.time_base = {1, 25};
    const int count = 1 + static_cast<int>(random() % 3000);
    for (int i = 0; i < count; ++i) {
        PacketInfo packet{.pts = i, .dts = i, .duration = 1, .size = 100 + static_cast<int>(random() % 50)};
        packet.safe_cut = i > 0 && random() % 100 == 0;
        packet.recovery = !packet.safe_cut && random() % 20 == 0;
        packet.damaged = random() % 50 == 0;
        packet.shown = random() % 10 != 0;
        index.packets.push_back(packet);
    }
    return index;
}

}  // namespace

TEST_CASE("shards cover a file without gaps and begin at entry points") {
    std::mt19937 random(1);
    for (int trial = 0; trial < 50; ++trial) {
        const VideoIndex index = random_index(random);
        const ShardOptions options{.target_seconds = 0.5 + static_cast<double>(random() % 10),
                                   .allow_preroll = trial % 2 == 1};
        const auto shards = plan_shards(index, 7, 100, options);
        std::uint32_t next = 0, frames = 0;
        std::uint64_t bytes = 0;
        for (std::size_t i = 0; i < shards.size(); ++i) {
            const Shard& shard = shards[i];
            CHECK(shard.id == 100 + i);
            CHECK(shard.file == 7);
            CHECK(shard.first_packet == next);
            CHECK(shard.end_packet > shard.first_packet);
            next = shard.end_packet;
            frames += shard.frames;
            bytes += shard.bytes;
            if (i == 0) continue;
            const PacketInfo& first = index.packets[shard.first_packet];
            CHECK((first.safe_cut || (options.allow_preroll && first.recovery)));
            CHECK((shard.preroll_packets > 0) == !first.safe_cut);
            const auto start = static_cast<int>(shard.first_packet - shard.preroll_packets);
            if (!first.safe_cut && start > 0)
                CHECK((index.packets[start].safe_cut || index.packets[start].recovery));
            const double seconds = (shard.first_packet - shards[i - 1].first_packet) / 25.0;
            CHECK(seconds >= options.target_seconds);
        }
        CHECK(next == index.packets.size());
        CHECK(frames == std::count_if(index.packets.begin(), index.packets.end(),
                                      [](const PacketInfo& p) { return p.gives_frame(); }));
        std::uint64_t all_bytes = 0;
        for (const PacketInfo& packet : index.packets) all_bytes += static_cast<std::uint64_t>(packet.size);
        CHECK(bytes == all_bytes);
    }
    CHECK(plan_shards(VideoIndex{}, 0, 0, {}).empty());
}

TEST_CASE("preroll is used only where no safe cut comes within four times the target") {
    VideoIndex index;
    index.time_base = {1, 1};
    for (int i = 0; i < 100; ++i) {
        PacketInfo packet{.pts = i, .dts = i, .duration = 1, .size = 1};
        packet.safe_cut = i == 0 || i == 5 || i == 60;
        packet.recovery = !packet.safe_cut && i % 5 == 0;
        index.packets.push_back(packet);
    }
    std::vector<std::uint32_t> starts;
    for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = 5, .allow_preroll = true}))
        starts.push_back(shard.first_packet);
    // From 5 the next safe cut is 55 s away: recovery points, until 60 is within reach; behind 60 there is
    // none.
    CHECK(starts ==
          std::vector<std::uint32_t>{0, 5, 10, 15, 20, 25, 30, 35, 40, 60, 65, 70, 75, 80, 85, 90, 95});
    CHECK(plan_shards(index, 0, 0, {.target_seconds = 5}).size() == 3);
}

TEST_CASE("damage to a packed shard is noticed") {
    const Scratch folder;
    const VideoIndex index = index_video(encode(folder, {.frames = 30, .options = {{"preset", "veryfast"}}}));
    const auto shards = plan_shards(index, 0, 0, {.target_seconds = 0.1});
    const std::vector<std::byte> packed = pack_shard(index, shards.at(1));
    const auto open = [](const std::vector<std::byte>& bytes) { ShardDecoder decoder(bytes, {}); };
    CHECK_NOTHROW(open(packed));
    std::mt19937 random(2);
    for (int trial = 0; trial < 100; ++trial) {
        std::vector<std::byte> bad = packed;
        if (trial % 2 == 0)
            bad.resize(random() % packed.size());
        else
            bad[random() % bad.size()] ^= static_cast<std::byte>(1U << (random() % 8));
        CHECK_THROWS_AS(open(bad), InputError);
    }
    CHECK_THROWS_AS(open({}), InputError);
}

TEST_CASE("a moved-from frame and a moved decoder can be used") {
    const Scratch folder;
    const VideoIndex index = index_video(encode(folder, {.frames = 10, .options = {{"preset", "veryfast"}}}));
    ShardDecoder first(index, plan_shards(index, 0, 0, {}).at(0), {});
    Frame frame;
    REQUIRE(first.next(frame));
    CHECK(frame.width() == 64);
    CHECK(frame.bytes() >= 64 * 48 * 3 / 2);
    const Frame kept = std::move(frame);
    ShardDecoder second = std::move(first);
    int rest = 0;
    while (second.next(frame)) ++rest;
    CHECK(rest == 9);
    CHECK(kept.pts < frame.pts);
    CHECK(second.counts().frames == 10);
}

}  // namespace divs::video::test
