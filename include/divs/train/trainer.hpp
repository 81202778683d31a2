// Training of one model by all ranks, from the newest checkpoint or from the start, to the last epoch or a
// stop signal.
#pragma once

#include <memory>
#include <optional>

#include "divs/comm/world.hpp"
#include "divs/train/metrics.hpp"
#include "divs/train/settings.hpp"

namespace divs::train {

struct TrainResult {
    bool finished = false;        // false: stopped by a signal, to be gone on with
    std::optional<Metrics> last;  // of the last evaluation, on rank 0
};

// Collective. Throws what the ranks fail with; DivergedError on all ranks where a loss is not finite.
TrainResult train(comm::World& world, const Settings& settings);

}  // namespace divs::train
