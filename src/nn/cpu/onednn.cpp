#include "onednn.hpp"

#include <dnnl.hpp>
#include <limits>
#include <unordered_map>

#include "divs/core/error.hpp"

namespace divs::nn::cpu::onednn {
namespace {

using dnnl::memory;
using tag = memory::format_tag;

// Engine and stream hold no state of a computation: one pair serves every thread.
const dnnl::engine& engine() {
    static const dnnl::engine instance(dnnl::engine::kind::cpu, 0);
    return instance;
}

template <class F>
auto checked(const char* what, F f) {
    try {
        return f();
    } catch (const dnnl::error& e) {
        throw_error<Error>("oneDNN: {}: {} (status {})", what, e.what(), static_cast<int>(e.status));
    }
}

// One block of 4, 8 or 16 channels is NHWC as well; oneDNN's fast code knows it by the name of the blocks.
tag activation_tag(int block, int channels) {
    switch (block) {
        case 0:
            return tag::any;
        case 4:
            return tag::nChw4c;
        case 8:
            return tag::nChw8c;
        case 16:
            return tag::nChw16c;
        case 1:
            return channels == 1 ? tag::nhwc : tag::nchw;
        default:
            return block == channels ? tag::nhwc : tag::undef;
    }
}

memory::desc activation(const Shape& s, tag layout) {
    return {{s.n, s.c, s.h, s.w}, memory::data_type::f32, layout};
}
memory::desc activation(const Shape& s, int block) {
    return activation(s, activation_tag(block, s.c));
}

int block_of_desc(const memory::desc& desc, const Shape& shape) {
    if (desc == activation(shape, tag::nchw)) return 1;
    if (desc == activation(shape, tag::nhwc)) return shape.c;
    for (int block : {16, 8, 4})
        if (desc == activation(shape, block)) return block;
    return 0;
}

memory::desc weights(const Conv2d& op, const Shape& in, bool any) {
    const memory::data_type type = memory::data_type::f32;
    if (op.groups == 1)
        return {{op.out_channels, in.c, op.kernel_h, op.kernel_w}, type, any ? tag::any : tag::oihw};
    return {{op.groups, op.out_channels / op.groups, in.c / op.groups, op.kernel_h, op.kernel_w},
            type,
            any ? tag::any : tag::goihw};
}

dnnl::algorithm algorithm_of(Algorithm algorithm) {
    return algorithm == Algorithm::winograd ? dnnl::algorithm::convolution_winograd
                                            : dnnl::algorithm::convolution_direct;
}

void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(algorithm, alpha, beta);
#else
    ops.append_eltwise(1.0F, algorithm, alpha, beta);
#endif
}

// What follows the sums. oneDNN's relu and clip make a number of a NaN, which then passes for an answer: with
// a slope, too small to count, the relu keeps it, and a clip without lower bound makes it -inf. A smaller
// slope would make denormal numbers where one activation follows another, and those are slow.
dnnl::primitive_attr attributes(const ConvolutionProblem& p) {
    constexpr float slope = 1e-10F, unbounded = -std::numeric_limits<float>::infinity();
    dnnl::post_ops ops;
    if (p.op.residual) ops.append_binary(dnnl::algorithm::binary_add, activation(p.out, p.out_block));
    if (p.op.activation != Activation::none) append_eltwise(ops, dnnl::algorithm::eltwise_relu, slope, 0);
    if (p.op.activation == Activation::relu6)
        append_eltwise(ops, dnnl::algorithm::eltwise_clip, unbounded, 6);
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attr.set_post_ops(ops);
    return attr;
}

struct Descs {
    memory::desc in, weights, bias, out;
    memory::dims stride, dilation, pad;
};

Descs descs(const ConvolutionProblem& p) {
    memory::desc bias;
    if (p.op.bias) bias = memory::desc({p.op.out_channels}, memory::data_type::f32, tag::x);
    return {activation(p.in, p.in_block),
            weights(p.op, p.in, true),
            bias,
            activation(p.out, p.out_block),
            {p.op.stride_h, p.op.stride_w},
            {p.op.dilation_h - 1, p.op.dilation_w - 1},
            {p.op.pad_h, p.op.pad_w}};
}

// The three primitive descriptors: with append_eltwise everything that oneDNN 2 and 3 spell differently.
#if DNNL_VERSION_MAJOR >= 3
dnnl::convolution_forward::primitive_desc forward_desc(const Descs& d, Algorithm algorithm,
                                                       const dnnl::primitive_attr& attr) {
    return {engine(),
            dnnl::prop_kind::forward_training,
            algorithm_of(algorithm),
            d.in,
            d.weights,
            d.bias,
            d.out,
            d.stride,
            d.dilation,
            d.pad,
            d.pad,
            attr};
}
dnnl::convolution_backward_data::primitive_desc data_desc(const Descs& d, Algorithm algorithm,
                                                          const dnnl::primitive_attr& attr) {
    return {engine(),   algorithm_of(algorithm),
            d.in,       d.weights,
            d.out,      d.stride,
            d.dilation, d.pad,
            d.pad,      forward_desc(d, Algorithm::direct, attr),
            attr};
}
dnnl::convolution_backward_weights::primitive_desc weights_desc(const Descs& d, Algorithm algorithm,
                                                                const dnnl::primitive_attr& attr) {
    return {engine(),
            algorithm_of(algorithm),
            d.in,
            d.weights,
            d.bias,
            d.out,
            d.stride,
            d.dilation,
            d.pad,
            d.pad,
            forward_desc(d, Algorithm::direct, attr),
            attr};
}
#else
dnnl::convolution_forward::primitive_desc forward_desc(const Descs& d, Algorithm algorithm,
                                                       const dnnl::primitive_attr& attr) {
    const dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_training, algorithm_of(algorithm),
                                               d.in, d.weights, d.bias, d.out, d.stride, d.dilation, d.pad,
                                               d.pad);
    return {desc, attr, engine()};
}
dnnl::convolution_backward_data::primitive_desc data_desc(const Descs& d, Algorithm algorithm,
                                                          const dnnl::primitive_attr& attr) {
    const dnnl::convolution_backward_data::desc desc(algorithm_of(algorithm), d.in, d.weights, d.out,
                                                     d.stride, d.dilation, d.pad, d.pad);
    return {desc, attr, engine(), forward_desc(d, Algorithm::direct, attr)};
}
dnnl::convolution_backward_weights::primitive_desc weights_desc(const Descs& d, Algorithm algorithm,
                                                                const dnnl::primitive_attr& attr) {
    const dnnl::convolution_backward_weights::desc desc(algorithm_of(algorithm), d.in, d.weights, d.bias,
                                                        d.out, d.stride, d.dilation, d.pad, d.pad);
    return {desc, attr, engine(), forward_desc(d, Algorithm::direct, attr)};
}
#endif

