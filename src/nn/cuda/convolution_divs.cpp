// Our kernels as algorithms.
#include <algorithm>

#include "check.hpp"
#include "conv.hpp"
#include "convolution_algorithms.hpp"
#include "convolution_shape.hpp"
#include "device.hpp"

namespace divs::nn::cuda {
namespace {

using kernels::bf16;
using kernels::ConvShape;
using kernels::TileSize;

enum class Kind { plain, tensor_cores, warpgroups, depthwise, first };

std::string name_of(Kind kind, TileSize tile, int splits) {
    std::string name = kind == Kind::plain          ? "divs plain"
                       : kind == Kind::tensor_cores ? "divs mma"
                       : kind == Kind::warpgroups   ? "divs wgmma"
                       : kind == Kind::depthwise    ? "divs depthwise"
                                                    : "divs first layer";
    if (tile.rows > 0) name += fmt::format(" {}x{}", tile.rows, tile.columns);
    if (splits > 1) name += fmt::format(" in {} parts", splits);
    return name;
}

// Forward and backward-data.
class GatherAlgorithm final : public ConvAlgorithm {
  public:
    GatherAlgorithm(const Device& device, const ConvProblem& problem, Direction direction, Kind kind,
                    int variant)
        : problem_(problem),
          shape_(kernel_shape(problem)),
          forward_(direction == Direction::forward),
          gather_(forward_ ? kernels::forward_gather(shape_) : kernels::backward_gather(shape_)),
          kind_(kind),
          variant_(variant),
          multiprocessors_(device.multiprocessors()) {}

    std::string name() const override {
        return name_of(kind_,
                       kind_ == Kind::tensor_cores ? kernels::gather_tile(variant_)
                       : kind_ == Kind::warpgroups ? kernels::group_gather_tile(variant_)
                                                   : TileSize{0, 0},
                       1);
    }
    WeightOrder weight_order() const noexcept override {
        if (kind_ == Kind::depthwise) return WeightOrder::oihw;
        return forward_ ? WeightOrder::krsc : WeightOrder::crsk;
    }
    void run(const ConvArguments& arguments, cudaStream_t stream) const override {
        with_type(problem_.arithmetic, [&](auto type) { launch<decltype(type)>(arguments, stream); });
        DIVS_CUDA_LAUNCHED("a convolution");
    }

  private:
    template <class T>
    void launch(const ConvArguments& x, cudaStream_t stream) const {
        const T* source = static_cast<const T*>(forward_ ? x.in : x.out);
        T* target = static_cast<T*>(forward_ ? x.out : x.in);
        const T* weights = static_cast<const T*>(x.weights);
        kernels::Finish<T> finish;
        if (forward_) {
            finish.bias = problem_.op.bias ? x.bias : nullptr;
            finish.residual = problem_.op.residual ? static_cast<const T*>(x.residual) : nullptr;
            finish.activation = kernel_activation(problem_.op.activation);
        }
        if (kind_ == Kind::depthwise)
            kernels::conv_depthwise_gather(gather_, shape_.c, shape_.r * shape_.s, source,
                                           static_cast<const float*>(x.weights), finish,
                                           16 * multiprocessors_, target, stream);
        else if (kind_ == Kind::tensor_cores)
            kernels::conv_gather(variant_, gather_, source, weights, finish, target, stream);
        else if (kind_ == Kind::plain)
            kernels::conv_plain_gather(gather_, source, weights, finish, target, stream);
        else if constexpr (sizeof(T) == 2) {
            if (kind_ == Kind::warpgroups)
                kernels::conv_gather_group(variant_, gather_, source, weights, finish, multiprocessors_,
                                           target, stream);
            else
                kernels::conv_first(shape_, source, weights, finish, 4 * multiprocessors_, target, stream);
        }
    }

    ConvProblem problem_;
    ConvShape shape_;
    bool forward_;
    kernels::Gather gather_;
    Kind kind_;
    int variant_, multiprocessors_;
};

class WeightAlgorithm final : public ConvAlgorithm {
  public:
    // splits: parts of the sum over pixels, each with partial sums of its own in the workspace. Warpgroups:
    // so many blocks share out the work, and with it the parts.
    WeightAlgorithm(const ConvProblem& problem, Kind kind, int variant, int splits, int blocks = 0)
        : problem_(problem),
          gather_(kernels::weight_gather(kernel_shape(problem))),
          kind_(kind),
          variant_(variant),
          splits_(splits),
          blocks_(blocks) {}

