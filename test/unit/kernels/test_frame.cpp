// The GPU's conversion of decoded frames against the definition that the host's converter is held to.
#include "filter.hpp"
#include "kernels/frame.hpp"
#include "picture.hpp"
#include "unit/kernels/orders.hpp"
#include "unit/video/convert_oracle.hpp"

using namespace divs;
using namespace divs::video;
using divs::test::in_all_orders;

namespace {

struct Bank {
    FilterBank bank;
    std::vector<kernels::FrameWindow> windows;
    kernels::FrameBank device;
    int begin = 0, end = 0;
    Bank(int source, double begin_at, double size, int out, bool reversed)
        : bank(triangle_filter(source, begin_at, size, out, reversed)), begin(source) {
        for (const auto& w : bank.windows) {
            windows.push_back({w.first, w.count, w.offset});
            begin = std::min(begin, w.first);
            end = std::max(end, w.first + w.count);
        }
        device = {windows.data(), bank.weights.data()};
    }
};

// Converts as the plugin does.
std::vector<double> on_device(const AVFrame& frame, const View& view, int width, int height) {
    PictureReader reader;
    const Picture picture = reader.read(frame);
    kernels::FrameJob job;
    kernels::FramePlane* planes[3] = {&job.y, &job.u, &job.v};
    for (std::size_t c = 0; c < 3; ++c)
        *planes[c] = {picture.channel[c].data + picture.channel[c].offset,
                      static_cast<int>(picture.channel[c].stride), picture.channel[c].step};
    const double x = view.crop.x * picture.width, y = view.crop.y * picture.height,
                 w = view.crop.width * picture.width, h = view.crop.height * picture.height;
    const Channel &luma = picture.channel[0], &chroma = picture.channel[1];
    const Bank luma_down(luma.height, y, h, height, false), luma_across(luma.width, x, w, width, view.flip),
        chroma_down(chroma.height, y / 2, h / 2, height, false),
        chroma_across(chroma.width, x / 2, w / 2, width, view.flip);
    job.luma_down = luma_down.device;
    job.luma_across = luma_across.device;
    job.chroma_down = chroma_down.device;
    job.chroma_across = chroma_across.device;
    job.luma_begin = luma_across.begin;
    job.luma_width = luma_across.end - luma_across.begin;
    job.chroma_begin = chroma_across.begin;
    job.chroma_width = chroma_across.end - chroma_across.begin;
    job.out_width = width;
    job.out_height = height;
    const ColourMap map = colour_map(picture, view);
    for (std::size_t c = 0; c < 3; ++c) std::copy(map[c].begin(), map[c].end(), job.colour[c]);
    constexpr std::size_t guard = 16;
    const std::size_t bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
    std::vector<std::uint8_t> out(bytes + guard, 77);
    kernels::convert_frame(job, out.data(), nullptr);
    CHECK(std::count(out.begin() + static_cast<std::ptrdiff_t>(bytes), out.end(), 77) == guard);
    return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(bytes)};
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double most = a.size() == b.size() ? 0 : 1e9;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
    return most;
}

}  // namespace

TEST_CASE("Frames are converted on the GPU as the definition says, whole, cropped, mirrored and coloured",
          "[cuda]") {
    View cropped;
    cropped.crop = {0.13, 0.21, 0.5, 0.6};
    cropped.flip = true;
    cropped.colour = {{{0.9F, 0.1F, 0, 0.02F}, {0.05F, 1.1F, 0, -0.01F}, {0, 0, 0.8F, 0.05F}}};
    in_all_orders([&] {
        for (const AVPixelFormat format : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_NV12})
            for (const auto& [width, height] : {std::pair{64, 48}, std::pair{75, 51}})
                for (const View& view : {View{}, cropped})
                    for (const int out : {16, 33, 96}) {
                        INFO(width << "x" << height << " to " << out << ", format " << format);
                        const auto frame =
                            video::test::make_picture(format, width, height, 0.5, divs::test::run_seed());
                        const auto truth =
                            video::test::oracle(*frame, view, out, out - 5, 0.299, 0.114, false);
                        // Half a level is the rounding.
                        CHECK(largest_difference(on_device(*frame, view, out, out - 5), truth) < 0.51);
                    }
    });
}
