// What a run says at its end: which stage limited it, what travelled where, and the proof of its samples.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "divs/core/build_info.hpp"
#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/units.hpp"
#include "divs/io/report.hpp"
#include "run.hpp"

namespace divs::train {
namespace {

std::string limiting_stage(const Facts& f) {
    const std::array<std::pair<const char*, double>, 4> stages{
        {{"reading video (waiting for clips)", f[wait_data]},
         {"computing", f[compute] + f[optimise]},
         {"communication", f[exposed]},
         {"checkpoints", f[checkpoint]}}};
    return std::max_element(stages.begin(), stages.end(),
                            [](auto& a, auto& b) { return a.second < b.second; })
        ->first;
}

std::string share(double part, double whole) {
    return fmt::format("{:.1f} %", whole > 0 ? 100 * part / whole : 0);
}

// What all ranks sent in a tier, and how long the busiest of them was at it.
std::string tier_text(std::string_view tier, const std::vector<Facts>& ranks, Fact bytes, Fact busy) {
    const double sent = sum_of(ranks)[bytes];
    std::string text = fmt::format("{} {:.1f} MiB", tier, sent / (1 << 20));
    if (sent > 0) text += fmt::format(" (a rank at most {})", seconds_text(most_of(ranks, busy)));
    return text;
}

}  // namespace

std::vector<Facts> Run::gather_facts() {
    const ByteLedger& bytes = world_.bytes();
    Facts mine{};
    mine[trained] = static_cast<double>(rank_trained_);
    mine[skipped] = static_cast<double>(rank_skipped_);
    mine[stepping] = step_seconds_;
    mine[wait_data] = times_.seconds(Stage::wait_data);
    mine[compute] = times_.seconds(Stage::forward);
    mine[optimise] = times_.seconds(Stage::optimise);
    mine[exposed] = times_.seconds(Stage::exposed_comm);
    mine[communicating] = busy_seconds_;
    mine[checkpoint] = times_.seconds(Stage::checkpoint);
    mine[evaluating] = times_.seconds(Stage::evaluate);
    mine[feed_seconds] = feed_total_.seconds;
    mine[feed_clips] = static_cast<double>(feed_total_.clips);
    mine[frames] = static_cast<double>(feed_total_.decode.frames);
    mine[packets] = static_cast<double>(feed_total_.decode.packets);
    mine[damaged] = static_cast<double>(feed_total_.decode.damaged_packets);
    mine[corrupt] = static_cast<double>(feed_total_.decode.corrupt_frames);
    mine[preroll] = static_cast<double>(feed_total_.decode.preroll_frames);
    mine[shard_frames] = static_cast<double>(feed_total_.decode.shard_frames);
    mine[peak_queue] = static_cast<double>(feed_peak_);
    mine[peak_memory] = peak_resident_bytes();
    mine[bytes_edge] = static_cast<double>(bytes.bytes(Tier::edge));
    mine[bytes_cluster] = static_cast<double>(bytes.bytes(Tier::cluster));
    mine[bytes_centre] = static_cast<double>(bytes.bytes(Tier::centre));
    mine[busy_edge] = bytes.busy_seconds(Tier::edge);
    mine[busy_cluster] = bytes.busy_seconds(Tier::cluster);
    mine[busy_centre] = bytes.busy_seconds(Tier::centre);
    std::vector<Facts> ranks;
    for (const auto& packed : world_.gather(std::as_bytes(std::span(mine)), 0, "facts of the ranks")) {
        Facts facts{};
        std::memcpy(facts.data(), packed.data(), std::min(sizeof facts, packed.size()));
        ranks.push_back(facts);
    }
    return ranks;
}

void Run::report_ranks() {
    const std::vector<Facts> ranks = gather_facts();
    if (!monitor_) return;
    monitor_->line({{"kind", "ranks"},
                    {"epoch", ledger_->epoch()},
                    {"seconds", since_start_.seconds()},
                    {"ranks", to_json(ranks)}});
}

std::string Run::end_text() const {
    if (batch_ == 0) return fmt::format("step {} was the last of epoch {}", step_, ledger_->epoch());
    return fmt::format("step {} lies in epoch {}, train.epochs = {} ends before", step_, ledger_->epoch() + 1,
                       settings_.run.epochs);
}

void Run::summarise(bool finished) {
    const double seconds = since_start_.seconds();
    const std::vector<Facts> ranks = gather_facts();
    const bool nothing_left = finished && step_ == resumed_at_;
    if (trace_ && !nothing_left) collect_trace();
    if (!is_root()) return;

    const SampleLedger::Proof proof = ledger_->prove();
    if (nothing_left && std::filesystem::exists(report_file()))
        monitor_->say(fmt::format("\n{:<18} finished before: {}\n{}\nreport: {}", "result", end_text(),
                                  proof.text, report_file().string()));
    else
        report_run(finished, seconds, ranks, proof.text);
    if (!proof.consistent) throw_error<Error>("the sample ledger does not add up: {}", proof.text);
}

void Run::report_run(bool finished, double seconds, const std::vector<Facts>& ranks,
                     const std::string& proof) {
    const Facts sum = sum_of(ranks);
    const double all = seconds * static_cast<double>(ranks.size());
    std::vector<std::pair<std::string, std::string>> facts{
        {"result", finished ? "finished" : "stopped by a signal; run the same command to go on"},
        {"steps", fmt::format("{} ({} in this run)", step_, step_ - resumed_at_)},
        {"samples", fmt::format("{:.0f} trained, {:.0f} skipped in this run", sum[trained], sum[skipped])},
        {"throughput", fmt::format("{:.1f} samples/s over {:.1f} s on {} ranks", sum[trained] / seconds,
                                   seconds, ranks.size())},
        {"first step", fmt::format("done {} after the start, {} of them loading data",
                                   seconds_text(start_.total()), seconds_text(start_.loading()))},
        {"limited by", limiting_stage(sum)},
        {"time of the ranks",
         fmt::format("compute {}, optimiser {}, waiting for clips {}, exposed communication {}, "
                     "evaluation {}, checkpoints {}",
                     share(sum[compute], all), share(sum[optimise], all), share(sum[wait_data], all),
                     share(sum[exposed], all), share(sum[evaluating], all), share(sum[checkpoint], all))},
        {"video",
         fmt::format(
             "{:.0f} frames decoded, {:.3f} of their shards' (behind the last clip decoding stops), for {:.0f} "
             "clips ({:.2f} a clip), {:.0f} packets, {:.0f} damaged, {:.0f} frames corrupt, {:.0f} repeated",
             sum[frames], sum[shard_frames] > 0 ? sum[frames] / sum[shard_frames] : 0, sum[feed_clips],
             sum[feed_clips] > 0 ? sum[frames] / sum[feed_clips] : 0, sum[packets], sum[damaged],
             sum[corrupt], sum[preroll])},
        {"memory", fmt::format("at most {:.1f} MiB resident on a rank, {:.1f} MiB of them clips that wait",
                               most_of(ranks, peak_memory) / (1 << 20), most_of(ranks, peak_queue) / (1 << 20))},
        {"bytes sent",
         fmt::format("{}, {}, {}", tier_text("edge", ranks, bytes_edge, busy_edge),
                     tier_text("cluster", ranks, bytes_cluster, busy_cluster),
                     tier_text("centre", ranks, bytes_centre, busy_centre))},
    };
    for (const auto& [file, reason] : data_.catalogue.quarantined())
        facts.emplace_back("quarantined", file + ": " + reason);
    nlohmann::json line{{"kind", "summary"}, {"finished", finished}, {"seconds", seconds},
                        {"ranks", to_json(ranks)}};
    for (const auto& [name, value] : facts) line[name] = value;
    line["tier_bytes"] = {
        {"edge", sum[bytes_edge]}, {"cluster", sum[bytes_cluster]}, {"centre", sum[bytes_centre]}};
    monitor_->line(line);
    std::string text = "\n";
    for (const auto& [name, value] : facts) text += fmt::format("{:<18} {}\n", name, value);
    monitor_->say(text + proof);
    write_run_report(finished, facts);
}

// Hosts count their seconds from different instants, and not quite at one pace.
void Run::collect_trace() {
    const auto packed = world_.gather(trace_->pack(), 0, "trace");
    const auto last = comm::clock_offsets(world_);
    if (!is_root()) return;
    const double now = now_seconds();
    std::vector<io::ClockLine> clocks;
    const auto offset = [](const comm::ClockOffset& clock) {  // ranks of one host share its clock to the nanosecond
        return std::abs(clock.steady) <= clock.round_trip / 2 ? 0 : clock.steady;
    };
    for (std::size_t rank = 0; rank < last.size(); ++rank) {
        const double first = offset(clocks_[rank]), then = offset(last[rank]);
        clocks.push_back(io::clock_line(clocks_read_ - first, first, now - then, then));
    }
    io::write_trace(settings_.run.folder / "trace.json", packed, clocks);
}

void Run::write_run_report(bool finished, const std::vector<std::pair<std::string, std::string>>& facts) {
    io::ReportContent report;
    report.title = fmt::format("{} on {}", model_->spec().architecture, data_.catalogue.dataset.name);
    report.subtitle = finished ? "training finished" : "training stopped, to be gone on with";
    report.summary = facts;
    if (last_metrics_) {
        report.classes = data_.catalogue.dataset.classes;
        report.confusion = last_metrics_->confusion;
        report.tables.push_back(io::class_table(report.classes, report.confusion));
    }
    const BuildInfo build = build_info();
    report.versions = {{"divs", build.version + " (" + build.revision + ")"}, {"compiler", build.compiler}};
    for (const auto& fact : machine_info()) report.versions.push_back(fact);
    report.configuration = settings_.effective;
    io::write_report(report_file(), report);
    monitor_->say(fmt::format("report: {}", report_file().string()));
}

}  // namespace divs::train
