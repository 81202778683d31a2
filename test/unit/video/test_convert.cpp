
extern "C" {
#include <libswscale/swscale.h>
}

#include "divs/core/error.hpp"
#include "row_filter.hpp"
#include "support/catch.hpp"
#include "unit/video/convert_oracle.hpp"

using namespace divs;
using namespace divs::video;
using namespace divs::video::test;

namespace {

// Rounding to 8 bits is 0.25 on average and at most 0.5.
void require_close(const AVFrame& frame, int width, int height, const View& view, double kr, double kb,
                   bool full) {
    const Difference d =
        compare(converted(frame, width, height, view), oracle(frame, view, width, height, kr, kb, full));
    CAPTURE(describe(frame).name, frame.width, frame.height, width, height, d.most, d.mean, d.bias);
    REQUIRE(d.most <= 1.0);
    if (width * height < 100) return;
    REQUIRE(d.mean <= 0.30);
    REQUIRE(std::abs(d.bias) <= 0.1);
}

std::vector<std::uint8_t> by_swscale(const AVFrame& frame, int width, int height, bool full = false,
                                     int matrix = SWS_CS_ITU601) {
    SwsContext* context = sws_getContext(
        frame.width, frame.height, static_cast<AVPixelFormat>(frame.format), width, height, AV_PIX_FMT_RGB24,
        SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr);
    const int* table = sws_getCoefficients(matrix);
    sws_setColorspaceDetails(context, table, full, table, 1, 0, 1 << 16, 1 << 16);
    std::vector<std::uint8_t> padded(
        static_cast<std::size_t>(width * 3 + 64) * static_cast<std::size_t>(height) + 64);
    std::uint8_t* data[4] = {padded.data()};
    const int stride[4] = {width * 3 + 64};
    sws_scale(context, frame.data, frame.linesize, 0, frame.height, data, stride);
    sws_freeContext(context);
    std::vector<std::uint8_t> out;
    for (int y = 0; y < height; ++y)
        out.insert(out.end(), padded.begin() + y * stride[0], padded.begin() + y * stride[0] + width * 3);
    return out;
}

}  // namespace

TEST_CASE("conversion agrees with its definition for every 8-bit layout") {
    for (const AVPixelFormat format :
         {AV_PIX_FMT_YUV420P, AV_PIX_FMT_NV12, AV_PIX_FMT_NV21, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV444P,
          AV_PIX_FMT_YUV410P, AV_PIX_FMT_YUV411P, AV_PIX_FMT_YUV440P, AV_PIX_FMT_YUYV422, AV_PIX_FMT_UYVY422,
          AV_PIX_FMT_YUVA420P})
        for (const double roughness : {0.0, 1.0}) {
            const auto frame = make_picture(format, 98, 76, roughness, 1);
            require_close(*frame, 33, 21, {}, 0.299, 0.114, false);
            require_close(*frame, 120, 90, {}, 0.299, 0.114, false);
        }
    for (const AVPixelFormat format :
         {AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_GRAY8, AV_PIX_FMT_YA8,
          AV_PIX_FMT_GBRP, AV_PIX_FMT_RGB24, AV_PIX_FMT_BGRA})
        require_close(*make_picture(format, 98, 76, 1, 2), 33, 21, {}, 0.299, 0.114, true);
}

TEST_CASE("matrix and range are the frame's, and unmarked frames are BT.709 from 720 lines on") {
    auto frame = make_picture(AV_PIX_FMT_YUV420P, 64, 48, 1, 3);
    const std::tuple<AVColorSpace, double, double> matrices[] = {
        {AVCOL_SPC_BT709, 0.2126, 0.0722},   {AVCOL_SPC_BT470BG, 0.299, 0.114},
        {AVCOL_SPC_SMPTE170M, 0.299, 0.114}, {AVCOL_SPC_BT2020_NCL, 0.2627, 0.0593},
        {AVCOL_SPC_SMPTE240M, 0.212, 0.087}, {AVCOL_SPC_UNSPECIFIED, 0.299, 0.114}};
    for (const auto& [space, kr, kb] : matrices)
        for (const bool full : {false, true}) {
            frame->colorspace = space;
            frame->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
            require_close(*frame, 20, 20, {}, kr, kb, full);
        }
    require_close(*make_picture(AV_PIX_FMT_YUV420P, 8, 720, 1, 4), 6, 30, {}, 0.2126, 0.0722, false);
    require_close(*make_picture(AV_PIX_FMT_YUV420P, 8, 718, 1, 4), 6, 30, {}, 0.299, 0.114, false);
}

