// Weight files: HDF5 that others read too.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/io/hdf5.hpp"
#include "divs/train/weights.hpp"

namespace divs::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kind = "divs weights";
constexpr std::string_view group = "weights/";
constexpr std::string_view running_mean = "running_mean", tracked = "num_batches_tracked";

std::vector<double> as_doubles(const std::array<float, 3>& values) {
    return {values.begin(), values.end()};
}

void write_description(io::Hdf5Writer& out, const Weights& weights) {
    const nn::ModelSpec spec = nn::from_json(weights.model_json);
    out.attribute("", "kind", kind);
    out.attribute("", "format", weights_format);
    out.attribute("", "model", weights.model_json);
    out.attribute("", "architecture", spec.architecture);
    out.attribute("", "classes", weights.classes);
    out.attribute("", "height", std::int64_t{spec.height});
    out.attribute("", "width", std::int64_t{spec.width});
    out.attribute("", "mean", as_doubles(spec.mean));
    out.attribute("", "deviation", as_doubles(spec.deviation));
    out.attribute("", "clip_frames", std::int64_t{spec.frames});
    out.attribute("", "clip_stride", std::int64_t{weights.clip_stride});
    out.attribute("", "step", weights.step);
    out.attribute("", "divs_version", build_info().version);
    out.attribute("", "revision", weights.revision);
    out.attribute("", "config", weights.config);
}

void write_probe(io::Hdf5Writer& out, const Probe& probe) {
    out.write("probe/input", std::span<const std::uint8_t>(probe.input),
              {probe.clips * probe.frames, probe.height, probe.width, 3});
    out.write("probe/logits", std::span<const float>(probe.logits), {probe.clips, probe.classes});
}

void check_finite(const fs::path& file, const Array& array) {
    const auto bad =
        std::find_if_not(array.values.begin(), array.values.end(), [](float v) { return std::isfinite(v); });
    if (bad != array.values.end())
        throw_error<InputError>("{}: \"{}\" holds {} at element {}", file.string(), array.name, *bad,
                                bad - array.values.begin());
}

std::string kind_of(const io::Hdf5Reader& in) {
    return in.has_attribute("", "kind") ? in.text("", "kind") : "";
}

void check_model(const Weights& weights) {
    try {
        const nn::ModelSpec spec = nn::from_json(weights.model_json);
        if (!weights.classes.empty() && static_cast<std::size_t>(spec.classes) != weights.classes.size())
            throw_error<InputError>("{} class names for a model of {} classes", weights.classes.size(),
                                    spec.classes);
    } catch (const Error& e) {
        throw_error<InputError>("{}: its model description is wrong: {}", weights.file.string(), e.what());
    }
}

Weights read_weights(const io::Hdf5Reader& in) {
    const fs::path& file = in.file();
    if (kind_of(in) != kind) throw_error<InputError>("{}: is not a weight file of divs", file.string());
    if (const auto format = in.integer("", "format"); format > weights_format)
        throw_error<InputError>(
            "{}: weight format {}, newer than {}, the newest that this version of divs reads", file.string(),
            format, weights_format);
    Weights weights;
    weights.file = file;
    weights.model_json = in.text("", "model");
    weights.classes = in.texts("", "classes");
    weights.clip_stride = static_cast<int>(in.integer("", "clip_stride"));
    weights.step = in.integer("", "step");
    weights.revision = in.text("", "revision");
    weights.config = in.text("", "config");
    check_model(weights);
    for (const auto& name : in.names(group)) {
        if (name.ends_with(tracked)) continue;
        const std::string path = std::string(group) + name;
        weights.arrays.push_back({name, in.dims(path), in.floats(path)});
        check_finite(file, weights.arrays.back());
    }
    return weights;
}

}  // namespace

void write_weights(const fs::path& file, const Weights& weights, const Probe* probe) {
    io::Hdf5Writer out;
    write_description(out, weights);
    for (const auto& array : weights.arrays) {
        out.write(std::string(group) + array.name, std::span<const float>(array.values), array.dims);
        if (!array.name.ends_with(running_mean)) continue;
        const std::string stem = array.name.substr(0, array.name.size() - running_mean.size());
        out.write(fmt::format("{}{}{}", group, stem, tracked),
                  std::span<const std::int64_t>(&weights.step, 1), {});
    }
    if (probe) write_probe(out, *probe);
    out.save(file);
}

Weights read_weights(const fs::path& file) {
    return read_weights(io::Hdf5Reader(file));
}

Weights read_any_weights(const fs::path& path, bool newest) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
        const auto checkpoint = newest ? load_newest(path) : load_best(path);
        if (!checkpoint) throw_error<InputError>("{}: holds no checkpoint", path.string());
        return weights_of(*checkpoint);
    }
    {
        const io::Hdf5Reader in(path);
        if (kind_of(in) == kind) return read_weights(in);
    }
    return weights_of(read_checkpoint(path));
}

std::vector<Weights> read_any_weights(const std::vector<fs::path>& paths) {
    std::vector<Weights> all;
    for (const fs::path& path : paths) all.push_back(read_any_weights(path));
    return all;
}

}  // namespace divs::train
