// cuDNN's engines as algorithms: a graph of one convolution, with bias, residual and activation behind it
// going forward. cuDNN sees the padded channels: weights are zero there.
#include "check.hpp"
#include "conv.hpp"
#include "convolution_algorithms.hpp"
#include "convolution_shape.hpp"
#include "cudnn_graph.hpp"

namespace divs::nn::cuda {
namespace {

using Dims = std::vector<std::int64_t>;
using kernels::ConvShape;

constexpr std::size_t most_plans = 12;
enum Id : std::int64_t { id_in = 1, id_weights, id_out, id_bias, id_residual, id_sum, id_biased, id_added };

// The tensors of a problem as cuDNN describes them.
class Tensors {
  public:
    explicit Tensors(const ConvProblem& p)
        : x_(kernel_shape(p)),
          type_(p.arithmetic == Arithmetic::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT) {}

    CudnnDescriptor in() const { return pixels(id_in, type_, x_.h, x_.w, x_.c_pitch()); }
    CudnnDescriptor out(std::int64_t id) const { return pixels(id, type_, x_.p(), x_.q(), x_.k); }
    CudnnDescriptor between(std::int64_t id) const {
        return pixels(id, CUDNN_DATA_FLOAT, x_.p(), x_.q(), x_.k, true);
    }
    CudnnDescriptor weights(cudnnDataType_t type) const {
        const std::int64_t c = x_.group_c(), s = x_.s, r = x_.r;
        return cudnn_tensor(id_weights, type, {x_.k, c, r, s}, {r * s * c, 1, s * c, c});
    }
    CudnnDescriptor bias() const {
        const std::int64_t k = x_.k;
        return cudnn_tensor(id_bias, CUDNN_DATA_FLOAT, {1, k, 1, 1}, {k, 1, k, k});
    }
    cudnnDataType_t type() const noexcept { return type_; }

  private:
    CudnnDescriptor pixels(std::int64_t id, cudnnDataType_t type, std::int64_t h, std::int64_t w,
                           std::int64_t c, bool is_virtual = false) const {
        return cudnn_tensor(id, type, {x_.n, c, h, w}, {h * w * c, 1, w * c, c}, is_virtual);
    }
    ConvShape x_;
    cudnnDataType_t type_;
};

CudnnDescriptor convolution(const ConvProblem& p) {
    const Dims stride{p.op.stride_h, p.op.stride_w}, pad{p.op.pad_h, p.op.pad_w};
    const Dims dilation{p.op.dilation_h, p.op.dilation_w};
    auto span = [](const Dims& d) { return std::span<const std::int64_t>(d); };
    CudnnDescriptor c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2})
        .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
        .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, span(pad))
        .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, span(pad))
        .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, span(dilation))
        .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, span(stride));
    c.finalize();
    return c;
}

using Graph = std::shared_ptr<CudnnGraph>;

// y = f(x) or f(x, b), element by element.
void add_pointwise(CudnnGraph& graph, cudnnPointwiseMode_t mode, const CudnnDescriptor& x,
                   const CudnnDescriptor* b, const CudnnDescriptor& y, double upper_clip) {
    CudnnDescriptor f(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    f.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (upper_clip > 0) f.set(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, upper_clip);
    f.finalize();
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, graph.keep(std::move(f)))
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    if (b) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    operation.finalize();
    graph.operations.push_back(std::move(operation));
}

