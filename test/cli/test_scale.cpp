// `divs bench scale` starts real jobs and reads what they say of themselves; jobs/plot_scaling.py draws it.
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using namespace divs::test;
using Json = nlohmann::json;

namespace {

constexpr int clips = 48;  // 6 training videos of 16 frames, every second one starts a clip

std::filesystem::path write_job(const Scratch& scratch) {
    make_small_dataset(scratch / "data", {.videos = 8, .frames = 16, .val_videos = 2});
    const auto file = scratch / "run.toml";
    write_text(file,
               "[data]\ndataset = \"data\"\n[clip]\nhop = 2\n[model]\nheight = 24\nwidth = 32\n"
               "[train]\nbatch = 12\n");
    return file;
}

Json run_of(const Json& report, const std::string& mode, int ranks) {
    for (const Json& run : report["runs"])
        if (run["mode"] == mode && run["ranks"] == ranks) return run;
    FAIL("no run " << mode << " of " << ranks);
    return {};
}

}  // namespace

TEST_CASE("scaling is measured on jobs of several rank counts, and drawn") {
    const Scratch scratch;
    const auto config = write_job(scratch);
    const auto folder = scratch / "kept";
    const std::string command =
        "bench scale " + config.string() + " --ranks 2,1 --epochs 2 --folder " + folder.string() + " --json ";
    const auto file = scratch / "scale.json";
    const Outcome first = divs::test::divs(command + file.string(), 0, 600);
    INFO(first.text());
    REQUIRE(first.status == 0);
    CHECK(first.out.find("efficiency") != std::string::npos);

    const Json report = Json::parse(read_text(file));
    CHECK(report["benchmark"] == "scale");
    CHECK(report["configuration"].get<std::string>().find("batch = 12") != std::string::npos);
    CHECK(report["versions"].contains("MPI"));
    REQUIRE(report["runs"].size() == 4);
    CHECK(run_of(report, "strong", 2)["batch"] == 12);
    CHECK(run_of(report, "strong", 1)["batch"] == 12);
    CHECK(run_of(report, "weak", 2)["batch"] == 12);
    CHECK(run_of(report, "weak", 1)["batch"] == 6);
    for (const Json& run : report["runs"]) {
        const Json& f = run["median"];
        INFO(run.dump());
        // The parts are those of the ranks' time, and rate x step = what a step holds.
        const double parts = f["compute"].get<double>() + f["optimise"].get<double>() +
                             f["exposed"].get<double>() + f["waiting"].get<double>() +
                             f["rest"].get<double>();
        CHECK(parts == Approx(1).margin(0.02));
        const double in_a_step = f["samples_per_s"].get<double>() * f["step_s"].get<double>();
        CHECK(in_a_step == Approx(run["batch"].get<double>()).epsilon(1e-6));
        CHECK(f["memory_bytes"].get<double>() > 10e6);
        const bool alone = run["ranks"] == 1;
        CHECK((f["exposed"].get<double>() == 0) == alone);
        CHECK((f["cluster_bytes"].get<double>() + f["edge_bytes"].get<double>() == 0) == alone);
    }

    SECTION("what was measured is not measured again, but under other settings it is") {
        const Outcome again = divs::test::divs(command + "-", 0, 600);
        INFO(again.text());
        REQUIRE(again.status == 0);
        CHECK(Json::parse(again.out)["runs"] == report["runs"]);
        CHECK(again.err.find("measured before") != std::string::npos);
        const Outcome other =
            divs::test::divs(command + "- --mode strong --set optimizer.learning_rate=0.01", 0, 600);
        INFO(other.text());
        REQUIRE(other.status == 0);
        CHECK(other.err.find("measured before") == std::string::npos);
    }
    SECTION("the plots") {
        const std::string plot = std::string(DIVS_SOURCE) + "/jobs/plot_scaling.py";
        const auto out = scratch / "plots";
        const Outcome drawn = run_command("python3 " + plot + " " + file.string() + " --out " + out.string());
        INFO(drawn.text());
        REQUIRE(drawn.status == 0);
        for (const char* name : {"efficiency", "throughput", "breakdown"}) {
            CHECK(read_text(out / (name + std::string(".png"))).starts_with("\x89PNG"));
            CHECK(read_text(out / (name + std::string(".svg"))).find("</svg>") != std::string::npos);
        }
        const std::string page = read_text(out / "scaling.html");
        CHECK(page.find("data:image/png;base64,") != std::string::npos);
        CHECK(page.find("batch = 12") != std::string::npos);
        CHECK(page.find("http") == std::string::npos);  // nothing comes from elsewhere
        write_text(scratch / "no.json", "{\"benchmark\": \"step\"}");
        const Outcome other = run_command("python3 " + plot + " " + (scratch / "no.json").string());
        CHECK(other.status != 0);
        CHECK(other.err.find("expected the JSON of `divs bench scale`") != std::string::npos);
    }
}

