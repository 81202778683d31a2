// Keeps what runs of `divs bench scale` measured, so that a benchmark that was cut off goes on behind them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "scale_run.hpp"

namespace divs::bench {

class ScaleKeeper {
  public:
    // `settings`: all that runs share; what was measured under others does not count.
    ScaleKeeper(std::filesystem::path folder, nlohmann::json settings);

    // Measured now, or before.
    ScaleFigures measured(const ScaleLauncher& launcher, const ScaleRun& run, int round) const;

  private:
    std::filesystem::path folder_;
    nlohmann::json settings_;
};

}  // namespace divs::bench
