#include <numeric>
#include <set>

#include "divs/core/random.hpp"
#include "divs/video/indexing.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::video;

namespace {

// A file of frames at the given times, in decode order, with safe cuts at the given packets.
VideoIndex made_index(const std::vector<std::int64_t>& pts, const std::set<std::size_t>& cuts,
                      Rational base) {
    VideoIndex index;
    index.time_base = base;
    index.fingerprint = pts.size();
    for (std::size_t i = 0; i < pts.size(); ++i) {
        PacketInfo packet;
        packet.pts = packet.dts = pts[i];
        packet.duration = 1;
        packet.size = 100;
        packet.key = packet.safe_cut = cuts.contains(i);
        index.packets.push_back(packet);
    }
    return index;
}

std::vector<std::int64_t> counting(std::size_t n, std::int64_t from = 0) {
    std::vector<std::int64_t> pts(n);
    std::iota(pts.begin(), pts.end(), from);
    return pts;
}

Dataset made_dataset(std::vector<LabelRow> rows, std::size_t files = 1) {
    Dataset set;
    set.classes = {"a", "b"};
    for (std::size_t i = 0; i < files; ++i) set.files.push_back("f" + std::to_string(i));
    set.rows = std::move(rows);
    return set;
}

LabelRow row(double start, double end, std::int32_t label = 0, std::uint32_t file = 0,
             Split split = Split::train) {
    LabelRow r;
    r.file = file, r.label = label, r.split = split, r.start = start, r.end = end;
    return r;
}

std::vector<std::vector<std::int64_t>> times(const Catalogue& catalogue) {
    std::vector<std::vector<std::int64_t>> out;
    for (const Sample& sample : catalogue.samples) out.push_back(sample.pts);
    return out;
}

using Times = std::vector<std::vector<std::int64_t>>;

}  // namespace

TEST_CASE("clips follow each other at the hop, inside the interval") {
    const auto index = made_index(counting(20, 100), {0}, {1, 10});  // 0.0 .. 1.9 s, first pts 100
    CatalogueOptions options;
    options.clip = {2, 3, 0};
    const auto by_default = make_catalogue(made_dataset({row(0, -1)}), {index}, options);
    CHECK(times(by_default) == Times{{100, 103}, {106, 109}, {112, 115}});
    options.clip.hop = 7;
    CHECK(times(make_catalogue(made_dataset({row(0, -1)}), {index}, options)) ==
          Times{{100, 103}, {107, 110}, {114, 117}});
    options.clip = {1, 1, 0};
    // Half-open: the frame at 0.5 s is in, the one at 0.8 s is not.
    CHECK(times(make_catalogue(made_dataset({row(0.5, 0.8)}), {index}, options)) ==
          Times{{105}, {106}, {107}});
}

TEST_CASE("intervals end exactly where the next begins, at any time base") {
    for (const Rational base :
         {Rational{1, 25}, Rational{1, 90000}, Rational{1001, 30000}, Rational{1, 3}, Rational{1, 12800}}) {
        std::vector<LabelRow> rows;
        for (int s = 0; s < 40; ++s) rows.push_back(row(s * 0.1, (s + 1) * 0.1, s % 2));
        const auto step =
            std::max<std::int64_t>(1, static_cast<std::int64_t>(std::lround(base.den * 0.04 / base.num)));
        std::vector<std::int64_t> pts;
        for (int i = 0; i < 50; ++i) pts.push_back(i * step);
        const auto catalogue = make_catalogue(made_dataset(rows), {made_index(pts, {0}, base)}, {});
        std::multiset<std::int64_t> seen;
        for (const Sample& sample : catalogue.samples) seen.insert(sample.pts[0]);
        std::multiset<std::int64_t> expected;
        for (const std::int64_t p : pts)
            if (static_cast<double>(p) * base.num / base.den < 4.0) expected.insert(p);
        CHECK(seen == expected);  // none lost, none twice
    }
}

TEST_CASE("no clip straddles a shard or an interval, and B-frames are taken in order of presentation") {
    // Two groups of I B B P order: decode order differs from presentation order.
    const std::vector<std::int64_t> pts{0, 3, 1, 2, 6, 4, 5, 7, 10, 8, 9, 13, 11, 12};
    const auto index = made_index(pts, {0, 7}, {1, 1});
    CatalogueOptions options;
    options.shard.target_seconds = 5;
    options.clip = {3, 1, 0};
    const auto catalogue = make_catalogue(made_dataset({row(0, 11), row(11, -1, 1)}), {index}, options);
    REQUIRE(catalogue.shards.size() == 2);
    CHECK(times(catalogue) == Times{{0, 1, 2}, {3, 4, 5}, {7, 8, 9}, {11, 12, 13}});
    CHECK(catalogue.samples[3].label == 1);
    CHECK(catalogue.samples[2].shard == 1);
    CHECK(catalogue.shard_samples == std::vector<std::vector<std::uint64_t>>{{0, 1}, {2, 3}});
}

