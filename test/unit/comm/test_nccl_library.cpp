// Opening NCCL at run time: a library that is missing, is none, or is too old is told, and nothing is thrown.
#include <cstdlib>

#include "nccl_library.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using Catch::Matchers::ContainsSubstring;
using divs::comm::NcclLibrary;

namespace {

// DIVS_NCCL and DIVS_NCCL_DOUBLE for one test.
class Named {
  public:
    explicit Named(const std::string& file, const char* fault = "") {
        setenv("DIVS_NCCL", file.c_str(), 1);
        setenv("DIVS_NCCL_DOUBLE", fault, 1);
        if (!*fault) unsetenv("DIVS_NCCL_DOUBLE");
    }
    ~Named() {
        unsetenv("DIVS_NCCL");
        unsetenv("DIVS_NCCL_DOUBLE");
    }
};

std::string refusal() {
    std::string why_not;
    CHECK(NcclLibrary::open(why_not) == nullptr);
    return why_not;
}

}  // namespace

TEST_CASE("NCCL that can be used is opened, and says its version") {
    const Named named(NCCL_DOUBLE);
    std::string why_not;
    const auto library = NcclLibrary::open(why_not);
    REQUIRE(library);
    CHECK(library->version == 22809);
    CHECK_THAT(library->words(divs::comm::nccl::system_error, nullptr),
               ContainsSubstring("system error: said by"));
}

TEST_CASE("NCCL that cannot be used: the reason is given") {
    const divs::test::Scratch scratch;
    {
        const Named named(scratch / "libnccl.so.2");
        CHECK_THAT(refusal(), ContainsSubstring("libnccl.so.2") && ContainsSubstring("No such file"));
    }
    {
        divs::test::write_text(scratch / "text.so", "not a library");
        const Named named(scratch / "text.so");
        CHECK_THAT(refusal(), ContainsSubstring("text.so"));
    }
    {
        const Named named("libdl.so.2");
        CHECK_THAT(refusal(), ContainsSubstring("the function ncclGetVersion is missing"));
    }
    {
        const Named named(NCCL_DOUBLE, "0:old");
        CHECK_THAT(refusal(), ContainsSubstring("NCCL 2.8.4, expected 2.14.0 or later"));
    }
}

TEST_CASE("the toolkit's NCCL, where there is one, has all that is called, GPU or not") {
    std::string why_not;
    const auto library = NcclLibrary::open(why_not);
    if (!library) {
        CHECK_THAT(why_not, ContainsSubstring("libnccl.so.2"));
        WARN("no NCCL here: " + why_not);
        return;
    }
    CHECK(library->version >= divs::comm::nccl::least_version);
    CHECK_THAT(library->words(divs::comm::nccl::system_error, nullptr), ContainsSubstring("system error"));
}
