#include <algorithm>
#include <limits>
#include <map>

#include "convolution_algorithms.hpp"
#include "convolution_cache.hpp"
#include "convolution_trial.hpp"
#include "device.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"

namespace divs::nn::cuda {
namespace {

std::string machine_of(const Device& device, const ConvOptions& options) {
    return fmt::format(
        "{}, compute capability {}, {} multiprocessors; cuDNN {}; divs kernels {}; of {}{}, {} MiB",
        device.properties().name, device.capability(), device.multiprocessors(), cudnn_version(),
        divs_kernels_version,
        options.choice == ConvChoice::automatic ? "all"
        : options.choice == ConvChoice::cudnn   ? "cudnn"
                                                : "divs",
        options.deterministic ? ", deterministic" : "", options.workspace_limit >> 20);
}

}  // namespace

class Tuner::Implementation {
  public:
    Implementation(const Device& device, ConvOptions options)
        : device_(device),
          options_(std::move(options)),
          cache_(options_.cache, machine_of(device, options_)) {
        if (options_.choice != ConvChoice::divs && !options_.cudnn) options_.cudnn = make_cudnn_handle();
    }

    std::shared_ptr<const ConvAlgorithm> choose(const ConvProblem& problem, Direction direction) {
        const std::string key = key_of(problem, direction);
        auto& chosen = chosen_[key];
        if (!chosen) chosen = choose_anew(problem, direction, key);
        return chosen;
    }

  private:
    using Candidates = std::vector<std::unique_ptr<ConvAlgorithm>>;

    std::shared_ptr<const ConvAlgorithm> choose_anew(const ConvProblem& problem, Direction direction,
                                                     const std::string& key) {
        Candidates candidates = conv_candidates(device_, problem, direction, options_);
        const auto known = cache_.find(key);
        if (known)
            for (auto& candidate : candidates)
                if (candidate->name() == *known) return std::move(candidate);
        auto best = fastest(std::move(candidates), problem, direction, key);
        cache_.add(key, best->name());
        return best;
    }

    // A deterministic run must not depend on the clock: it takes the first that is right.
    std::shared_ptr<const ConvAlgorithm> fastest(Candidates candidates, const ConvProblem& problem,
                                                 Direction direction, const std::string& key) {
        ConvTrial trial(device_, problem, direction);
        std::shared_ptr<const ConvAlgorithm> best;
        double best_seconds = std::numeric_limits<double>::infinity();
        for (auto& candidate : candidates) {
            if (!is_right(trial, *candidate, key)) continue;
            const bool only = options_.deterministic || candidates.size() == 1;
            const double seconds = only ? 0 : trial.seconds(*candidate);
            log::debug("convolution {}: {} {:.4f} ms", key, candidate->name(), 1e3 * seconds);
            if (seconds >= best_seconds) continue;
            best_seconds = seconds;
            best = std::move(candidate);
            if (options_.deterministic) break;
        }
        if (!best) throw_error<Error>("no algorithm computes the convolution {} here", key);
        log::debug("convolution {}: {} is chosen", key, best->name());
        return best;
    }

    static bool is_right(ConvTrial& trial, const ConvAlgorithm& candidate, const std::string& key) {
        double error = 0;
        try {
            error = trial.error(candidate);
            if (error <= trial.tolerance() && !trial.keeps_not_finite(candidate)) {
                log::debug("convolution {}: {} is left out: its activation hides what is no number", key,
                           candidate.name());
                return false;
            }
        } catch (const DeviceLost&) {
            throw;
        } catch (const std::exception& refusal) {
            log::warn("convolution {}: {} is left out: {}", key, candidate.name(), refusal.what());
            return false;
        }
        if (error <= trial.tolerance()) return true;
        log::warn(
            "convolution {}: {} is left out: it is {:.2g} away from the definition, expected at most {:.2g}",
            key, candidate.name(), error, trial.tolerance());
        return false;
    }

    const Device& device_;
    ConvOptions options_;
    ConvCache cache_;
    std::map<std::string, std::shared_ptr<const ConvAlgorithm>> chosen_;
};

Tuner::Tuner(const Device& device, ConvOptions options)
    : implementation_(std::make_unique<Implementation>(device, std::move(options))) {}
Tuner::~Tuner() = default;

std::shared_ptr<const ConvAlgorithm> Tuner::choose(const ConvProblem& problem, Direction direction) {
    return implementation_->choose(problem, direction);
}

}  // namespace divs::nn::cuda
