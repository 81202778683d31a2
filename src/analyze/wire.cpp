#include "wire.hpp"

#include <algorithm>

#include "divs/io/bytes.hpp"

namespace divs::analyze {

std::vector<std::byte> pack(const Part& part) {
    io::ByteWriter out;
    out.number(part.results.size());
    for (std::size_t i = 0; i < part.results.size(); ++i) {
        const WindowResult& result = part.results[i];
        out.number(result.window);
        out.raw(std::as_bytes(std::span(result.scores)));
        out.real(part.latencies[i]);
    }
    out.number(part.skipped.size());
    for (const auto& [window, reason] : part.skipped) {
        out.number(window);
        out.text(reason);
    }
    out.number(part.frames);
    out.real(part.seconds);
    return out.take();
}

Part unpack(std::span<const std::byte> bytes) {
    io::ByteReader in(bytes, "results of a peer");
    Part part;
    for (std::size_t left = in.count(); left > 0; --left) {
        WindowResult result;
        result.window = in.number();
        const auto scores = in.raw();
        if (scores.size() % sizeof(float) != 0) in.fail("scores are cut short");
        result.scores.resize(scores.size() / sizeof(float));
        std::copy(scores.begin(), scores.end(), std::as_writable_bytes(std::span(result.scores)).begin());
        part.results.push_back(std::move(result));
        part.latencies.push_back(in.real());
    }
    for (std::size_t left = in.count(); left > 0; --left) {
        const std::uint64_t window = in.number();
        part.skipped.emplace_back(window, in.text());
    }
    part.frames = in.number();
    part.seconds = in.real();
    in.finish();
    return part;
}

std::vector<std::byte> pack_speed(const Part& part) {
    io::ByteWriter out;
    out.number(part.frames);
    out.real(part.seconds);
    return out.take();
}

Speed unpack_speed(std::span<const std::byte> bytes) {
    io::ByteReader in(bytes, "speed of a peer");
    Speed speed{in.number(), in.real()};
    in.finish();
    return speed;
}

}  // namespace divs::analyze
