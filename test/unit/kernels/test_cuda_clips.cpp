// Clips that wait in the memory of the cuda backend, on the double of the device or on a real one.
#include <thread>

#include "cuda/backend.hpp"
#include "divs/core/error.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"
#include "unit/kernels/orders.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;
using divs::test::run_seed;

namespace {

constexpr float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};

std::vector<std::uint8_t> random_pixels(std::size_t size, std::uint64_t number) {
    const Random random(run_seed(), Stream::test, number);
    std::vector<std::uint8_t> pixels(size);
    for (std::size_t i = 0; i < size; ++i) pixels[i] = static_cast<std::uint8_t>(random.below(i, 256));
    return pixels;
}

// Writes as a decoder does, `pieces` frames one after the other.
std::unique_ptr<Pixels> clip_of(PixelMemory& memory, std::span<const std::uint8_t> pixels, std::size_t pieces) {
    auto clip = memory.allocate(pixels.size());
    const std::size_t piece = pixels.size() / pieces;
    for (std::size_t at = 0; at < pixels.size(); at += piece)
        std::ranges::copy(pixels.subspan(at, piece), clip->host(at, piece).begin());
    clip->filled();
    return clip;
}

// The batch that these clips make, against the oracle's of the same pixels.
double error_of(Backend& backend, std::span<Pixels* const> clips, const std::vector<std::uint8_t>& pixels,
                const Shape& shape) {
    const auto oracle = make_backend("reference", {});
    Tensor device = make_tensor(backend, backend.input_desc(shape, Op{Activate{}}));
    Tensor host = make_tensor(*oracle, {shape, nullptr});
    backend.upload_clips(clips, mean, deviation, device);
    oracle->upload_pixels(pixels.data(), mean, deviation, host);
    return relative_error(read(backend, device), read(*oracle, host));
}

}  // namespace

TEST_CASE("cuda: clips that waited on the device make the batch that their pixels say", "[cuda]") {
    const auto backend = cuda::make_backend({});
    const auto memory = backend->pixel_memory();
    // Odd sizes, more clips than one launch takes, and again in memory that others had.
    for (const auto& [clips, shape] : {std::pair{3, Shape{6, 5, 7, 3}}, std::pair{300, Shape{300, 2, 3, 3}},
                                       std::pair{1, Shape{4, 9, 9, 3}}, std::pair{3, Shape{6, 5, 7, 3}}}) {
        const std::size_t each = shape.size() / static_cast<std::size_t>(clips);
        for (const std::size_t pieces : {std::size_t{1}, std::size_t{3}}) {
            const auto pixels = random_pixels(shape.size(), pieces);
            std::vector<std::unique_ptr<Pixels>> held;
            std::vector<Pixels*> batch;
            for (std::size_t i = 0; i < static_cast<std::size_t>(clips); ++i)
                batch.push_back(
                    held.emplace_back(clip_of(*memory, std::span(pixels).subspan(i * each, each), pieces)).get());
            CHECK(error_of(*backend, batch, pixels, shape) < 1e-6);
            CHECK(error_of(*backend, batch, pixels, shape) < 1e-6);  // they are still there
        }
    }
}

TEST_CASE("cuda: clips of the host's memory are taken too, alone and among others", "[cuda]") {
    const auto backend = cuda::make_backend({});
    const Shape shape{2, 4, 6, 3};
    const auto pixels = random_pixels(shape.size(), 7);
    const auto half = std::span(pixels).first(shape.size() / 2), rest = std::span(pixels).last(shape.size() / 2);
    const auto on_host = clip_of(*host_pixels(), half, 1), also = clip_of(*host_pixels(), rest, 1),
               on_device = clip_of(*backend->pixel_memory(), rest, 2);
    CHECK(error_of(*backend, std::vector<Pixels*>{on_host.get(), also.get()}, pixels, shape) < 1e-6);
    CHECK(error_of(*backend, std::vector<Pixels*>{on_host.get(), on_device.get()}, pixels, shape) < 1e-6);
}

TEST_CASE("cuda: several threads fill clips while another takes them", "[cuda]") {
    const auto backend = cuda::make_backend({});
    const auto memory = backend->pixel_memory();
    constexpr std::size_t threads = 3, rounds = 20, size = 3 * 8 * 8;
    std::vector<std::vector<std::unique_ptr<Pixels>>> made(threads);
    {
        std::vector<std::jthread> workers;
        for (std::size_t t = 0; t < threads; ++t)
            workers.emplace_back([&, t] {
                for (std::size_t i = 0; i < rounds; ++i) {
                    clip_of(*memory, random_pixels(size, 999), 1).reset();  // one that nobody wants
                    made[t].push_back(clip_of(*memory, random_pixels(size, t * rounds + i), 2));
                }
            });
    }
    for (std::size_t t = 0; t < threads; ++t)
        for (std::size_t i = 0; i < rounds; ++i)
            REQUIRE(error_of(*backend, std::vector<Pixels*>{made[t][i].get()}, random_pixels(size, t * rounds + i),
                             {1, 8, 8, 3}) < 1e-6);
}
