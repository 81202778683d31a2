#include <algorithm>

#include "divs/core/random.hpp"
#include "lifetimes.hpp"
#include "support/catch.hpp"

using divs::nn::Lifetime;

TEST_CASE("blocks alive together never overlap, and little more memory is taken than is needed at once") {
    const divs::Random random(11, divs::Stream::test);
    for (std::uint64_t round = 0; round < 60; ++round) {
        std::vector<Lifetime> blocks;
        for (std::uint64_t i = 0; i < 5 + round; ++i) {
            const std::uint64_t key = round * 1000 + i * 3;
            const int first = static_cast<int>(random.below(key, 40));
            blocks.push_back(
                {random.below(key + 1, 5000), first, first + static_cast<int>(random.below(key + 2, 12)), 0});
        }
        const std::size_t total = divs::nn::place(blocks, 64);
        std::size_t most = 0;
        for (int moment = 0; moment < 60; ++moment) {
            std::size_t alive = 0;
            for (const Lifetime& b : blocks)
                if (b.first <= moment && moment <= b.last) alive += (b.bytes + 63) / 64 * 64;
            most = std::max(most, alive);
        }
        for (const Lifetime& a : blocks) {
            REQUIRE(a.offset % 64 == 0);
            REQUIRE(a.offset + a.bytes <= total);
            for (const Lifetime& b : blocks) {
                if (&a == &b || a.last < b.first || b.last < a.first) continue;
                REQUIRE((a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset));
            }
        }
        REQUIRE(total >= most);
        REQUIRE(total <= 1.5 * static_cast<double>(most) + 64);
    }
}
