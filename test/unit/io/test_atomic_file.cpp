#include <sys/stat.h>

#include "divs/core/error.hpp"
#include "divs/io/atomic_file.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using namespace divs::io;
using namespace divs::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

TEST_CASE("a file is written to where a link leads, and the link stays") {
    const Scratch scratch;
    fs::create_directory(scratch / "away");
    write_text(scratch / "away" / "old", "before");
    fs::create_symlink("away/old", scratch / "link");
    fs::create_symlink("away/new", scratch / "dangling");
    write_atomically(scratch / "link", "after");
    write_atomically(scratch / "dangling", "fresh");
    fs::create_symlink("round", scratch / "round");
    CHECK_THROWS_AS(write_atomically(scratch / "round", "text"), StorageError);
    CHECK(fs::is_symlink(scratch / "link"));
    CHECK(read_text(scratch / "away" / "old") == "after");
    CHECK(read_text(scratch / "away" / "new") == "fresh");
    CHECK(std::distance(fs::directory_iterator(scratch / "away"), {}) == 2);  // no temporary stays
}

TEST_CASE("what is no regular file is not replaced by one") {
    const Scratch scratch;
    REQUIRE(mkfifo((scratch / "pipe").c_str(), 0600) == 0);
    fs::create_directory(scratch / "folder");
    for (const fs::path& target : {scratch / "pipe", scratch / "folder", fs::path("/dev/null")}) {
        CHECK_THROWS_AS(write_atomically(target, "text"), StorageError);
        CHECK_THROWS_WITH(require_writable(target),
                          ContainsSubstring(target.string()) && ContainsSubstring("no regular file"));
    }
    CHECK(fs::is_fifo(scratch / "pipe"));
    CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("whether a file can be written is known before, and leaves nothing behind") {
    const Scratch scratch;
    write_text(scratch / "file", "in the way");
    CHECK_THROWS_AS(require_writable(scratch / "file" / "below"), StorageError);
    CHECK_THROWS_AS(require_writable("/proc/nothing"), StorageError);
    require_writable(scratch / "new" / "file");
    CHECK(fs::is_empty(scratch / "new"));
    require_writable(scratch / "file");
    CHECK(read_text(scratch / "file") == "in the way");
}
