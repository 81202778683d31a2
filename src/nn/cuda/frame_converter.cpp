#include "frame_converter.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/frame.hpp"

namespace divs::nn::cuda {
namespace {

static_assert(sizeof(FilterWindow) == sizeof(kernels::FrameWindow));

class FrameConverter final : public PictureConverter {
  public:
    explicit FrameConverter(std::shared_ptr<ClipPool> pool)
        : pool_(std::move(pool)), filters_(pool_->device(), "the filters of a conversion") {}

    void convert(const PictureJob& job, Pixels& to, std::size_t offset) override {
        pool_->device().activate();
        auto* clip = dynamic_cast<DeviceClip*>(&to);
        const std::size_t bytes =
            static_cast<std::size_t>(job.width) * static_cast<std::size_t>(job.height) * 3;
        if (!clip || !clip->belongs_to(*pool_) || offset + bytes > to.size())
            throw Error("backend cuda: a picture was to be converted to memory that is not a clip's");
        kernels::FrameJob frame = with_filters(job);
        kernels::FramePlane* planes[] = {&frame.y, &frame.u, &frame.v};
        for (std::size_t c = 0; c < 3; ++c) {
            *planes[c] = {job.planes[c].data, job.planes[c].stride, job.planes[c].step};
            std::ranges::copy(job.colour[c], frame.colour[c]);
        }
        frame.out_width = job.width;
        frame.out_height = job.height;
        kernels::convert_frame(frame, clip->device() + offset, pool_->stream());
        DIVS_CUDA_LAUNCHED("convert_frame");
    }

  private:
    // All filters lie in one piece of the device's memory, and stay there for the next picture that needs the
    // same.
    kernels::FrameJob with_filters(const PictureJob& job) {
        const DeviceFilter* filters[] = {&job.luma_down, &job.luma_across, &job.chroma_down,
                                         &job.chroma_across};
        wanted_.clear();
        std::size_t at[4][2];
        for (std::size_t i = 0; i < 4; ++i) {
            at[i][0] = append(std::as_bytes(filters[i]->windows));
            at[i][1] = append(std::as_bytes(filters[i]->weights));
        }
        if (wanted_ != there_) {
            void* memory = filters_.at_least(wanted_.size());
            DIVS_CUDA_CALL(cudaMemcpyAsync, memory, wanted_.data(), wanted_.size(), cudaMemcpyHostToDevice,
                           pool_->stream());  // pageable: taken over before it returns
            there_ = wanted_;
        }
        const auto* base = static_cast<const std::byte*>(filters_.at_least(there_.size()));
        kernels::FrameJob frame;
        kernels::FrameBank* banks[] = {&frame.luma_down, &frame.luma_across, &frame.chroma_down,
                                       &frame.chroma_across};
        for (std::size_t i = 0; i < 4; ++i)
            *banks[i] = {reinterpret_cast<const kernels::FrameWindow*>(base + at[i][0]),
                         reinterpret_cast<const float*>(base + at[i][1])};
        set_columns(job.luma_across, frame.luma_begin, frame.luma_width);
        set_columns(job.chroma_across, frame.chroma_begin, frame.chroma_width);
        return frame;
    }

    std::size_t append(std::span<const std::byte> bytes) {
        const std::size_t at = wanted_.size();
        wanted_.insert(wanted_.end(), bytes.begin(), bytes.end());
        return at;
    }

    // The columns that the windows reach.
    static void set_columns(const DeviceFilter& across, int& begin, int& width) {
        begin = across.windows.front().first;
        int end = begin;
        for (const FilterWindow& window : across.windows) {
            begin = std::min(begin, window.first);
            end = std::max(end, window.first + window.count);
        }
        width = end - begin;
    }

    std::shared_ptr<ClipPool> pool_;
    GrowingBytes filters_;
    std::vector<std::byte> wanted_, there_;
};

// Converters with their memory, which go round: a shard needs one, and to free memory waits for the device.
struct Converters {
    std::mutex mutex;
    std::vector<std::unique_ptr<FrameConverter>> free;
};

class LentConverter final : public PictureConverter {
  public:
    LentConverter(std::shared_ptr<Converters> all, std::unique_ptr<FrameConverter> converter)
        : all_(std::move(all)), converter_(std::move(converter)) {}
    ~LentConverter() override {
        std::lock_guard lock(all_->mutex);
        all_->free.push_back(std::move(converter_));
    }
    void convert(const PictureJob& job, Pixels& to, std::size_t offset) override {
        converter_->convert(job, to, offset);
    }

  private:
    std::shared_ptr<Converters> all_;
    std::unique_ptr<FrameConverter> converter_;
};

class Pictures final : public DevicePictures {
  public:
    explicit Pictures(std::shared_ptr<ClipPool> pool) : pool_(std::move(pool)) {}
    void* context() const override { return pool_->device().context(); }
    void* queue() const noexcept override { return pool_->stream(); }
    std::unique_ptr<PictureConverter> make_converter() override {
        std::unique_ptr<FrameConverter> converter;
        {
            std::lock_guard lock(converters_->mutex);
            if (!converters_->free.empty()) {
                converter = std::move(converters_->free.back());
                converters_->free.pop_back();
            }
        }
        if (!converter) converter = std::make_unique<FrameConverter>(pool_);
        return std::make_unique<LentConverter>(converters_, std::move(converter));
    }

  private:
    std::shared_ptr<ClipPool> pool_;
    std::shared_ptr<Converters> converters_ = std::make_shared<Converters>();
};

}  // namespace

std::unique_ptr<DevicePictures> make_pictures(std::shared_ptr<ClipPool> pool) {
    return std::make_unique<Pictures>(std::move(pool));
}

}  // namespace divs::nn::cuda
