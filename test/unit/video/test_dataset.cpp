#include <cstdlib>
#include <fstream>

#include "divs/core/error.hpp"
#include "divs/video/dataset.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"

using namespace divs;
using namespace divs::video;
using Catch::Matchers::ContainsSubstring;
using divs::video::test::Scratch;

namespace {

std::filesystem::path write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
}

Dataset read_rows(const std::string& rows, const std::string& header = "path\tlabel\tsplit\n") {
    const Scratch folder;
    write(folder / "labels.tsv", header + rows);
    return read_dataset(folder.path());
}

}  // namespace

TEST_CASE("a folder with labels.tsv is a data set") {
    const Dataset set = read_rows(
        "a.mp4\tdog\ttrain\n"
        "sub/b.mp4\tcat\tval\n"
        "c.mp4\tdog\ttest\n");
    CHECK(set.classes == std::vector<std::string>{"cat", "dog"});
    CHECK(set.files == std::vector<std::string>{"a.mp4", "sub/b.mp4", "c.mp4"});
    REQUIRE(set.rows.size() == 3);
    CHECK(set.rows[0].label == 1);
    CHECK(set.rows[1].label == 0);
    CHECK(set.rows[1].split == Split::val);
    CHECK(set.rows[2].split == Split::test);
    CHECK(set.rows[0].end < 0);
    CHECK(set.rows[0].group == "a.mp4");
}

TEST_CASE("comments, blank lines, CRLF, a byte order mark, column order and UTF-8 are read") {
    const Dataset set = read_rows(
        "# a comment\r\n"
        "train\tä ö.mp4\t 10 \tzebra\t\tcamera 1\r\n"
        "\r\n"
        "train\t./x//y.mp4\t\thorse\t2.5\t\r\n"
        "train\tä ö.mp4\t2.5\thorse\t10\tcamera 1",
        "\xEF\xBB\xBFsplit\tpath\tstart\tlabel\tend\tgroup\r\n");
    CHECK(set.files == std::vector<std::string>{"ä ö.mp4", "x/y.mp4"});
    REQUIRE(set.rows.size() == 3);
    CHECK(set.rows[0].start == 10);
    CHECK(set.rows[0].end < 0);
    CHECK(set.rows[1].start == 0);
    CHECK(set.rows[1].end == 2.5);
    CHECK(set.rows[1].group == "x/y.mp4");
    CHECK(set.rows[2].group == "camera 1");
    CHECK(set.rows[2].file == 0);
}

TEST_CASE("everything wrong in a table is named with its line") {
    const std::string timed = "path\tlabel\tsplit\tstart\tend\tgroup\n";
    struct Bad {
        std::string header, rows, expected;
    };
    const Bad bad[] = {
        {"", "", "empty, expected a header"},
        {"path\tlabel\n", "", ":1: column \"split\" is missing"},
        {"path\tlable\tsplit\n", "", "did you mean \"label\"?"},
        {"path\tlabel\tsplit\tpath\n", "", "stands twice"},
        {"path\tlabel\tsplit\tstart\n", "", "one is missing"},
        {"path\tlabel\tsplit\n", "", "no rows"},
        {"path\tlabel\tsplit\n", "a.mp4\tdog\n", ":2: 2 fields, expected 3"},
        {"path\tlabel\tsplit\n", "a.mp4 dog train\n", "separated by tabs"},
        {"path\tlabel\tsplit\n", "a.mp4\tdog\ttrian\n", "unknown split \"trian\", did you mean \"train\"?"},
        {"path\tlabel\tsplit\n", "a.mp4\t\ttrain\n", "label is empty"},
        {"path\tlabel\tsplit\n", "\tdog\ttrain\n", "path is empty"},
        {"path\tlabel\tsplit\n", "../a.mp4\tdog\ttrain\n", "\"..\""},
        {"path\tlabel\tsplit\n", "x/../../a.mp4\tdog\ttrain\n", "\"..\""},
        {"path\tlabel\tsplit\n", "/etc/passwd\tdog\ttrain\n", "absolute"},
        {"path\tlabel\tsplit\n", ".\tdog\ttrain\n", "is the root"},
        {"path\tlabel\tsplit\n", "# x\na.mp4\tdog\ttrain\nb.mp4\tdog\tval\na.mp4\tcat\ttrain\n",
         ":5: \"a.mp4\" stands at line 3"},
        {"path\tlabel\tsplit\n", "a.\xFFmp4\tdog\ttrain\n", ":2: not UTF-8"},
        {timed, "a.mp4\tdog\ttrain\t3\t2\t\n", "interval [3, 2) is empty"},
        {timed, "a.mp4\tdog\ttrain\t-1\t2\t\n", "start \"-1\""},
        {timed, "a.mp4\tdog\ttrain\t0\tnan\t\n", "end \"nan\""},
        {timed, "a.mp4\tdog\ttrain\t0\t2s\t\n", "end \"2s\""},
        {timed, "a.mp4\tdog\ttrain\t0\t5\t\na.mp4\tcat\ttrain\t4.9\t6\t\n", ":3: \"a.mp4\" stands at line 2"},
        {timed, "a.mp4\tdog\ttrain\t5\t\t\na.mp4\tcat\ttrain\t7\t9\t\n", "intervals overlap"},
        {timed, "a.mp4\tdog\ttrain\t0\t5\t\na.mp4\tcat\tval\t5\t6\t\n",
         "group \"a.mp4\" is in split val, but in train at line 2"},
        {timed, "a.mp4\tdog\ttrain\t\t\tg\nb.mp4\tcat\ttest\t\t\tg\n", "splits never share a group"},
    };
    for (const Bad& b : bad) {
        INFO(b.header << b.rows);
        CHECK_THROWS_WITH(read_rows(b.rows, b.header), ContainsSubstring(b.expected) && ContainsSubstring("labels.tsv:"));
        CHECK_THROWS_AS(read_rows(b.rows, b.header), InputError);
    }
}

