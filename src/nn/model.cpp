#include "divs/nn/model.hpp"

#include <algorithm>
#include <utility>

#include "arena.hpp"
#include "divs/core/error.hpp"
#include "executor.hpp"
#include "initialise.hpp"

namespace divs::nn {
namespace {

std::shared_ptr<Storage> allocate_elements(Backend& backend, std::size_t elements) {
    return backend.allocate(std::max(elements, parameter_alignment) * sizeof(float));
}

void check_labels(const ModelSpec& spec, const Batch& batch) {
    if (batch.labels.size() != batch.samples.size())
        throw_error<Error>("model {}: {} labels for {} clips", spec.architecture, batch.labels.size(),
                           batch.clips());
    for (std::size_t i = 0; i < batch.labels.size(); ++i)
        if (batch.labels[i] < 0 || batch.labels[i] >= spec.classes)
            throw_error<InputError>("sample {}: label {}, expected 0 to {}: the model has {} classes",
                                    batch.samples[i], batch.labels[i], spec.classes - 1, spec.classes);
}

}  // namespace

struct Model::Impl {
    ModelSpec spec;
    std::shared_ptr<Backend> backend;
    ArenaLayout layout;
    ModelMemory memory;
    Executor executor;

    Impl(ModelSpec model, std::shared_ptr<Backend> on, Reducer* reducer)
        : spec(std::move(model)),
          backend(std::move(on)),
          layout(lay_out(spec)),
          memory{allocate_elements(*backend, layout.parameter_elements),
                 allocate_elements(*backend, layout.parameter_elements),
                 allocate_elements(*backend, layout.buffer_elements)},
          executor(spec, *backend, layout, memory, reducer) {}

    void upload(const std::vector<float>& values, const std::shared_ptr<Storage>& to) {
        if (values.empty()) return;
        Tensor view = arena_view(to, 0, values.size());
        backend->upload(values.data(), view);
    }
};

Model::Model(ModelSpec spec, std::shared_ptr<Backend> backend, Reducer* norm_reducer) {
    validate(spec);
    impl_ = std::make_unique<Impl>(std::move(spec), std::move(backend), norm_reducer);
    std::vector<float> buffers(impl_->layout.buffer_elements);
    fill_buffers(impl_->layout, buffers);
    impl_->upload(buffers, impl_->memory.buffers);
}

Model::~Model() = default;
Model::Model(Model&&) noexcept = default;

const ModelSpec& Model::spec() const noexcept {
    return impl_->spec;
}
Backend& Model::backend() noexcept {
    return *impl_->backend;
}

void Model::initialise(std::uint64_t seed, const InitialiseOptions& options) {
    std::vector<float> parameters(impl_->layout.parameter_elements), buffers(impl_->layout.buffer_elements);
    fill_initial(impl_->spec, impl_->layout, seed, options, parameters, buffers);
    impl_->upload(parameters, impl_->memory.parameters);
    impl_->upload(buffers, impl_->memory.buffers);
}

std::span<float> Model::parameters() noexcept {
    return {impl_->memory.parameters->data(), impl_->layout.parameter_elements};
}
std::span<float> Model::gradients() noexcept {
    return {impl_->memory.gradients->data(), impl_->layout.parameter_elements};
}
std::span<float> Model::buffers() noexcept {
    return {impl_->memory.buffers->data(), impl_->layout.buffer_elements};
}

void Model::place_gradients(std::shared_ptr<Storage> storage) {
    const std::size_t bytes = gradients().size_bytes();
    if (storage->bytes() < bytes)
        throw_error<Error>("model {}: {} bytes for gradients, expected {}", impl_->spec.architecture,
                           storage->bytes(), bytes);
    impl_->memory.gradients = std::move(storage);
    impl_->backend->clear(gradients());
    impl_->executor.place_gradients(impl_->memory.gradients);
}

const std::vector<ParameterView>& Model::parameter_views() const noexcept {
    return impl_->layout.parameters;
}
const std::vector<ParameterView>& Model::buffer_views() const noexcept {
    return impl_->layout.buffers;
}

void Model::freeze(const std::vector<std::string>& prefixes) {
    nn::freeze(impl_->layout.parameters, prefixes);
    impl_->executor.forget_plans();
}

void Model::record_steps(const RecordOptions& options) {
    impl_->executor.record_steps(options);
}

std::vector<UpdateRange> Model::update_ranges() const {
    return nn::update_ranges(impl_->layout);
}

void Model::queue_step(const Batch& batch, const LossSettings& loss, const GradientReady& ready) {
    if (batch.clips() == 0) return impl_->executor.empty_step(ready);
    check_labels(impl_->spec, batch);
    impl_->executor.step(batch, loss, ready);
}

LossSum Model::loss() {
    return impl_->executor.loss();
}

LossSum Model::train_step(const Batch& batch, const LossSettings& loss, const GradientReady& ready) {
    queue_step(batch, loss, ready);
    return this->loss();
}

void Model::look_again(const Batch& batch) {
    impl_->executor.look_again(batch);
}

void Model::predict(const Batch& batch, std::span<float> logits) {
    impl_->executor.predict(batch, logits);
}

std::string Model::first_not_finite() {
    return impl_->executor.first_not_finite();
}

double Model::multiply_adds(int clips) const {
    const std::vector<Shape> shapes = node_shapes(impl_->spec, clips);
    double sum = 0;
    for (const Node& node : impl_->spec.nodes)
        sum += nn::multiply_adds(node.op, input_shapes(impl_->spec, shapes, node, clips));
    return sum;
}

std::size_t Model::activation_bytes() const {
    return impl_->executor.tensor_bytes();
}

const StepSeconds& Model::last_step() const noexcept {
    return impl_->executor.seconds();
}
void Model::profile(bool on) {
    impl_->executor.profile(on);
}

std::vector<NodeSeconds> Model::profile() const {
    std::vector<NodeSeconds> nodes = impl_->executor.profile();
    const std::vector<Shape> shapes = node_shapes(impl_->spec, 1);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const Node& node = impl_->spec.nodes[i];
        nodes[i].multiply_adds = nn::multiply_adds(node.op, input_shapes(impl_->spec, shapes, node, 1));
    }
    return nodes;
}

}  // namespace divs::nn
