#include "divs/train/monitor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

namespace divs::train {
namespace {

constexpr double terminal_interval = 0.5, plain_interval = 10;  // seconds between progress lines

std::string duration(double seconds) {
    const auto s = static_cast<std::int64_t>(seconds + 0.5);
    return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
                     : fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

Monitor::Monitor(const std::filesystem::path& folder, bool resumed)
    : lines_(folder / "metrics.jsonl", resumed ? io::Existing::append : io::Existing::replace),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Monitor::~Monitor() {
    clear();
}

void Monitor::clear() {
    if (!open_line_) return;
    std::fputs("\r\033[K", stderr);
    open_line_ = false;
}

void Monitor::line(const nlohmann::json& object) {
    lines_.write(object);
}

void Monitor::say(const std::string& text) {
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
}

void Monitor::step(const StepReport& r) {
    line({{"kind", "step"},
          {"step", r.step},
          {"epoch", r.epoch},
          {"loss", r.loss},
          {"accuracy", r.accuracy},
          {"lr", r.learning_rate},
          {"gradient_norm", r.gradient_norm},
          {"samples", r.samples},
          {"seconds", r.seconds},
          {"samples_per_s", r.seconds > 0 ? r.samples / r.seconds : 0},
          {"wait_data", r.wait_data},
          {"compute", r.compute},
          {"exposed_comm", r.exposed},
          {"communication", r.communication},
          {"imbalance", r.imbalance}});
    samples_ += r.samples;
    seconds_ += r.seconds;
    if (since_shown_.seconds() < (terminal_ ? terminal_interval : plain_interval)) return;
    since_shown_.lap();
    const double rate = samples_ / seconds_, step_seconds = seconds_ > 0 && rate > 0 ? r.samples / rate : 0;
    samples_ = seconds_ = 0;
    const std::string text = fmt::format(
        "epoch {}/{}  step {}/{}  loss {:.4f}  {:.1f} samples/s  left {}  imbalance {:.0f} %  exposed comm "
        "{:.0f} %",
        r.epoch + 1, r.epochs, r.step + 1, r.total_steps, r.loss, rate,
        duration(static_cast<double>(r.total_steps - r.step - 1) * step_seconds), 100 * r.imbalance,
        r.seconds > 0 ? 100 * r.exposed / r.seconds : 0);
    if (terminal_) {
        std::fprintf(stderr, "\r\033[K%s", text.c_str());
        open_line_ = true;
    } else {
        std::fprintf(stderr, "%s\n", text.c_str());
    }
    std::fflush(stderr);
}

void Monitor::evaluated(std::uint64_t epoch, std::string_view split, const Metrics& metrics, double seconds) {
    nlohmann::json object = to_json(metrics);
    object["kind"] = "eval";
    object["epoch"] = epoch;
    object["split"] = split;
    object["seconds"] = seconds;
    line(object);
    say(fmt::format("epoch {}  {} loss {:.4f}  accuracy {:.4f}  macro-F1 {:.4f}  ({} samples, {:.1f} s)",
                    epoch + 1, split, metrics.loss, metrics.accuracy, metrics.macro_f1, metrics.samples,
                    seconds));
}

}  // namespace divs::train
