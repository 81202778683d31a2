// divs doctor on what is really wrong: folders, launches, cores, data, programs. Each is found, told with
// what to do, and only errors fail.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "divs/core/build_info.hpp"
#include "support/catch.hpp"
#include "support/other_revision.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace divs;
using namespace divs::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const std::string quick = " --megabytes 2";

std::string config(const Scratch& scratch, const std::string& more = "") {
    make_small_dataset(scratch / "data", {.videos = 4, .frames = 16, .val_videos = 1});
    write_text(scratch / "run.toml",
               "[data]\ndataset = \"data\"\n[model]\nheight = 24\nwidth = 32\nthreads = 1\n[train]\nfolder = "
               "\"run\"\n" +
                   more);
    return (scratch / "run.toml").string();
}

struct Diagnosis {
    Outcome outcome;
    json found;

    explicit Diagnosis(Outcome o) : outcome(std::move(o)) {
        found = json::parse(outcome.out, nullptr, false);
    }

    // The text of the finding; empty where there is none.
    std::string text(const std::string& level, const std::string& topic) const {
        for (const json& finding : found.at("findings"))
            if (finding.at("level") == level && finding.at("topic") == topic) {
                CHECK(finding.at("advice").get<std::string>().empty() == (level == "ok"));
                return finding.at("text");
            }
        return "";
    }
};

Diagnosis doctor(const std::string& arguments, int ranks = 0) {
    return Diagnosis(divs::test::divs("doctor --json" + quick + " " + arguments, ranks));
}

// Rank 0 as it is; rank 1 after shell commands that change what it sees.
Diagnosis doctor_with_other(const std::string& arguments, const std::string& changes) {
    const std::string command = "doctor --json" + quick + " " + arguments;
    const Scratch scratch;
    write_text(scratch / "other", changes + "\nexec " + DIVS_PROGRAM + " " + command + "\n");
    return Diagnosis(
        run_command(divs_command(command, 1) + " : -n 1 unshare -m bash -e " + (scratch / "other").string()));
}

bool may_mount() {
    if (geteuid() == 0 && run_command("unshare -m true").status == 0) return true;
    WARN("cannot mount here: skipped");
    return false;
}

}  // namespace

TEST_CASE("doctor: a machine that is well, alone and on several ranks, in words and as JSON") {
    const Scratch scratch;
    const std::string file = config(scratch);
    for (const int ranks : {0, 1, 2, 4}) {
        const Diagnosis d = doctor(file, ranks);
        INFO(d.outcome.text());
        CHECK(d.outcome.status == 0);
        REQUIRE(d.found.is_object());
        CHECK(d.found["errors"] == 0);
        CHECK(d.found["ranks"] == std::max(1, ranks));
        CHECK(d.found["hosts"].size() == static_cast<std::size_t>(std::max(1, ranks)));
        for (const char* topic :
             {"program", "MPI", "launcher", "decoders", "hardware decoding", "decode rate",
              "checkpoint folder", "HDF5 locking", "room", "disk rate", "data", "allreduce"})
            CHECK(d.text("ok", topic) != "");
        CHECK_THAT(d.text("ok", "MPI"), ContainsSubstring("MPI"));
        CHECK_THAT(d.text("ok", "data"), ContainsSubstring("4 files, 2 classes, h264"));
        CHECK((d.text("ok", "clocks") != "") == (ranks > 1));
        CHECK((d.text("ok", "shared folder") != "") == (ranks > 1));
        const json& figures = d.found["figures"];
        CHECK(figures["decode_frames_per_s_per_core"] > 1.0);
        CHECK(figures["disk_write_mb_per_s"] > 0.1);
        if (ranks > 1) CHECK(figures["allreduce_bus_gb_per_s"] > 1e-4);
        if (ranks > 1)
            CHECK_THAT(d.text("ok", "launcher"), ContainsSubstring("mpirun") && ContainsSubstring("PMIx"));
        const int threads = std::max(1, ranks);
        CHECK((d.text("warning", "cores") != "") == (threads > usable_cores()));
    }
    const Outcome words = divs::test::divs("doctor" + quick + " --folder " + scratch.path().string(), 2);
    CHECK(words.status == 0);
    CHECK_THAT(words.out,
               ContainsSubstring("ok       checkpoint folder") && ContainsSubstring("2 ranks, 0 errors"));
    std::set<std::string> left;
    for (const auto& entry : fs::directory_iterator(scratch.path()))
        left.insert(entry.path().filename().string());
    CHECK(left == std::set<std::string>{"data", "run.toml"});
}

