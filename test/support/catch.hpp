// Catch2 of version 2 or 3, by the names of version 3.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>

using Catch::Approx;

namespace divs::test {
inline const Catch::TestCaseInfo& info_of(const Catch::TestCaseStats& stats) { return *stats.testInfo; }
}  // namespace divs::test

#else

#include <catch2/catch.hpp>

namespace Catch::Matchers {
inline StdString::ContainsMatcher ContainsSubstring(const std::string& text) { return Contains(text); }
}  // namespace Catch::Matchers

#ifdef CATCH_CONFIG_EXTERNAL_INTERFACES  // version 2 shows its listeners on request only
namespace Catch {
using EventListenerBase = TestEventListenerBase;
}
namespace divs::test {
inline const Catch::TestCaseInfo& info_of(const Catch::TestCaseStats& stats) { return stats.testInfo; }
}  // namespace divs::test
#endif

#endif
