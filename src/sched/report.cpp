// The messages of the scheduler as bytes, and a decision as a line of the log.
#include <cmath>
#include <nlohmann/json.hpp>

#include "bytes.hpp"
#include "divs/sched/decision.hpp"
#include "divs/sched/throughput.hpp"

namespace divs::sched {
namespace {

// The first word of each message: what it is and its version.
constexpr std::uint32_t report_kind = 0xD1750101, decision_kind = 0xD1750201, assignment_kind = 0xD1750301;

}  // namespace

std::vector<std::byte> RankReport::pack() const {
    ByteWriter out(report_kind);
    out.put(rank);
    out.put(step);
    for (double v : {seconds_per_sample_decode, seconds_per_sample_compute, overhead, relative_error, overlap,
                     round_seconds, waited_share, work_left})
        out.put(v);
    out.put(rounds_measured);
    out.put(samples_left);
    out.put(offered);
    return out.take();
}

RankReport RankReport::unpack(std::span<const std::byte> bytes) {
    ByteReader in(bytes, report_kind, "report of a rank");
    RankReport r;
    r.rank = in.get<int>();
    r.step = in.get<std::uint64_t>();
    for (double* v : {&r.seconds_per_sample_decode, &r.seconds_per_sample_compute, &r.overhead,
                      &r.relative_error, &r.overlap, &r.round_seconds, &r.waited_share, &r.work_left}) {
        *v = in.get<double>();
        if (std::isnan(*v) || *v < 0)
            throw_error<CommunicationError>(
                "scheduler: the report of rank {} holds {}, expected a number >= 0", r.rank, *v);
    }
    r.rounds_measured = in.get<std::uint64_t>();
    r.samples_left = in.get<std::uint64_t>();
    r.offered = in.get_all<std::uint32_t>();
    in.finish();
    return r;
}

Throughput RankReport::throughput() const noexcept {
    return {seconds_per_sample_decode,
            seconds_per_sample_compute,
            overhead,
            relative_error,
            overlap,
            static_cast<std::size_t>(rounds_measured)};
}

std::vector<std::byte> Assignment::pack() const {
    ByteWriter out(assignment_kind);
    out.put(epoch);
    out.put<std::uint64_t>(leases.size());
    for (const auto& shards : leases) out.put(shards);
    return out.take();
}

Assignment Assignment::unpack(std::span<const std::byte> bytes) {
    ByteReader in(bytes, assignment_kind, "assignment of shards");
    Assignment result;
    result.epoch = in.get<std::uint64_t>();
    const auto ranks = in.get<std::uint64_t>();
    for (std::uint64_t r = 0; r < ranks; ++r) result.leases.push_back(in.get_all<std::uint32_t>());
    in.finish();
    return result;
}

std::vector<std::byte> Decision::pack() const {
    ByteWriter out(decision_kind);
    for (std::uint64_t v : {number, report_step, effective_step, moved_bytes, last_moved}) out.put(v);
    out.put(moves);
    out.put(share_weights);
    out.put(batch_shares);
    out.put(verdict);
    out.put(reason);
    for (double v : {round_now, round_planned, round_best, expected_gain, relative_error, move_cost,
                     efficiency, imbalance, waited_share, last_expected_gain, last_measured_gain})
        out.put(v);
    return out.take();
}

Decision Decision::unpack(std::span<const std::byte> bytes) {
    ByteReader in(bytes, decision_kind, "decision");
    Decision d;
    for (std::uint64_t* v : {&d.number, &d.report_step, &d.effective_step, &d.moved_bytes, &d.last_moved})
        *v = in.get<std::uint64_t>();
    d.moves = in.get_all<Move>();
    d.share_weights = in.get_all<double>();
    d.batch_shares = in.get_all<int>();
    d.verdict = in.get<Verdict>();
    d.reason = in.get_text();
    for (double* v :
         {&d.round_now, &d.round_planned, &d.round_best, &d.expected_gain, &d.relative_error, &d.move_cost,
          &d.efficiency, &d.imbalance, &d.waited_share, &d.last_expected_gain, &d.last_measured_gain})
        *v = in.get<double>();
    in.finish();
    return d;
}

std::string Decision::json_line() const {
    nlohmann::ordered_json moved = nlohmann::ordered_json::array();
    for (const Move& m : moves) moved.push_back({m.shard, m.from, m.to});  // [shard, from, to]
    nlohmann::ordered_json line{{"decision", number},
                                {"report_step", report_step},
                                {"effective_step", effective_step},
                                {"verdict", verdict_name(verdict)},
                                {"reason", reason},
                                {"round_now_s", round_now},
                                {"round_planned_s", round_planned},
                                {"round_best_s", round_best},
                                {"expected_gain_s", expected_gain},
                                {"relative_error", relative_error},
                                {"move_cost_s", move_cost},
                                {"efficiency", efficiency},
                                {"imbalance", imbalance},
                                {"waited_share", waited_share},
                                {"batch_shares", batch_shares},
                                {"moved_bytes", moved_bytes},
                                {"moves", std::move(moved)}};
    if (last_moved) {
        line["last_moved"] = last_moved;
        line["last_expected_gain_s"] = last_expected_gain;
        line["last_measured_gain_s"] = last_measured_gain;
    }
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace divs::sched
