// The convolution kernels of sm_90a on the host: the tensor copy engine, its barriers and the products of
// warpgroups are doubles that follow the PTX manual.
#include <algorithm>

#include "conv_run.hpp"
#include "device_double.hpp"
#include "divs/core/random.hpp"
#include "support/catch.hpp"

using namespace divs::kernels;
using namespace divs::kernels::test;
using divs::kernels::host::ThreadOrder;

namespace {

void check_all_directions(const ConvCase& c, int gather, int weights, int blocks) {
    INFO(c.name << ", variants " << gather << ", " << weights << ", " << blocks << " blocks");
    REQUIRE(conv_group_takes(c.shape));
    const ConvData d = conv_data<bf16>(c.shape, 7);
    const GatherLauncher<bf16> run = [=](auto& g, auto* source, auto* packed, auto& finish, auto* target) {
        conv_gather_group(gather, g, source, packed, finish, 3, target, nullptr);
    };
    CHECK(forward_error<bf16>(c.shape, d, run) < rounding<bf16>);
    CHECK(backward_error<bf16>(c.shape, d, run) < rounding<bf16>);
    const int parts = group_weight_parts(weights, weight_gather(c.shape), blocks);
    CHECK(weights_error<bf16>(c.shape, d, parts, [=](auto& g, auto* x, auto* dy, int, auto* partial) {
              conv_weights_group(weights, g, x, dy, blocks, partial, nullptr);
          }) < 1e-5);
}

}  // namespace

TEST_CASE("convolutions by wgmma agree with the oracle") {
    for (const ConvCase& c : conv_cases())
        if (conv_group_takes(c.shape)) check_all_directions(c, 2, 2, 2);
}

TEST_CASE("convolutions by wgmma shift channels in time") {
    check_all_directions({"a 3x3", with_shift(conv_shape(6, 5, 4, 192, 16, 3, 1, 1), 3, 64)}, 2, 0, 1);
    check_all_directions({"a 1x1", with_shift(conv_shape(4, 5, 6, 192, 72, 1), 2, 64)}, 1, 1, 2);
    check_all_directions({"half a box", with_shift(conv_shape(4, 5, 6, 256, 64, 1), 2, 32)}, 2, 1, 2);
    check_all_directions({"quarters of a box", with_shift(conv_shape(6, 5, 4, 128, 72, 3, 1, 1), 3, 16)}, 1,
                         0, 1);
    check_all_directions({"across boxes", with_shift(conv_shape(4, 6, 5, 192, 64, 1), 2, 48)}, 1, 2, 2);
}

TEST_CASE("convolutions by wgmma agree with the oracle in all tile sizes and thread orders") {
    const ConvCase wide{"more rows and columns than a tile", conv_shape(2, 12, 12, 24, 136, 3, 1, 1)};
    const ConvCase strided{"strided", conv_shape(1, 13, 14, 72, 264, 3, 2, 1)};
    for (const ThreadOrder order : {ThreadOrder::forward, ThreadOrder::shuffled}) {
        host::device().order = order;
        check_all_directions(strided, 0, 0, 2);
        check_all_directions(wide, 3, 1, 2);
        check_all_directions(wide, 2, 3, 5);
        check_all_directions(strided, 2, 3, 7);
    }
    host::device().order = ThreadOrder::reverse;
    check_all_directions(wide, 1, 2, 1);
    host::device().order = ThreadOrder::forward;
}

TEST_CASE("blocks share out the steps of all tiles evenly, and know who has the others") {
    for (std::uint64_t n = 0; n < 200; ++n) {
        const divs::Random random(n, divs::Stream::test);
        const auto tiles = 1 + random.below(0, 40), steps = 1 + random.below(1, 100);
        const StepShares s(static_cast<int>(tiles), static_cast<int>(steps),
                           1 + static_cast<int>(random.below(2, tiles * steps)));
        INFO(s.tiles << " tiles of " << s.steps << " steps, " << s.blocks << " blocks");
        std::vector<std::vector<int>> blocks_of(static_cast<std::size_t>(s.tiles));
        int next = 0;  // step of the sequence
        for (int block = 0; block < s.blocks; ++block) {
            const int size = s.begin(block + 1) - s.begin(block);
            REQUIRE(size >= s.total() / s.blocks);
            REQUIRE(size <= s.total() / s.blocks + 1);
            REQUIRE(s.begin(block) == next);
            while (next < s.begin(block + 1)) {
                const TileSteps t = tile_steps(s, next, s.begin(block + 1));
                REQUIRE(t.tile * s.steps + t.begin == next);
                REQUIRE(t.end > t.begin);
                REQUIRE(t.end <= s.steps);
                next += t.end - t.begin;
                blocks_of[static_cast<std::size_t>(t.tile)].push_back(block);
            }
        }
        REQUIRE(next == s.total());
        int most = 0;
        for (int tile = 0; tile < s.tiles; ++tile) {
            const std::vector<int>& blocks = blocks_of[static_cast<std::size_t>(tile)];
            CHECK(s.first_block(tile) == blocks.front());
            CHECK(s.parts(tile) == static_cast<int>(blocks.size()));
            CHECK(blocks.back() - blocks.front() + 1 == static_cast<int>(blocks.size()));
            most = std::max(most, static_cast<int>(blocks.size()));
        }
        CHECK(s.most == most);
    }
}

TEST_CASE("what the tensor copy engine cannot fetch is refused") {
    CHECK_FALSE(conv_group_takes(conv_shape(1, 8, 8, 32, 32, 3, 1, 1, 1, 2)));        // groups
    CHECK_FALSE(conv_group_takes(conv_shape(1, 9, 9, 16, 16, 3, 3, 1)));              // a stride of 3
    CHECK_FALSE(conv_group_takes(with_shift(conv_shape(4, 8, 8, 64, 64, 1), 2, 8)));  // half a box shifted
    CHECK_FALSE(conv_group_takes(conv_shape(1, 300, 300, 16, 16, 3, 1, 140)));        // corners beyond 8 bits
    CHECK_FALSE(
        conv_group_takes(with_shift(conv_shape(4, 40, 40, 256, 64, 5, 1, 20), 2, 64)));  // beyond 5 bits
}
