#include <set>
#include <sstream>

#include "divs/core/error.hpp"
#include "divs/train/settings.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using Catch::Matchers::ContainsSubstring;

namespace {

train::Settings settings_of(const std::string& text) {
    Config config = Config::from_text("[data]\ndataset = \"videos\"\n" + text, "job.toml");
    train::Settings settings = train::read_settings(config);
    config.finish();
    return settings;
}

}  // namespace

TEST_CASE("what a GPU computes in, and whose convolutions it runs, are settings") {
    const train::Settings plain = settings_of("");
    CHECK(plain.model.precision == nn::Precision::float32);
    CHECK(plain.model.conv == nn::ConvChoice::automatic);
    const train::Settings chosen = settings_of("[model]\nprecision = \"bfloat16\"\nconv = \"divs\"\n");
    CHECK(chosen.model.precision == nn::Precision::bfloat16);
    CHECK(chosen.model.conv == nn::ConvChoice::divs);
    CHECK(settings_of("[model]\nprecision = \"tf32\"\nconv = \"cudnn\"\n").model.conv == nn::ConvChoice::cudnn);
    CHECK_THROWS_WITH(settings_of("[model]\nprecision = \"bfloat\"\n"),
                      ContainsSubstring("model.precision") && ContainsSubstring("bfloat16"));
    CHECK_THROWS_AS(nn::conv_choice_of("cuDNN"), ConfigError);
}

TEST_CASE("the reference lists every key, at its default") {
    const auto in_force = [](Config config) {
        train::read_settings(config);
        config.finish();
        return config.effective();
    };
    const auto reference = in_force(Config(std::filesystem::path(DIVS_SOURCE) / "jobs" / "reference.toml"));
    auto defaults = in_force(Config::from_text("[data]\ndataset = \"videos\"\n"));
    for (const auto& [key, value] : defaults) {
        INFO(key << " = " << value);
        REQUIRE(reference.contains(key));
        CHECK(reference.at(key) == value);
    }
    const std::string text =
        divs::test::read_text(std::filesystem::path(DIVS_SOURCE) / "jobs" / "reference.toml");
    std::string section;
    std::set<std::string> written;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with('[')) section = line.substr(1, line.find(']') - 1);
        if (const auto equals = line.find(" = "); !line.starts_with('#') && equals != std::string::npos)
            written.insert(section + "." + line.substr(0, equals));
    }
    for (const auto& [key, value] : defaults) CHECK(written.contains(key));
    CHECK(written.size() == defaults.size());
}

TEST_CASE("what decodes video is a setting") {
    CHECK(settings_of("").data.decode_on == video::DecodeOn::automatic);
    Config config = Config::from_text("[data]\ndataset = \"videos\"\ndecode = \"gpu\"\n", "job.toml");
    CHECK(train::read_settings(config).data.decode_on == video::DecodeOn::gpu);
    Config wrong = Config::from_text("[data]\ndataset = \"videos\"\ndecode = \"nvdec\"\n", "job.toml");
    CHECK_THROWS_WITH(train::read_settings(wrong),
                      ContainsSubstring("data.decode") && ContainsSubstring("gpu"));
}

TEST_CASE("when checkpoints are written are settings") {
    CHECK(settings_of("").run.checkpoint_epochs == 1);
    CHECK(settings_of("[train]\ncheckpoint_epochs = 0\n").run.checkpoint_epochs == 0);
    CHECK_THROWS_AS(settings_of("[train]\ncheckpoint_epochs = -1\n"), ConfigError);
    CHECK_THROWS_WITH(settings_of("[train]\ncheckpoint_epoch = 2\n"), ContainsSubstring("checkpoint_epochs"));
}

TEST_CASE("a deterministic run cannot have batches that depend on who holds what") {
    CHECK(settings_of("[train]\ndeterministic = true\n").run.order == train::Order::global);
    CHECK_THROWS_AS(settings_of("[train]\ndeterministic = true\norder = \"local\"\n"), ConfigError);
}
