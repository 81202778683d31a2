#include "divs/train/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "divs/core/error.hpp"
#include "divs/io/bytes.hpp"

namespace divs::train {
namespace {

constexpr std::uint64_t pack_version = 1;

std::uint64_t bit(std::size_t slot) noexcept {
    return std::uint64_t{1} << (slot % 64);
}
bool test(const std::vector<std::uint64_t>& bits, std::size_t slot) noexcept {
    return bits[slot / 64] & bit(slot);
}

std::uint64_t count(const std::vector<std::uint64_t>& bits) noexcept {
    std::uint64_t sum = 0;
    for (const auto word : bits) sum += static_cast<std::uint64_t>(std::popcount(word));
    return sum;
}

// Ascending numbers, each as the distance from the one before.
void put_ascending(io::ByteWriter& out, std::vector<std::uint64_t> numbers) {
    std::sort(numbers.begin(), numbers.end());
    out.number(numbers.size());
    std::uint64_t last = 0;
    for (const auto number : numbers) {
        out.number(number - last);
        last = number;
    }
}

std::vector<std::uint64_t> get_ascending(io::ByteReader& in) {
    std::vector<std::uint64_t> numbers(in.count());
    std::uint64_t last = 0;
    for (auto& number : numbers) number = last += in.number();
    return numbers;
}

}  // namespace

SampleLedger::SampleLedger(std::vector<std::uint64_t> samples, const std::vector<std::uint32_t>& multiplicity)
    : samples_(std::move(samples)) {
    if (!multiplicity.empty() && multiplicity.size() != samples_.size())
        throw_error<Error>("sample ledger: {} multiplicities for {} samples", multiplicity.size(),
                           samples_.size());
    std::vector<std::pair<std::uint64_t, std::uint64_t>> order;
    for (std::size_t i = 0; i < samples_.size(); ++i)
        order.emplace_back(samples_[i], multiplicity.empty() ? 1 : multiplicity[i]);
    std::sort(order.begin(), order.end());
    bool all_once = true;
    io::Hash64 hash;
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i && order[i].first == order[i - 1].first)
            throw_error<Error>("sample ledger: sample {} is listed twice", order[i].first);
        if (order[i].second == 0)
            throw_error<Error>("sample ledger: sample {} has multiplicity 0", order[i].first);
        samples_[i] = order[i].first;
        first_slots_.push_back(slots_);
        slots_ += order[i].second;
        all_once = all_once && order[i].second == 1;
        hash.add(order[i].first);
        hash.add(order[i].second);
    }
    if (all_once) first_slots_ = {};
    samples_hash_ = hash.value();
    used_.assign((slots_ + 63) / 64, 0);
    skipped_ = used_;
}

std::size_t SampleLedger::position(std::uint64_t sample) const {
    const auto found = std::lower_bound(samples_.begin(), samples_.end(), sample);
    if (found == samples_.end() || *found != sample)
        throw_error<Error>("sample ledger: sample {} is not one of the {} of this split", sample,
                           samples_.size());
    return static_cast<std::size_t>(found - samples_.begin());
}

std::size_t SampleLedger::first_slot(std::size_t at) const noexcept {
    if (at == samples_.size()) return slots_;
    return first_slots_.empty() ? at : first_slots_[at];
}

// The first free slot of the sample: its uses are alike, so their order of filling means nothing.
std::size_t SampleLedger::take_slot(std::uint64_t sample, std::string_view what) const {
    const std::size_t at = position(sample), end = first_slot(at + 1);
    for (std::size_t slot = first_slot(at); slot < end; ++slot)
        if (!test(used_, slot) && !test(skipped_, slot)) return slot;
    const bool was_skipped = test(skipped_, end - 1);
    throw_error<Error>("sample ledger: sample {} is {} in epoch {}, but was {} already", sample, what, epoch_,
                       was_skipped ? "skipped" : "used");
}

void SampleLedger::set(std::uint64_t sample, bool as_skipped, std::string_view reason) {
    const std::size_t slot = take_slot(sample, as_skipped ? "skipped" : "used");
    (as_skipped ? skipped_ : used_)[slot / 64] |= bit(slot);
    ++(as_skipped ? skipped_count_ : used_count_);
    if (as_skipped) reasons_.emplace(sample, reason);
}

