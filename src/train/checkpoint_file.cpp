// Checkpoint files: writing, reading, and finding the newest whole one.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

#include "checkpoint_format.hpp"
#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/hdf5.hpp"
#include "divs/train/checkpoint.hpp"

namespace divs::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kind = "divs checkpoint";
constexpr std::string_view name_start = "step-", name_end = ".h5";

std::map<std::string, std::string> versions_here() {
    return {{"divs", build_info().version}, {"hdf5", io::hdf5_version()}};
}

void write_info(io::Hdf5Writer& out, const CheckpointInfo& info) {
    out.attribute("", "kind", kind);
    out.attribute("", "format", checkpoint_format);
    out.attribute("", "model", info.model_json);
    out.attribute("", "classes", info.classes);
    out.attribute("", "clip_stride", std::int64_t{info.clip_stride});
    out.attribute("", "step", info.step);
    out.attribute("", "epoch", static_cast<std::int64_t>(info.epoch));
    out.attribute("", "batch", static_cast<std::int64_t>(info.batch));
    out.attribute("", "trainer", info.trainer_json);
    out.attribute("", "config", info.config);
    out.attribute("", "revision", info.revision.empty() ? build_info().revision : info.revision);
    auto versions = versions_here();
    versions.insert(info.versions.begin(), info.versions.end());
    out.attribute("", "versions", nlohmann::json(versions).dump());
    out.attribute("", "data_fingerprint", fmt::format("{:016x}", info.data_fingerprint));
    if (info.metric) out.attribute("", "metric", *info.metric);
    out.attribute("", "metric_name", info.metric_name);
    out.attribute("", "created",
                  info.created.empty() ? fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))
                                       : info.created);
    out.write("ledger", std::span<const std::byte>(info.ledger));
}

std::uint64_t not_negative(const io::Hdf5Reader& in, std::string_view name) {
    const std::int64_t value = in.integer("", name);
    if (value < 0) throw_error<InputError>("{}: {} is {}", in.file().string(), name, value);
    return static_cast<std::uint64_t>(value);
}

std::uint64_t hexadecimal(const io::Hdf5Reader& in, std::string_view name) {
    const std::string text = in.text("", name);
    std::uint64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value, 16).ptr != text.data() + text.size())
        throw_error<InputError>("{}: {} is \"{}\", expected a hexadecimal number", in.file().string(), name,
                                text);
    return value;
}

std::map<std::string, std::string> versions_of(const io::Hdf5Reader& in) {
    std::map<std::string, std::string> out;
    const auto json = nlohmann::json::parse(in.text("", "versions"), nullptr, false);
    for (const auto& [name, version] : json.items())
        if (version.is_string()) out.emplace(name, version.get<std::string>());
    return out;
}

CheckpointInfo read_info(const io::Hdf5Reader& in) {
    CheckpointInfo info;
    info.model_json = in.text("", "model");
    info.classes = in.texts("", "classes");
    info.clip_stride = static_cast<int>(in.integer("", "clip_stride"));
    info.step = static_cast<std::int64_t>(not_negative(in, "step"));
    info.epoch = not_negative(in, "epoch");
    info.batch = not_negative(in, "batch");
    info.trainer_json = in.text("", "trainer");
    info.config = in.text("", "config");
    info.revision = in.text("", "revision");
    info.versions = versions_of(in);
    info.data_fingerprint = hexadecimal(in, "data_fingerprint");
    if (in.has_attribute("", "metric")) info.metric = in.number("", "metric");
    info.metric_name = in.text("", "metric_name");
    info.created = in.text("", "created");
    const auto ledger = in.bytes("ledger");
    const auto bytes = std::as_bytes(std::span(ledger));
    info.ledger.assign(bytes.begin(), bytes.end());
    return info;
}

