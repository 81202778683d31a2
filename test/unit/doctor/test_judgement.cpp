// What the doctor says of facts that this machine does not have.
#include <algorithm>

#include "checks.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::doctor;
using Catch::Matchers::ContainsSubstring;

namespace {

const Finding* find(const std::vector<Finding>& findings, Level level, const std::string& topic) {
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& f) { return f.level == level && f.topic == topic; });
    return found == findings.end() ? nullptr : &*found;
}

bool all_well(const std::vector<Finding>& findings) {
    return std::all_of(findings.begin(), findings.end(),
                       [](const Finding& f) { return f.level == Level::ok; });
}

// Every finding that is not ok says what to do.
void check_advice(const std::vector<Finding>& findings) {
    for (const Finding& f : findings) CHECK(f.advice.empty() == (f.level == Level::ok));
}

std::vector<int> cores(int from, int count) {
    std::vector<int> list;
    for (int i = 0; i < count; ++i) list.push_back(from + i);
    return list;
}

}  // namespace

TEST_CASE("numbers in a row are told as ranges") {
    CHECK(ranges_text({}) == "");
    CHECK(ranges_text({3}) == "3");
    CHECK(ranges_text({5, 0, 1, 2}) == "0-2,5");
    CHECK(ranges_text({0, 2, 3}) == "0,2-3");
}

TEST_CASE("cores: ranks with cores of their own, and unbound ranks that share them fairly, are well") {
    const std::vector<RankCores> bound{
        {0, "a", cores(0, 4), 4, 8}, {1, "a", cores(4, 4), 4, 8}, {2, "b", cores(0, 8), 8, 8}};
    CHECK(all_well(judge_cores(bound)));
    const std::vector<RankCores> unbound{{0, "a", cores(0, 8), 4, 8}, {1, "a", cores(0, 8), 4, 8}};
    CHECK(all_well(judge_cores(unbound)));
    CHECK_THAT(judge_cores(unbound)[0].text, ContainsSubstring("share core 0-7"));
}

TEST_CASE("cores: ranks that are bound to one core while others idle") {
    const std::vector<RankCores> ranks{{0, "a", {0}, 1, 8}, {1, "a", {0}, 1, 8}};
    const auto found = judge_cores(ranks);
    const Finding* binding = find(found, Level::warning, "binding");
    REQUIRE(binding);
    CHECK_THAT(binding->text, ContainsSubstring("rank 0-1") && ContainsSubstring("core 0 only") &&
                                  ContainsSubstring("7 cores of the machine stay idle"));
    CHECK_THAT(binding->advice, ContainsSubstring("--cpus-per-task"));
    check_advice(found);
}

TEST_CASE("cores: more threads than cores, on the host and for one rank") {
    const std::vector<RankCores> crowd{{0, "a", cores(0, 4), 4, 4}, {1, "a", cores(0, 4), 4, 4}};
    REQUIRE(find(judge_cores(crowd), Level::warning, "cores"));
    CHECK_THAT(find(judge_cores(crowd), Level::warning, "cores")->text,
               ContainsSubstring("8 compute threads of 2 ranks on 4"));
    const std::vector<RankCores> narrow{{0, "a", {0}, 4, 8}, {1, "a", cores(1, 7), 1, 8}};
    const auto found = judge_cores(narrow);
    REQUIRE(find(found, Level::warning, "binding"));
    CHECK_THAT(find(found, Level::warning, "binding")->text, ContainsSubstring("rank 0 has more threads"));
    const std::vector<RankCores> contained{{0, "a", cores(0, 8), 8, 8, 2}};
    REQUIRE(find(judge_cores(contained), Level::warning, "cores"));
    CHECK_THAT(find(judge_cores(contained), Level::warning, "cores")->text,
               ContainsSubstring("grants 2.0 cores"));
    check_advice(found);
}