void SampleLedger::mark_used(std::span<const std::uint64_t> samples) {
    std::vector<std::size_t> taken;
    try {
        for (const auto sample : samples) {
            const std::size_t slot = take_slot(sample, "used");
            used_[slot / 64] |= bit(slot);
            taken.push_back(slot);
        }
    } catch (...) {
        for (const auto slot : taken) used_[slot / 64] &= ~bit(slot);
        throw;
    }
    used_count_ += samples.size();
    undrained_used_.insert(undrained_used_.end(), samples.begin(), samples.end());
}

void SampleLedger::mark_skipped(std::uint64_t sample, std::string_view reason) {
    set(sample, true, reason);
    undrained_skipped_.push_back(sample);
}

std::vector<std::uint64_t> SampleLedger::remaining() const {
    std::vector<std::uint64_t> out;
    out.reserve(left());
    for (std::size_t at = 0; at < samples_.size(); ++at)
        for (std::size_t slot = first_slot(at); slot < first_slot(at + 1); ++slot)
            if (!test(used_, slot) && !test(skipped_, slot)) out.push_back(samples_[at]);
    return out;
}

bool SampleLedger::is_done(std::uint64_t sample) const {
    const std::size_t at = position(sample);
    for (std::size_t slot = first_slot(at); slot < first_slot(at + 1); ++slot)
        if (!test(used_, slot) && !test(skipped_, slot)) return false;
    return true;
}

std::vector<std::byte> SampleLedger::drain() {
    io::ByteWriter out;
    out.number(epoch_);
    put_ascending(out, std::move(undrained_used_));
    std::sort(undrained_skipped_.begin(), undrained_skipped_.end());
    out.number(undrained_skipped_.size());
    for (const auto sample : undrained_skipped_) {
        out.number(sample);
        out.text(reasons_.at(sample));
    }
    undrained_used_ = {};
    undrained_skipped_ = {};
    return out.take();
}

void SampleLedger::absorb(std::span<const std::byte> drained) {
    io::ByteReader in(drained, "samples that a rank reports");
    const std::uint64_t epoch = in.number();
    if (epoch != epoch_)
        throw_error<Error>("sample ledger: a rank reports samples of epoch {} in epoch {}", epoch, epoch_);
    const auto used = get_ascending(in);
    std::vector<std::pair<std::uint64_t, std::string>> skipped(in.count(2));
    for (auto& [sample, reason] : skipped) {
        sample = in.number();
        reason = in.text();
    }
    in.finish();
    for (const auto sample : used) set(sample, false, "");
    for (const auto& [sample, reason] : skipped) set(sample, true, reason);
}

// Equal sets give equal hashes. With multiplicity, how many uses of a sample are done and skipped counts, not
// which.
std::uint64_t SampleLedger::state_hash() const {
    io::Hash64 hash;
    hash.add(samples_hash_);
    for (std::size_t at = 0; at < samples_.size(); ++at) {
        std::uint64_t used = 0, skipped = 0;
        for (std::size_t slot = first_slot(at); slot < first_slot(at + 1); ++slot) {
            used += test(used_, slot);
            skipped += test(skipped_, slot);
        }
        hash.add(used << 32 | skipped);
    }
    return hash.value();
}

const EpochRecord& SampleLedger::finish_epoch() {
    if (left()) {
        const auto missing = remaining();
        throw_error<Error>(
            "sample ledger: epoch {} ends with {} of {} samples neither used nor skipped, the first is {}",
            epoch_, missing.size(), slots_, missing.front());
    }
    history_.push_back({epoch_, slots_, used_count_, skipped_count_, state_hash()});
    undrained_used_ = {};
    undrained_skipped_ = {};
    begin_epoch(epoch_ + 1);
    return history_.back();
}

void SampleLedger::begin_epoch(std::uint64_t epoch) {
    if (!undrained_used_.empty() || !undrained_skipped_.empty())
        throw_error<Error>("sample ledger: epoch {} begins before {} samples of epoch {} were reported",
                           epoch, undrained_used_.size() + undrained_skipped_.size(), epoch_);
    epoch_ = epoch;
    std::fill(used_.begin(), used_.end(), 0);
    std::fill(skipped_.begin(), skipped_.end(), 0);
    used_count_ = skipped_count_ = 0;
    reasons_.clear();
}

