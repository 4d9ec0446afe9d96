// JSON texts as values: what nlohmann's own reader makes of them, in a time that grows with the text, and what is refused.
#include "checkpoint/json.h"

#include <ctime>

#include "core/error.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using nlohmann::ordered_json;

namespace {

std::string error_of(const std::string& text) {
  try {
    parse_json("f", text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string nested(int depth) {
  return "{\"a\":" + std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']') + "}";
}

// Processor seconds that an object of so many members takes, the least of three.
double seconds_of(int members) {
  std::string text = "{";
  for (int i = 0; i < members; ++i)
    text += (i ? ",\"model.layers.experts." : "\"model.layers.experts.") + std::to_string(i) + ".weight\":\"a\"";
  text += "}";
  double least = 1e30;
  for (int run = 0; run < 3; ++run) {
    const std::clock_t begin = std::clock();
    CHECK(parse_json("f", text).size() == static_cast<size_t>(members));
    least = std::min(least, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return least;
}

}  // namespace

TEST_CASE("JSON values are those of nlohmann's reader, members in their order", "[checkpoint]") {
  for (const char* text :
       {"{}",
        "{\"z\":1,\"a\":[],\"m\":{\"y\":{},\"b\":[[],[{}],{\"c\":null}]},\"k\":[true,false,-1,18446744073709551615,-2.5e-3,1e400000]}",
        "{\"z\":1,\"a\":[],\"m\":{\"y\":{},\"b\":[[],[{}],{\"c\":null}]},\"k\":[true,false,-1,18446744073709551615,-2.5e-3]}",
        "{\"\\u00e9\\n\":\"\\ud83d\\ude00\",\"\":\"\"}", " {\"a\" : 0.1 } \n"}) {
    CAPTURE(text);
    const ordered_json wanted = ordered_json::parse(text, nullptr, false);
    if (wanted.is_discarded()) {
      CHECK(error_of(text) == "f: a number is beyond the range of float64");
      continue;
    }
    const ordered_json value = parse_json("f", text);
    CHECK(value.dump() == wanted.dump());
    CHECK(value == wanted);
  }
  CHECK(parse_json_value("f", "[1,\"a\"]").dump() == "[1,\"a\"]");
  CHECK(parse_json_value("f", "7") == 7);
}

TEST_CASE("JSON texts that are refused", "[checkpoint]") {
  CHECK(error_of("[1]") == "f: the file is not a JSON object");
  CHECK(error_of("{\"a\":1,}") == "f: not valid JSON at byte 8");
  CHECK(error_of("{\"a\":1} 2") == "f: not valid JSON at byte 9");
  CHECK(error_of("") == "f: not valid JSON at byte 1");
  CHECK(error_of("{\"a\":1,\"b\":{\"a\":1,\"c\":2,\"a\":3}}") == "f: an object has the key \"a\" twice");
  CHECK(error_of("{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}}").empty());
  CHECK(error_of(nested(100)).empty());
  CHECK(error_of(nested(101)) == "f: values are nested deeper than 100");
}

TEST_CASE("where equal keys are taken, the last one counts, as in Python", "[checkpoint]") {
  const auto value = [](const std::string& text) { return parse_json_value("f", text, EqualKeys::kLastCounts).dump(); };
  CHECK(value("{\"a\":1,\"b\":2,\"a\":3}") == "{\"a\":3,\"b\":2}");
  CHECK(value("[{\"a\":{\"x\":1,\"y\":[1]},\"b\":0,\"a\":{\"y\":2,\"y\":[{\"y\":3}],\"z\":{}},\"c\":4}]") ==
        "[{\"a\":{\"y\":[{\"y\":3}],\"z\":{}},\"b\":0,\"c\":4}]");
  CHECK(value("{\"a\":[],\"a\":{},\"\\u0061\":null}") == "{\"a\":null}");
}

TEST_CASE("an object of many members is read in the time of its text", "[checkpoint]") {
  CHECK(seconds_of(40000) < 60.0 * seconds_of(2500));  // 16 times, and what caches cost; 256 times if every key were looked for
}
