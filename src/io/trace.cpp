#include "divs/io/trace.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/bytes.hpp"

namespace divs::io {
namespace {

// A span, or (thread == counter_thread) a value of a counter.
struct Event {
    std::uint32_t name = 0, category = 0, thread = 0;
    double begin = 0, end = 0;
};
constexpr std::uint32_t counter_thread = std::numeric_limits<std::uint32_t>::max();

struct RankEvents {
    std::uint64_t rank = 0, dropped = 0;
    std::vector<std::string> texts;
    std::vector<Event> events;
};

RankEvents unpack(std::span<const std::byte> bytes) {
    ByteReader in(bytes, "trace of a rank");
    RankEvents out;
    out.rank = in.number();
    out.dropped = in.number();
    out.texts.resize(in.count());
    for (auto& text : out.texts) text = in.text();
    const auto index = [&] {
        const std::uint64_t value = in.number();
        if (value >= out.texts.size()) in.fail("text that is not there");
        return static_cast<std::uint32_t>(value);
    };
    out.events.resize(in.count(19));
    for (auto& event : out.events) {
        event.name = index();
        event.category = index();
        const bool is_counter = in.number() != 0;
        const std::uint32_t thread = index();
        event.thread = is_counter ? counter_thread : thread;
        event.begin = in.real();
        event.end = in.real();
    }
    in.finish();
    return out;
}

}  // namespace

struct Trace::Impl {
    int rank = 0;
    std::size_t capacity = 0;
    mutable std::mutex mutex;
    std::map<std::string, std::uint32_t, std::less<>> numbers;
    std::vector<std::string> texts;
    std::vector<Event> events;
    std::size_t dropped = 0;

    std::uint32_t number(std::string_view text) {
        if (const auto found = numbers.find(text); found != numbers.end()) return found->second;
        const auto next = static_cast<std::uint32_t>(texts.size());
        texts.emplace_back(text);
        numbers.emplace(text, next);
        return next;
    }

    bool full() {  // counts what is turned away
        if (events.size() < capacity) return false;
        ++dropped;
        return true;
    }
};

Trace::Trace(int rank, std::size_t capacity) : impl_(std::make_unique<Impl>()) {
    impl_->rank = rank;
    impl_->capacity = capacity;
    impl_->number("");
}
Trace::~Trace() = default;

void Trace::record(std::string_view name, std::string_view category, std::string_view thread, double begin,
                   double end) {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->full()) return;
    impl_->events.push_back(
        {impl_->number(name), impl_->number(category), impl_->number(thread), begin, end});
}

void Trace::counter(std::string_view name, double at, double value) {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->full()) return;
    impl_->events.push_back({impl_->number(name), 0, counter_thread, at, value});
}

int Trace::rank() const noexcept {
    return impl_->rank;
}

std::size_t Trace::size() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->events.size();
}

std::size_t Trace::dropped() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->dropped;
}

std::vector<std::byte> Trace::pack() const {
    const std::lock_guard lock(impl_->mutex);
    ByteWriter out;
    out.number(static_cast<std::uint64_t>(impl_->rank));
    out.number(impl_->dropped);
    out.number(impl_->texts.size());
    for (const auto& text : impl_->texts) out.text(text);
    out.number(impl_->events.size());
    for (const auto& event : impl_->events) {
        const bool is_counter = event.thread == counter_thread;
        out.number(event.name);
        out.number(event.category);
        out.number(is_counter);
        out.number(is_counter ? 0 : event.thread);
        out.real(event.begin);
        out.real(event.end);
    }
    return out.take();
}

namespace {

using nlohmann::json;

// The format is Google's "Trace Event Format": ts and dur in microseconds, pid = rank, tid = thread.
void append_rank(std::string& out, const RankEvents& rank, const ClockLine& clock, double origin) {
    const auto add = [&](const json& event) {
        out += out.back() == '[' ? "\n" : ",\n";
        out += event.dump(-1, ' ', false, json::error_handler_t::replace);
    };
    const auto microseconds = [&](double at) { return (clock.on_root(at) - origin) * 1e6; };
    add({{"ph", "M"},
         {"name", "process_name"},
         {"pid", rank.rank},
         {"args", {{"name", fmt::format("rank {}", rank.rank)}}}});
    add({{"ph", "M"},
         {"name", "process_sort_index"},
         {"pid", rank.rank},
         {"args", {{"sort_index", rank.rank}}}});
    std::map<std::uint32_t, int> threads;
    for (const auto& event : rank.events) {
        if (event.thread == counter_thread) {
            add({{"ph", "C"},
                 {"name", rank.texts[event.name]},
                 {"pid", rank.rank},
                 {"ts", microseconds(event.begin)},
                 {"args", {{"value", event.end}}}});
            continue;
        }
        const auto [thread, fresh] = threads.emplace(event.thread, static_cast<int>(threads.size()));
        if (fresh)
            add({{"ph", "M"},
                 {"name", "thread_name"},
                 {"pid", rank.rank},
                 {"tid", thread->second},
                 {"args", {{"name", rank.texts[event.thread]}}}});
        add({{"ph", "X"},
             {"name", rank.texts[event.name]},
             {"cat", rank.texts[event.category]},
             {"pid", rank.rank},
             {"tid", thread->second},
             {"ts", microseconds(event.begin)},
             {"dur", std::max(0.0, (event.end - event.begin) * 1e6)}});
    }
}

}  // namespace

ClockLine clock_line(double first_at, double first_offset, double last_at, double last_offset) {
    constexpr double most = 1e-3;
    const double seconds = last_at - first_at;
    const double drift = seconds > 0 ? (last_offset - first_offset) / seconds : 0;
    return {first_at, first_offset, std::clamp(drift, -most, most)};
}

void write_trace(const std::filesystem::path& file, std::span<const std::vector<std::byte>> packed,
                 std::span<const ClockLine> clocks) {
    if (!clocks.empty() && clocks.size() != packed.size())
        throw_error<Error>("{} clocks for {} ranks", clocks.size(), packed.size());
    const auto clock = [&](std::size_t i) { return clocks.empty() ? ClockLine{} : clocks[i]; };
    std::vector<RankEvents> ranks;
    double origin = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < packed.size(); ++i) {
        ranks.push_back(unpack(packed[i]));
        for (const auto& event : ranks.back().events) origin = std::min(origin, clock(i).on_root(event.begin));
    }
    std::string out = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [";
    json dropped = json::object();
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        append_rank(out, ranks[i], clock(i), origin);
        if (ranks[i].dropped) dropped[fmt::format("rank {}", ranks[i].rank)] = ranks[i].dropped;
        ranks[i] = {};  // a rank's events are in the text now
    }
    out += "\n], \"otherData\": {\"events left out\": " + dropped.dump() + "}}\n";
    write_atomically(file, out);
}

}  // namespace divs::io