SampleLedger::Proof SampleLedger::prove() const {
    Proof proof;
    proof.consistent = count(used_) == used_count_ && count(skipped_) == skipped_count_;
    for (std::size_t i = 0; i < used_.size(); ++i)
        proof.consistent = proof.consistent && !(used_[i] & skipped_[i]);
    for (const auto& [sample, reason] : reasons_) {
        const std::size_t at = position(sample);
        bool is_skipped = false;
        for (std::size_t slot = first_slot(at); slot < first_slot(at + 1); ++slot)
            is_skipped = is_skipped || test(skipped_, slot);
        proof.consistent = proof.consistent && is_skipped;
    }
    for (const auto& record : history_)
        proof.consistent =
            proof.consistent && record.samples == slots_ && record.used + record.skipped == slots_;
    for (std::size_t begin = 0, end = 0; begin < history_.size(); begin = end) {  // equal epochs share a line
        const auto& first = history_[begin];
        while (end < history_.size() && history_[end].used == first.used && history_[end].samples == first.samples)
            ++end;
        const std::uint64_t last = history_[end - 1].epoch;
        proof.text += fmt::format("{}: {} of {} samples used once, {} skipped\n",
                                  last == first.epoch ? fmt::format("epoch {}", last + 1)
                                                      : fmt::format("epochs {} to {}, each", first.epoch + 1, last + 1),
                                  first.used, first.samples, first.skipped);
    }
    proof.complete = proof.consistent && left() == 0;
    if (used_count_ || skipped_count_ || history_.empty())
        proof.text += fmt::format("epoch {}: {} of {} samples used once, {} skipped, {} to come\n",
                                  epoch_ + 1, used_count_, slots_, skipped_count_, left());
    std::map<std::string_view, std::uint64_t> by_reason;
    for (const auto& [sample, reason] : reasons_) ++by_reason[reason];
    for (const auto& [reason, times] : by_reason)
        proof.text += fmt::format("  skipped {}: {}\n", times, reason);
    if (!proof.consistent) proof.text += "the ledger contradicts itself\n";
    return proof;
}

std::vector<std::byte> SampleLedger::pack() const {
    io::ByteWriter out;
    out.number(pack_version);
    out.fixed(samples_hash_);
    out.number(epoch_);
    out.number(history_.size());
    for (const auto& record : history_) {
        out.number(record.epoch);
        out.number(record.samples);
        out.number(record.used);
        out.number(record.skipped);
        out.fixed(record.hash);
    }
    for (const auto* bits : {&used_, &skipped_})
        for (const auto word : *bits) out.fixed(word);
    out.number(reasons_.size());
    for (const auto& [sample, reason] : reasons_) {
        out.number(sample);
        out.text(reason);
    }
    io::Hash64 hash;
    auto bytes = out.take();
    hash.add(bytes);
    io::ByteWriter seal;
    seal.fixed(hash.value());
    const auto tail = seal.take();
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    return bytes;
}

SampleLedger SampleLedger::unpack(std::span<const std::byte> bytes, std::vector<std::uint64_t> samples,
                                  const std::vector<std::uint32_t>& multiplicity) {
    SampleLedger ledger(std::move(samples), multiplicity);
    io::ByteReader in(bytes, "sample ledger");
    if (bytes.size() < 8) in.fail("cut short");
    io::Hash64 hash;
    hash.add(bytes.first(bytes.size() - 8));
    if (io::ByteReader(bytes.last(8), "sample ledger").fixed() != hash.value()) in.fail("damaged");
    if (in.number() > pack_version) in.fail("made by a newer version of divs");
    if (in.fixed() != ledger.samples_hash_)
        throw_error<InputError>(
            "sample ledger: made for other samples than the {} of this data set; the data or how it "
            "is cut into clips has changed",
            ledger.samples_.size());
    ledger.epoch_ = in.number();
    ledger.history_.resize(in.count(12));
    for (auto& record : ledger.history_)
        record = {in.number(), in.number(), in.number(), in.number(), in.fixed()};
    for (auto* bits : {&ledger.used_, &ledger.skipped_})
        for (auto& word : *bits) word = in.fixed();
    ledger.used_count_ = count(ledger.used_);
    ledger.skipped_count_ = count(ledger.skipped_);
    for (std::size_t left = in.count(2); left-- > 0;) {
        const std::uint64_t sample = in.number();
        ledger.reasons_.emplace(sample, in.text());
    }
    if (in.left() != 8 || !ledger.prove().consistent) in.fail("contradicts itself");
    return ledger;
}

}  // namespace divs::train
