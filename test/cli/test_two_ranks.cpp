// A short training on two ranks, scheduler at work: what ThreadSanitizer watches.

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/small_dataset.hpp"

using namespace divs::test;

TEST_CASE("two ranks train, move shards, save and evaluate side by side") {
    const Scratch scratch;
    make_small_dataset(scratch / "data", {.videos = 10, .frames = 16, .val_videos = 2});
    const auto file = scratch / "run.toml";
    for (const std::string order : {"local", "global"}) {
        write_text(file,
                   "[data]\ndataset = \"data\"\nshard_seconds = 0.3\ndecode_threads = 2\n[clip]\nhop = 2\n"
                   "[model]\nheight = 24\nwidth = 32\nthreads = 1\n[scheduler]\ninterval = 3\n"
                   "[train]\nepochs = 2\nbatch = 6\ncheckpoint_steps = 4\nfolder = \"" +
                       order + "\"\norder = \"" + order + "\"\n");
        const Outcome outcome =
            divs::test::divs("train " + file.string() + " --trace --throttle 1=3", 2, 600);
        INFO(outcome.text());
        REQUIRE(outcome.status == 0);
    }
}
