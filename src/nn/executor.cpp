#include "executor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

// Batch sizes change while the scheduler balances, and the last batch of an epoch is smaller; more kept plans
// would only hold memory.
constexpr std::size_t kept_plans = 6;

std::vector<std::span<float>> spans(const std::shared_ptr<Storage>& storage,
                                    const std::vector<ParameterView>& views, const ViewRange& range) {
    std::vector<std::span<float>> parts;
    for (std::size_t v = range.first; v < range.first + range.count; ++v)
        parts.emplace_back(storage->data() + views[v].offset, views[v].size);
    return parts;
}

std::vector<bool> learning_nodes(const ArenaLayout& layout) {
    std::vector<bool> learns;
    for (const ViewRange& range : layout.node_parameters) {
        const auto first = layout.parameters.begin() + static_cast<std::ptrdiff_t>(range.first);
        learns.push_back(std::any_of(first, first + static_cast<std::ptrdiff_t>(range.count),
                                     [](const ParameterView& view) { return !view.frozen; }));
    }
    return learns;
}

bool is_finite(const LossSum& sum) {
    return sum.first_not_finite < 0 && std::isfinite(sum.loss);
}

}  // namespace

Executor::Executor(const ModelSpec& spec, Backend& backend, const ArenaLayout& layout,
                   const ModelMemory& memory, Reducer* reducer)
    : spec_(spec), backend_(backend), layout_(layout), memory_(memory), reducer_(reducer) {
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
        Parameters p;
        p.values = spans(memory.parameters, layout.parameters, layout.node_parameters[i]);
        p.buffers = spans(memory.buffers, layout.buffers, layout.node_buffers[i]);
        inference_parameters_.push_back(p);
        training_parameters_.push_back(std::move(p));
    }
    place_gradients(memory.gradients);
    announced_.resize(spec.nodes.size());
    std::size_t end = layout.parameter_elements;
    for (std::size_t i = spec.nodes.size(); i-- > 0;) {
        const ViewRange& range = layout.node_parameters[i];
        if (range.count == 0) continue;
        announced_[i] = {layout.parameters[range.first].offset, end};
        end = announced_[i].begin;
    }
}

void Executor::place_gradients(std::shared_ptr<Storage> storage) {
    forget_plans();
    memory_.gradients = std::move(storage);
    for (std::size_t i = 0; i < training_parameters_.size(); ++i)
        training_parameters_[i].gradients =
            spans(memory_.gradients, layout_.parameters, layout_.node_parameters[i]);
}

ExecutionPlan& Executor::plan(int clips, bool training) {
    const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const auto& p) {
        return p->clips() == clips && p->training() == training;
    });
    if (found != plans_.end()) {
        std::rotate(plans_.begin(), found, found + 1);
    } else {
        if (plans_.size() == kept_plans) plans_.pop_back();
        plans_.insert(plans_.begin(), std::make_unique<ExecutionPlan>(spec_, backend_, clips, training,
                                                                      learning_nodes(layout_), reducer_));
    }
    ExecutionPlan& current = *plans_.front();
    provide(current);
    return current;
}

// Memory only grows; the old block goes before the new one comes, since both at once may not fit.
void Executor::provide(ExecutionPlan& plan) {
    if (!tensors_ || tensors_->bytes() < plan.tensor_bytes()) {
        for (const auto& p : plans_) p->bind(nullptr);
        tensors_.reset();
        tensors_ = backend_.allocate(plan.tensor_bytes());
    }
    if (!workspace_ || workspace_->bytes() < plan.workspace_bytes()) {
        workspace_.reset();
        workspace_ = backend_.allocate(std::max<std::size_t>(plan.workspace_bytes(), 64));
    }
    plan.bind(tensors_);
}

ExecutionPlan& Executor::any_training_plan() {
    for (const auto& p : plans_)
        if (p->training()) return *p;
    return plan(1, true);
}

void Executor::check_pixels(const Batch& batch, std::size_t expected) const {
    const std::size_t clips = batch.samples.size();
    std::size_t bytes = batch.pixels.size();
    bool alike = batch.clip_pixels.empty() || batch.clip_pixels.size() == clips;
    for (const Pixels* clip : batch.clip_pixels) {
        bytes += clip->size();
        alike = alike && clip->size() == expected / clips;
    }
    if (!alike || bytes != expected)
        throw_error<Error>("model {}: {} bytes of pixels for {} clips, expected {}, as many of each",
                           spec_.architecture, bytes, clips, expected);
}

