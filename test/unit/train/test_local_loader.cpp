// Order local: how clips of shards, which come one after the other, are mixed.
#include <algorithm>
#include <numeric>
#include <set>

#include "divs/core/error.hpp"
#include "divs/train/loader.hpp"
#include "divs/video/indexing.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"
#include "support/small_dataset.hpp"

namespace divs::train {
namespace {

constexpr int reservoir = 32;

video::Catalogue catalogue_in(const test::Scratch& scratch) {
    test::make_small_dataset(scratch.path(), {.videos = 40, .frames = 16, .val_videos = 0});
    video::Dataset dataset = video::read_dataset(scratch.path());
    std::vector<video::VideoIndex> files;
    for (std::uint32_t i = 0; i < dataset.files.size(); ++i)
        files.push_back(video::index_video(dataset.path_of(i)));
    return video::make_catalogue(std::move(dataset), std::move(files), {.clip = {.hop = 2}, .shard = {}, .limits = {}});
}

// The samples in the order in which they are trained on. Leases come in the order of the shards.
std::vector<std::uint64_t> drawn(const video::Catalogue& catalogue, std::uint64_t seed, std::uint64_t epoch) {
    FeedOptions options;
    options.reader.sizes = {{8, 8}};
    std::uint32_t next = 0;
    ClipFeed feed(catalogue, options, [&]() -> std::optional<Lease> {
        if (next == catalogue.shards.size()) return {};
        const std::uint32_t shard = next++;
        return Lease{shard, catalogue.shard_samples[shard], {}};
    });
    LocalLoader loader(feed, reservoir, seed, epoch);
    std::vector<std::uint64_t> order;
    for (std::size_t left = catalogue.samples.size(); left > 0;) {
        const int count = static_cast<int>(std::min<std::size_t>(left, 5));
        for (const video::Clip& clip : loader.take(count).clips) order.push_back(clip.sample);
        left -= static_cast<std::size_t>(count);
    }
    CHECK_THROWS_AS(loader.take(1), Error);  // there is no more
    return order;
}

}  // namespace

TEST_CASE("the reservoir gives every clip once, by seed and epoch, and keeps none back") {
    const test::Scratch scratch;
    const video::Catalogue catalogue = catalogue_in(scratch);
    const std::size_t samples = catalogue.samples.size();
    REQUIRE(samples == 320);
    const auto order = drawn(catalogue, 1, 0);
    CHECK(order.size() == samples);
    CHECK(std::set(order.begin(), order.end()).size() == samples);
    CHECK(drawn(catalogue, 1, 0) == order);
    CHECK(drawn(catalogue, 2, 0) != order);
    CHECK(drawn(catalogue, 1, 1) != order);

    // A clip waits for a geometrically distributed number of draws, of mean `reservoir`, so what is drawn at k came
    // at about k, at the beginning of an epoch as at its end. Nothing waits for long: 1 in e^6 longer than 6 means.
    const auto mean = [&](std::size_t begin, std::size_t end) {
        return std::accumulate(order.begin() + static_cast<long>(begin), order.begin() + static_cast<long>(end), 0.0) /
               static_cast<double>(end - begin);
    };
    for (std::size_t begin = 0; begin < samples; begin += 80)
        CHECK(mean(begin, begin + 80) == Approx(static_cast<double>(begin) + 40).margin(reservoir));
    std::size_t late = 0;
    for (std::size_t k = 0; k < samples; ++k) late += k > order[k] + 6 * reservoir;
    CHECK(late <= 8);
    // And it does mix: neighbours seldom come from one shard (8 samples) as they would in the order of arrival.
    std::size_t same_shard = 0;
    for (std::size_t k = 1; k < samples; ++k)
        same_shard += catalogue.samples[order[k]].shard == catalogue.samples[order[k - 1]].shard;
    CHECK(same_shard < samples / 2);
}

}  // namespace divs::train
