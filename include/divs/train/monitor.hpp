// What a person sees of a run: the progress line, metrics.jsonl, and the closing summary. Lives on rank 0.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "divs/core/clock.hpp"
#include "divs/io/jsonl.hpp"
#include "divs/train/metrics.hpp"

namespace divs::train {

struct StepReport {
    std::int64_t step = 0, total_steps = 0;  // of the run
    std::uint64_t epoch = 0;
    int epochs = 0;
    double loss = 0, accuracy = 0, learning_rate = 0, gradient_norm = 0;
    double samples = 0;                                                 // of this step, all ranks
    double seconds = 0;                                                 // of this step
    double wait_data = 0, compute = 0, exposed = 0, communication = 0;  // seconds of this rank
    double imbalance = 0;
};

class Monitor {
  public:
    Monitor(const std::filesystem::path& folder, bool resumed);
    ~Monitor();

    void step(const StepReport& report);
    void line(const nlohmann::json& object);  // one line of metrics.jsonl
    void say(const std::string& text);        // a line of its own, the progress line stays whole
    void evaluated(std::uint64_t epoch, std::string_view split, const Metrics& metrics, double seconds);

  private:
    void clear();

    io::JsonLines lines_;
    const bool terminal_;
    bool open_line_ = false;
    Stopwatch since_shown_;
    double samples_ = 0, seconds_ = 0;  // since the last line shown
};

}  // namespace divs::train
