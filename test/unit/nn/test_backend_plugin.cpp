// Choosing a backend by name, and opening plugins that the build puts beside this test.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "divs/core/error.hpp"
#include "divs/nn/backend.hpp"
#include "support/catch.hpp"

using namespace divs;
using Catch::Matchers::ContainsSubstring;

namespace {

// A folder of plugins for one test, named by the environment as a user would.
class PluginFolder {
  public:
    PluginFolder()
        : path_(std::filesystem::temp_directory_path() / ("divs_plugins_" + std::to_string(getpid()))) {
        std::filesystem::create_directories(path_);
        setenv("DIVS_PLUGINS", path_.c_str(), 1);
    }
    ~PluginFolder() {
        unsetenv("DIVS_PLUGINS");
        std::filesystem::remove_all(path_);
    }
    std::filesystem::path operator/(const char* name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("Backends are known by name") {
    CHECK(nn::make_backend("cpu", {})->name() == "cpu");
    CHECK(nn::make_backend("reference", {})->name() == "reference");
    CHECK_THROWS_AS(nn::make_backend("cpu", {0, false}), ConfigError);
}

TEST_CASE("An unknown backend says what there is and where plugins were looked for") {
    CHECK_THROWS_AS(nn::make_backend("gpu", {}), ConfigError);
    CHECK_THROWS_WITH(nn::make_backend("gpu", {}), ContainsSubstring("\"gpu\"") &&
                                                       ContainsSubstring("expected auto, cpu, reference") &&
                                                       ContainsSubstring("looked for it in"));
    // A name is never a path.
    CHECK_THROWS_WITH(nn::make_backend("../cpu", {}), ContainsSubstring("../cpu") && !ContainsSubstring("looked for"));
    CHECK_THROWS_AS(nn::make_backend("", {}), ConfigError);
}

TEST_CASE("A plugin beside the program is opened") {
    const auto backend = nn::make_backend("example", {});
    CHECK(backend->name() == "reference");
    const auto storage = backend->allocate(64);
    CHECK(storage->data()[0] == 0.0F);
}

TEST_CASE("A plugin that cannot be used says why") {
    CHECK_THROWS_WITH(nn::make_backend("example", {99, false}),
                      ContainsSubstring("libdivs_example.so") && ContainsSubstring("no device with 99 threads"));
    CHECK_THROWS_WITH(nn::make_backend("without_factory", {}),
                      ContainsSubstring("libdivs_without_factory.so") && ContainsSubstring("divs_backend_factory_v1"));
    const PluginFolder folder;
    std::ofstream(folder / "libdivs_text.so") << "not a library";
    CHECK_THROWS_WITH(nn::make_backend("text", {}),
                      ContainsSubstring("libdivs_text.so") && ContainsSubstring("cannot be opened"));
    CHECK_THROWS_WITH(nn::make_backend("incomplete", {}),
                      ContainsSubstring("libdivs_incomplete.so: cannot be opened") &&
                          ContainsSubstring("libdivs_absent.so: cannot open"));
    std::ofstream(folder / "libdivs_empty.so");
    CHECK_THROWS_AS(nn::make_backend("empty", {}), Error);
}

TEST_CASE("auto takes the GPU's plugin where it can be used, and the CPU where it cannot") {
    const PluginFolder folder;
    const auto put = [&](const char* plugin) {
        std::filesystem::copy_file(std::filesystem::read_symlink("/proc/self/exe").parent_path() / plugin,
                                   folder / "libdivs_cuda.so",
                                   std::filesystem::copy_options::overwrite_existing);
    };
    put("libdivs_incomplete.so");  // a library of its own is missing
    CHECK(nn::make_backend("auto", {})->name() == "cpu");
    CHECK_THROWS_WITH(nn::make_backend("cuda", {}), ContainsSubstring("libdivs_absent.so"));
    put("libdivs_example.so");
    CHECK(nn::make_backend("auto", {})->name() == "reference");
    CHECK(nn::make_backend("auto", {99, false})->name() == "cpu");  // it has no device
}