memory unbound(const memory::desc& desc) {
    return {desc, engine(), nullptr};
}

}  // namespace

struct Convolution::Impl {
    int in_block = 0, out_block = 0;
    std::string implementation;
    dnnl::primitive primitive;
    mutable memory in, packed, bias, residual, out, scratchpad, plain;
    dnnl::reorder pack, unpack;
    std::unordered_map<int, memory> arguments;
    mutable dnnl::stream stream{engine()};

    void bind(const ConvolutionProblem& p, const memory::desc& in_desc, const memory::desc& packed_desc,
              const memory::desc& out_desc, const memory::desc& scratchpad_desc) {
        in = unbound(in_desc);
        packed = unbound(packed_desc);
        out = unbound(out_desc);
        scratchpad = unbound(scratchpad_desc);
        plain = unbound(weights(p.op, p.in, false));
        if (p.op.bias) bias = unbound(memory::desc({p.op.out_channels}, memory::data_type::f32, tag::x));
        in_block = block_of_desc(in_desc, p.in);
        out_block = block_of_desc(out_desc, p.out);
        pack = dnnl::reorder(plain, packed);
        unpack = dnnl::reorder(packed, plain);
        arguments[DNNL_ARG_SCRATCHPAD] = scratchpad;
    }

    void make(const ConvolutionProblem& p, Direction direction, Algorithm algorithm) {
        const Descs d = descs(p);
        const auto attr = attributes(p);
        if (direction == Direction::forward) {
            const auto desc = forward_desc(d, algorithm, attr);
            bind(p, desc.src_desc(), desc.weights_desc(), desc.dst_desc(), desc.scratchpad_desc());
            primitive = dnnl::convolution_forward(desc);
            implementation = desc.impl_info_str();
            arguments.insert({{DNNL_ARG_SRC, in}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, out}});
            if (p.op.bias) arguments.insert({DNNL_ARG_BIAS, bias});
            if (p.op.residual) {
                residual = unbound(desc.dst_desc());
                arguments.insert({DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, residual});
            }
        } else if (direction == Direction::backward_data) {
            const auto desc = data_desc(d, algorithm, attr);
            bind(p, desc.diff_src_desc(), desc.weights_desc(), desc.diff_dst_desc(), desc.scratchpad_desc());
            primitive = dnnl::convolution_backward_data(desc);
            implementation = desc.impl_info_str();
            arguments.insert({{DNNL_ARG_DIFF_SRC, in}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DIFF_DST, out}});
        } else {
            const auto desc = weights_desc(d, algorithm, attr);
            bind(p, desc.src_desc(), desc.diff_weights_desc(), desc.diff_dst_desc(), desc.scratchpad_desc());
            primitive = dnnl::convolution_backward_weights(desc);
            implementation = desc.impl_info_str();
            arguments.insert({{DNNL_ARG_SRC, in}, {DNNL_ARG_DIFF_WEIGHTS, packed}, {DNNL_ARG_DIFF_DST, out}});
            if (p.op.bias) arguments.insert({DNNL_ARG_DIFF_BIAS, bias});
        }
    }
};

