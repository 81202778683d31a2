// Catch2 under MPI: every rank runs all test cases, in the same order. A rank on which a case fails ends the
// job, so the others, which may wait for it inside a collective, do not hang. Options before Catch's own:
//   --inline              operations run on the calling thread
//   --block               the same, waiting inside MPI
//   --cluster-size N      ranks a cluster
//   --cluster-link S,B    emulated: seconds of latency, bytes/s          --centre-link S,B
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <cstdio>
#include <iostream>
#include <string>

#include "divs/core/log.hpp"
#include "mpi/world.hpp"
#include "support/catch.hpp"
#include "support/run_cases.hpp"

namespace {

divs::comm::World* running = nullptr;

divs::comm::WorldOptions::Link parse_link(const std::string& text) {
    std::size_t comma = 0;
    const double latency = std::stod(text, &comma);
    return {latency, std::stod(text.substr(comma + 1))};
}

// Takes this program's own options away from Catch's.
divs::comm::WorldOptions parse_options(int& argc, char** argv) {
    divs::comm::WorldOptions options;
    options.timeout_seconds = 60;
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        const auto value = [&] { return std::string(argv[++i]); };
        if (option == "--inline")
            options.thread = false;
        else if (option == "--block")
            options.thread = !(options.block = true);
        else if (option == "--cluster-size")
            options.cluster_size = std::stoi(value());
        else if (option == "--cluster-link")
            options.emulate_cluster = parse_link(value());
        else if (option == "--centre-link")
            options.emulate_centre = parse_link(value());
        else
            argv[kept++] = argv[i];
    }
    argc = kept;
    return options;
}

// Runs after the reporter printed what failed, within the case.
struct EndOnFailure : Catch::EventListenerBase {
    using Base = Catch::EventListenerBase;
    using Base::Base;

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        if (stats.totals.assertions.failed == 0) return;
        std::cout.flush();
        std::fflush(nullptr);
        running->abort(1, "test case \"" + divs::test::info_of(stats).name + "\" failed on this rank; the job ends");
    }
};
CATCH_REGISTER_LISTENER(EndOnFailure)

}  // namespace

namespace divs::test {

comm::World& world() {
    return *running;
}

}  // namespace divs::test

int main(int argc, char** argv) {
    const auto options = parse_options(argc, argv);
    divs::comm::World world(options);
    running = &world;
    divs::log::configure("warn", world.rank(), world.size());
    return divs::test::run_cases(argc, argv);
}