TEST_CASE("doctor: more threads than cores, and a launch whose processes stay alone") {
    const Scratch scratch;
    const std::string file = config(scratch);
    const Diagnosis crowd = doctor(file + " --set model.threads=64", 2);
    CHECK(crowd.outcome.status == 0);
    CHECK_THAT(crowd.text("warning", "cores"), ContainsSubstring("128 compute threads of 2 ranks"));
    const Diagnosis alone(
        run_command("env SLURM_STEP_NUM_TASKS=4 " + divs_command("doctor --json" + quick + " " + file)));
    CHECK(alone.outcome.status == 1);
    CHECK_THAT(alone.text("error", "launcher"), ContainsSubstring("srun started 4 processes"));
    CHECK_THAT(alone.outcome.err, ContainsSubstring("error(s) found"));
    if (usable_cores() < 2) return;
    const Diagnosis tied(
        run_command("taskset -c 0 " + divs_command("doctor --json" + quick + " " + file, 2)));
    CHECK_THAT(tied.text("warning", "binding"), ContainsSubstring("core 0 only"));
}

TEST_CASE("doctor: a checkpoint folder that is read-only, in use, or too small") {
    const Scratch scratch;
    const std::string file = config(scratch), run = (scratch / "run").string();
    fs::create_directory(run);
    write_text(run + "/.divs-lock",
               "token 1\nhost elsewhere\nboot 2\nprocess 3\nstarted 2039-01-01T00:00:00Z\nbeat 4\n");
    const Diagnosis used = doctor(file);
    CHECK(used.outcome.status == 0);
    CHECK_THAT(used.text("warning", "checkpoint folder"),
               ContainsSubstring("in use: host elsewhere, process 3"));
    if (!may_mount()) return;
    const std::string command = divs_command("doctor --json" + quick + " " + file, 2) + "'";
    const Diagnosis fixed(
        run_command("unshare -m bash -c 'mount -t tmpfs -o ro none " + run + " && " + command));
    CHECK(fixed.outcome.status == 1);
    CHECK_THAT(fixed.text("error", "checkpoint folder"),
               ContainsSubstring(run) && ContainsSubstring("Read-only file system"));
    const Diagnosis small(
        run_command("unshare -m bash -c 'mount -t tmpfs -o size=64k none " + run + " && " + command));
    CHECK(small.outcome.status == 1);
    CHECK_THAT(small.text("error", "room"), ContainsSubstring("a checkpoint takes"));
    CHECK_THAT(small.text("error", "disk rate"), ContainsSubstring("No space left"));
}

TEST_CASE("doctor: folders that only some ranks see, against scheduler.storage") {
    if (!may_mount()) return;
    const Scratch scratch;
    const std::string file = config(scratch), run = (scratch / "run").string(),
                      data = (scratch / "data").string();
    fs::create_directory(run);
    const Diagnosis own_run = doctor_with_other(file, "mount -t tmpfs none " + run);
    INFO(own_run.outcome.text());
    CHECK(own_run.outcome.status == 0);
    CHECK_THAT(own_run.text("warning", "shared folder"), ContainsSubstring("rank 1 does not see"));

    const std::string lose =
        "mount --bind " + data + " " + data + "\nmount --bind /dev/null " + data + "/v2.mp4";
    const std::string hide = "cp -a " + data + " " + data + ".other\nrm " + data +
                             ".other/v2.mp4\nmount --bind " + data + ".other " + data;
    const Diagnosis missing = doctor_with_other(file, hide);
    CHECK(missing.outcome.status == 1);
    CHECK_THAT(missing.text("error", "data"),
               ContainsSubstring("rank 1") && ContainsSubstring("1 of 4 files, v2.mp4"));
    fs::remove_all(data + ".other");
    const Diagnosis shorter = doctor_with_other(file, lose);
    CHECK(shorter.outcome.status == 1);
    CHECK_THAT(shorter.text("error", "data"), ContainsSubstring("another v2.mp4"));

    const std::string local = file + " --set scheduler.storage=local";
    const Diagnosis spread = doctor_with_other(local, hide);
    CHECK(spread.outcome.status == 0);
    CHECK(spread.text("error", "data") == "");
    CHECK(spread.text("warning", "data") == "");
    fs::remove_all(data + ".other");
    const Diagnosis same = doctor(local, 2);
    CHECK(same.outcome.status == 0);
    CHECK_THAT(same.text("warning", "data"), ContainsSubstring("all ranks see the same files"));
    fs::remove(scratch / "data" / "v2.mp4");
    // What nobody has is left out of training, and said once; nothing to train on is an error.
    for (const std::string& storage : {file, local}) {
        const Diagnosis lost = doctor(storage, 2);
        CHECK(lost.outcome.status == 0);
        CHECK_THAT(lost.text("warning", "data"), ContainsSubstring("1 of 4 files are nowhere, v2.mp4"));
    }
    for (const int video : {0, 1, 3}) fs::remove(scratch / "data" / ("v" + std::to_string(video) + ".mp4"));
    const Diagnosis none = doctor(file, 2);
    CHECK(none.outcome.status == 1);
    CHECK_THAT(none.text("error", "data"), ContainsSubstring("4 of 4 files are nowhere"));
}