Convolution::Convolution(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Convolution::Convolution(Convolution&&) noexcept = default;
Convolution& Convolution::operator=(Convolution&&) noexcept = default;
Convolution::~Convolution() = default;

std::optional<Convolution> Convolution::plan(const ConvolutionProblem& problem, Direction direction,
                                             Algorithm algorithm) {
    auto impl = std::make_unique<Impl>();
    try {
        impl->make(problem, direction, algorithm);
    } catch (const dnnl::error& e) {
        if (e.status == dnnl_unimplemented) return std::nullopt;
        throw_error<Error>("oneDNN: convolution {} -> {} channels: {}", problem.in.c, problem.out.c,
                           e.what());
    }
    return Convolution(std::move(impl));
}

int Convolution::in_block() const noexcept {
    return impl_->in_block;
}
int Convolution::out_block() const noexcept {
    return impl_->out_block;
}
std::string Convolution::implementation() const {
    return impl_->implementation;
}
std::size_t Convolution::weights_bytes() const noexcept {
    return impl_->packed.get_desc().get_size();
}
std::size_t Convolution::scratchpad_bytes() const noexcept {
    return impl_->scratchpad.get_desc().get_size();
}

void Convolution::pack(const float* weights, float* packed) const {
    checked("packing weights", [&] {
        impl_->plain.set_data_handle(const_cast<float*>(weights));
        impl_->packed.set_data_handle(packed);
        impl_->pack.execute(impl_->stream, impl_->plain, impl_->packed);
    });
}

void Convolution::unpack(const float* packed, float* weights) const {
    checked("unpacking weights", [&] {
        impl_->packed.set_data_handle(const_cast<float*>(packed));
        impl_->plain.set_data_handle(weights);
        impl_->unpack.execute(impl_->stream, impl_->packed, impl_->plain);
    });
}

void Convolution::run(float* in, float* packed, float* bias, const float* residual, float* out,
                      float* scratchpad) const {
    checked("convolution", [&] {
        impl_->in.set_data_handle(in);
        impl_->packed.set_data_handle(packed);
        impl_->out.set_data_handle(out);
        impl_->scratchpad.set_data_handle(scratchpad);
        if (impl_->bias) impl_->bias.set_data_handle(bias);
        if (impl_->residual) impl_->residual.set_data_handle(const_cast<float*>(residual));
        impl_->primitive.execute(impl_->stream, impl_->arguments);
        impl_->stream.wait();
    });
}

void reorder(const View& from, const float* source, const View& to, float* target) {
    checked("reordering a tensor", [&] {
        const Shape shape{from.n, from.h, from.w, from.c};
        memory a(activation(shape, from.block), engine(), const_cast<float*>(source));
        memory b(activation(shape, to.block), engine(), target);
        dnnl::stream stream(engine());
        dnnl::reorder(a, b).execute(stream, a, b);
        stream.wait();
    });
}

void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float* a, int lda, const float* b,
          int ldb, bool add, float* c, int ldc) {
    const auto status = dnnl::sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0F, a, lda,
                                    b, ldb, add ? 1.0F : 0.0F, c, ldc);
    if (status != dnnl::status::success)
        throw_error<Error>("oneDNN: sgemm {} x {} x {} failed (status {})", m, n, k,
                           static_cast<int>(status));
}

std::string version() {
    const auto* v = dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

}  // namespace divs::nn::cpu::onednn
