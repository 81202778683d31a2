// Clips that wait in the memory of the cuda backend, on the double of the device or on a real one.
#include <cstring>
#include <thread>

#include "cuda/backend.hpp"
#include "divs/core/bounded_queue.hpp"
#include "divs/core/device_pictures.hpp"
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
std::unique_ptr<Pixels> clip_of(PixelMemory& memory, std::span<const std::uint8_t> pixels,
                                std::size_t pieces) {
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

// Bytes in the backend's memory.
struct OnDevice {
    OnDevice(Backend& backend, std::vector<std::uint8_t> bytes)
        : storage(backend.allocate(bytes.size() + 4)) {
        std::vector<float> words((bytes.size() + 3) / 4);
        std::memcpy(words.data(), bytes.data(), bytes.size());
        backend.write(words.data(), {storage->data(), words.size()});
    }
    const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(storage->data()); }
    std::shared_ptr<Storage> storage;
};

// Windows of several lengths, anywhere in `source` samples; weights that sum to 1.
struct RandomFilter {
    RandomFilter(int source, int outputs, std::uint64_t number) {
        const Random random(run_seed(), Stream::test, 100 + number);
        std::uint64_t draw = 0;
        for (int i = 0; i < outputs; ++i) {
            const auto count = static_cast<std::int32_t>(
                1 + random.below(draw++, static_cast<std::uint64_t>(std::min(source, 7))));
            const auto first = static_cast<std::int32_t>(
                random.below(draw++, static_cast<std::uint64_t>(source - count + 1)));
            windows.push_back({first, count, static_cast<std::uint32_t>(weights.size())});
            for (std::int32_t k = 0; k < count; ++k) weights.push_back(1.0F / static_cast<float>(count));
        }
    }
    DeviceFilter view() const { return {windows, weights}; }
    std::vector<FilterWindow> windows;
    std::vector<float> weights;
};

// One channel, at one output, in double.
double filtered(const std::vector<std::uint8_t>& plane, int stride, int step, int offset,
                const RandomFilter& down, const RandomFilter& across, int row, int column) {
    const FilterWindow &d = down.windows[static_cast<std::size_t>(row)],
                       &a = across.windows[static_cast<std::size_t>(column)];
    double sum = 0;
    for (int y = d.first; y < d.first + d.count; ++y)
        for (int x = a.first; x < a.first + a.count; ++x)
            sum += plane[static_cast<std::size_t>(y * stride + x * step + offset)];
    return sum / d.count / a.count;
}

}  // namespace

TEST_CASE("cuda: a picture that lies on the device becomes a clip's pixels", "[cuda]") {
    const divs::test::InStreamOrders orders;
    const auto backend = cuda::make_backend({});
    const auto memory = backend->pixel_memory();
    REQUIRE(memory->pictures());
    const auto converter = memory->pictures()->make_converter();
    constexpr float none[3] = {0, 0, 0}, level[3] = {1 / 255.0F, 1 / 255.0F, 1 / 255.0F};
    for (const auto& [width, height, out] :
         {std::tuple{64, 48, 17}, std::tuple{31, 23, 8}, std::tuple{64, 48, 17}}) {
        const int half_width = (width + 1) / 2, half_height = (height + 1) / 2;
        const int luma_stride = width + 5, chroma_stride = 2 * half_width + 3;
        const auto luma = random_pixels(static_cast<std::size_t>(luma_stride * height), 1);
        const auto chroma = random_pixels(static_cast<std::size_t>(chroma_stride * half_height), 2);
        const OnDevice y(*backend, luma), uv(*backend, chroma);
        const RandomFilter down(height, out, 1), across(width, out + 2, 2), half_down(half_height, out, 3),
            half_across(half_width, out + 2, 4);
        PictureJob job;
        job.planes = {
            {{y.data(), luma_stride, 1}, {uv.data(), chroma_stride, 2}, {uv.data() + 1, chroma_stride, 2}}};
        job.luma_down = down.view();
        job.luma_across = across.view();
        job.chroma_down = half_down.view();
        job.chroma_across = half_across.view();
        job.colour = {{{1.1F, 0, 1.4F, -180}, {0.9F, -0.3F, -0.6F, 110}, {1, 1.7F, 0, -200}}};
        job.width = out + 2;
        job.height = out;

        const std::size_t picture = static_cast<std::size_t>(out * (out + 2) * 3);
        const auto clip = memory->allocate(2 * picture);
        std::ranges::fill(clip->host(0, picture), std::uint8_t{9});  // the frame before, from the host
        converter->convert(job, *clip, picture);
        clip->filled();
        const Shape shape{2, out, out + 2, 3};
        Tensor tensor = make_tensor(*backend, backend->input_desc(shape, Op{Activate{}}));
        backend->upload_clips(std::vector<Pixels*>{clip.get()}, none, level, tensor);
        const std::vector<float> got = read(*backend, tensor);
        CHECK(std::ranges::all_of(std::span(got).first(picture),
                                  [](float v) { return std::abs(v - 9) < 1e-3F; }));
        double most = 0;
        for (int row = 0; row < out; ++row)
            for (int column = 0; column < out + 2; ++column) {
                const double l = filtered(luma, luma_stride, 1, 0, down, across, row, column),
                             u = filtered(chroma, chroma_stride, 2, 0, half_down, half_across, row, column),
                             v = filtered(chroma, chroma_stride, 2, 1, half_down, half_across, row, column);
                for (std::size_t c = 0; c < 3; ++c) {
                    const auto& m = job.colour[c];
                    const double exact =
                        std::clamp(static_cast<double>(m[0]) * l + static_cast<double>(m[1]) * u +
                                       static_cast<double>(m[2]) * v + static_cast<double>(m[3]),
                                   0.0, 255.0);
                    const std::size_t at =
                        picture + static_cast<std::size_t>((row * (out + 2) + column) * 3) + c;
                    most = std::max(most, std::abs(static_cast<double>(got[at]) - exact));
                }
            }
        CHECK(most < 0.51);  // half a level is the rounding
    }
}

