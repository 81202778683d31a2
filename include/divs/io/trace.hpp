// Spans of time on all threads of all ranks, written as a Chrome trace (chrome://tracing,
// https://ui.perfetto.dev).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/core/clock.hpp"

namespace divs::io {

// Times are now_seconds() of this rank's clock.
struct TraceEvent {
    std::string name, category, thread;  // "forward", "compute", "main"
    double begin = 0, end = 0;
};

// Collects the spans of one rank; safe from any thread. Memory is bounded: after `capacity` events further
// ones are counted only.
class Trace {
  public:
    explicit Trace(int rank, std::size_t capacity = 200'000);
    ~Trace();

    void record(std::string_view name, std::string_view category, std::string_view thread, double begin,
                double end);
    // A value over time, drawn as a graph: "queue bytes".
    void counter(std::string_view name, double at, double value);

    int rank() const noexcept;
    std::size_t size() const;
    std::size_t dropped() const;
    std::vector<std::byte> pack() const;  // for rank 0

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Records from construction to destruction; does nothing where there is no trace.
class TraceSpan {
  public:
    TraceSpan(Trace* trace, std::string_view name, std::string_view category, std::string_view thread)
        : trace_(trace),
          name_(name),
          category_(category),
          thread_(thread),
          begin_(trace ? now_seconds() : 0) {}
    ~TraceSpan() {
        if (trace_) trace_->record(name_, category_, thread_, begin_, now_seconds());
    }
    TraceSpan(const TraceSpan&) = delete;

  private:
    Trace* trace_;
    std::string_view name_, category_, thread_;  // of literals
    double begin_;
};

// From a rank's clock to rank 0's: what was to be added at `at`, and how that changed per second since.
struct ClockLine {
    double at = 0, offset = 0, drift = 0;
    double on_root(double time) const noexcept { return time + offset + drift * (time - at); }
};
// Through two measurements, (rank's time, offset) each; at most a thousandth is believed to be drift.
ClockLine clock_line(double first_at, double first_offset, double last_at, double last_offset);

// Merges what ranks packed. clocks[i] brings the times of packed[i] on rank 0's clock (empty: all share one
// clock); time 0 of the trace is the earliest event. Throws StorageError, InputError.
void write_trace(const std::filesystem::path& file, std::span<const std::vector<std::byte>> packed,
                 std::span<const ClockLine> clocks = {});

}  // namespace divs::io
