// Catch2 2.x wants its main compiled once; 3.x brings a library (Catch2::Catch2WithMain).
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