TEST_CASE("odd and tiny sizes, enlarging, and very steep reduction") {
    const std::tuple<int, int, int, int> cases[] = {
        {1, 1, 1, 1},       {1, 1, 7, 5},     {2, 2, 1, 1},        {3, 5, 2, 2},   {101, 77, 13, 8},
        {101, 77, 101, 77}, {17, 9, 64, 48},  {5, 300, 9, 2},      {700, 3, 4, 4}, {641, 479, 3, 2},
        {2000, 700, 8, 7},  {33, 33, 32, 32}, {320, 240, 224, 224}};
    for (const auto& [w, h, ow, oh] : cases)
        for (const AVPixelFormat format : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_NV12, AV_PIX_FMT_RGB24})
            for (const double roughness : {0.2, 1.0})
                require_close(*make_picture(format, w, h, roughness, 5), ow, oh, {}, 0.299, 0.114,
                              format == AV_PIX_FMT_RGB24);
    for (const std::uint8_t level :
         {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{255}}) {  // flat fields stay flat
        auto flat = make_picture(AV_PIX_FMT_GBRP, 3000, 600, 0, 6);
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < 600; ++y)
                for (int x = 0; x < 3000; ++x) sample_of(*flat, c, x, y) = level;
        for (const auto& [w, h] : {std::pair(224, 224), std::pair(16, 16), std::pair(2, 2)}) {
            const auto rgb = converted(*flat, w, h);
            CHECK(std::all_of(rgb.begin(), rgb.end(), [&](std::uint8_t v) { return v == level; }));
        }
    }
}

