#include <cstdint>
#include <fstream>
#include <tuple>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/video/indexing.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"

using namespace divs;
using namespace divs::video;
using divs::test::read_text;
using divs::test::write_text;
using divs::video::test::encode;
using divs::video::test::Scratch;

namespace {

VideoIndex odd_index(std::uint64_t seed) {
    const Random random(seed, Stream::test, 7);
    VideoIndex index;
    index.time_base = {1001, 30000};
    index.packets.resize(random.below(0, 50));
    index.path = "/some/ä folder/" + std::to_string(seed);
    index.file_bytes = random.bits(1);
    index.modified_ns = -static_cast<std::int64_t>(random.below(2, 1U << 30));
    index.fingerprint = random.bits(3);
    index.limits = {static_cast<int>(random.below(5, 99)), 1 << 20, 0.1 * static_cast<double>(seed), 12345};
    index.container = "mov", index.codec = "h264", index.pixel_format = "yuv420p";
    index.width = 1921, index.height = -1, index.stream = 3;
    index.frame_rate = {-1, 0};
    index.image = seed % 2, index.numbered = seed % 3 == 0;
    index.quarantine = seed % 5 ? "" : "because";
    for (std::uint64_t i = 0; i < index.packets.size(); ++i) {
        PacketInfo& p = index.packets[i];
        p.pts = p.dts = INT64_MIN + 5 + static_cast<std::int64_t>(i);
        p.key = p.safe_cut = i == 0 || i == 3;
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
    REQUIRE(a.limits == b.limits);
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
    CHECK(std::distance(std::filesystem::directory_iterator(folder / "deep"), {}) == 1);  // no temporary left
}

TEST_CASE("a saved index with any byte changed, cut or added is not used") {
    const Scratch folder;
    const auto path = folder / "index";
    save_index(path, {odd_index(4)});
    const std::string good = read_text(path);
    REQUIRE(read_index(path).size() == 1);
    const Random random(5, Stream::test);
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ (1 << random.below(i, 8)));
        write_text(path, bad);
        REQUIRE(read_index(path).empty());
    }
    for (std::size_t length = 0; length < good.size(); length += 3) {
        write_text(path, good.substr(0, length));
        REQUIRE(read_index(path).empty());
    }
    write_text(path, good + "x");
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

TEST_CASE("limits hold for files that were indexed under others, and no longer than they are asked for") {
    const Scratch folder;
    std::ofstream(folder / "labels.tsv") << "path\tlabel\tsplit\nv.mp4\ta\ttrain\n";
    encode(folder, {.frames = 50}, "v");
    const Dataset set = read_dataset(folder.path());
    const auto reason = [&](const OpenLimits& limits) {
        IndexingOptions options;
        options.limits = limits;
        return index_dataset(set, options).files.front().quarantine;
    };
    OpenLimits shorter, smaller;
    shorter.max_seconds = 1;
    smaller.max_pixels = 100;
    for (int again = 0; again < 2; ++again) {
        CHECK(reason({}).empty());
        CHECK_THAT(reason(shorter), ContainsSubstring("the limit is 1 s"));
        CHECK_THAT(reason(smaller), ContainsSubstring("100"));
    }
    CHECK(reason({}).empty());
    CHECK(index_dataset(set, {}).reused == 1);
}

TEST_CASE("an index is not written over a file of another kind") {
    const Scratch folder;
    std::ofstream(folder / "labels.tsv") << "path\tlabel\tsplit\nv.mp4\ta\ttrain\n";
    const auto video = encode(folder, {.frames = 5}, "v");
    const Dataset set = read_dataset(folder.path());
    IndexingOptions options;
    for (const std::filesystem::path& taken : {folder / "labels.tsv", video}) {
        const std::string before = read_text(taken);
        options.saved = taken;
        CHECK_THROWS_WITH(index_dataset(set, options),
                          ContainsSubstring(taken.string()) && ContainsSubstring("no index of DIVS"));
        CHECK(read_text(taken) == before);
    }
    options.saved = folder / "index";
    write_text(options.saved, "");  // as mktemp makes it
    CHECK(index_dataset(set, options).saved);
    std::string older = read_text(options.saved);
    older[12] ^= 1;  // the version
    write_text(options.saved, older);
    CHECK(index_dataset(set, options).saved);
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
