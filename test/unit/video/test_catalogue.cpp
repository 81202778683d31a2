#include <fstream>
#include <numeric>
#include <set>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/video/indexing.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"

using namespace divs;
using namespace divs::video;
using Catch::Matchers::ContainsSubstring;
using divs::video::test::encode;
using divs::video::test::Scratch;

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

TEST_CASE("no clip straddles a shard or an interval; B-frames are taken in order of presentation") {
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

namespace {

VideoIndex odd_index(std::uint64_t seed) {
    const Random random(seed, Stream::test, 7);
    VideoIndex index = made_index(counting(random.below(0, 50), INT64_MIN + 5), {0, 3}, {1001, 30000});
    index.path = "/some/ä folder/" + std::to_string(seed);
    index.file_bytes = random.bits(1);
    index.modified_ns = -static_cast<std::int64_t>(random.below(2, 1U << 30));
    index.fingerprint = random.bits(3);
    index.container = "mov", index.codec = "h264", index.pixel_format = "yuv420p";
    index.width = 1921, index.height = -1, index.stream = 3;
    index.frame_rate = {-1, 0};
    index.image = seed % 2, index.numbered = seed % 3 == 0;
    index.quarantine = seed % 5 ? "" : "because";
    for (std::uint64_t i = 0; i < index.packets.size(); ++i) {
        PacketInfo& p = index.packets[i];
        if (random.below(4 + i, 3) == 0) p.pts = INT64_MAX, p.dts = INT64_MIN;
        p.position = random.below(100 + i, 2) ? -1 : static_cast<std::int64_t>(random.bits(200 + i) >> 1);
        p.size = static_cast<std::int32_t>(random.bits(300 + i));
        p.duration = static_cast<std::int64_t>(random.bits(400 + i));
        p.recovery = i % 2, p.damaged = i % 3 == 0, p.shown = i % 5 != 0;
    }
    return index;
}

void require_same(const VideoIndex& a, const VideoIndex& b) {
    REQUIRE(a.path == b.path);
    REQUIRE(a.quarantine == b.quarantine);
    REQUIRE(std::tie(a.file_bytes, a.modified_ns, a.fingerprint, a.container, a.codec, a.pixel_format,
                     a.stream, a.width, a.height, a.image, a.numbered) ==
            std::tie(b.file_bytes, b.modified_ns, b.fingerprint, b.container, b.codec, b.pixel_format,
                     b.stream, b.width, b.height, b.image, b.numbered));
    REQUIRE(a.time_base.num == b.time_base.num);
    REQUIRE(a.frame_rate.num == b.frame_rate.num);
    REQUIRE(a.frame_rate.den == b.frame_rate.den);
    REQUIRE(a.packets.size() == b.packets.size());
    for (std::size_t i = 0; i < a.packets.size(); ++i) {
        const PacketInfo &p = a.packets[i], &q = b.packets[i];
        REQUIRE(std::tie(p.pts, p.dts, p.duration, p.position, p.size, p.key, p.safe_cut, p.recovery,
                         p.damaged, p.shown) == std::tie(q.pts, q.dts, q.duration, q.position, q.size, q.key,
                                                         q.safe_cut, q.recovery, q.damaged, q.shown));
    }
}

std::string read_bytes(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("indexes survive packing and saving in every field") {
    std::vector<VideoIndex> files;
    for (std::uint64_t seed = 0; seed < 20; ++seed) files.push_back(odd_index(seed));
    const auto back = unpack_indexes(pack_indexes(files));
    REQUIRE(back.size() == files.size());
    for (std::size_t i = 0; i < files.size(); ++i) require_same(files[i], back[i]);
    const Scratch folder;
    save_index(folder / "deep" / "index", files);
    const auto saved = read_index(folder / "deep" / "index");
    REQUIRE(saved.size() == files.size());
    for (const VideoIndex& file : files) require_same(file, saved.at(file.path));
    CHECK(load_index(folder / "deep" / "index").empty());  // none of these files exists
    CHECK(std::distance(std::filesystem::directory_iterator(folder / "deep"), {}) == 1);  // no temporary left
}

TEST_CASE("a saved index with any byte changed, cut or added is not used") {
    const Scratch folder;
    const auto path = folder / "index";
    save_index(path, {odd_index(4)});
    const std::string good = read_bytes(path);
    REQUIRE(read_index(path).size() == 1);
    const Random random(5, Stream::test);
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ (1 << random.below(i, 8)));
        write_bytes(path, bad);
        REQUIRE(read_index(path).empty());
        REQUIRE_NOTHROW(load_index(path));
    }
    for (std::size_t length = 0; length < good.size(); length += 3) {
        write_bytes(path, good.substr(0, length));
        REQUIRE(read_index(path).empty());
    }
    write_bytes(path, good + "x");
    CHECK(read_index(path).empty());
    CHECK(read_index(folder.path()).empty());
    CHECK(read_index(folder / "none").empty());
    for (std::size_t i = 0; i < 300; ++i) {  // damage inside the packed part must not run away either
        auto packed = pack_indexes({odd_index(4)});
        const auto at = random.below(1000 + i, packed.size());
        packed[at] = static_cast<std::byte>(random.bits(2000 + i));
        try {
            (void)unpack_indexes(packed);
        } catch (const InputError&) {
        }
    }
}

TEST_CASE("a data set is indexed on several threads, saved, and only what changed is indexed again") {
    const Scratch folder;
    for (int i = 0; i < 5; ++i) encode(folder, {.frames = 10 + i}, "v" + std::to_string(i));
    std::ofstream(folder / "broken.mp4") << "this is no video";
    std::ofstream table(folder / "labels.tsv");
    table << "path\tlabel\tsplit\n";
    for (int i = 0; i < 5; ++i) table << "v" << i << ".mp4\ta\ttrain\n";
    table << "broken.mp4\tb\ttrain\nmissing.mp4\tb\tval\n";
    table.close();
    const Dataset set = read_dataset(folder.path());
    std::size_t told = 0;
    IndexingOptions options;
    options.threads = 3;
    options.progress = [&](std::size_t done, std::size_t total) {
        CHECK(total == 7);
        CHECK(done == ++told);
    };
    const auto first = index_dataset(set, options);
    CHECK(told == 7);
    CHECK(first.reused == 0);
    CHECK(first.saved);
    CHECK(first.saved_at == set.root / ".divs-index");
    const auto catalogue = make_catalogue(set, first.files, {});
    CHECK(catalogue.samples.size() == 10 + 11 + 12 + 13 + 14);
    CHECK(catalogue.quarantined().size() == 2);

    told = 0;
    const auto second = index_dataset(set, options);
    CHECK(second.reused >= 5);
    CHECK(make_catalogue(set, second.files, {}).fingerprint == catalogue.fingerprint);
    for (std::size_t i = 0; i < 5; ++i) require_same(first.files[i], second.files[i]);

    told = 0;
    encode(folder, {.frames = 30}, "v2");
    const auto third = index_dataset(set, options);
    CHECK(third.saved);
    CHECK(make_catalogue(set, third.files, {}).samples.size() == 10 + 11 + 30 + 13 + 14);

    told = 0;
    options.saved = folder / "file.mp4" / "impossible";
    std::ofstream(folder / "file.mp4") << "x";
    CHECK_FALSE(index_dataset(set, options).saved);  // a warning, no failure
}

TEST_CASE("processes share the files and agree on the result") {
    const Scratch folder;
    std::ofstream table(folder / "labels.tsv");
    table << "path\tlabel\tsplit\n";
    for (int i = 0; i < 5; ++i) {
        encode(folder, {.frames = 5 + i}, "v" + std::to_string(i));
        table << "v" << i << ".mp4\ta\ttrain\n";
    }
    table.close();
    const Dataset set = read_dataset(folder.path());
    const bool own = GENERATE(false, true);
    // Each process in turn up to the gather; then, with what all gave, once more to the end.
    std::vector<std::vector<std::byte>> given(3);
    struct Stop {};
    for (int rank = 0; rank < 3; ++rank) {
        IndexingPeers peers{rank, 3,
                            [&](std::span<const std::byte> bytes) -> std::vector<std::vector<std::byte>> {
                                given[static_cast<std::size_t>(rank)].assign(bytes.begin(), bytes.end());
                                throw Stop();
                            },
                            own};
        IndexingOptions options;
        options.save = false;
        CHECK_THROWS_AS(index_dataset(set, options, peers), Stop);
    }
    for (int rank = 0; rank < 3; ++rank) {
        IndexingOptions options;
        options.saved = folder / ("index" + std::to_string(rank));
        const IndexingPeers peers{rank, 3, [&](std::span<const std::byte>) { return given; }, own};
        const auto all = index_dataset(set, options, peers);
        REQUIRE(all.files.size() == 5);
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(all.files[i].quarantine.empty());
            CHECK(all.files[i].packets.size() == 5 + i);
            if (own) CHECK(all.holders.at(i) == std::vector<int>{0, 1, 2});
        }
        CHECK(all.saved == (own || rank == 0));
    }
}
