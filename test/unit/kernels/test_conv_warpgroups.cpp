// The convolution kernels of sm_90a on the host: the tensor copy engine, its barriers and the products of
// warpgroups are doubles that follow the PTX manual.
#include "conv_run.hpp"
#include "device_double.hpp"
#include "support/catch.hpp"

using namespace divs::kernels;
using namespace divs::kernels::test;
using divs::kernels::host::ThreadOrder;

namespace {

void check_all_directions(const ConvCase& c, int gather, int weights, int splits) {
    INFO(c.name << ", variants " << gather << ", " << weights);
    REQUIRE(conv_group_takes(c.shape));
    const ConvData d = conv_data<bf16>(c.shape, 7);
    const GatherLauncher<bf16> run = [=](auto& g, auto* source, auto* packed, auto& finish, auto* target) {
        conv_gather_group(gather, g, source, packed, finish, 3, target, nullptr);
    };
    CHECK(forward_error<bf16>(c.shape, d, run) < rounding<bf16>);
    CHECK(backward_error<bf16>(c.shape, d, run) < rounding<bf16>);
    CHECK(weights_error<bf16>(c.shape, d, splits, [=](auto& g, auto* x, auto* dy, int parts, auto* partial) {
              conv_weights_group(weights, g, x, dy, parts, partial, nullptr);
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
        check_all_directions(wide, 2, 3, 4);
        check_all_directions(strided, 2, 3, 2);
    }
    host::device().order = ThreadOrder::reverse;
    check_all_directions(wide, 1, 2, 1);
    host::device().order = ThreadOrder::forward;
}

TEST_CASE("what the tensor copy engine cannot fetch is refused") {
    CHECK_FALSE(conv_group_takes(conv_shape(1, 8, 8, 32, 32, 3, 1, 1, 1, 2)));        // groups
    CHECK_FALSE(conv_group_takes(conv_shape(1, 9, 9, 16, 16, 3, 3, 1)));              // a stride of 3
    CHECK_FALSE(conv_group_takes(with_shift(conv_shape(4, 8, 8, 64, 64, 1), 2, 8)));  // half a box shifted
    CHECK_FALSE(conv_group_takes(conv_shape(1, 300, 300, 16, 16, 3, 1, 140)));        // corners beyond 8 bits
    CHECK_FALSE(
        conv_group_takes(with_shift(conv_shape(4, 40, 40, 256, 64, 5, 1, 20), 2, 64)));  // beyond 5 bits
}