TEST_CASE("launch: a launcher whose processes do not find each other") {
    CHECK(all_well(judge_launch({}, 1)));
    CHECK(all_well(judge_launch({{"OMPI_COMM_WORLD_SIZE", "4"}, {"PMIX_RANK", "0"}}, 4)));
    CHECK_THAT(
        judge_launch({{"SLURM_STEP_NUM_TASKS", "4"}, {"PMIX_RANK", "0"}, {"SLURM_JOB_ID", "17"}}, 4)[0].text,
        ContainsSubstring("srun, 4 ranks, through PMIx, in Slurm job 17"));
    const auto srun = judge_launch({{"SLURM_STEP_NUM_TASKS", "4"}}, 1);
    REQUIRE(find(srun, Level::error, "launcher"));
    CHECK_THAT(srun[0].advice, ContainsSubstring("--mpi=pmix"));
    const auto mpirun = judge_launch({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}, 1);
    REQUIRE(find(mpirun, Level::error, "launcher"));
    CHECK_THAT(mpirun[0].advice, ContainsSubstring("mpirun that belongs to"));
    // mpirun inside a step of one task.
    CHECK(all_well(judge_launch({{"SLURM_STEP_NUM_TASKS", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, 2)));
}

TEST_CASE("GPUs: none, unseen, shared, and a program that cannot use them") {
    RankGpus none{0, "a"};
    none.absence = "libcuda.so.1: no such file";
    none.plugin_fault = "no plugin";
    CHECK(all_well(judge_gpus(std::vector{none}, false)));
    CHECK(find(judge_gpus(std::vector{none}, true), Level::error, "GPU"));
    CHECK(find(judge_gpus(std::vector{none}, true), Level::error, "CUDA backend"));

    RankGpus one{0, "a"}, other{1, "a"};
    one.driver = other.driver = 13000;
    one.gpus = other.gpus = {{"H100", "01", 80}};
    one.cudnn = other.cudnn = "9.19.0";
    one.plugin = other.plugin = "cuDNN 9.19";
    const auto shared = judge_gpus(std::vector{one, other}, true);
    REQUIRE(find(shared, Level::warning, "GPU sharing"));
    CHECK_THAT(find(shared, Level::warning, "GPU sharing")->text, ContainsSubstring("2 ranks share 1 GPU"));
    CHECK_THAT(shared[0].text, ContainsSubstring("1 x H100 (80 GiB), driver for CUDA 13.0"));
    check_advice(shared);
    other.gpus = {{"H100", "02", 80}};
    CHECK(all_well(judge_gpus(std::vector{one, other}, true)));
    other.gpus.clear();
    other.visible = "7";
    const auto blind = judge_gpus(std::vector{one, other}, true);
    REQUIRE(find(blind, Level::error, "GPU"));
    CHECK_THAT(find(blind, Level::error, "GPU")->text, ContainsSubstring("rank 1 sees no GPU"));
    one.plugin.clear();
    one.plugin_fault = "libdivs_cuda.so is for another version";
    const auto useless = judge_gpus(std::vector{one}, false);
    REQUIRE(find(useless, Level::warning, "CUDA backend"));
    CHECK_THAT(find(useless, Level::warning, "CUDA backend")->text, ContainsSubstring("another version"));
    check_advice(useless);
}

TEST_CASE("codecs: what FFmpeg was built without") {
    video::LibraryInfo library;
    library.version = "5.1";
    library.decoders = {"h264", "hevc", "mpeg4", "mjpeg"};
    CHECK(all_well(judge_codecs(library, {})));
    library.decoders = {"h264", "mpeg4", "mjpeg"};
    REQUIRE(find(judge_codecs(library, {}), Level::warning, "decoders"));
    CHECK_THAT(judge_codecs(library, {})[0].text, ContainsSubstring("without: hevc"));
    library.decoders = {"mpeg4", "mjpeg"};
    REQUIRE(find(judge_codecs(library, {}), Level::error, "decoders"));
    CHECK_THAT(judge_codecs(library, {})[0].text, ContainsSubstring("without: h264, hevc"));
    library.hardware = {"cuda", "vaapi"};
    const std::vector<std::string> usable{"vaapi"};
    CHECK_THAT(judge_codecs(library, usable)[1].text,
               ContainsSubstring("usable here: vaapi (built in: cuda, vaapi)"));
}

TEST_CASE("clocks: minutes apart, either way, are told once a host") {
    const std::vector<std::string> hosts{"a", "b", "b", "c"};
    std::vector<comm::ClockOffset> clocks{{}, {1e6, -0.002, 1e-4}, {1e6, 0.002, 1e-4}, {0, 0.5, 1e-4}};
    CHECK(all_well(judge_clocks(clocks, hosts)));  // other starts of the steady clock are no fault
    clocks = {{}, {0, -300, 1e-4}, {0, -300, 1e-4}, {0, 120, 1e-4}};
    const auto found = judge_clocks(clocks, hosts);
    REQUIRE(found.size() == 2);
    CHECK_THAT(found[0].text, ContainsSubstring("b (rank 1) is 5 min 00 s ahead of that of a"));
    CHECK_THAT(found[1].text, ContainsSubstring("c (rank 3) is 2 min 00 s behind"));
    check_advice(found);
}

TEST_CASE("the text and the JSON of a diagnosis say the same") {
    Diagnosis diagnosis;
    diagnosis.hosts = {"a", "a", "b"};
    diagnosis.findings = {{Level::ok, "MPI", "Open MPI", "", {0, 1, 2}},
                          {Level::error, "data", "not there", "mount it", {1, 2}}};
    CHECK(diagnosis.count(Level::error) == 1);
    CHECK_THAT(diagnosis.text(), ContainsSubstring("not there (rank 1-2)") &&
                                     ContainsSubstring("-> mount it") &&
                                     ContainsSubstring("3 ranks, 1 error, 0 warnings"));
    const auto json = nlohmann::json::parse(diagnosis.json());
    CHECK(json["errors"] == 1);
    CHECK(json["findings"][1]["ranks"] == std::vector<int>{1, 2});
    CHECK(json["findings"][1]["advice"] == "mount it");
}
