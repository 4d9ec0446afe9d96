// Catch2 2.x or 3.x, with the names that both have.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define NVFP4CAL_CATCH_MAJOR 3
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#define NVFP4CAL_CATCH_MAJOR 2
#endif

// CHECK_THAT(text, contains_text("part"))
inline auto contains_text(const std::string& part) {
#if NVFP4CAL_CATCH_MAJOR == 3
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