TEST_CASE("doctor: a model that cannot be made is an error in the words of training") {
    const Scratch scratch;
    const std::string file = config(scratch);
    CHECK_THAT(doctor(file).text("ok", "model"), ContainsSubstring("tiny: "));
    const auto other = (scratch / "other.h5").string();
    REQUIRE(divs::test::divs("export fresh:resnet18 " + other + " --size 32 --classes 2").status == 0);
    const std::vector<std::string> broken{
        "model.name=nope",       "model.name=alexnet",      "model.init=nope.h5", "model.init=" + other,
        "model.file=nope.model", "model.freeze=[\"nope\"]", "data.decode=gpu"};
    for (const std::string& bad : broken) {
        const std::string setting = " --set '" + bad + "'";
        INFO(bad);
        const Diagnosis diagnosis = doctor(file + setting);
        CHECK(diagnosis.outcome.status == 1);
        const std::string words = diagnosis.text("error", "model");
        REQUIRE_FALSE(words.empty());
        const auto trained = divs::test::divs("train " + file + setting);
        CHECK(trained.status != 0);
        CHECK_THAT(trained.err, ContainsSubstring(words));
    }
}

TEST_CASE("doctor: data that cannot be read, and locks that are not kept") {
    const Scratch scratch;
    const std::string file = config(scratch);
    for (int video = 0; video < 4; ++video)
        write_text(scratch / "data" / ("v" + std::to_string(video) + ".mp4"), "no video\n");
    const Diagnosis broken = doctor(file);
    CHECK(broken.outcome.status == 0);
    CHECK_THAT(broken.text("warning", "data"), ContainsSubstring("v"));
    fs::remove(scratch / "data" / "labels.tsv");
    const Diagnosis nothing = doctor(file);
    CHECK(nothing.outcome.status == 1);
    CHECK_THAT(nothing.text("error", "data"), ContainsSubstring((scratch / "data").string()));
    const Diagnosis unlocked(
        run_command("env HDF5_USE_FILE_LOCKING=FALSE " +
                    divs_command("doctor --json" + quick + " --folder " + scratch.path().string())));
    CHECK(unlocked.outcome.status == 0);
    CHECK_THAT(unlocked.text("warning", "HDF5 locking"), ContainsSubstring("locks are not kept"));
    CHECK(divs::test::divs("doctor " + file + " --set model.thread=1").status == 2);
}

TEST_CASE("doctor: ranks of different revisions are an error that is told, not a crash") {
    const Scratch scratch;
    const std::string mine = test::revision_of(DIVS_PROGRAM), other = test::write_other_revision(scratch / "divs");
    const std::string arguments = " doctor --json" + quick + " --folder " + scratch.path().string();
    const Diagnosis d(
        run_command(divs_command(arguments, 1) + " : -n 1 " + (scratch / "divs").string() + arguments));
    INFO(d.outcome.text());
    CHECK(d.outcome.status == 1);
    CHECK_THAT(d.text("error", "program"),
               ContainsSubstring("(rank 0) has") && ContainsSubstring("revision " + mine) &&
                   ContainsSubstring("(rank 1) has") && ContainsSubstring("revision " + other));
}

TEST_CASE("doctor: GPUs that ranks share, and a backend that is not there") {
    const Scratch scratch;
    const std::string file = config(scratch);
    fs::create_symlink(DIVS_TWO_GPUS, scratch / "libcuda.so.1");
    const Diagnosis shared(run_command("env LD_LIBRARY_PATH=" + scratch.path().string() +
                                       " DIVS_PLUGINS=" + scratch.path().string() + " " +
                                       divs_command("doctor --json" + quick + " " + file, 4)));
    INFO(shared.outcome.text());
    CHECK_THAT(shared.text("ok", "GPU"), ContainsSubstring("2 x Example GPU (80 GiB), driver for CUDA 13.0"));
    CHECK_THAT(shared.text("warning", "GPU sharing"), ContainsSubstring("4 ranks share 2 GPU(s)"));
    const Diagnosis none(
        run_command("env DIVS_PLUGINS=" + scratch.path().string() + " " +
                    divs_command("doctor --json" + quick + " " + file + " --set model.backend=cuda")));
    if (none.text("ok", "GPU").empty()) {  // as on a machine without a driver
        CHECK(none.outcome.status == 1);
        CHECK_THAT(none.text("error", "GPU"), ContainsSubstring("no NVIDIA driver"));
        CHECK(none.text("error", "CUDA backend") != "");
    }
}