TEST_CASE("an interval too short for a clip gives one that repeats its last frame") {
    const auto index = made_index(counting(30), {0, 10, 20}, {1, 1});
    CatalogueOptions options;
    options.shard.target_seconds = 8;
    options.clip = {4, 2, 0};
    SECTION("inside a shard") {
        const auto catalogue = make_catalogue(made_dataset({row(2, 5)}), {index}, options);
        CHECK(times(catalogue) == Times{{2, 4, 4, 4}});
    }
    SECTION("over a boundary, the longer part") {
        const auto catalogue = make_catalogue(made_dataset({row(9, 12)}), {index}, options);
        CHECK(times(catalogue) == Times{{10, 11, 11, 11}});
        CHECK(catalogue.samples[0].shard == 1);
    }
    SECTION("leftovers of intervals that have clips are not padded") {
        CHECK(times(make_catalogue(made_dataset({row(0, 12)}), {index}, options)) == Times{{0, 2, 4, 6}});
    }
    SECTION("an image") {
        auto image = made_index({0}, {0}, {1, 25});
        image.image = true;
        CHECK(times(make_catalogue(made_dataset({row(0, -1)}), {image}, options)) == Times{{0, 0, 0, 0}});
    }
    SECTION("no frame at all is reported") {
        const auto catalogue = make_catalogue(made_dataset({row(50, 60), row(3.2, 3.9)}), {index}, options);
        CHECK(catalogue.samples.empty());
        CHECK(catalogue.empty_rows == std::vector<std::uint32_t>{0, 1});
    }
}

TEST_CASE("frames without a picture, damaged ones and repeated times are not sampled") {
    auto index = made_index({0, 1, 2, 3, 3, 4, 5}, {0}, {1, 1});
    index.packets[1].damaged = true;
    index.packets[2].shown = false;
    const auto catalogue = make_catalogue(made_dataset({row(0, -1)}), {index}, {});
    CHECK(times(catalogue) == Times{{0}, {3}, {4}, {5}});
}

TEST_CASE("quarantined files give neither shards nor samples") {
    auto bad = made_index(counting(5), {0}, {1, 1});
    bad.quarantine = "broken";
    const auto good = made_index(counting(3), {0}, {1, 1});
    const auto catalogue =
        make_catalogue(made_dataset({row(0, -1, 0, 0), row(0, -1, 1, 1, Split::val)}, 2), {bad, good}, {});
    REQUIRE(catalogue.shards.size() == 1);
    CHECK(catalogue.shards[0].file == 1);
    CHECK(catalogue.samples_of(Split::train).empty());
    CHECK(catalogue.samples_of(Split::val) == std::vector<std::uint64_t>{0, 1, 2});
    CHECK(catalogue.quarantined() == std::vector<std::pair<std::string, std::string>>{{"f0", "broken"}});
    CHECK(catalogue.empty_rows.empty());
}

TEST_CASE("random catalogues keep their promises") {
    for (std::uint64_t trial = 0; trial < 60; ++trial) {
        const Random random(trial, Stream::test);
        std::uint64_t draw = 0;
        std::vector<std::int64_t> pts;
        std::set<std::size_t> cuts{0};
        std::int64_t at = static_cast<std::int64_t>(random.below(draw++, 1000)) - 500;
        for (std::uint64_t i = 0, n = 1 + random.below(draw++, 300); i < n; ++i) {
            pts.push_back(at +=
                          1 + static_cast<std::int64_t>(random.below(draw++, 9)));  // variable frame rate
            if (random.below(draw++, 12) == 0) cuts.insert(i);
        }
        const auto index = made_index(pts, cuts, {1, 20});
        std::vector<LabelRow> rows;
        double t = 0;
        while (t < 60) {
            const double start = t + random.uniform(draw++, 0, 3);
            t = start + random.uniform(draw++, 0.1, 10);
            rows.push_back(row(start, t, static_cast<std::int32_t>(rows.size() % 2)));
        }
        CatalogueOptions options;
        options.clip = {1 + static_cast<int>(random.below(draw++, 6)),
                        1 + static_cast<int>(random.below(draw++, 4)),
                        static_cast<int>(random.below(draw++, 5))};
        options.shard.target_seconds = random.uniform(draw++, 0.5, 8);
        const auto catalogue = make_catalogue(made_dataset(rows), {index}, options);
        INFO("trial " << trial);
        std::set<std::uint32_t> rows_with_samples;
        for (std::size_t i = 0; i < catalogue.samples.size(); ++i) {
            const Sample& sample = catalogue.samples[i];
            REQUIRE(sample.id == i);
            REQUIRE(sample.pts.size() == static_cast<std::size_t>(options.clip.frames));
            const Shard& shard = catalogue.shards[sample.shard];
            const std::set<std::int64_t> in_shard(pts.begin() + shard.first_packet,
                                                  pts.begin() + shard.end_packet);
            std::set<std::uint32_t> holders;
            for (std::uint32_t r = 0; r < rows.size(); ++r) {
                const bool all = std::all_of(sample.pts.begin(), sample.pts.end(), [&](std::int64_t p) {
                    const double s = static_cast<double>(p - pts[0]) / 20;
                    return s >= rows[r].start && s < rows[r].end;
                });
                if (all) holders.insert(r);
            }
            REQUIRE(holders.size() == 1);
            REQUIRE(rows[*holders.begin()].label == sample.label);
            rows_with_samples.insert(*holders.begin());
            for (const std::int64_t p : sample.pts) REQUIRE(in_shard.contains(p));
            REQUIRE(std::is_sorted(sample.pts.begin(), sample.pts.end()));
            if (i > 0) {
                const Sample& before = catalogue.samples[i - 1];
                REQUIRE(std::pair(before.shard, before.pts[0]) <= std::pair(sample.shard, sample.pts[0]));
            }
        }
        REQUIRE(rows_with_samples.size() + catalogue.empty_rows.size() ==
                rows.size());  // no interval is lost
        const auto again = make_catalogue(made_dataset(rows), {index}, options);
        REQUIRE(again.fingerprint == catalogue.fingerprint);
        auto other = options;
        other.clip.stride += 1;
        if (options.clip.frames > 1 && !catalogue.samples.empty())
            CHECK(make_catalogue(made_dataset(rows), {index}, other).fingerprint != catalogue.fingerprint);
    }
}
