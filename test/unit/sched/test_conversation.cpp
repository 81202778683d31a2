#include <string>

#include "divs/sched/conversation.hpp"
#include "support/catch.hpp"

using divs::sched::Conversation;
using divs::sched::Decision;

namespace {

// One rank alone, that notes what is carried, and when it is waited for.
struct Carrier {
    struct Work {
        std::string* log = nullptr;
        std::string what;
        void wait() const {
            if (log) *log += "wait " + what + "; ";
        }
    };
    Work gather_into(std::vector<std::byte> mine, int, std::vector<std::vector<std::byte>>& into,
                     std::string_view what) {
        into = {std::move(mine)};
        log += "gather; ";
        return {&log, std::string(what)};
    }
    Work broadcast_into(std::vector<std::byte>&, int, std::string_view what) {
        log += "broadcast; ";
        return {&log, std::string(what)};
    }
    std::string log;
};

Decision decide(Conversation<Carrier>::Reports reports) {
    Decision decision;
    decision.number = reports.size() * 10 + reports[0].size();
    return decision;
}

}  // namespace

TEST_CASE("a decision is asked for in one step, made in the next and applied when its lag is over") {
    const int lag = GENERATE(1, 2, 4);
    Carrier carrier;
    Conversation<Carrier> talk(carrier, lag, decide);
    CHECK_FALSE(talk.after_step(6));
    talk.begin(7, std::vector<std::byte>(3));
    int step = 7;
    std::optional<Decision> decision = talk.after_step(step);
    if (lag > 1) CHECK(carrier.log == "gather; ");  // nothing waits in the step of the report
    while (!decision) decision = talk.after_step(++step);
    CHECK(step + 1 == 7 + lag);
    CHECK(decision->number == 13);
    CHECK(carrier.log == "gather; wait reports; broadcast; wait decision; ");
    CHECK_FALSE(talk.after_step(step + 1));
}

TEST_CASE("a decision is due at the interval, one at a time, while the epoch still has the steps for it") {
    Carrier carrier;
    Conversation<Carrier> talk(carrier, 2, decide);
    CHECK(talk.due(7, 8, 1000, 32));
    CHECK_FALSE(talk.due(6, 8, 1000, 32));
    CHECK_FALSE(talk.due(7, 8, 96, 32));  // three more steps: two until it takes effect, one to use it
    CHECK(talk.due(7, 8, 97, 32));
    talk.begin(7, {});
    CHECK_FALSE(talk.due(15, 8, 1000, 32));
}

TEST_CASE("what is under way at the end of an epoch is waited for and dropped") {
    Carrier carrier;
    Conversation<Carrier> talk(carrier, 3, decide);
    talk.end();
    CHECK(carrier.log.empty());
    talk.begin(0, {});
    SECTION("before the decision") {
        talk.end();
        CHECK(carrier.log == "gather; wait reports; ");
    }
    SECTION("after it") {
        CHECK_FALSE(talk.after_step(1));
        talk.end();
        CHECK(carrier.log == "gather; wait reports; broadcast; wait reports; wait decision; ");
    }
    CHECK_FALSE(talk.after_step(2));
}
