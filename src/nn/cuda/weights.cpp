#include "weights.hpp"

#include <algorithm>

#include "step_data.hpp"

namespace divs::nn::cuda {
namespace {

constexpr std::size_t line = 16;  // elements of the arena that share their settings

bool same(const UpdateRange& a, const UpdateRange& b) {
    return a.begin == b.begin && a.end == b.end && a.decays == b.decays && a.frozen == b.frozen;
}

template <class T>
DeviceBytes on_device(const Device& device, const std::vector<T>& values, std::string_view purpose) {
    const std::size_t bytes = values.size() * sizeof(T);
    DeviceBytes memory = allocate_device(device, std::max<std::size_t>(bytes, 16), purpose);
    DIVS_CUDA_CALL(cudaMemcpyAsync, memory.get(), values.data(), bytes, cudaMemcpyHostToDevice,
                   device.stream());
    device.synchronise();  // `values` may go
    return memory;
}

}  // namespace

WeightForm filter_form(int out, int in, int taps, int pitch) {
    WeightForm form;
    form.out = form.group_out = out;
    form.in = in;
    form.taps = taps;
    form.out_stride = taps * pitch;
    form.in_stride = 1;
    form.tap_stride = pitch;
    form.size = static_cast<std::size_t>(out) * static_cast<std::size_t>(form.out_stride);
    return form;
}

WeightForm channel_form(int out, int in, int taps, int groups, int pitch) {
    WeightForm form;
    form.out = out;
    form.in = in;
    form.taps = taps;
    form.group_out = out / groups;
    form.group_stride = in * taps * pitch;
    form.out_stride = 1;
    form.in_stride = taps * pitch;
    form.tap_stride = pitch;
    form.size = static_cast<std::size_t>(groups) * static_cast<std::size_t>(form.group_stride);
    return form;
}

Weights::Weights(const Device& device, DType type) : device_(device), type_(type) {}

const void* Weights::copy(std::span<const float> master, const WeightForm& form) {
    Entry& entry = entries_[master.data()];
    entry.size = master.size();
    if (entry.stale && !is_recording(device_)) {
        for (const Copy& copy : entry.copies) convert(master.data(), copy);
        entry.stale = false;
    }
    for (const Copy& copy : entry.copies)
        if (copy.form == form) return copy.memory.get();
    if (entry.copies.size() == 2) throw Error("a weight has more than two forms");
    const std::size_t bytes = form.size * size_of(type_);
    entry.copies.push_back({form, allocate_device(device_, bytes, "copies of the weights")});
    DIVS_CUDA_CALL(cudaMemsetAsync, entry.copies.back().memory.get(), 0, bytes, device_.stream());
    convert(master.data(), entry.copies.back());
    ++copies_;
    return entry.copies.back().memory.get();
}

void Weights::convert(const float* master, const Copy& copy) {
    if (type_ == DType::f32)
        kernels::copy_weight<float>(master, {static_cast<float*>(copy.memory.get()), copy.form},
                                    device_.stream());
    else
        kernels::copy_weight<kernels::bf16>(
            master, {static_cast<kernels::bf16*>(copy.memory.get()), copy.form}, device_.stream());
    DIVS_CUDA_LAUNCHED("copy_weight");
}

void Weights::touched(std::span<const float> arena) {
    auto entry = entries_.lower_bound(arena.data());
    // The one before may reach into it.
    if (entry != entries_.begin() && std::prev(entry)->first + std::prev(entry)->second.size > arena.data())
        --entry;
    for (; entry != entries_.end() && entry->first < arena.data() + arena.size(); ++entry)
        entry->second.stale = any_stale_ = true;
}

void Weights::refresh() {
    if (!any_stale_) return;
    for (auto& [master, entry] : entries_) {
        if (!entry.stale) continue;
        for (const Copy& copy : entry.copies) convert(master, copy);
        entry.stale = false;
    }
    any_stale_ = false;
}

template <class T>
void Weights::make_tables(std::span<float> parameters, std::span<const UpdateRange> ranges) {
    std::vector<kernels::ArenaLine> lines(parameters.size() / line);
    for (const UpdateRange& range : ranges)
        for (std::size_t i = range.begin / line; i < range.end / line; ++i) {
            lines[i].decays = range.decays;
            lines[i].frozen = range.frozen;
        }
    std::vector<kernels::ArenaCopies<T>> owners;
    const float* end = parameters.data() + parameters.size();
    for (auto entry = entries_.lower_bound(parameters.data()); entry != entries_.end() && entry->first < end;
         ++entry) {
        kernels::ArenaCopies<T> owner;
        owner.begin = static_cast<std::size_t>(entry->first - parameters.data());
        owner.size = entry->second.size;
        for (std::size_t i = 0; i < entry->second.copies.size(); ++i)
            owner.copies[i] = {static_cast<T*>(entry->second.copies[i].memory.get()),
                               entry->second.copies[i].form};
        for (std::size_t i = owner.begin / line; i < (owner.begin + owner.size + line - 1) / line; ++i)
            lines[i].owner = static_cast<std::uint16_t>(owners.size());
        owners.push_back(owner);
    }
    if (owners.size() >= 0xFFFF) throw Error("a model has more than 65534 weights");
    tables_.lines = on_device(device_, lines, "tables of the arena");
    tables_.owners = on_device(device_, owners, "tables of the arena");
    tables_.arena = parameters.data();
    tables_.ranges.assign(ranges.begin(), ranges.end());
    tables_.copies = copies_;
}

template <class T>
kernels::Arena<T> Weights::arena(std::span<float> parameters, std::span<const float> gradients,
                                 std::span<const UpdateRange> ranges) {
    if (tables_.arena != parameters.data() || tables_.copies != copies_ ||
        !std::equal(ranges.begin(), ranges.end(), tables_.ranges.begin(), tables_.ranges.end(), same))
        make_tables<T>(parameters, ranges);
    return {parameters.data(), gradients.data(), parameters.size(),
            static_cast<const kernels::ArenaLine*>(tables_.lines.get()),
            static_cast<const kernels::ArenaCopies<T>*>(tables_.owners.get())};
}

template kernels::Arena<float> Weights::arena(std::span<float>, std::span<const float>,
                                              std::span<const UpdateRange>);
template kernels::Arena<kernels::bf16> Weights::arena(std::span<float>, std::span<const float>,
                                                      std::span<const UpdateRange>);

}  // namespace divs::nn::cuda