TEST_CASE("crop, flip and colour are part of the one pass") {
    const auto frame = make_picture(AV_PIX_FMT_YUV420P, 131, 97, 0.7, 7);
    View view;
    view.crop = {0.13, 0.37, 0.5, 0.4};
    require_close(*frame, 40, 30, view, 0.299, 0.114, false);
    view.flip = true;
    require_close(*frame, 41, 31, view, 0.299, 0.114, false);
    view.colour = {{{0.5F, 0.2F, -0.1F, 0.2F}, {0.1F, 1.3F, 0, -0.2F}, {0, 0.4F, 0.4F, 0.05F}}};
    require_close(*frame, 40, 30, view, 0.299, 0.114, false);
    const AugmentOptions options{0.08, 1.34, true, 0.4, 0.4, 0.4};
    for (std::uint64_t sample = 0; sample < 25; ++sample)
        require_close(*frame, 24, 24, augmented_view(options, 1, 1, sample), 0.299, 0.114, false);
    for (const float strong : {3.0F, 8.0F, 50.0F}) {  // more than 16 bits hold
        view.colour = {{{strong, -strong, 0, 0.5F}, {0, strong, 0, -1}, {0.3F, 0, -strong, 2}}};
        const auto smooth = make_picture(AV_PIX_FMT_YUV444P, 64, 48, 0, 7);
        const Difference d =
            compare(converted(*smooth, 40, 30, view), oracle(*smooth, view, 40, 30, 0.299, 0.114, false));
        CAPTURE(strong, d.most);
        REQUIRE(d.most <= 1 + 0.1 * static_cast<double>(strong));
    }
    // A flipped picture is the picture, mirrored.
    View mirror;
    mirror.flip = true;
    const auto plain = converted(*frame, 50, 20), flipped = converted(*frame, 50, 20, mirror);
    for (std::size_t y = 0; y < 20; ++y)
        for (std::size_t x = 0; x < 50; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                REQUIRE(plain[(y * 50 + x) * 3 + c] == flipped[(y * 50 + 49 - x) * 3 + c]);
}

TEST_CASE("one converter serves frames and views that change") {
    Converter converter(30, 20);
    std::vector<std::uint8_t> rgb(30 * 20 * 3);
    for (int i = 0; i < 30; ++i) {
        const auto format = i % 3 == 0   ? AV_PIX_FMT_YUV420P
                            : i % 3 == 1 ? AV_PIX_FMT_YUV420P10LE
                                         : AV_PIX_FMT_GRAY8;
        auto frame =
            make_picture(i % 3 == 1 ? AV_PIX_FMT_YUV420P : format, 50 + i % 4 * 10, 40 + i % 5, 0.5, 8);
        View view = augmented_view({0.5, 1.2, true, 0, 0, 0}, 1, 0, static_cast<std::uint64_t>(i / 2));
        converter.convert(*frame, view, rgb);
        REQUIRE(rgb == converted(*frame, 30, 20, view));
    }
    CHECK_THROWS_AS(
        converter.convert(*make_picture(AV_PIX_FMT_YUV420P, 8, 8, 0, 1), {}, std::span(rgb).first(10)),
        Error);
    CHECK_THROWS_AS(Converter(0, 5), ConfigError);
}

TEST_CASE("pictures stored upside down are read as they are") {
    auto frame = make_picture(AV_PIX_FMT_YUV420P, 64, 48, 0.5, 9);
    const auto upright = converted(*frame, 16, 12);
    AVFrame turned = *frame;
    for (int c = 0; c < 3; ++c) {
        turned.data[c] = frame->data[c] + (height_of(*frame, c) - 1) * frame->linesize[c];
        turned.linesize[c] = -frame->linesize[c];
    }
    const auto below = converted(turned, 16, 12);
    for (std::size_t y = 0; y < 12; ++y)
        for (std::size_t i = 0; i < 48; ++i)
            REQUIRE(std::abs(below[y * 48 + i] - upright[(11 - y) * 48 + i]) <= 1);
}

TEST_CASE("deeper and palette formats go through libswscale and look the same") {
    const auto eight = make_picture(AV_PIX_FMT_YUV420P, 90, 70, 0.3, 10);
    const auto expected = converted(*eight, 31, 23);
    for (const AVPixelFormat format :
         {AV_PIX_FMT_YUV420P10LE, AV_PIX_FMT_YUV420P12LE, AV_PIX_FMT_P010LE, AV_PIX_FMT_YUV420P16BE}) {
        TestFrame deep(av_frame_alloc());
        deep->format = format, deep->width = 90, deep->height = 70;
        check(av_frame_get_buffer(deep.get(), 0), "picture");
        const AVPixFmtDescriptor& d = describe(*deep);
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < height_of(*deep, c); ++y)
                for (int x = 0; x < width_of(*deep, c); ++x) {
                    const int value = sample_of(*eight, c, x, y) << (d.comp[c].depth - 8 + d.comp[c].shift);
                    std::uint8_t* at = &sample_of(*deep, c, x, y);
                    at[d.flags & AV_PIX_FMT_FLAG_BE ? 1 : 0] = static_cast<std::uint8_t>(value & 255);
                    at[d.flags & AV_PIX_FMT_FLAG_BE ? 0 : 1] = static_cast<std::uint8_t>(value >> 8);
                }
        CAPTURE(d.name);
        CHECK(psnr(converted(*deep, 31, 23), expected) > 48);
    }
    TestFrame palette(av_frame_alloc());
    palette->format = AV_PIX_FMT_PAL8, palette->width = 40, palette->height = 30;
    check(av_frame_get_buffer(palette.get(), 0), "picture");
    auto colours = reinterpret_cast<std::uint32_t*>(palette->data[1]);
    for (std::uint32_t i = 0; i < 256; ++i) colours[i] = 0xFF000000U | (i << 16) | ((255 - i) << 8) | 77U;
    for (int y = 0; y < 30; ++y)
        for (int x = 0; x < 40; ++x)
            palette->data[0][y * palette->linesize[0] + x] = static_cast<std::uint8_t>(6 * x);
    const auto rgb = converted(*palette, 40, 30);
    for (std::size_t x = 0; x < 40; ++x) {
        CHECK(rgb[3 * x] == 6 * x);
        CHECK(rgb[3 * x + 1] == 255 - 6 * x);
        CHECK(rgb[3 * x + 2] == 77);
    }
}

TEST_CASE("conversion looks as swscale's bilinear does") {
    struct Case {
        AVPixelFormat format;
        int width, height, out_width, out_height;
        double roughness, least;  // dB
    };
    // swscale rounds its filter to 14 bits and repeats the border where ours is cut: hence the dB, not
    // equality.
    const Case cases[] = {
        {AV_PIX_FMT_YUV420P, 1280, 720, 224, 224, 0.3, 45}, {AV_PIX_FMT_YUV420P, 640, 360, 112, 112, 0.3, 45},
        {AV_PIX_FMT_YUV420P, 320, 240, 224, 224, 0.3, 40},  {AV_PIX_FMT_YUV444P, 640, 360, 224, 224, 0.3, 45},
        {AV_PIX_FMT_NV12, 1920, 1080, 224, 224, 0.3, 45},   {AV_PIX_FMT_YUV420P, 100, 100, 224, 224, 0, 45}};
    for (const Case& c : cases) {
        auto frame = make_picture(c.format, c.width, c.height, c.roughness, 11);
        frame->colorspace = AVCOL_SPC_SMPTE170M;
        const double got =
            psnr(converted(*frame, c.out_width, c.out_height), by_swscale(*frame, c.out_width, c.out_height));
        CAPTURE(describe(*frame).name, c.width, c.height, c.out_width, got);
        CHECK(got >= c.least);
    }
}

