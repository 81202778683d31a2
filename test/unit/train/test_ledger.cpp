#include <algorithm>
#include <map>
#include <set>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/train/ledger.hpp"
#include "support/catch.hpp"

using namespace divs;
using Catch::Matchers::ContainsSubstring;
using train::SampleLedger;

namespace {

using Ids = std::vector<std::uint64_t>;

// Some ids with gaps, in no order.
Ids some_ids(std::size_t count, std::uint64_t seed) {
    const Random random(seed, Stream::test);
    std::set<std::uint64_t> ids;
    for (std::uint64_t i = 0; ids.size() < count; ++i) ids.insert(random.below(i, 10 * count));
    Ids out(ids.begin(), ids.end());
    const auto order = random.permutation(static_cast<std::uint32_t>(count));
    Ids shuffled;
    for (const auto at : order) shuffled.push_back(out[at]);
    return shuffled;
}

}  // namespace

TEST_CASE("ledger: a sample is used or skipped once, and no more") {
    SampleLedger ledger({5, 3, 900});
    CHECK(ledger.total() == 3);
    ledger.mark_used(Ids{900});
    CHECK_THROWS_WITH(ledger.mark_used(Ids{900}), ContainsSubstring("sample 900") && ContainsSubstring("used already"));
    CHECK_THROWS_WITH(ledger.mark_skipped(900, "why"), ContainsSubstring("sample 900"));
    CHECK_THROWS_WITH(ledger.mark_used(Ids{4}), ContainsSubstring("sample 4 is not one of the 3"));
    CHECK_THROWS_AS(ledger.mark_used(Ids{3, 5, 3}), Error);  // as a whole or not at all
    CHECK(ledger.remaining() == Ids{3, 5});
    ledger.mark_skipped(3, "truncated video");
    CHECK_THROWS_WITH(ledger.mark_used(Ids{3}), ContainsSubstring("skipped already"));
    CHECK(ledger.is_done(3));
    CHECK_FALSE(ledger.is_done(5));
    CHECK_THROWS_WITH(ledger.finish_epoch(), ContainsSubstring("1 of 3") && ContainsSubstring("the first is 5"));
    CHECK_FALSE(ledger.prove().complete);
    ledger.mark_used(Ids{5});
    CHECK(ledger.prove().complete);
    CHECK_THAT(ledger.prove().text,
               ContainsSubstring("2 of 3 samples used once, 1 skipped") && ContainsSubstring("1: truncated video"));
    const auto record = ledger.finish_epoch();
    CHECK(record.used == 2);
    CHECK(record.skipped == 1);
    CHECK(ledger.epoch() == 1);
    CHECK(ledger.left() == 3);
    CHECK(ledger.skip_reasons().empty());
}

TEST_CASE("ledger: what is listed twice or never is refused") {
    CHECK_THROWS_WITH(SampleLedger({1, 2, 1}), ContainsSubstring("sample 1 is listed twice"));
    CHECK_THROWS_AS(SampleLedger({1, 2}, {1, 0}), Error);
    CHECK_THROWS_AS(SampleLedger({1, 2}, {1}), Error);
    SampleLedger none(Ids{});
    CHECK(none.finish_epoch().samples == 0);
    CHECK(none.prove().consistent);
}

// Ranks in turn take random samples of what is left, report in any order, and the job is killed and resumed
// at another number of ranks from the last checkpoint. A map of counts, undone with the parameters, is the
// oracle.
TEST_CASE("ledger: whatever ranks, orders, kills and resumes, each sample counts once") {
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const Random random(seed, Stream::test, 7);
        std::uint64_t draw = 0;
        const auto below = [&](std::uint64_t bound) { return random.below(draw++, bound); };
        const Ids ids = some_ids(1 + below(150), seed);
        std::vector<std::uint32_t> multiplicity;
        if (seed % 3 == 0)
            for (std::size_t i = 0; i < ids.size(); ++i)
                multiplicity.push_back(static_cast<std::uint32_t>(1 + below(3)));

        std::map<std::uint64_t, int> used,
            saved_used;  // behind the current parameters | behind the checkpoint
        auto saved = SampleLedger(ids, multiplicity).pack();
        int kills = 0;
        for (bool finished = false; !finished;) {
            const std::size_t ranks = 1 + below(5);
            std::vector<SampleLedger> ledgers;
            for (std::size_t r = 0; r < ranks; ++r)
                ledgers.push_back(SampleLedger::unpack(saved, ids, multiplicity));
            used = saved_used;
            // The plan: what is left, dealt at random. It may give a rank nothing.
            Ids left = ledgers[0].remaining();
            for (std::size_t i = left.size(); i > 1; --i) std::swap(left[i - 1], left[below(i)]);
            std::size_t at = 0;
            bool killed = false;
            while (at < left.size() && !killed) {
                std::vector<std::size_t> order(ranks);
                for (std::size_t r = 0; r < ranks; ++r) order[r] = r;
                for (std::size_t r = ranks; r > 1; --r) std::swap(order[r - 1], order[below(r)]);
                for (const auto r : order) {
                    const std::size_t take = std::min<std::size_t>(below(6), left.size() - at);
                    Ids batch(left.begin() + static_cast<std::ptrdiff_t>(at),
                              left.begin() + static_cast<std::ptrdiff_t>(at + take));
                    at += take;
                    if (!batch.empty() && below(8) == 0) {
                        ledgers[r].mark_skipped(batch.back(), "damaged");
                        ++used[batch.back()];
                        batch.pop_back();
                    }
                    ledgers[r].mark_used(batch);
                    for (const auto sample : batch) ++used[sample];
                }
                if (below(3) == 0 || at >= left.size()) {
                    for (std::size_t r = 0; r < ranks; ++r) {
                        const auto drained = ledgers[r].drain();
                        if (r) ledgers[0].absorb(drained);
                    }
                    CHECK(ledgers[0].left() == left.size() - at);
                    if (below(2) == 0 || at >= left.size()) {
                        saved = ledgers[0].pack();
                        saved_used = used;
                    }
                }
                killed = kills < 4 && below(6) == 0;
            }
            kills += killed;
            if (killed) continue;
            finished = true;
            REQUIRE(ledgers[0].prove().complete);
            const auto record = ledgers[0].finish_epoch();
            CHECK(record.used + record.skipped == ledgers[0].total());
        }
        for (std::size_t i = 0; i < ids.size(); ++i)
            REQUIRE(used[ids[i]] == (multiplicity.empty() ? 1 : static_cast<int>(multiplicity[i])));
    }
}