    std::string name() const override {
        const std::string name = name_of(kind_,
                                         kind_ == Kind::tensor_cores ? kernels::weight_tile(variant_)
                                         : kind_ == Kind::warpgroups ? kernels::group_weight_tile(variant_)
                                                                     : TileSize{0, 0},
                                         splits_);
        return blocks_ > 0 ? fmt::format("{} by {} blocks", name, blocks_) : name;
    }
    std::size_t workspace_bytes() const noexcept override {
        return static_cast<std::size_t>(splits_) * partial_size(gather_, kind_) * sizeof(float);
    }
    static std::size_t partial_size(const kernels::WeightGather& g, Kind kind) {
        return kind == Kind::depthwise ? static_cast<std::size_t>(g.shape.r * g.shape.s * g.shape.c_pitch())
                                       : kernels::weight_partial_size(g);
    }
    void run(const ConvArguments& arguments, cudaStream_t stream) const override {
        with_type(problem_.arithmetic, [&](auto type) { launch<decltype(type)>(arguments, stream); });
        DIVS_CUDA_LAUNCHED("a convolution's weight gradient");
    }

  private:
    template <class T>
    void launch(const ConvArguments& x, cudaStream_t stream) const {
        const T* input = static_cast<const T*>(x.in);
        const T* gradient = static_cast<const T*>(x.out);
        auto* partial = static_cast<float*>(x.workspace);
        if (kind_ == Kind::depthwise) {
            kernels::conv_depthwise_weights(gather_, input, gradient, splits_, partial, x.weight_gradient,
                                            stream);
            return;
        }
        if (kind_ == Kind::tensor_cores)
            kernels::conv_weights(variant_, gather_, input, gradient, splits_, partial, stream);
        else if (kind_ == Kind::plain)
            kernels::conv_plain_weights(gather_, input, gradient, splits_, partial, stream);
        else if constexpr (sizeof(T) == 2) {
            if (kind_ == Kind::warpgroups)
                kernels::conv_weights_group(variant_, gather_, input, gradient, blocks_, partial, stream);
            else
                kernels::conv_first_weights(gather_.shape, input, gradient, splits_, partial, stream);
        }
        kernels::conv_reduce(gather_, partial, splits_, x.weight_gradient, stream);
    }

    ConvProblem problem_;
    kernels::WeightGather gather_;
    Kind kind_;
    int variant_, splits_, blocks_;
};

// Collects the algorithms of one direction of one problem.
class Collector {
  public:
    Collector(const Device& device, const ConvProblem& problem, Direction direction,
              std::size_t workspace_limit)
        : device_(device),
          problem_(problem),
          shape_(kernel_shape(problem)),
          direction_(direction),
          workspace_limit_(workspace_limit) {}

    std::vector<std::unique_ptr<ConvAlgorithm>> collect() {
        direction_ == Direction::backward_weights ? collect_weights() : collect_gathers();
        return std::move(found_);
    }

  private:
    bool bf16_tensors() const { return problem_.arithmetic == Arithmetic::bf16; }
    // Copies of 16 bytes must not straddle groups or shifts.
    bool tensor_cores() const {
        const int step = bf16_tensors() ? 8 : 4;
        return problem_.arithmetic != Arithmetic::f32 && shape_.group_c() % step == 0 &&
               shape_.group_k() % step == 0 && shape_.shift % step == 0 &&
               (shape_.groups == 1 ||
                (shape_.c % kernels::channel_step == 0 && shape_.k % kernels::channel_step == 0));
    }
    bool warpgroups() const {
        return bf16_tensors() && device_.capability() == 90 && kernels::conv_group_takes(shape_);
    }
    bool depthwise() const {
        return shape_.groups == shape_.c && shape_.k == shape_.c && shape_.groups > 1 &&
               shape_.shift % kernels::channel_step == 0 && shape_.r * shape_.s <= 64;
    }
    bool first_layer() const { return bf16_tensors() && kernels::conv_first_takes(shape_); }

    void add_gather(Kind kind, int variant) {
        found_.push_back(std::make_unique<GatherAlgorithm>(device_, problem_, direction_, kind, variant));
    }
    void collect_gathers() {
        if (direction_ == Direction::backward_data &&
            std::max(shape_.stride_h, shape_.stride_w) > kernels::most_phases)
            throw_error<Error>("no convolution of ours goes backward over a stride of {}x{}: at most {}",
                               shape_.stride_h, shape_.stride_w, kernels::most_phases);
        if (warpgroups())
            for (int i = 0; i < kernels::group_gather_variants; ++i)
                if (fits(kernels::group_gather_tile(i))) add_gather(Kind::warpgroups, i);
        if (tensor_cores())
            for (int i = 0; i < kernels::gather_variants; ++i)
                if (fits(kernels::gather_tile(i))) add_gather(Kind::tensor_cores, i);
        if (depthwise()) add_gather(Kind::depthwise, 0);
        if (first_layer() && direction_ == Direction::forward) add_gather(Kind::first, 0);
        if (found_.empty() || problem_.arithmetic == Arithmetic::f32) add_gather(Kind::plain, 0);
    }
    // A tile twice as wide as the target wastes more than any other loses.
    bool fits(TileSize tile) const {
        const int columns = direction_ == Direction::forward ? shape_.group_k() : shape_.group_c();
        return tile.columns <= 64 || tile.columns < 2 * columns;
    }