TEST_CASE("cuda: clips that waited on the device make the batch that their pixels say", "[cuda]") {
    const divs::test::InStreamOrders orders;
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
                    held.emplace_back(clip_of(*memory, std::span(pixels).subspan(i * each, each), pieces))
                        .get());
            CHECK(error_of(*backend, batch, pixels, shape) < 1e-6);
            CHECK(error_of(*backend, batch, pixels, shape) < 1e-6);  // they are still there
        }
    }
}

TEST_CASE("cuda: what is copied from a clip into the same clip is copied to the device once, and whole",
          "[cuda]") {
    const divs::test::InStreamOrders orders;
    const auto backend = cuda::make_backend({});
    const Shape shape{3, 4, 6, 3};
    auto pixels = random_pixels(shape.size() / 3, 7);
    const std::size_t frame = pixels.size();
    const auto clip = backend->pixel_memory()->allocate(3 * frame);
    std::ranges::copy(pixels, clip->host(0, frame).begin());
    for (const std::size_t t : {1, 2})
        std::ranges::copy(clip->host((t - 1) * frame, frame), clip->host(t * frame, frame).begin());
    clip->filled();
    for (int t = 0; t < 2; ++t)
        pixels.insert(pixels.end(), pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(frame));
    CHECK(error_of(*backend, std::vector<Pixels*>{clip.get()}, pixels, shape) < 1e-6);
}

TEST_CASE("cuda: clips of the host's memory are taken too, alone and among others", "[cuda]") {
    const divs::test::InStreamOrders orders;
    const auto backend = cuda::make_backend({});
    const Shape shape{2, 4, 6, 3};
    const auto pixels = random_pixels(shape.size(), 7);
    const auto half = std::span(pixels).first(shape.size() / 2),
               rest = std::span(pixels).last(shape.size() / 2);
    const auto on_host = clip_of(*host_pixels(), half, 1), also = clip_of(*host_pixels(), rest, 1),
               on_device = clip_of(*backend->pixel_memory(), rest, 2);
    CHECK(error_of(*backend, std::vector<Pixels*>{on_host.get(), also.get()}, pixels, shape) < 1e-6);
    CHECK(error_of(*backend, std::vector<Pixels*>{on_host.get(), on_device.get()}, pixels, shape) < 1e-6);
}

TEST_CASE("cuda: several threads fill clips while another takes them", "[cuda]") {
    const divs::test::InStreamOrders orders;
    const auto backend = cuda::make_backend({});
    const auto memory = backend->pixel_memory();
    constexpr std::size_t threads = 3, rounds = 20, size = 3 * 8 * 8;
    struct Made {
        std::uint64_t number;
        std::unique_ptr<Pixels> clip;
    };
    BoundedQueue<Made> queue(4 * size);
    std::vector<std::jthread> workers;
    for (std::size_t t = 0; t < threads; ++t)
        workers.emplace_back([&, t] {
            for (std::size_t i = 0; i < rounds; ++i) {
                clip_of(*memory, random_pixels(size, 999), 1).reset();  // one that nobody wants
                const std::uint64_t number = t * rounds + i;
                queue.push({number, clip_of(*memory, random_pixels(size, number), 2)}, size);
            }
        });
    for (std::size_t i = 0; i < threads * rounds; ++i) {
        const auto made = queue.pop();
        CHECK(error_of(*backend, std::vector<Pixels*>{made->clip.get()}, random_pixels(size, made->number),
                       {1, 8, 8, 3}) < 1e-6);
    }
}
