#include "av.hpp"
#include "divs/video/decode.hpp"

namespace divs::video {

Frame::Frame() : frame_(av_made(av_frame_alloc())) {}
Frame::~Frame() {
    av_frame_free(&frame_);
}
Frame::Frame(Frame&& other) noexcept
    : pts(other.pts), corrupt(other.corrupt), frame_(std::exchange(other.frame_, nullptr)) {}

Frame& Frame::operator=(Frame&& other) noexcept {
    pts = other.pts;
    corrupt = other.corrupt;
    std::swap(frame_, other.frame_);
    return *this;
}

int Frame::width() const noexcept {
    return frame_ ? frame_->width : 0;
}
int Frame::height() const noexcept {
    return frame_ ? frame_->height : 0;
}

std::size_t Frame::bytes() const noexcept {
    std::size_t total = 0;
    if (!frame_) return total;
    for (const AVBufferRef* buffer : frame_->buf)
        if (buffer) total += buffer->size;
    return total;
}

}  // namespace divs::video