    void add_weights(Kind kind, int variant, int splits) {
        found_.push_back(std::make_unique<WeightAlgorithm>(problem_, kind, variant, splits));
    }
    // As many parts as keep `blocks` blocks busy, once and twice, as far as memory and the pixels go.
    void add_split(Kind kind, int variant, int tiles, int blocks, int depth) {
        const kernels::WeightGather g = kernels::weight_gather(shape_);
        const std::size_t each = WeightAlgorithm::partial_size(g, kind) * sizeof(float);
        const int memory = static_cast<int>(std::min<std::size_t>(workspace_limit_ / each, 4096));
        const int most = std::max(1, std::min(memory, g.pixels / (2 * depth)));
        int last = 0;
        for (const int waves : {1, 2}) {
            const int splits = std::clamp(waves * blocks / std::max(tiles, 1), 1, most);
            if (splits != last) add_weights(kind, variant, splits);
            last = splits;
        }
    }
    // A block for each processor, which share out the work evenly; and blocks that have the same part of
    // every tile, of as many parts as fill the processors: fewer sums to add up. As far as memory and the
    // pixels go.
    void add_groups(int variant, int processors) {
        const kernels::WeightGather g = kernels::weight_gather(shape_);
        const kernels::StepShares whole = kernels::group_weight_shares(variant, g, 1);
        const auto memory = static_cast<std::size_t>(workspace_limit_) /
                            (WeightAlgorithm::partial_size(g, Kind::warpgroups) * sizeof(float));
        auto add = [&](int blocks) {
            const int parts = kernels::group_weight_parts(variant, g, blocks);
            if (static_cast<std::size_t>(parts) > memory && blocks != whole.tiles) return;
            found_.push_back(
                std::make_unique<WeightAlgorithm>(problem_, Kind::warpgroups, variant, parts, blocks));
        };
        const int most = std::min(whole.total(), processors);
        const int of_tiles = whole.tiles * std::max(1, std::min(processors / whole.tiles, whole.steps));
        add(most);
        if (of_tiles != most) add(of_tiles);
    }
    void collect_weights() {
        const int processors = device_.multiprocessors();
        if (warpgroups())
            for (int i = 0; i < kernels::group_weight_variants; ++i) {
                const TileSize tile = kernels::group_weight_tile(i);
                const int columns = shape_.r * shape_.s * kernels::round_up(shape_.group_c(), 64);
                if (tile.columns > 64 && tile.columns >= 2 * columns) continue;
                add_groups(i, processors);
            }
        if (tensor_cores())
            for (int i = 0; i < kernels::weight_variants; ++i) {
                const TileSize tile = kernels::weight_tile(i);
                const int columns = shape_.r * shape_.s * shape_.group_c();
                add_split(Kind::tensor_cores, i,
                          kernels::ceil_div(shape_.group_k(), tile.rows) *
                              kernels::ceil_div(columns, tile.columns) * shape_.groups,
                          2 * processors, bf16_tensors() ? 64 : 32);
            }
        if (depthwise()) add_split(Kind::depthwise, 0, 1, 4 * processors, 16);
        if (first_layer()) add_split(Kind::first, 0, 1, 2 * processors, 128);
        if (found_.empty() || problem_.arithmetic == Arithmetic::f32)
            add_split(Kind::plain, 0,
                      kernels::ceil_div(shape_.group_k(), 64) *
                          kernels::ceil_div(shape_.r * shape_.s * shape_.group_c(), 64) * shape_.groups,
                      4 * processors, 16);
    }

    const Device& device_;
    const ConvProblem& problem_;
    ConvShape shape_;
    Direction direction_;
    std::size_t workspace_limit_;
    std::vector<std::unique_ptr<ConvAlgorithm>> found_;
};

}  // namespace

std::vector<std::unique_ptr<ConvAlgorithm>> divs_algorithms(const Device& device, const ConvProblem& problem,
                                                            Direction direction,
                                                            std::size_t workspace_limit) {
    return Collector(device, problem, direction, workspace_limit).collect();
}

}  // namespace divs::nn::cuda
