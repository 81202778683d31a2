#include "scale_keep.hpp"

#include <fmt/format.h>

#include <fstream>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::bench {

ScaleKeeper::ScaleKeeper(std::filesystem::path folder, nlohmann::json settings)
    : folder_(std::move(folder)), settings_(std::move(settings)) {
    std::filesystem::create_directories(folder_);
}

ScaleFigures ScaleKeeper::measured(const ScaleLauncher& launcher, const ScaleRun& run, int round) const {
    const auto file = folder_ / fmt::format("{}-round{}.json", run.name(), round + 1);
    nlohmann::json key = settings_;
    key["batch"] = run.batch;
    key["epochs"] = {run.warm_up, run.epochs};
    std::ifstream in(file);
    const nlohmann::json kept = nlohmann::json::parse(in, nullptr, false);
    if (kept.is_object() && kept.value("key", nlohmann::json()) == key) {
        log::info("{}, round {}: measured before", run.name(), round + 1);
        return figures_from(kept.at("figures"));
    }
    const ScaleFigures figures = launcher.execute(run);
    log::info("{}, round {}: {:.1f} samples/s", run.name(), round + 1, figures.samples_per_second);
    const auto temporary = file.string() + ".tmp";
    std::ofstream out(temporary);
    out << nlohmann::json{{"key", key}, {"figures", to_json(figures)}}.dump(1) << '\n';
    if (!out.flush()) throw_error<StorageError>("{}: cannot be written", temporary);
    std::filesystem::rename(temporary, file);
    return figures;
}

}  // namespace divs::bench
