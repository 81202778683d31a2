// Chooses a backend by name; opens plugins.
#include "divs/nn/backend.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "cpu/operation.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/named.hpp"
#include "divs/nn/plugin.hpp"
#include "reference/loops.hpp"

namespace divs::nn {

std::span<double> Backend::queue_sums(bool, std::span<const double>) {
    throw_error<Error>("backend {}: its sums lie in the host's memory", name());
}
Backend::Summed Backend::summed() {
    throw_error<Error>("backend {}: its sums lie in the host's memory", name());
}

namespace {

namespace fs = std::filesystem;

// Where plugins lie: the folder that DIVS_PLUGINS names, beside the program, and the library folder of its
// prefix.
std::vector<fs::path> plugin_folders() {
    std::vector<fs::path> folders;
    if (const char* named = std::getenv("DIVS_PLUGINS"); named && *named) folders.emplace_back(named);
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (!error) {
        folders.push_back(program.parent_path());
        folders.push_back(program.parent_path().parent_path() / "lib");
        folders.push_back(program.parent_path().parent_path() / "lib" / "divs");
    }
    return folders;
}

bool is_plain_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

// Empty where there is none.
fs::path find_plugin(std::string_view name) {
    if (is_plain_name(name))
        for (const fs::path& folder : plugin_folders()) {
            const fs::path file = folder / fmt::format("libdivs_{}.so", name);
            if (std::error_code error; fs::exists(file, error)) return file;
        }
    return {};
}

fs::path require_plugin(std::string_view name) {
    if (const fs::path file = find_plugin(name); !file.empty()) return file;
    std::string searched;
    if (is_plain_name(name))
        for (const fs::path& folder : plugin_folders())
            searched += fmt::format("{}{}", searched.empty() ? "" : ", ", folder.string());
    throw_error<ConfigError>(
        "backend \"{}\": expected auto, cpu, reference or a plugin libdivs_<name>.so{}{}", name,
        searched.empty() ? "" : "; looked for it in ", searched);
}

struct CloseLibrary {
    void operator()(void* library) const noexcept { dlclose(library); }
};

std::unique_ptr<Backend> open_plugin(const fs::path& file, const BackendOptions& options) {
    // Stays loaded to the end of the program (NODELETE): the backend's code lives in it.
    const std::unique_ptr<void, CloseLibrary> library(
        dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
    if (!library) throw_error<Error>("{}: cannot be opened: {}", file.string(), dlerror());
    const auto factory = reinterpret_cast<BackendFactory>(dlsym(library.get(), backend_factory_symbol));
    if (!factory)
        throw_error<Error>("{}: is no backend for this program: expected the function {}", file.string(),
                           backend_factory_symbol);
    const BackendRequest request{backend_interface, options};
    std::array<char, 1024> reason{};
    std::unique_ptr<Backend> backend(factory(&request, reason.data(), reason.size()));
    reason.back() = 0;
    if (!backend)
        throw_error<Error>("{}: cannot be used here: {}", file.string(),
                           reason[0] ? reason.data() : "no reason given");
    return backend;
}

// One line a host is enough: its ranks have one driver and one set of libraries.
std::unique_ptr<Backend> make_best(const BackendOptions& options) {
    if (const fs::path file = find_plugin("cuda"); !file.empty()) try {
            return open_plugin(file, options);
        } catch (const Error& e) {
            if (options.device == 0) log::warn("{}; the CPU is used", e.what());
        }
    return cpu::make_backend(options);
}

}  // namespace

Precision precision_of(std::string_view name) {
    return named<Precision>(name, precision_names, "precision");
}
ConvChoice conv_choice_of(std::string_view name) {
    return named<ConvChoice>(name, conv_choice_names, "convolutions");
}

void require_trainable(const Conv2d& op, const PlanOptions& options) {
    if (options.training && (op.residual || op.activation != Activation::none))
        throw Error("a convolution that is folded for prediction cannot be trained");
}

void Backend::read(std::span<const float> from, float* to) {
    std::copy(from.begin(), from.end(), to);
}
void Backend::write(const float* from, std::span<float> to) {
    std::copy_n(from, to.size(), to.begin());
}
void Backend::clear(std::span<float> values) {
    std::fill(values.begin(), values.end(), 0.0F);
}

void Backend::upload_clips(std::span<Pixels* const> clips, const float mean[3], const float deviation[3],
                           Tensor& tensor) {
    std::vector<std::uint8_t> pixels;
    pixels.reserve(tensor.shape().size());
    for (Pixels* clip : clips) {
        const auto bytes = clip->host();
        pixels.insert(pixels.end(), bytes.begin(), bytes.end());
    }
    upload_pixels(pixels.data(), mean, deviation, tensor);
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
    if (name == "auto") return make_best(options);
    if (name == "cpu") return cpu::make_backend(options);
    if (name == "reference") return reference::make_backend();
    return open_plugin(require_plugin(name), options);
}

}  // namespace divs::nn
