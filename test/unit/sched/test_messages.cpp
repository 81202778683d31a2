#include <cmath>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/sched/decision.hpp"
#include "divs/sched/throughput.hpp"
#include "support/catch.hpp"

using namespace divs::sched;

namespace {

RankReport sample_report() {
    RankReport r;
    r.rank = 3;
    r.step = 77;
    r.seconds_per_sample_decode = 0.25;
    r.seconds_per_sample_compute = 0.5;
    r.overhead = 0.125;
    r.relative_error = 0.01;
    r.overlap = 0;
    r.rounds_measured = 16;
    r.round_seconds = 6;
    r.waited_share = 0.2;
    r.samples_left = 1234567890123;
    r.work_left = 2e12;
    r.offered = {5, 9, 4000000000U};
    return r;
}

Decision sample_decision() {
    Decision d;
    d.number = 4;
    d.report_step = 80;
    d.effective_step = 82;
    d.moves = {{7, 0, 2}, {8, 1, 2}};
    d.share_weights = {1, 2.5, 0};
    d.batch_shares = {3, 9, 0};
    d.verdict = Verdict::undone;
    d.reason = "because \"so\"";
    d.round_now = 1.5;
    d.last_moved = 3;
    d.last_measured_gain = -0.25;
    return d;
}

// Every shortened or lengthened message is refused; so is one of another kind.
template <class T>
void check_refusals(const T& message) {
    auto bytes = message.pack();
    for (std::size_t n = 0; n < bytes.size(); ++n)
        REQUIRE_THROWS_AS(T::unpack(std::span<const std::byte>(bytes).first(n)), divs::CommunicationError);
    bytes.push_back(std::byte{0});
    REQUIRE_THROWS_AS(T::unpack(bytes), divs::CommunicationError);
    bytes.pop_back();
    bytes[0] ^= std::byte{1};
    REQUIRE_THROWS_AS(T::unpack(bytes), divs::CommunicationError);
}

}  // namespace

TEST_CASE("reports survive the wire and nonsense does not") {
    const RankReport a = sample_report(), b = RankReport::unpack(a.pack());
    CHECK(b.pack() == a.pack());
    CHECK((b.rank == 3 && b.step == 77 && b.offered == a.offered && b.samples_left == a.samples_left &&
           b.overlap == 0));
    CHECK(b.throughput().seconds() == Approx(0.75));
    check_refusals(a);
    RankReport bad = a;
    bad.round_seconds = NAN;
    CHECK_THROWS_WITH(RankReport::unpack(bad.pack()), Catch::Matchers::ContainsSubstring("rank 3"));
    bad.round_seconds = -1;
    CHECK_THROWS_AS(RankReport::unpack(bad.pack()), divs::CommunicationError);
}

TEST_CASE("decisions and assignments survive the wire") {
    const Decision a = sample_decision(), b = Decision::unpack(a.pack());
    CHECK(b.pack() == a.pack());
    CHECK((b.moves == a.moves && b.share_weights == a.share_weights && b.batch_shares == a.batch_shares));
    CHECK((b.verdict == Verdict::undone && b.reason == a.reason && b.last_measured_gain == -0.25));
    check_refusals(a);
    const Assignment c{3, {{1, 2}, {}, {9}}}, d = Assignment::unpack(c.pack());
    CHECK((d.epoch == 3 && d.leases == c.leases));
    check_refusals(c);
}

TEST_CASE("a decision is one JSON line") {
    const std::string line = sample_decision().json_line();
    CHECK(line.find('\n') == std::string::npos);
    const auto json = nlohmann::json::parse(line);
    CHECK(json["decision"] == 4);
    CHECK(json["verdict"] == "undone");
    CHECK(json["moves"] == nlohmann::json::parse("[[7,0,2],[8,1,2]]"));
    CHECK(json["last_measured_gain_s"] == -0.25);
    CHECK_FALSE(nlohmann::json::parse(Decision{}.json_line()).contains("last_moved"));
}