TEST_CASE("every kind of processor gets the same pixels") {
    const Random random(12, Stream::test);
    std::uint64_t draw = 0;
    auto bytes = [&](std::size_t n) {
        std::vector<std::uint8_t> out(n);
        for (auto& v : out) v = static_cast<std::uint8_t>(random.bits(draw++));
        return out;
    };
    auto words = [&](std::size_t n) {
        AlignedBuffer<std::uint16_t> out((n + row_unit - 1) / row_unit * row_unit);
        for (auto& v : out) v = static_cast<std::uint16_t>(random.below(draw++, 65281));
        return out;
    };
    const PixelKernels& plain = plain_pixel_kernels();
    for (const PixelKernels* const* set = special_pixel_kernels(); *set; ++set) {
        const PixelKernels& special = **set;
        INFO(special.name);
        for (const auto& [source, out] :
             {std::pair(1, 1), std::pair(3, 7), std::pair(15, 16), std::pair(40, 33), std::pair(64, 64),
              std::pair(65, 17), std::pair(160, 224), std::pair(333, 61), std::pair(500, 111),
              std::pair(640, 224), std::pair(700, 37), std::pair(1920, 224), std::pair(2000, 50)})
            for (const bool flip : {false, true}) {
                const double begin = random.uniform(draw++, 0, 0.3 * source);
                const FilterBank bank = with_equal_windows(
                    triangle_filter(source, begin, random.uniform(draw++, 0.5, 1) * (source - begin), out,
                                    flip),
                    source);
                const RowFilter filter(bank, source, special), as_defined(bank, source, plain);
                // Nothing behind a row's end may be read, or counted.
                std::vector<std::vector<std::uint8_t>> rows;
                std::array<const std::uint8_t*, rows_at_once> in;
                std::array<std::uint16_t*, rows_at_once> to, expected;
                const auto width = static_cast<std::size_t>(out);
                auto a = words(rows_at_once * (width + row_unit)), b = words(a.size());
                for (std::size_t r = 0; r < rows_at_once; ++r) {
                    rows.push_back(bytes(filter.least_bytes()));
                    in[r] = rows[r].data();
                    to[r] = a.data() + r * (width / row_unit + 1) * row_unit;
                    expected[r] = b.data() + r * (width / row_unit + 1) * row_unit;
                }
                special.across(filter.plan(), in.data(), in.data(), to.data());
                plain.across(as_defined.plan(), in.data(), in.data(), expected.data());
                CAPTURE(source, out, flip);
                for (std::size_t r = 0; r < rows_at_once; ++r)
                    REQUIRE(std::equal(to[r], to[r] + width, expected[r]));
            }
        for (int count = 1; count <= 48; count += 1 + count / 4) {
            std::vector<AlignedBuffer<std::uint16_t>> rows;
            std::vector<const std::uint16_t*> at;
            const std::vector<std::uint16_t> weights(static_cast<std::size_t>(count),
                                                     static_cast<std::uint16_t>(65535 / count));
            for (int k = 0; k < count; ++k) rows.push_back(words(2 * row_unit));
            for (const auto& row : rows) at.push_back(row.data());
            AlignedBuffer<std::uint16_t> a(2 * row_unit), b(2 * row_unit);
            plain.down(at.data(), weights.data(), count, a.size(), a.data());
            special.down(at.data(), weights.data(), count, b.size(), b.data());
            REQUIRE(a == b);
        }
        for (const std::size_t n : {1UL, 2UL, 15UL, 16UL, 21UL, 22UL, 31UL, 33UL, 64UL, 129UL, 333UL}) {
            const auto u = words(n), v = words(n), w = words(n);
            float map[3][4];
            for (auto& row : map)
                for (float& m : row) m = static_cast<float>(random.uniform(draw++, -2, 2));
            std::vector<std::uint8_t> a(3 * n), b(3 * n);
            for (const auto colour : {&PixelKernels::colour, &PixelKernels::colour_widely}) {
                (plain.*colour)(map, u.data(), v.data(), w.data(), n, a.data());
                (special.*colour)(map, u.data(), v.data(), w.data(), n, b.data());
                REQUIRE(a == b);
            }
        }
    }
}
