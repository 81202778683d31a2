#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/core/units.hpp"
#include "divs/io/jsonl.hpp"
#include "divs/io/table.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::io;
using nlohmann::json;
using test::Scratch;
using divs::test::read_text;

namespace {

std::vector<json> read(const std::filesystem::path& file) {
    std::istringstream in(read_text(file));
    std::vector<json> out;
    for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
    return out;
}

}  // namespace

TEST_CASE("JSON Lines: each line is there at once, whole, from any thread") {
    const Scratch scratch;
    const auto file = scratch / "m.jsonl";
    JsonLines lines(file);
    lines.write({{"kind", "step"}, {"loss", 0.5}});
    CHECK(read_text(file) == "{\"kind\":\"step\",\"loss\":0.5}\n");
    lines.write({{"loss", std::nan("")}, {"text", "a\nb\xFF"}});  // not finite, a newline, broken UTF-8
    CHECK(read(file)[1]["loss"].is_null());
    CHECK(read(file).size() == 2);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 200; ++i) lines.write({{"thread", t}, {"text", std::string(100, 'x')}});
        });
    for (auto& thread : threads) thread.join();
    CHECK(read(file).size() == 802);
    CHECK(lines.waiting() == 0);
    CHECK_THROWS_AS(JsonLines(scratch / "no/folder.jsonl"), StorageError);
}

TEST_CASE("JSON Lines: appending goes on behind the last whole line") {
    const Scratch scratch;
    const auto file = scratch / "m.jsonl";
    test::write_text(file, "{\"a\":1}\n{\"a\":2}\n{\"a\":");
    JsonLines(file, Existing::append).write({{"a", 3}});
    CHECK(read_text(file) == "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    test::write_text(file, "torn");
    JsonLines(file, Existing::append).write({{"a", 4}});
    CHECK(read_text(file) == "{\"a\":4}\n");
    JsonLines(file).write({{"a", 5}});
    CHECK(read_text(file) == "{\"a\":5}\n");
}

TEST_CASE("JSON Lines: on a full disk lines wait, none is torn, and with room all are there in order") {
    const Scratch scratch;
    const auto file = scratch / "m.jsonl";
    const pid_t child = ::fork();
    if (child == 0) {  // a limit on the size of files stands for the full disk
        ::signal(SIGXFSZ, SIG_IGN);
        log::configure("off", 0, 1);
        const rlimit limit{1000, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        JsonLines lines(file);
        for (int i = 0; i < 50; ++i) lines.write({{"i", i}, {"text", std::string(90, 'x')}});
        const bool some_wait = lines.waiting() > 0 && lines.waiting() < 50;
        const bool whole = read(file).size() == 50 - lines.waiting();
        const rlimit room{RLIM_INFINITY, RLIM_INFINITY};
        ::setrlimit(RLIMIT_FSIZE, &room);
        lines.write({{"i", 50}});
        ::_exit(some_wait && whole && lines.waiting() == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
    const auto lines = read(file);
    REQUIRE(lines.size() == 51);
    for (std::size_t i = 0; i < lines.size(); ++i) CHECK(lines[i]["i"] == i);
}

TEST_CASE("table: columns line up, also with characters of several bytes") {
    Table table({{"name", Align::left}, {"samples/s"}, {""}});
    table.row({"caf\xC3\xA9", "1.5", "x"});
    table.row({"longer name", "12345678.9"});
    table.rule();
    table.row({"", "3"});
    CHECK(table.text() ==
          "name          samples/s\n"
          "-----------  ----------  -\n"
          "caf\xC3\xA9                1.5  x\n"
          "longer name  12345678.9\n"
          "-----------  ----------  -\n"
          "                      3\n");
    CHECK_THROWS_AS(table.row({"a", "b", "c", "d"}), Error);
}

TEST_CASE("numbers for people") {
    CHECK(bytes_text(0) == "0 B");
    CHECK(bytes_text(1023) == "1023 B");
    CHECK(bytes_text(1536) == "1.5 KiB");
    CHECK(bytes_text(5.0 * (1 << 30)) == "5.0 GiB");
    CHECK(seconds_text(0.00025) == "250 us");
    CHECK(seconds_text(0.85) == "850 ms");
    CHECK(seconds_text(0.9999) == "1.0 s");
    CHECK(seconds_text(12.34) == "12.3 s");
    CHECK(seconds_text(245) == "4 min 05 s");
    CHECK(seconds_text(3599.9) == "1 h 00 min");
    CHECK(seconds_text(7620) == "2 h 07 min");
    CHECK(seconds_text(3 * 86400 + 7200) == "3 d 02 h");
    CHECK(seconds_text(-3) == "-3.0 s");
    CHECK(percent_text(0.4567) == "45.7 %");
}
