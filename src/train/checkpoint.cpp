// The state of a model as named arrays, and back.
#include "divs/train/checkpoint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "divs/core/error.hpp"

namespace divs::train {
namespace {

constexpr std::string_view parameters = "parameters/", buffers = "buffers/", optimiser = "optimiser/";

std::string state_prefix(std::string_view name) {
    return fmt::format("{}{}/", optimiser, name);
}

bool has_any(const Checkpoint& checkpoint, std::string_view prefix) {
    return std::any_of(checkpoint.arrays.begin(), checkpoint.arrays.end(),
                       [&](const Array& array) { return array.name.starts_with(prefix); });
}

// Arrays that the model does not have are as wrong as arrays that are missing.
void reject_surplus(const Checkpoint& checkpoint, std::string_view prefix, std::size_t expected) {
    const auto found = static_cast<std::size_t>(
        std::count_if(checkpoint.arrays.begin(), checkpoint.arrays.end(),
                      [&](const Array& array) { return array.name.starts_with(prefix); }));
    if (found > expected)
        throw_error<InputError>("{}: holds {} arrays under \"{}\", expected {}: it is of another model",
                                checkpoint.file.string(), found, prefix, expected);
}

}  // namespace

const Array* Checkpoint::find(std::string_view name) const noexcept {
    const auto found =
        std::find_if(arrays.begin(), arrays.end(), [&](const Array& array) { return array.name == name; });
    return found == arrays.end() ? nullptr : &*found;
}

void append_arrays(std::vector<ArrayView>& arrays, std::string_view prefix,
                   const std::vector<nn::ParameterView>& views, std::span<const float> arena) {
    for (const auto& view : views)
        arrays.push_back({std::string(prefix) + view.name,
                          {view.dims.begin(), view.dims.end()},
                          arena.subspan(view.offset, view.size)});
}

StateArrays checkpoint_arrays(nn::Model& model, const OptimiserState& state) {
    StateArrays all;
    const auto append = [&](std::string_view prefix, const std::vector<nn::ParameterView>& views,
                            std::span<float> arena) {
        all.views.emplace_back(model.backend(), arena);
        append_arrays(all.arrays, prefix, views, all.views.back().values());
    };
    append(parameters, model.parameter_views(), model.parameters());
    append(buffers, model.buffer_views(), model.buffers());
    for (const auto& [name, arena] : state) append(state_prefix(name), model.parameter_views(), arena);
    return all;
}

void restore_arrays(const Checkpoint& checkpoint, std::string_view prefix,
                    const std::vector<nn::ParameterView>& views, std::span<float> arena) {
    for (const auto& view : views) {
        const std::string name = std::string(prefix) + view.name;
        const Array* array = checkpoint.find(name);
        if (!array) throw_error<InputError>("{}: has no \"{}\"", checkpoint.file.string(), name);
        if (!std::equal(view.dims.begin(), view.dims.end(), array->dims.begin(), array->dims.end()) ||
            array->values.size() != view.size)
            throw_error<InputError>("{}: \"{}\" has shape ({}), expected ({})", checkpoint.file.string(),
                                    name, fmt::join(array->dims, ", "), fmt::join(view.dims, ", "));
        std::copy(array->values.begin(), array->values.end(),
                  arena.begin() + static_cast<std::ptrdiff_t>(view.offset));
    }
    reject_surplus(checkpoint, prefix, views.size());
}

void restore(const Checkpoint& checkpoint, nn::Model& model, const OptimiserState& state) {
    const auto fill = [&](std::string_view prefix, const std::vector<nn::ParameterView>& views,
                          std::span<float> arena) {
        nn::HostView host(model.backend(), arena);
        restore_arrays(checkpoint, prefix, views, host.values());
        host.write_back();
    };
    fill(parameters, model.parameter_views(), model.parameters());
    fill(buffers, model.buffer_views(), model.buffers());
    const bool has_state = has_any(checkpoint, optimiser);
    for (const auto& [name, arena] : state) {
        model.backend().clear(arena);
        if (has_state && !has_any(checkpoint, state_prefix(name)))
            throw_error<InputError>("{}: has no \"{}\": it is of another optimizer; use another train.folder",
                                    checkpoint.file.string(), state_prefix(name));
        if (has_state) fill(state_prefix(name), model.parameter_views(), arena);
    }
    if (has_state) reject_surplus(checkpoint, optimiser, state.size() * model.parameter_views().size());
}

}  // namespace divs::train