TEST_CASE("independent jobs side by side") {
    const Scratch scratch;
    const auto config = write_job(scratch);
    const Outcome outcome = divs::test::divs(
        "bench scale " + config.string() + " --mode weak --apart --ranks 1 --epochs 1 --json -", 0, 300);
    INFO(outcome.text());
    REQUIRE(outcome.status == 0);
    const Json report = Json::parse(outcome.out);
    REQUIRE(report["runs"].size() == 2);
    const double job = run_of(report, "weak", 1)["median"]["samples_per_s"];
    const double apart = run_of(report, "apart", 1)["median"]["samples_per_s"];
    CHECK(report["figures"].back()["name"] == "scale.against_apart.ranks1");
    CHECK(report["figures"].back()["value"].get<double>() == Approx(job / apart));
}

TEST_CASE("a scaling benchmark that cannot run says why") {
    const Scratch scratch;
    const auto config = write_job(scratch).string();
    const auto fails = [](const std::string& arguments, const std::string& words) {
        const Outcome outcome = divs::test::divs("bench scale " + arguments, 0, 120);
        INFO(arguments << "\n" << outcome.text());
        CHECK(outcome.status != 0);
        CHECK(outcome.err.find(words) != std::string::npos);
    };
    fails((scratch / "none.toml").string(), "expected a configuration");
    fails(config + " --ranks 0", "--ranks");
    fails(config + " --apart --mode strong", "expected weak or both");
    fails(config + " --apart --ranks 100000", "cores");
    fails(config + " --set train.epoch=3", "epochs");  // a typo, with the near key
    fails(config + " --ranks 1 --launcher no-such-launcher", "no-such-launcher: cannot be started");
    fails(config + " --ranks 1 --launcher false", "ended with code 1");
    fails(config + " --ranks 1 --set model.name=unknown", "its last words");
    write_text(scratch / "slow.sh", "exec sleep 50\n");
    fails(config + " --ranks 1 --timeout 1 --launcher \"sh " + (scratch / "slow.sh").string() + "\"",
          "did not end within 1 s");
    const Outcome launched = divs::test::divs("bench scale " + config, 2);
    CHECK(launched.status != 0);
    CHECK(launched.err.find("expected one") != std::string::npos);
}

TEST_CASE("a signal ends the benchmark and its runs") {
    const Scratch scratch;
    const auto config = write_job(scratch).string();
    const std::string command =
        divs_command("bench scale " + config + " --ranks 1,2 --mode strong --epochs 100000 --folder " +
                     (scratch / "kept").string());
    const Outcome outcome = run_command("timeout --foreground --signal=USR1 6 " + command, 60);
    INFO(outcome.text());
    CHECK(outcome.err.find("stopped by a signal") != std::string::npos);
    const Outcome left = run_command("pgrep -af '" + (scratch / "[k]ept").string() + "' || true");
    INFO(left.text());
    CHECK(left.out.empty());
}