// What the three kinds of convolution call the same things.
struct ConvolutionNames {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t in, weights, out, convolution, alpha, beta;
};
constexpr ConvolutionNames forward_names{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr ConvolutionNames data_names{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr ConvolutionNames weights_names{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

void add_convolution(CudnnGraph& graph, const ConvolutionNames& names, const ConvProblem& p,
                     cudnnDataType_t weights, const CudnnDescriptor& out) {
    const Tensors t(p);
    CudnnDescriptor operation(names.type);
    operation.set(names.in, graph.keep(t.in()))
        .set(names.weights, graph.keep(t.weights(weights)))
        .set(names.out, out)
        .set(names.convolution, graph.keep(convolution(p)))
        .set(names.alpha, CUDNN_TYPE_FLOAT, 1.0F)
        .set(names.beta, CUDNN_TYPE_FLOAT, 0.0F);
    operation.finalize();
    graph.operations.push_back(std::move(operation));
}

Graph forward_graph(const ConvProblem& p) {
    auto graph = std::make_shared<CudnnGraph>();
    const Tensors t(p);
    const bool activates = p.op.activation != Activation::none;
    int left = (p.op.bias ? 1 : 0) + (p.op.residual ? 1 : 0) + (activates ? 1 : 0);  // operations that follow
    auto next = [&](std::int64_t id) { return &graph->keep(left-- == 0 ? t.out(id_out) : t.between(id)); };
    const CudnnDescriptor* y = next(id_sum);
    add_convolution(*graph, forward_names, p, t.type(), *y);
    auto follow = [&](cudnnPointwiseMode_t mode, const CudnnDescriptor* b, std::int64_t id, double clip) {
        const CudnnDescriptor* to = next(id);
        add_pointwise(*graph, mode, *y, b, *to, clip);
        y = to;
    };
    if (p.op.bias) follow(CUDNN_POINTWISE_ADD, &graph->keep(t.bias()), id_biased, 0);
    if (p.op.residual) follow(CUDNN_POINTWISE_ADD, &graph->keep(t.out(id_residual)), id_added, 0);
    if (activates)
        follow(CUDNN_POINTWISE_RELU_FWD, nullptr, id_out, p.op.activation == Activation::relu6 ? 6 : 0);
    return graph;
}

Graph backward_graph(const ConvolutionNames& names, const ConvProblem& p, cudnnDataType_t weights) {
    auto graph = std::make_shared<CudnnGraph>();
    const CudnnDescriptor& out = graph->keep(Tensors(p).out(id_out));
    add_convolution(*graph, names, p, weights, out);
    return graph;
}

class CudnnAlgorithm final : public ConvAlgorithm {
  public:
    // gradient_bytes: of an element of the weight gradient as cuDNN writes it.
    CudnnAlgorithm(std::shared_ptr<const CudnnHandle> handle, const ConvProblem& problem, Direction direction,
                   CudnnPlan plan, std::size_t gradient_bytes)
        : handle_(std::move(handle)),
          problem_(problem),
          direction_(direction),
          gather_(kernels::weight_gather(kernel_shape(problem))),
          plan_(std::move(plan)),
          gradient_bytes_(gradient_bytes) {}

    std::string name() const override {
        return fmt::format(
            "cudnn {}{}", plan_.name,
            direction_ == Direction::backward_weights && gradient_bytes_ == 2 ? " (bf16 sums)" : "");
    }
    std::size_t workspace_bytes() const noexcept override { return gradient_size() + plan_.workspace; }
    WeightOrder weight_order() const noexcept override { return WeightOrder::krsc; }
    bool deterministic() const noexcept override { return plan_.deterministic; }

    void run(const ConvArguments& x, cudaStream_t stream) const override {
        char* workspace = static_cast<char*>(x.workspace);
        std::vector<std::int64_t> ids{id_in, id_out, id_weights};
        std::vector<void*> pointers{x.in, x.out, const_cast<void*>(x.weights)};
        if (direction_ == Direction::backward_weights) pointers[2] = workspace;
        if (direction_ == Direction::forward && problem_.op.bias) {
            ids.push_back(id_bias);
            pointers.push_back(const_cast<float*>(x.bias));
        }
        if (direction_ == Direction::forward && problem_.op.residual) {
            ids.push_back(id_residual);
            pointers.push_back(const_cast<void*>(x.residual));
        }
        cudnn_execute(*handle_, plan_, ids, pointers, workspace + gradient_size(), stream);
        if (direction_ != Direction::backward_weights) return;
        if (gradient_bytes_ == 2)
            kernels::conv_reduce(gather_, reinterpret_cast<const kernels::bf16*>(workspace), 1,
                                 x.weight_gradient, stream);
        else
            kernels::conv_reduce(gather_, reinterpret_cast<const float*>(workspace), 1, x.weight_gradient,
                                 stream);
        DIVS_CUDA_LAUNCHED("a convolution's weight gradient");
    }

  private:
    // The gradient as cuDNN writes it lies at the workspace's beginning.
    std::size_t gradient_size() const noexcept {
        if (direction_ != Direction::backward_weights) return 0;
        return (kernels::weight_partial_size(gather_) * gradient_bytes_ + 255) / 256 * 256;
    }

    std::shared_ptr<const CudnnHandle> handle_;
    ConvProblem problem_;
    Direction direction_;
    kernels::WeightGather gather_;
    CudnnPlan plan_;
    std::size_t gradient_bytes_;
};

// cuDNN writes exactly its channels, so padding must not be needed; and it knows no shifts in time.
bool takes(const ConvProblem& p) {
    const ConvShape s = kernel_shape(p);
    return s.shift == 0 && s.k % kernels::channel_step == 0 &&
           (s.groups == 1 || s.c % kernels::channel_step == 0);
}

void add(std::vector<std::unique_ptr<ConvAlgorithm>>& to, const ConvOptions& options,
         const ConvProblem& problem, Direction direction, Graph graph, std::size_t gradient_bytes) {
    for (CudnnPlan& plan : cudnn_plans(*options.cudnn, std::move(graph), most_plans)) {
        if (plan.tensor_cores && problem.arithmetic == Arithmetic::f32) continue;
        to.push_back(std::make_unique<CudnnAlgorithm>(options.cudnn, problem, direction, std::move(plan),
                                                      gradient_bytes));
    }
}

}  // namespace

std::shared_ptr<const CudnnHandle> make_cudnn_handle() {
    return std::make_shared<CudnnHandle>();
}

std::vector<std::unique_ptr<ConvAlgorithm>> cudnn_algorithms(const ConvProblem& problem, Direction direction,
                                                             const ConvOptions& options) {
    std::vector<std::unique_ptr<ConvAlgorithm>> found;
    if (!options.cudnn || !takes(problem)) return found;
    auto attempt = [&](auto make_graph, std::size_t gradient_bytes) {
        try {
            add(found, options, problem, direction, make_graph(), gradient_bytes);
        } catch (const Error&) {
            // cuDNN has nothing for such a graph.
        }
    };
    const cudnnDataType_t type = Tensors(problem).type();
    if (direction == Direction::forward) {
        attempt([&] { return forward_graph(problem); }, 0);
    } else if (direction == Direction::backward_data) {
        attempt([&] { return backward_graph(data_names, problem, type); }, 0);
    } else {
        attempt([&] { return backward_graph(weights_names, problem, CUDNN_DATA_FLOAT); }, 4);
        if (type != CUDNN_DATA_FLOAT)
            attempt([&] { return backward_graph(weights_names, problem, type); }, 2);
    }
    return found;
}

std::string cudnn_version() {
    const std::size_t v = cudnnGetVersion();
    return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

}  // namespace divs::nn::cuda