TEST_CASE("one file may be in two splits where its parts have groups of their own") {
    const Dataset set = read_rows("a.mp4\tdog\ttrain\t0\t5\tmorning\na.mp4\tcat\tval\t5\t\tevening\n",
                                  "path\tlabel\tsplit\tstart\tend\tgroup\n");
    CHECK(set.files.size() == 1);
    CHECK(set.rows.size() == 2);
}

TEST_CASE("symbolic links that lead out of the root are refused, others followed") {
    const Scratch folder;
    write(folder / "outside" / "secret.mp4", "x");
    write(folder / "set" / "real.mp4", "x");
    std::filesystem::create_symlink(folder / "outside", folder / "set" / "out");
    std::filesystem::create_symlink("real.mp4", folder / "set" / "alias.mp4");
    write(folder / "set" / "labels.tsv", "path\tlabel\tsplit\nalias.mp4\tdog\ttrain\n");
    CHECK(read_dataset(folder / "set").files.size() == 1);
    write(folder / "set" / "labels.tsv", "path\tlabel\tsplit\nout/secret.mp4\tdog\ttrain\n");
    CHECK_THROWS_WITH(read_dataset(folder / "set"), ContainsSubstring("leads out of the root"));
    // The root itself may be a link.
    write(folder / "set" / "labels.tsv", "path\tlabel\tsplit\nreal.mp4\tdog\ttrain\n");
    std::filesystem::create_directory_symlink(folder / "set", folder / "link");
    CHECK(read_dataset(folder / "link").root == std::filesystem::canonical(folder / "set"));
}

TEST_CASE("a descriptor gives name, root, labels and the order of the classes") {
    const Scratch folder;
    write(folder / "data" / "gate.mp4", "x");
    write(folder / "data" / "labels.tsv", "path\tlabel\tsplit\ngate.mp4\tquiet\ttrain\n");
    write(folder / "here" / "table.tsv", "path\tlabel\tsplit\ngate.mp4\tfight\ttrain\n");
    const auto file = folder / "here" / "gate.toml";
    SECTION("relative root, labels in it") {
        write(file, "root = \"../data\"\nclasses = [\"quiet\", \"fight\"]\n");
        const Dataset set = read_dataset(file);
        CHECK(set.name == "gate");
        CHECK(set.root == std::filesystem::canonical(folder / "data"));
        CHECK(set.classes == std::vector<std::string>{"quiet", "fight"});
        CHECK(set.rows[0].label == 0);
        CHECK(set.path_of(0) == set.root / "gate.mp4");
    }
    SECTION("environment variables; labels beside the descriptor") {
        setenv("DIVS_TEST_FOOTAGE", folder.path().c_str(), 1);
        write(file, "name = \"g\"\nroot = \"${DIVS_TEST_FOOTAGE}/data\"\nlabels = \"table.tsv\"\n");
        const Dataset set = read_dataset(file);
        unsetenv("DIVS_TEST_FOOTAGE");
        CHECK(set.name == "g");
        CHECK(set.classes == std::vector<std::string>{"fight"});
        CHECK_THROWS_WITH(read_dataset(file),
                          ContainsSubstring("gate.toml:2") && ContainsSubstring("DIVS_TEST_FOOTAGE, which is not set"));
    }
    SECTION("in a folder it is found by itself") {
        write(folder / "data" / "dataset.toml", "name = \"found\"\n");
        CHECK(read_dataset(folder / "data").name == "found");
    }
}

TEST_CASE("everything wrong in a descriptor is named with its line") {
    const Scratch folder;
    write(folder / "labels.tsv", "path\tlabel\tsplit\na.mp4\tdog\ttrain\n");
    write(folder / "up" / "x", "");
    const auto file = folder / "up" / "d.toml";
    const std::pair<std::string, std::string> bad[] = {
        {"nmae = \"x\"\n", "d.toml:1: unknown key \"nmae\", did you mean \"name\"?"},
        {"\nroot = 5\n", "d.toml:2: root is not a string"},
        {"root = \"nowhere\"\n", "d.toml:1: root"},
        {"root = \"${DIVS_TEST\"\n", "without \"}\""},
        {"labels = \"../labels.tsv\"\n", "\"..\""},
        {"labels = \"/etc/passwd\"\n", "absolute"},
        {"root = \"..\"\nclasses = []\n", "d.toml:2: classes is empty"},
        {"root = \"..\"\nclasses = [\"a\", \"a\"]\n", "class \"a\" stands twice"},
        {"root = \"..\"\nclasses = \"a\"\n", "not an array"},
        {"root = \n", "d.toml:1:"},
    };
    for (const auto& [text, expected] : bad) {
        INFO(text);
        write(file, text);
        CHECK_THROWS_WITH(read_dataset(file), ContainsSubstring(expected));
        CHECK_THROWS_AS(read_dataset(file), ConfigError);
    }
    write(file, "root = \"..\"\nclasses = [\"dig\", \"cat\"]\n");
    CHECK_THROWS_WITH(read_dataset(file),
                      ContainsSubstring("labels.tsv:2: unknown class \"dog\", did you mean \"dig\"?"));
    CHECK_THROWS_WITH(read_dataset(folder / "none.toml"), ContainsSubstring("none.toml: does not exist"));
    CHECK_THROWS_WITH(read_dataset(folder / "up"), ContainsSubstring("neither dataset.toml nor labels.tsv"));
}