TEST_CASE("ledger: the hash of an epoch knows which were skipped, and not in what order") {
    const Ids ids = some_ids(100, 1);
    const auto run = [&](std::uint64_t seed, std::uint64_t skipped) {
        SampleLedger ledger(ids);
        for (const auto at : Random(seed, Stream::test).permutation(100)) {
            if (at == skipped)
                ledger.mark_skipped(ids[at], "x");
            else
                ledger.mark_used(Ids{ids[at]});
        }
        return ledger.finish_epoch().hash;
    };
    CHECK(run(1, 7) == run(2, 7));
    CHECK(run(1, 7) != run(1, 8));
    CHECK(run(1, 7) != run(1, 1000));
}

TEST_CASE("ledger: packed and read again it is the same, and it fits its samples only") {
    const Ids ids = some_ids(130, 2);
    SampleLedger ledger(ids);
    ledger.mark_used(ids);
    ledger.finish_epoch();
    ledger.mark_used(Ids(ids.begin(), ids.begin() + 70));
    ledger.mark_skipped(ids[100], "no frames");
    const auto bytes = ledger.pack();
    auto again = SampleLedger::unpack(bytes, ids);
    CHECK(again.pack() == bytes);
    CHECK(again.epoch() == 1);
    CHECK(again.used() == 70);
    CHECK(again.skipped() == 1);
    CHECK(again.remaining() == ledger.remaining());
    CHECK(again.history() == ledger.history());
    CHECK(again.skip_reasons() == ledger.skip_reasons());
    CHECK_THROWS_WITH(SampleLedger::unpack(bytes, some_ids(130, 3)), ContainsSubstring("other samples"));
    CHECK_THROWS_AS(SampleLedger::unpack(bytes, ids, std::vector<std::uint32_t>(130, 2)), InputError);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        auto bad = bytes;
        bad[at] ^= std::byte{4};
        CHECK_THROWS_AS(SampleLedger::unpack(bad, ids), InputError);
        bad = bytes;
        bad.resize(at);
        CHECK_THROWS_AS(SampleLedger::unpack(bad, ids), InputError);
    }
}

TEST_CASE("ledger: reports of another epoch, damaged ones and undrained marks are refused") {
    SampleLedger a({1, 2, 3}), b({1, 2, 3});
    b.mark_used(Ids{2});
    CHECK_THROWS_WITH(b.begin_epoch(1), ContainsSubstring("before 1 samples"));
    const auto report = b.drain();
    CHECK(report.size() <= 5);
    b.begin_epoch(1);
    a.absorb(report);
    CHECK(a.remaining() == Ids{1, 3});
    CHECK_THROWS_WITH(a.absorb(report), ContainsSubstring("sample 2"));  // the same report twice
    CHECK_THROWS_WITH(a.absorb(b.drain()), ContainsSubstring("epoch 1 in epoch 0"));
    CHECK_THROWS_AS(a.absorb(std::span(report).first(2)), InputError);
    CHECK(a.remaining() == Ids{1, 3});
    const auto nothing = a.drain();  // what was absorbed is not drained again
    CHECK(nothing.size() == 3);
}

TEST_CASE("ledger: a report takes about a byte or two a sample") {
    Ids ids(100'000);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i;
    SampleLedger ledger(ids);
    Ids batch;
    for (std::size_t i = 0; i < ids.size(); i += 100) batch.push_back(i);
    ledger.mark_used(batch);
    CHECK(ledger.drain().size() < batch.size() + 10);
    CHECK(ledger.pack().size() < 2 * ids.size() / 8 + 100);
}
