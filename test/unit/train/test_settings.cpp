#include "divs/train/settings.hpp"

#include "divs/core/error.hpp"
#include "support/catch.hpp"

using namespace divs;
using Catch::Matchers::ContainsSubstring;

namespace {

train::Settings settings_of(const std::string& text) {
    Config config = Config::from_text("[data]\ndataset = \"videos\"\n" + text, "job.toml");
    train::Settings settings = train::read_settings(config);
    train::read_world_options(config);
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

TEST_CASE("what decodes video is a setting") {
    CHECK(settings_of("").data.decode_on == video::DecodeOn::automatic);
    Config config = Config::from_text("[data]\ndataset = \"videos\"\ndecode = \"gpu\"\n", "job.toml");
    CHECK(train::read_settings(config).data.decode_on == video::DecodeOn::gpu);
    Config wrong = Config::from_text("[data]\ndataset = \"videos\"\ndecode = \"nvdec\"\n", "job.toml");
    CHECK_THROWS_WITH(train::read_settings(wrong), ContainsSubstring("data.decode") && ContainsSubstring("gpu"));
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
