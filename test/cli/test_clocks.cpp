// Hosts whose clocks differ: training minds neither the time of day nor where the steady clock starts, the
// trace has one clock, and the doctor tells.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs::test;
using nlohmann::json;

namespace {

const std::string ahead = "env LD_PRELOAD=" DIVS_SHIFTED_CLOCK " DIVS_TEST_CLOCK_AHEAD=300 ";

std::string config(const Scratch& scratch) {
    make_small_dataset(scratch / "data");
    write_text(
        scratch / "run.toml",
        "[data]\ndataset = \"data\"\nshard_seconds = 0.3\n[clip]\nhop = 2\n[model]\nheight = 24\nwidth = 32\n"
        "threads = 1\n[scheduler]\ninterval = 3\n[train]\nfolder = \"run\"\nepochs = 1\nbatch = 8\n");
    return (scratch / "run.toml").string();
}

}  // namespace

TEST_CASE("clocks: five minutes apart, training goes on and the doctor warns") {
    const Scratch scratch;
    const std::string file = config(scratch), program = DIVS_PROGRAM;
    const Outcome train =
        run_command(divs_command("train " + file, 1) + " : -n 1 " + ahead + program + " train " + file);
    INFO(train.text());
    CHECK(train.status == 0);
    CHECK_THAT(train.err, ContainsSubstring("96 of 96 samples used once"));
    const Outcome again = run_command(ahead + program + " train " + file + " --set train.epochs=2");
    CHECK(again.status == 0);  // the checkpoint is from the future now, or its index

    const std::string arguments = "doctor --json --megabytes 1 " + file;
    const Outcome doctor =
        run_command(divs_command(arguments, 1) + " : -n 1 " + ahead + program + " " + arguments);
    INFO(doctor.text());
    CHECK(doctor.status == 0);
    const auto found = json::parse(doctor.out);
    CHECK(found["figures"]["clock_skew_s"].get<double>() == Approx(300).margin(5));
    CHECK(std::any_of(found["findings"].begin(), found["findings"].end(), [](const json& f) {
        return f["topic"] == "clocks" && f["level"] == "warning" &&
               f["text"].get<std::string>().find("5 min 00 s ahead") != std::string::npos;
    }));
}

TEST_CASE("clocks: hosts count their seconds from different instants, and the trace has one clock") {
    const std::string elsewhere = "unshare -T --monotonic 5000 --fork --kill-child ";
    if (geteuid() != 0 || run_command(elsewhere + "true").status != 0) {
        WARN("no namespaces of time here: skipped");
        return;
    }
    const Scratch scratch;
    const std::string file = config(scratch), program = DIVS_PROGRAM,
                      arguments = "train " + file + " --trace";
    const Outcome outcome =
        run_command(divs_command(arguments, 1) + " : -n 1 " + elsewhere + program + " " + arguments);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    // The sums of a step end for both ranks at one time.
    std::map<int, std::vector<double>> ends;
    const json trace = json::parse(read_text(scratch / "run" / "trace.json"));
    for (const json& event : trace.at("traceEvents"))
        if (event["ph"] == "X" && event["name"] == "forward, backward, reduce")
            ends[event["pid"]].push_back(event["ts"].get<double>() + event["dur"].get<double>());
    REQUIRE(ends[0].size() == 12);
    REQUIRE(ends[1].size() == ends[0].size());
    std::vector<double> apart;
    for (std::size_t i = 0; i < ends[0].size(); ++i) apart.push_back(std::abs(ends[0][i] - ends[1][i]));
    std::sort(apart.begin(), apart.end());
    CHECK(apart[apart.size() / 2] < 1e6);  // us; 5000 s without the correction
    CHECK(ends[1].back() < 120e6);
}