void Executor::upload(ExecutionPlan& plan, const Batch& batch) {
    check_pixels(batch, plan.input().shape().size());
    if (batch.clip_pixels.empty())
        backend_.upload_pixels(batch.pixels.data(), spec_.mean.data(), spec_.deviation.data(), plan.input());
    else
        backend_.upload_clips(batch.clip_pixels, spec_.mean.data(), spec_.deviation.data(), plan.input());
}

StepContext Executor::context(const NodePlan& node, const Batch& batch) const {
    return {batch.seed, batch.epoch, batch.samples, node.rows_per_clip};
}

// Of an operation, all that it queued included.
double Executor::seconds_since(double start) {
    backend_.synchronise();
    return now_seconds() - start;
}

void Executor::forward(ExecutionPlan& plan, const Batch& batch, bool check) {
    const auto& parameters = plan.training() ? training_parameters_ : inference_parameters_;
    auto& nodes = plan.nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        NodePlan& node = nodes[i];
        if (!node.operation) continue;
        const double start = profiling_ ? now_seconds() : 0;
        node.operation->forward(node.inputs, node.output, parameters[i], context(node, batch),
                                workspace_->data());
        if (profiling_) profile_[i].forward += seconds_since(start);
        if (check && not_finite_.empty() && !finite(node.output)) not_finite_ = spec_.nodes[i].name;
    }
}

void Executor::backward_node(NodePlan& node, std::size_t i, const Batch& batch) {
    if (node.backward && node.operation) {
        const double start = profiling_ ? now_seconds() : 0;
        node.operation->backward(node.inputs, node.output, node.gradient, node.input_gradients,
                                 training_parameters_[i], context(node, batch), workspace_->data());
        for (GradientPart& part : node.parts) backend_.accumulate(part.part, *part.target);
        if (profiling_) profile_[i].backward += seconds_since(start);
    }
    zero_unwritten(i, node.backward);
}

void Executor::zero_unwritten(std::size_t i, bool computed) {
    const auto clear = [&](std::size_t begin, std::size_t end) {
        backend_.clear({memory_.gradients->data() + begin, end - begin});
    };
    if (!computed && announced_[i].end > announced_[i].begin)
        return clear(announced_[i].begin, announced_[i].end);
    const ViewRange& range = layout_.node_parameters[i];
    for (std::size_t v = range.first; v < range.first + range.count; ++v)
        if (const ParameterView& view = layout_.parameters[v]; view.frozen)
            clear(view.offset, view.offset + view.size);
}

void Executor::announce(std::size_t i, const Model::GradientReady& ready) {
    if (ready && announced_[i].end > announced_[i].begin) ready(announced_[i]);
}

void Executor::record_steps(const RecordOptions& options) {
    recording_ = options;
    ++cuts_version_;
}

// Norms whose sums go through the host wait for it inside a layer, and a profile asks for each node's own
// time.
bool Executor::may_record(const Batch& batch) const {
    return recording_.quantum > 0 && batch.clips() % recording_.quantum == 0 &&
           (!reducer_ || reducer_->on_device()) && !profiling_;
}

std::vector<std::size_t> Executor::stretch_ends(bool by_cuts) const {
    std::vector<std::size_t> ends;
    std::size_t cuts = recording_.cuts.size();
    for (std::size_t i = announced_.size(); i-- > 0;) {
        if (announced_[i].end == announced_[i].begin) continue;
        bool cut = !by_cuts;
        for (; cuts > 0 && recording_.cuts[cuts - 1] >= announced_[i].begin; --cuts) cut = true;
        if (cut) ends.push_back(i);
    }
    if (ends.empty() || ends.back() != 0) ends.push_back(0);
    return ends;
}

