// What lies behind the channels of a tensor in blocks.
#pragma once

#include "cpu/layout.hpp"
#include "operation_cases.hpp"

namespace divs::nn::test {

inline std::vector<TensorDesc> blocked_descs(const OperationCase& c, int block, int second_block) {
    std::vector<TensorDesc> inputs;
    for (const Shape& s : c.inputs) {
        const int b = inputs.empty() ? block : second_block;
        inputs.push_back(cpu::make_desc(s, b == 0 ? s.c : b));
    }
    return inputs;
}

// How many elements of the padding are not zero after an operation ran on blocks of 16 channels.
inline int written_padding(Backend& backend, const OperationCase& c, const PlanOptions& options) {
    const auto inputs = blocked_descs(c, 16, 16);
    const auto operation = backend.plan(c.op, inputs, options);
    const auto data = fresh_data(c, 3);
    Tensor output = make_tensor(backend, operation->output());
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < inputs.size(); ++i)
        tensors.push_back(make_tensor(backend, inputs[i], &data.inputs[i]));
    std::vector<const Tensor*> pointers;
    for (const auto& t : tensors) pointers.push_back(&t);
    auto values = data.values, buffers = data.buffers;
    Parameters parameters;
    for (auto& v : values) parameters.values.emplace_back(v);
    for (auto& v : buffers) parameters.buffers.emplace_back(v);
    const auto workspace = backend.allocate(operation->workspace_bytes());
    operation->forward(pointers, output, parameters, data.step(), workspace->data());
    const cpu::View view = cpu::view_of(output.desc);
    int written = 0;
    for (std::size_t i = 0; i < view.size(); ++i) {
        const std::size_t channel =
            i / view.plane() % static_cast<std::size_t>(view.blocks) * view.lanes() + i % view.lanes();
        if (channel >= view.channels()) written += output.data()[i] != 0.0F;
    }
    return written;
}

}  // namespace divs::nn::test