void read_group(const io::Hdf5Reader& in, const std::string& path, std::vector<Array>& arrays) {
    for (const auto& name : in.names(path)) {
        const std::string inner = path + "/" + name;
        if (in.is_group(inner))
            read_group(in, inner, arrays);
        else
            arrays.push_back({inner, in.dims(inner), in.floats(inner)});
    }
}

std::int64_t step_in_name(const std::string& name) {  // -1: not a checkpoint's name
    if (!name.starts_with(name_start) || !name.ends_with(name_end)) return -1;
    const char* begin = name.data() + name_start.size();
    const char* end = name.data() + name.size() - name_end.size();
    std::int64_t step = -1;
    const auto [stop, code] = std::from_chars(begin, end, step);
    return code == std::errc() && stop == end && step >= 0 ? step : -1;
}

}  // namespace

io::Hdf5Reader open_checkpoint(const fs::path& file) {
    io::Hdf5Reader in(file);
    if (!in.sealed())
        throw_error<InputError>("{}: has no seal, expected a checkpoint of divs (or it is damaged)",
                                file.string());
    if (!in.has_attribute("", "kind") || in.text("", "kind") != kind)
        throw_error<InputError>("{}: is not a checkpoint of divs", file.string());
    const std::int64_t format = in.integer("", "format");
    if (format > checkpoint_format)
        throw NewerFormat(
            fmt::format("{}: checkpoint format {}, newer than {}, the newest that this version of divs reads",
                        file.string(), format, checkpoint_format));
    return in;
}

Checkpoint read_checkpoint(const fs::path& file) {
    const io::Hdf5Reader in = open_checkpoint(file);
    Checkpoint out;
    out.file = file;
    out.info = read_info(in);
    for (const std::string group : {"parameters", "buffers", "optimiser"})
        if (in.has(group)) read_group(in, group, out.arrays);
    return out;
}

void write_checkpoint(const fs::path& file, CheckpointInfo info, std::span<const ArrayView> arrays) {
    io::Hdf5Writer out;
    write_info(out, info);
    for (const auto& array : arrays) out.write(array.name, array.values, array.dims);
    out.save(file);
}

std::string checkpoint_name(std::int64_t step) {
    return fmt::format("{}{:08}{}", name_start, step, name_end);
}

std::vector<std::pair<std::int64_t, fs::path>> list_checkpoints(const fs::path& folder) {
    std::vector<std::pair<std::int64_t, fs::path>> out;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const std::int64_t step = step_in_name(entry.path().filename().string());
        if (step >= 0) out.emplace_back(step, entry.path());
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    return out;
}

std::optional<Checkpoint> load_newest(const fs::path& folder, std::vector<std::string>* rejected) {
    std::vector<fs::path> candidates;
    for (const auto& [step, file] : list_checkpoints(folder)) candidates.push_back(file);
    std::error_code ignored;
    if (fs::exists(folder / best_name, ignored)) candidates.push_back(folder / best_name);
    std::string first_reason;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        try {
            return read_checkpoint(candidates[i]);
        } catch (const NewerFormat&) {
            throw;
        } catch (const InputError& e) {
            log::warn("unreadable checkpoint, trying the one before: {}", e.what());
            if (rejected) rejected->emplace_back(e.what());
            if (first_reason.empty()) first_reason = e.what();
        }
    }
    if (!candidates.empty())
        throw_error<InputError>(
            "{}: none of its {} checkpoints can be read; move them away to start afresh. The newest: {}",
            folder.string(), candidates.size(), first_reason);
    return std::nullopt;
}

std::optional<Checkpoint> load_best(const fs::path& folder) {
    std::error_code ignored;
    if (fs::exists(folder / best_name, ignored)) {
        try {
            return read_checkpoint(folder / best_name);
        } catch (const NewerFormat&) {
            throw;
        } catch (const InputError& e) {
            log::warn("unreadable checkpoint, taking the newest instead: {}", e.what());
        }
    }
    return load_newest(folder);
}

}  // namespace divs::train
