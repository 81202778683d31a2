// The sample ledger: proof that every sample of an epoch was used once, or skipped for a recorded reason, in
// the chain of updates behind the current parameters. It is saved with the checkpoint, so work that a crash
// undoes is also undone here.
//
// Each rank keeps a ledger of its own and marks what it used; drain() gives what was marked since the last
// drain, as a compact byte string for the rank that checkpoints, whose ledger absorbs it and so knows all.
// Who used a sample is not recorded: a checkpoint has no trace of the ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace divs::train {

struct EpochRecord {
    std::uint64_t epoch = 0;
    std::uint64_t samples = 0;  // with multiplicity
    std::uint64_t used = 0, skipped = 0;
    std::uint64_t hash =
        0;  // of which were used and which skipped: equal for equal epochs, whatever the order
    friend bool operator==(const EpochRecord&, const EpochRecord&) = default;
};

class SampleLedger {
  public:
    // samples: the ids of the split (Catalogue::samples_of), each once. multiplicity (optional, parallel):
    // how many times an epoch uses each; at least 1.
    explicit SampleLedger(std::vector<std::uint64_t> samples,
                          const std::vector<std::uint32_t>& multiplicity = {});

    std::uint64_t epoch() const noexcept { return epoch_; }
    std::uint64_t total() const noexcept { return slots_; }  // uses an epoch asks for
    std::uint64_t used() const noexcept { return used_count_; }
    std::uint64_t skipped() const noexcept { return skipped_count_; }
    std::uint64_t left() const noexcept { return slots_ - used_count_ - skipped_count_; }

    // Throw Error naming the sample when it is used or skipped once more than it should be, or is not of this
    // split. The ledger is unchanged then.
    void mark_used(std::span<const std::uint64_t> samples);
    void mark_skipped(std::uint64_t sample, std::string_view reason);

    // Samples still to come in this epoch, ascending (one entry for each missing use). On a rank that has not
    // absorbed what others did, this counts the others' samples too.
    std::vector<std::uint64_t> remaining() const;
    bool is_done(std::uint64_t sample) const;  // used or skipped as often as it should be
    const std::map<std::uint64_t, std::string>& skip_reasons() const noexcept {
        return reasons_;
    }  // of this epoch

    // What was marked here since the last drain (about 1 to 2 bytes a sample). The rank that absorbs others'
    // strings drops its own. absorb() checks like mark_*() and that the epoch is the same; what it takes in
    // is not drained again.
    std::vector<std::byte> drain();
    void absorb(std::span<const std::byte> drained);

    // Where every sample is done: closes the epoch into history() and opens the next. Error, with what is
    // missing, where not. On the rank that knows all.
    const EpochRecord& finish_epoch();
    // Opens an epoch without a check, on a rank that does not know all, or after a restart at an epoch's
    // edge. Error where marks would be lost that were not drained.
    void begin_epoch(std::uint64_t epoch);
    const std::vector<EpochRecord>& history() const noexcept { return history_; }

    struct Proof {
        bool consistent = false;  // no sample twice, every finished epoch whole, counts and sets agree
        bool complete = false;    // and the current epoch has no sample left
        std::string text;         // lines for the closing summary
    };
    Proof prove() const;

    // For the checkpoint; not drained marks are part of it. unpack() throws InputError where the bytes are
    // damaged or were made for other samples.
    std::vector<std::byte> pack() const;
    static SampleLedger unpack(std::span<const std::byte> bytes, std::vector<std::uint64_t> samples,
                               const std::vector<std::uint32_t>& multiplicity = {});

  private:
    std::size_t position(std::uint64_t sample) const;  // in samples_
    std::size_t first_slot(std::size_t position) const noexcept;
    std::size_t take_slot(std::uint64_t sample, std::string_view what) const;
    void set(std::uint64_t sample, bool as_skipped, std::string_view reason);
    std::uint64_t state_hash() const;

    std::vector<std::uint64_t> samples_;      // ascending
    std::vector<std::uint64_t> first_slots_;  // prefix sums of the multiplicity; empty where all are 1
    std::uint64_t slots_ = 0, samples_hash_ = 0;
    std::uint64_t epoch_ = 0, used_count_ = 0, skipped_count_ = 0;
    std::vector<std::uint64_t> used_, skipped_;  // one bit a slot
    std::map<std::uint64_t, std::string> reasons_;
    std::vector<std::uint64_t> undrained_used_;
    std::vector<std::uint64_t> undrained_skipped_;
    std::vector<EpochRecord> history_;
};

}  // namespace divs::train
