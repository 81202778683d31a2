#include <limits>
#include <set>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/io/bytes.hpp"
#include "support/catch.hpp"

using namespace divs;
using io::ByteReader;
using io::ByteWriter;

TEST_CASE("what was written as bytes is read back") {
    const Random random(1, Stream::test);
    std::vector<std::uint64_t> numbers{0, 127, 128, 16383, 16384, std::numeric_limits<std::uint64_t>::max()};
    for (std::uint64_t i = 0; i < 500; ++i) numbers.push_back(random.bits(i) >> random.below(1000 + i, 64));
    ByteWriter out;
    for (const auto n : numbers) {
        out.number(n);
        out.fixed(n);
    }
    out.real(-0.1);
    out.text("h\xC3\xA9llo");
    out.raw({});
    const auto bytes = out.take();
    ByteReader in(bytes, "test");
    for (const auto n : numbers) {
        REQUIRE(in.number() == n);
        REQUIRE(in.fixed() == n);
    }
    CHECK(in.real() == -0.1);
    CHECK(in.text() == "h\xC3\xA9llo");
    CHECK(in.raw().empty());
    in.finish();
}

TEST_CASE("bytes that end early or claim too much are refused, whatever they are") {
    ByteWriter out;
    out.number(300);
    out.text("some text");
    out.fixed(7);
    const auto bytes = out.take();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const std::span<const std::byte> all = bytes;
        ByteReader in(all.first(size), "cut");
        CHECK_THROWS_AS((in.number(), in.text(), in.fixed()), InputError);
    }
    const Random random(2, Stream::test);
    for (std::uint64_t trial = 0; trial < 2000; ++trial) {
        std::vector<std::byte> noise(random.below(trial, 40));
        for (std::size_t i = 0; i < noise.size(); ++i)
            noise[i] = static_cast<std::byte>(random.bits(trial * 64 + i));
        ByteReader in(noise, "noise");
        try {
            for (;;) {
                in.raw();
                in.number();
                const std::size_t count = in.count(8);
                CHECK(count <= noise.size() / 8);
            }
        } catch (const InputError&) {
        }
        CHECK(in.left() <= noise.size());
    }
}

TEST_CASE("the hash does not depend on how bytes are cut, and sees every single flipped bit") {
    const Random random(3, Stream::test);
    std::vector<std::byte> bytes(77);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(random.bits(i));
    const auto hash = [](std::span<const std::byte> all) {
        io::Hash64 h;
        h.add(all);
        return h.value();
    };
    const auto whole = hash(bytes);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        io::Hash64 h;
        h.add(std::span(bytes).first(cut));
        h.add(std::span(bytes).subspan(cut));
        CHECK(h.value() == whole);
    }
    std::set<std::uint64_t> seen{whole};
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto flipped = bytes;
        flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        seen.insert(hash(flipped));
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) seen.insert(hash(std::span(bytes).first(size)));
    CHECK(seen.size() == 1 + bytes.size() * 8 + bytes.size());
}
