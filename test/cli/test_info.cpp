// divs info, against what the libraries' own tools say.
#include <nlohmann/json.hpp>

#include "support/catch.hpp"
#include "support/process.hpp"

using namespace divs::test;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string output_of(const std::string& command) {
    const Outcome outcome = run_command(command);
    INFO(command << outcome.text());
    REQUIRE(outcome.status == 0);
    return outcome.out;
}

}  // namespace

TEST_CASE("info names the versions that the libraries' own tools name") {
    const auto info = nlohmann::json::parse(output_of(std::string(DIVS_PROGRAM) + " info --json"));
    const auto& libraries = info.at("libraries");
    CHECK_THAT(output_of("ffmpeg -version"), ContainsSubstring(libraries.at("FFmpeg").get<std::string>()));
    CHECK_THAT(output_of("h5dump --version"), ContainsSubstring(libraries.at("HDF5").get<std::string>()));
    const std::string mpirun = output_of("mpirun --version");  // mpirun (Open MPI) 4.1.4
    const std::string version = mpirun.substr(0, mpirun.find('\n')).substr(mpirun.find(") ") + 2);
    CHECK_THAT(libraries.at("MPI").get<std::string>(), ContainsSubstring(version));
    const std::string decoders = output_of("ffmpeg -hide_banner -decoders");
    CHECK_FALSE(info.at("video").at("decoders").empty());
    for (const auto& name : info.at("video").at("decoders"))
        CHECK_THAT(decoders, ContainsSubstring(" " + name.get<std::string>() + " "));
    CHECK_THAT(info.at("backends").at("cpu").get<std::string>(), ContainsSubstring("oneDNN"));

    const std::string text = output_of(std::string(DIVS_PROGRAM) + " info");
    for (const auto& [name, value] : libraries.items())
        CHECK_THAT(text, ContainsSubstring(name) && ContainsSubstring(value.get<std::string>()));
    const std::string revision = info.at("divs").at("revision");
    CHECK_THAT(output_of(std::string(DIVS_PROGRAM) + " --version"), ContainsSubstring(revision));
}

TEST_CASE("a mistyped command is named, with the one that was meant") {
    const Outcome typo = run_command(std::string(DIVS_PROGRAM) + " trian run.toml");
    CHECK(typo.status == 2);
    CHECK_THAT(typo.err, ContainsSubstring("\"trian\" is no command, did you mean \"train\"?"));
    const Outcome other = run_command(std::string(DIVS_PROGRAM) + " frobnicate");
    CHECK(other.status == 2);
    CHECK_THAT(other.err, ContainsSubstring("\"frobnicate\" is no command; divs --help"));
    CHECK(run_command(DIVS_PROGRAM).status == 2);
}