void Executor::run_step(ExecutionPlan& plan, const Batch& batch, const LossSettings& loss,
                        const Model::GradientReady& ready) {
    Recorder* recorder = may_record(batch) ? backend_.recorder() : nullptr;
    StepChain& chain = plan.chain();
    Stopwatch watch;
    if (recorder)
        backend_.stage({batch.seed, batch.epoch, batch.samples, 1}, batch.labels, loss.class_weights,
                       spec_.classes);
    upload(plan, batch);
    seconds_.upload = watch.lap();

    chain.begin(recorder, {tensors_->data(), workspace_->data(), loss.smoothing, cuts_version_});
    NodePlan& last = plan.nodes().back();
    chain.run([&] {
        forward(plan, batch, false);
        seconds_.forward = watch.lap();
        backend_.cross_entropy(last.output, batch.labels, loss.class_weights, loss.smoothing,
                               last.backward ? &last.gradient : nullptr);
    });
    loss_queued_ = !backend_.host_memory();
    if (!loss_queued_) loss_ = backend_.loss();
    if (!loss_queued_ && !is_finite(loss_)) find_not_finite(plan);
    seconds_.loss = watch.lap();

    std::size_t from = plan.nodes().size();
    for (const std::size_t end : stretch_ends(recorder != nullptr)) {
        chain.run([&] {
            for (std::size_t i = from; i-- > end;) backward_node(plan.nodes()[i], i, batch);
        });
        for (std::size_t i = from; i-- > end;) announce(i, ready);
        from = end;
    }
    chain.finish();
    seconds_.backward = watch.lap();
}

// Before backward, which writes gradients over the outputs.
void Executor::find_not_finite(ExecutionPlan& plan) {
    for (std::size_t i = 0; i < plan.nodes().size() && not_finite_.empty(); ++i)
        if (const NodePlan& node = plan.nodes()[i];
            node.operation && plan.alive_at_loss(node) && !finite(node.output))
            not_finite_ = spec_.nodes[i].name;
}

void Executor::step(const Batch& batch, const LossSettings& loss, const Model::GradientReady& ready) {
    ExecutionPlan& current = plan(batch.clips(), true);
    not_finite_.clear();
    run_step(current, batch, loss, ready);
    if (profiling_)
        for (NodeSeconds& node : profile_) ++node.calls;
    scan_gradients_ = true;
}

LossSum Executor::loss() {
    if (std::exchange(loss_queued_, false)) loss_ = backend_.loss();
    return loss_;
}

void Executor::look_again(const Batch& batch) {
    if (backend_.host_memory()) return;
    if (batch.clips() == 0) return empty_forward(any_training_plan());
    ExecutionPlan& current = plan(batch.clips(), true);
    not_finite_.clear();
    upload(current, batch);
    forward(current, batch, true);
}

void Executor::empty_forward(ExecutionPlan& plan) {
    auto& nodes = plan.nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i)
        if (nodes[i].operation) nodes[i].operation->forward_empty(training_parameters_[i]);
}

void Executor::empty_step(const Model::GradientReady& ready) {
    ExecutionPlan& current = any_training_plan();
    seconds_ = {};
    not_finite_.clear();
    scan_gradients_ = false;
    loss_ = {};
    loss_queued_ = false;
    empty_forward(current);
    auto& nodes = current.nodes();
    for (std::size_t i = nodes.size(); i-- > 0;) {
        if (nodes[i].backward && nodes[i].operation)
            nodes[i].operation->backward_empty(training_parameters_[i]);
        zero_unwritten(i, false);
        announce(i, ready);
    }
}

void Executor::predict(const Batch& batch, std::span<float> logits) {
    if (batch.clips() == 0) return;
    ExecutionPlan& current = plan(batch.clips(), false);
    const Tensor& output = current.nodes().back().output;
    if (logits.size() != output.shape().size())
        throw_error<Error>("model {}: room for {} logits, expected {}", spec_.architecture, logits.size(),
                           output.shape().size());
    not_finite_.clear();
    scan_gradients_ = false;
    upload(current, batch);
    forward(current, batch, false);
    backend_.download(output, logits.data());
    if (std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); })) return;
    upload(current, batch);  // its memory may have been reused
    forward(current, batch, true);
}

bool Executor::finite(const Tensor& tensor) {
    std::vector<float> values(tensor.shape().size());
    backend_.download(tensor, values.data());
    return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

std::string Executor::first_not_finite() {
    if (!not_finite_.empty() || !scan_gradients_) return not_finite_;
    for (auto view = layout_.parameters.rbegin(); view != layout_.parameters.rend(); ++view)
        if (!finite(arena_view(memory_.gradients, view->offset, view->size))) return view->name;
    return {};
}

void Executor::profile(bool on) {
    profiling_ = on;
    profile_.clear();
    for (const Node& node : spec_.nodes) profile_.push_back({node.name, 0, 0, 0, 0});
}

}  // namespace divs::nn
