// What rank 0 decides and every rank applies, as bytes for the wire and as a line for the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "divs/sched/migration.hpp"

namespace divs::sched {

// Who holds which shards at the start of an epoch: of each rank, shard ids in the order of use.
struct Assignment {
    std::uint64_t epoch = 0;
    std::vector<std::vector<std::uint32_t>> leases;

    std::vector<std::byte> pack() const;
    static Assignment unpack(
        std::span<const std::byte> bytes);  // throws CommunicationError on anything malformed
};

// All times in seconds of one round (training step) at the slowest rank, by the model of the measured speeds.
struct Decision {
    std::uint64_t number = 0;          // 1, 2, ... over the whole run
    std::uint64_t report_step = 0;     // the step after which the reports were taken
    std::uint64_t effective_step = 0;  // applied before this step, on every rank
    std::vector<Move> moves;
    std::vector<double> share_weights;  // of each rank; the batch shares of any batch size follow from them
    std::vector<int> batch_shares;      // the same for the configured global batch

    Verdict verdict = Verdict::balanced;
    std::string reason;         // in words, with the figures that decided
    double round_now = 0;       // as things stand
    double round_planned = 0;   // after the moves (or what they would have given, where held back)
    double round_best = 0;      // T*, the bound
    double expected_gain = 0;   // round_now - round_planned
    double relative_error = 0;  // of the speeds
    double move_cost = 0;       // seconds, once
    std::uint64_t moved_bytes = 0;
    double efficiency = 1, imbalance = 0, waited_share = 0;  // as things stand; waited: mean over ranks
    // The last decision that moved anything: what it promised and what came of it, where both are known.
    std::uint64_t last_moved = 0;  // its number, 0: none, or already judged
    double last_expected_gain = 0, last_measured_gain = 0;

    std::vector<std::byte> pack() const;
    static Decision unpack(
        std::span<const std::byte> bytes);  // throws CommunicationError on anything malformed
    std::string json_line() const;          // one JSON object, no line break
};

}  // namespace divs::sched
