#include <sys/stat.h>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using Catch::Matchers::ContainsSubstring;
using divs::Config;

TEST_CASE("values come from the file, then from overrides, then from defaults") {
    Config config = Config::from_text("[train]\nepochs = 3\nname = \"a\"\n", "t.toml", {"train.epochs=5", "data.path=/x y"});
    auto train = config.section("train");
    CHECK(train.get("epochs", 1) == 5);
    CHECK(train.get("name", "") == "a");
    CHECK(train.get("rate", 0.5) == 0.5);
    CHECK(config.section("data").get("path", "") == "/x y");
    CHECK_NOTHROW(config.finish());
}

TEST_CASE("paths: one or several, from the file's folder, and an empty one is none") {
    const divs::test::Scratch scratch;
    divs::test::write_text(scratch / "t.toml", "[a]\none = \"x.h5\"\nsome = [\"x.h5\", \"/y.h5\", \"\"]\nnone = \"\"\nbad = [1]\nworse = 1\n");
    Config config(scratch / "t.toml");
    auto a = config.section("a");
    using Paths = std::vector<std::filesystem::path>;
    CHECK(a.paths("one") == Paths{scratch / "x.h5"});
    CHECK(a.paths("some") == Paths{scratch / "x.h5", "/y.h5"});
    CHECK(a.paths("none").empty());
    CHECK(a.paths("absent").empty());
    CHECK_THROWS_WITH(a.paths("bad"), ContainsSubstring("a.bad"));
    CHECK_THROWS_WITH(a.paths("worse"), ContainsSubstring("a.worse"));
}

TEST_CASE("a typo in a key is an error that suggests the near key") {
    Config config = Config::from_text("[train]\nepoch = 3\n", "t.toml");
    config.section("train").get("epochs", 1);
    CHECK_THROWS_WITH(config.finish(), ContainsSubstring("t.toml:2") && ContainsSubstring("train.epoch") && ContainsSubstring("\"train.epochs\""));
}

TEST_CASE("what is wrong in an override is said of the command line, not of the file") {
    Config config = Config::from_text("[train]\nepochs = 3\n", "t.toml", {"train.name=1", "train.rate=2.0", "train.epoch=1"});
    auto train = config.section("train");
    CHECK(train.get("epochs", 1) == 3);
    CHECK_THROWS_WITH(train.get("name", ""), ContainsSubstring("--set: train.name is of type integer, expected a string") && !ContainsSubstring("t.toml"));
    CHECK_THROWS_WITH(train.get("rate", 0.5, 0.0, 1.0), ContainsSubstring("--set: train.rate = 2, expected 0 to 1"));
    CHECK_THROWS_WITH(config.finish(), ContainsSubstring("--set: unknown key \"train.epoch\", did you mean \"train.epochs\""));
}

TEST_CASE("wrong types, ranges and choices name the key and what was expected") {
    Config config = Config::from_text("[a]\nn = \"x\"\nm = 7\nk = \"glodal\"\nv = [0.5, 1.5]\n", "t.toml");
    auto a = config.section("a");
    CHECK_THROWS_WITH(a.get("n", 1), ContainsSubstring("t.toml:2: a.n is of type string, expected a whole number"));
    CHECK_THROWS_WITH(a.get("m", 1, 0, 5), ContainsSubstring("t.toml:3: a.m = 7") && ContainsSubstring("0 to 5"));
    CHECK_THROWS_WITH(a.numbers("v", {}, 0, 1), ContainsSubstring("t.toml:5: a.v = 1.5, expected 0 to 1"));
    CHECK_THROWS_WITH(a.choice("k", "local", {"local", "global"}),
                      ContainsSubstring("t.toml:4: a.k") && ContainsSubstring("did you mean \"global\""));
    CHECK_THROWS_WITH(a.choice("absent", "locale", {"local", "global"}), ContainsSubstring("default: a.absent"));
}

TEST_CASE("bad syntax names file, line and column") {
    CHECK_THROWS_WITH(Config::from_text("[a\n", "t.toml"), ContainsSubstring("t.toml:1:"));
    CHECK_THROWS_AS(Config("/nonexistent/x.toml"), divs::InputError);
}

TEST_CASE("a pipe as configuration is refused, not waited for") {
    const divs::test::Scratch scratch;
    REQUIRE(mkfifo((scratch / "run.toml").c_str(), 0600) == 0);
    CHECK_THROWS_WITH(Config(scratch / "run.toml"), ContainsSubstring("run.toml: is no regular file"));
}

TEST_CASE("the effective configuration reads back to the same values") {
    Config config = Config::from_text("[a]\ns = \"q\\\"\\n\"\nv = [1.5, 2.0]\n");
    auto a = config.section("a");
    const auto s = a.get("s", "");
    const auto v = a.numbers("v", {});
    const auto d = a.get("d", 0.1);
    Config again = Config::from_text(config.to_toml());
    auto b = again.section("a");
    CHECK(b.get("s", "") == s);
    CHECK(b.numbers("v", {}) == v);
    CHECK(b.get("d", 0.0) == d);
    CHECK_NOTHROW(again.finish());
}
