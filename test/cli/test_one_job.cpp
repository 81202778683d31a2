// A checkpoint folder belongs to one job at a time, and must take checkpoints; ranks must be one program.
// Each is found before training, and nothing that was saved is lost.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "divs/train/checkpoint.hpp"
#include "support/catch.hpp"
#include "support/other_revision.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs;
using namespace divs::test;
namespace fs = std::filesystem;

namespace {

std::string config(const Scratch& scratch) {
    make_small_dataset(scratch / "data");
    write_text(
        scratch / "run.toml",
        "[data]\ndataset = \"data\"\nshard_seconds = 0.3\n[clip]\nhop = 2\n[model]\nheight = 24\nwidth = 32\n"
        "threads = 1\n[train]\nfolder = \"run\"\nepochs = 2\nbatch = 8\ncheckpoint_steps = 4\n");
    return (scratch / "run.toml").string();
}

// A shell script, run in a mount namespace of its own. Needs root.
Outcome in_own_mounts(const std::string& script) {
    return run_command("unshare -m bash -c '" + script + "'");
}

bool may_mount() {
    if (geteuid() == 0 && run_command("unshare -m true").status == 0) return true;
    WARN("cannot mount here: skipped");
    return false;
}

}  // namespace

TEST_CASE("a second job on a checkpoint folder is refused and named the first, which goes on") {
    const Scratch scratch;
    const std::string file = config(scratch);
    const std::string log = (scratch / "first.log").string(), run = (scratch / "run").string();
    // The first trains until it is told to stop; while it does, the second comes, and the first takes more
    // steps.
    write_text(scratch / "both.sh",
               "SLURM_JOB_ID=17 " + divs_command("train " + file, 2) + " --set train.epochs=100000 2>" + log +
                   " &\nfirst=$!\nuntil ls " + run + "/step-*; do sleep 0.05; done >/dev/null 2>&1\ncp " +
                   run + "/.divs-lock " + (scratch / "lock").string() + "\n" + divs_command("train " + file) +
                   "\nsecond=$?\nbefore=$(wc -l <" + run + "/metrics.jsonl)\nuntil [ $(wc -l <" + run +
                   "/metrics.jsonl) -gt $((before + 3)) ]; do sleep 0.05; done\nkill -USR1 $first\n" +
                   "wait $first && exit $second\n");
    const Outcome both = run_command("bash " + (scratch / "both.sh").string());
    INFO(both.text() << read_text(log));
    CHECK(both.status == 4);
    const std::string lock = read_text(scratch / "lock");
    const std::string process =
        lock.substr(lock.find("process ") + 8, lock.find("\njob") - lock.find("process ") - 8);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    CHECK_THAT(both.err, ContainsSubstring(run + ": another job works in this folder: host " + host +
                                           ", process " + process + ", Slurm job 17, since 2"));
    CHECK_THAT(read_text(log), ContainsSubstring("stopped by a signal"));
    CHECK_FALSE(fs::exists(scratch / "run" / ".divs-lock"));
}

TEST_CASE("what a job left that was killed with all its ranks does not block the next") {
    const Scratch scratch;
    const std::string file = config(scratch), run = (scratch / "run").string();
    run_command("bash -c 'set -m; " + divs_command("train " + file, 2) + " --throttle 0=20 & until ls " +
                run + "/step-* >/dev/null 2>&1; do sleep 0.05; done; kill -9 -- -$! $(pgrep -P $!); wait'");
    REQUIRE(fs::exists(scratch / "run" / ".divs-lock"));
    const Outcome again = divs::test::divs("train " + file, 2);
    INFO(again.text());
    CHECK(again.status == 0);
    CHECK_THAT(again.err, ContainsSubstring("resuming from") && !ContainsSubstring("watching"));
}

TEST_CASE("what a dead job of another host left is waited out") {
    const Scratch scratch;
    const std::string file = config(scratch);
    fs::create_directory(scratch / "run");
    write_text(
        scratch / "run" / ".divs-lock",
        "token 1\nhost elsewhere\nboot 2\nprocess 3\njob \nattempt \nstarted 2039-01-01T00:00:00Z\nbeat 4\n");
    const Outcome outcome = divs::test::divs("train " + file, 2);
    INFO(outcome.text());
    CHECK(outcome.status == 0);
    CHECK_THAT(outcome.err, ContainsSubstring("host elsewhere, process 3") && ContainsSubstring("watching"));
}

TEST_CASE("a read-only or full checkpoint folder is told before training, and keeps what it has") {
    if (!may_mount()) return;
    const Scratch scratch;
    const std::string file = config(scratch), run = (scratch / "run").string();
    REQUIRE(divs::test::divs("train " + file + " --set train.epochs=1").status == 0);
    const fs::path saved = train::list_checkpoints(run).front().second;
    const std::string bytes = read_text(saved);
    const std::string read_only =
        "mount --bind " + run + " " + run + " && mount -o remount,bind,ro " + run + " && ";
    for (const int ranks : {0, 2}) {
        const Outcome outcome = in_own_mounts(read_only + divs_command("train " + file, ranks));
        INFO(outcome.text());
        CHECK(outcome.status == 4);
        CHECK_THAT(outcome.err, ContainsSubstring(run) && ContainsSubstring("Read-only file system") &&
                                    !ContainsSubstring("epoch 2"));
    }
    const std::string full = "mount -t tmpfs -o size=600k none " + run + " && ";
    const Outcome outcome = in_own_mounts(full + divs_command("train " + file, 2));
    INFO(outcome.text());
    CHECK(outcome.status == 4);
    CHECK_THAT(outcome.err, ContainsSubstring(run + ": too little room: ") && ContainsSubstring("expected") &&
                                !ContainsSubstring("epoch 1"));
    CHECK(read_text(saved) == bytes);
    CHECK(divs::test::divs("train " + file).status == 0);
}

TEST_CASE("ranks of different revisions are refused, with hosts and versions of both") {
    const Scratch scratch;
    const std::string file = config(scratch), mine = test::revision_of(DIVS_PROGRAM);
    const std::string other = test::write_other_revision(scratch / "divs");
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    for (const std::string command : {"train", "eval"}) {
        const Outcome outcome = run_command(divs_command(command + " " + file, 1) + " : -n 2 " +
                                            (scratch / "divs").string() + " " + command + " " + file);
        INFO(outcome.text());
        CHECK(outcome.status == 5);
        CHECK_THAT(outcome.err, ContainsSubstring("the ranks run different programs") &&
                                    ContainsSubstring(std::string(host) + " (rank 0) has") &&
                                    ContainsSubstring("revision " + mine) &&
                                    ContainsSubstring(std::string(host) + " (rank 1) has") &&
                                    ContainsSubstring("(rank 2) has") &&
                                    ContainsSubstring("revision " + other));
        CHECK_FALSE(fs::exists(scratch / "run" / ".divs-lock"));
    }
}
