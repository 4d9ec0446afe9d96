// The header parser against every kind of damage, and the writer.
#include <random>

#include "checkpoint/safetensors_header.h"
#include "core/error.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;

namespace {

std::string parse_error(const std::string& json, int64_t data_size = 0) {
  return error_of([&] { parse_header("f", json, data_size); });
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{" + entry("a", dtype, shape, offsets) + "}";
}

}  // namespace

TEST_CASE("safetensors headers that are right", "[safetensors]") {
  CHECK(parse_header("f", "{}", 0).tensors.empty());
  CHECK(parse_header("f", " \n\t{}  \r\n", 0).tensors.empty());
  CHECK(parse_header("f", "{\"__metadata__\":{}}", 0).metadata.empty());
  CHECK(parse_header("f", "{\"__metadata__\":null}", 0).metadata.empty());
  const Header header = parse_header("f",
                                     "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "F32", "[]", "[4,8]") + "," +
                                         entry("a", "U8", "[2,2]", "[0,4]") + "," + entry("empty", "I64", "[3,0]", "[4,4]") + "}",
                                     8);
  REQUIRE(header.tensors.size() == 3);
  CHECK(header.tensors[0].name == "a");
  CHECK(header.tensors[1].name == "empty");
  CHECK(header.tensors[2].name == "b");
  CHECK(header.tensors[0].shape == std::vector<int64_t>{2, 2});
  CHECK(header.tensors[2].elements() == 1);
  CHECK(header.metadata == Metadata{{"format", "pt"}});
  // keys that the format does not know are skipped
  CHECK(parse_error("{\"a\":{\"x\":[1,{\"y\":null}],\"dtype\":\"U8\",\"shape\":[1],\"z\":-1.5,\"data_offsets\":[0,1]}}", 1) == "");
  // F4 counts in half bytes
  CHECK(parse_error(one("F4", "[4]", "[0,2]"), 2) == "");
  CHECK(parse_error(one("F6_E2M3", "[4]", "[0,3]"), 3) == "");
}

TEST_CASE("safetensors knows all dtypes", "[safetensors]") {
  for (const char* name : {"BOOL", "F4",  "F6_E2M3", "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
                           "I16",  "U16", "F16",     "BF16",    "I32", "U32", "F32",     "C64",     "F64",     "I64",         "U64"}) {
    REQUIRE(find_dtype(name));
    const int64_t bytes = find_dtype(name)->bits;  // of 8 elements
    CHECK(parse_error(one(name, "[8]", "[0," + std::to_string(bytes) + "]"), bytes) == "");
  }
  CHECK_FALSE(find_dtype("f32"));
  CHECK(parse_error(one("F99", "[]", "[0,0]")) == "f: tensor \"a\" has the unknown dtype \"F99\"");
}

TEST_CASE("safetensors length of the header", "[safetensors]") {
  const auto length = [](uint64_t n, int64_t file_size) {
    unsigned char prefix[8];
    for (int i = 0; i < 8; ++i) prefix[i] = static_cast<unsigned char>(n >> (8 * i));
    return error_of([&] { header_length("f", prefix, file_size); });
  };
  CHECK(length(0, 7) == "f: 7 bytes are too few for a safetensors file");
  CHECK(length(2, 10) == "");
  CHECK(length(3, 10) == "f: the header has 3 bytes but the file only 10");
  CHECK(length(100'000'000, 100'000'008) == "");
  CHECK(length(100'000'001, 200'000'000) == "f: a header of 100000001 bytes is over the limit of 100000000 (is this a safetensors file?)");
  CHECK(length(~uint64_t{0}, 100).find("a header of 18446744073709551615 bytes is over the limit") != std::string::npos);
  CHECK(length(uint64_t{1} << 63, 100).find("over the limit") != std::string::npos);
}

TEST_CASE("safetensors headers that are no JSON", "[safetensors]") {
  CHECK(parse_error("") != "");
  CHECK(parse_error("{") == "f: the header is not valid JSON at byte 2");
  CHECK(parse_error("{}x") == "f: the header is not valid JSON at byte 3");
  CHECK(parse_error("{}{}") != "");
  CHECK(parse_error("{\"a\":}") != "");
  CHECK(parse_error("{/**/}") != "");
  CHECK(parse_error("[]") == "f: the header is an array, not a JSON object");
  CHECK(parse_error("1") == "f: the header is a number, not a JSON object");
  CHECK(parse_error("null") == "f: the header is null, not a JSON object");
  CHECK(parse_error("\xEF\xBB\xBF{}") == "f: the header begins with a byte order mark");
  CHECK(parse_error(std::string("{}\0", 3)) == "f: the header is not valid JSON: NUL at byte 2");
  CHECK(parse_error("{\"\xFF\":1}") == "f: the header is not valid JSON at byte 3");
  CHECK(parse_error("{\"a\":{\"x\":1e400}}") == "f: a number in the header is beyond the range of float64");
  CHECK(parse_error("{\"\\uD800\":{}}") != "");
  CHECK(parse_error("{\"__metadata__\":{\"a\":\"\xC0\x80\"}}") != "");
  CHECK(parse_error(std::string(1'000'000, '[')) == "f: the header is an array, not a JSON object");
  std::string deep = "{\"a\":{\"x\":";
  for (int i = 0; i < 100'000; ++i) deep += "{\"x\":";
  CHECK(parse_error(deep) == "f: tensor \"a\" has values nested too deeply as x");
  CHECK(parse_error("{\"a\":{\"shape\":[[[") == "f: tensor \"a\" has an array in its shape");
}

TEST_CASE("safetensors entries that are wrong", "[safetensors]") {
  CHECK(parse_error("{\"a\":1}") == "f: the entry of tensor \"a\" is a number, not an object");
  CHECK(parse_error("{\"a\":null}") == "f: the entry of tensor \"a\" is null, not an object");
  CHECK(parse_error("{\"__metadata__\":1}") == "f: __metadata__ is a number, not an object");
  CHECK(parse_error("{\"__metadata__\":{\"k\":1}}") == "f: \"k\" in __metadata__ is a number, not a string");
  CHECK(parse_error("{\"__metadata__\":{\"k\":{}}}") == "f: \"k\" in __metadata__ is an object, not a string");
  CHECK(parse_error("{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}") == "f: tensor \"a\" has no dtype");
  CHECK(parse_error("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}") == "f: tensor \"a\" has no shape");
  CHECK(parse_error("{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}") == "f: tensor \"a\" has no data_offsets");
  CHECK(parse_error("{\"a\":{\"dtype\":1}}") == "f: tensor \"a\" has a number as dtype");
  CHECK(parse_error("{\"a\":{\"shape\":\"x\"}}") == "f: tensor \"a\" has a string as shape");
  CHECK(parse_error("{\"a\":{\"shape\":{}}}") == "f: tensor \"a\" has an object as shape");
  CHECK(parse_error(one("U8", "[0]", "[0]")) == "f: tensor \"a\" has fewer than two data_offsets");
  CHECK(parse_error(one("U8", "[0]", "[0,0,0]")) == "f: tensor \"a\" has more than two data_offsets");
  CHECK(parse_error(one("U8", "[-1]", "[0,0]")) == "f: tensor \"a\" has a negative number in its shape");
  CHECK(parse_error(one("U8", "[-0]", "[0,0]")) == "f: tensor \"a\" has a negative number in its shape");
  CHECK(parse_error(one("U8", "[1.0]", "[0,1]"), 1) == "f: tensor \"a\" has a number that is not an integer below 2^64 in its shape");
  CHECK(parse_error(one("U8", "[1e0]", "[0,1]"), 1) == "f: tensor \"a\" has a number that is not an integer below 2^64 in its shape");
  CHECK(parse_error(one("U8", "[\"1\"]", "[0,1]"), 1) == "f: tensor \"a\" has a string in its shape");
  CHECK(parse_error(one("U8", "[true]", "[0,1]"), 1) == "f: tensor \"a\" has a boolean in its shape");
  CHECK(parse_error(one("U8", "[1]", "[0,18446744073709551616]"), 1) ==
        "f: tensor \"a\" has a number that is not an integer below 2^64 in its data_offsets");
  CHECK(parse_error(one("U8", "[1]", "[0,9223372036854775808]"), 1) == "f: tensor \"a\" has a number over 2^63 - 1 in its data_offsets");
  CHECK(parse_error(one("U8", "[1]", "[null,1]"), 1) == "f: tensor \"a\" has null in its data_offsets");
  std::string many = "[1";
  for (int i = 0; i < 64; ++i) many += ",1";
  CHECK(parse_error(one("U8", many + "]", "[0,1]"), 1) == "f: tensor \"a\" has more than 64 dimensions");
}

TEST_CASE("safetensors duplicates and names", "[safetensors]") {
  const std::string a = entry("a", "U8", "[1]", "[0,1]");
  CHECK(parse_error("{" + a + "," + a + "}", 1) == "f: two tensors are named \"a\"");
  CHECK(parse_error("{" + a + ",\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2) ==
        "f: two tensors are named \"a\"");
  CHECK(parse_error("{\"__metadata__\":{},\"__metadata__\":{}}") == "f: the header has two entries \"__metadata__\"");
  CHECK(parse_error("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}") == "f: __metadata__ has the key \"k\" twice");
  CHECK(parse_error("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\"}}") == "f: the entry of tensor \"a\" has the key \"dtype\" twice");
  CHECK(parse_error("{\"a\":{\"x\":{\"y\":1,\"y\":1}}}") == "f: the entry of tensor \"a\" has the key \"y\" twice");
  CHECK(parse_error("{\"a\\u0000b\":{}}") == "f: a name in the header holds a NUL character");
  const std::string long_name(1000, 'n');
  CHECK(parse_error("{\"" + long_name + "\":1}").size() < 300);
}

TEST_CASE("safetensors positions", "[safetensors]") {
  const auto two = [](const std::string& first, const std::string& second) {
    return "{" + entry("a", "U8", "[2]", first) + "," + entry("b", "U8", "[2]", second) + "}";
  };
  CHECK(parse_error(two("[0,2]", "[2,4]"), 4) == "");
  CHECK(parse_error(two("[2,4]", "[0,2]"), 4) == "");
  CHECK(parse_error(two("[0,2]", "[3,5]"), 5) == "f: tensor \"b\" begins at byte 3 but tensor \"a\" ends at byte 2: a hole");
  CHECK(parse_error(two("[0,2]", "[1,3]"), 3) == "f: tensor \"b\" begins at byte 1 but tensor \"a\" ends at byte 2: they overlap");
  CHECK(parse_error(two("[0,2]", "[0,2]"), 2) == "f: tensor \"b\" begins at byte 0 but tensor \"a\" ends at byte 2: they overlap");
  CHECK(parse_error(two("[1,3]", "[3,5]"), 5) == "f: tensor \"a\" begins at byte 1 but the data begins at byte 0: a hole");
  CHECK(parse_error(two("[0,2]", "[2,4]"), 5) == "f: the data has 5 bytes but the tensors end at byte 4");
  CHECK(parse_error(two("[0,2]", "[2,4]"), 3) == "f: tensor \"b\" ends at byte 4 but the data has 3");
  CHECK(parse_error("{}", 1) == "f: the data has 1 bytes but the tensors end at byte 0");
  CHECK(parse_error(one("U8", "[2]", "[2,0]"), 2) == "f: tensor \"a\" begins at byte 2 and ends before it, at byte 0");
  CHECK(parse_error(one("F32", "[2]", "[0,4]"), 4) == "f: tensor \"a\" takes 8 bytes but its data_offsets span 4");
  CHECK(parse_error(one("F4", "[3]", "[0,2]"), 2) == "f: tensor \"a\" has 12 bits, not a whole number of bytes");
  const std::string overflow = "f: the shape of tensor \"a\" has more elements than a file can hold";
  CHECK(parse_error(one("U8", "[2,9223372036854775807]", "[0,0]")) == overflow);
  CHECK(parse_error(one("U8", "[4611686018427387904,4,0]", "[0,0]")) == overflow);
  CHECK(parse_error(one("F64", "[1152921504606846976]", "[0,0]")) == overflow);
  CHECK(parse_error(one("U8", "[2,18446744073709551614]", "[0,0]")) == "f: tensor \"a\" has a number over 2^63 - 1 in its shape");
  CHECK(parse_error(one("U8", "[0,9223372036854775807]", "[0,0]")) == "");
}

TEST_CASE("safetensors: ten names on one range", "[safetensors]") {
  std::string json = "{";
  for (int i = 0; i < 10; ++i) json += (i ? "," : "") + entry("t" + std::to_string(i), "F32", "[2,2]", "[0,16]");
  CHECK(parse_error(json + "}", 16) == "f: tensor \"t1\" begins at byte 0 but tensor \"t0\" ends at byte 16: they overlap");
}

TEST_CASE("safetensors writer", "[safetensors]") {
  std::vector<TensorEntry> tensors = {{"z", find_dtype("F32"), {2, 3}, 0, 0},
                                      {"b\"\n\xC3\xA4", find_dtype("BF16"), {}, 0, 0},
                                      {"a", find_dtype("U8"), {1}, 0, 0},
                                      {"c", find_dtype("F32"), {}, 0, 0}};
  const std::string bytes = build_header("f", tensors, {{"note", "x"}});
  CHECK(bytes.size() % 8 == 0);
  const int64_t length = header_length("f", reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int64_t>(bytes.size()));
  CHECK(static_cast<size_t>(length) + 8 == bytes.size());
  CHECK(bytes.substr(8, 45) == "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"x\"},\"c");
  const Header header = parse_header("f", bytes.substr(8), 4 + 24 + 2 + 1);
  REQUIRE(header.tensors.size() == 4);
  CHECK(header.tensors[0].name == "c");  // largest alignment first, then by name
  CHECK(header.tensors[1].name == "z");
  CHECK(header.tensors[2].name == "b\"\n\xC3\xA4");
  CHECK(header.tensors[3].name == "a");
  CHECK(header.tensors[1].begin == 4);
  CHECK(header.tensors[1].end == 28);
  // the caller's list keeps its order
  const std::pair<const char*, int64_t> places[] = {{"z", 4}, {"b\"\n\xC3\xA4", 28}, {"a", 30}, {"c", 0}};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(tensors[i].name == places[i].first);
    CHECK(tensors[i].begin == places[i].second);
  }
  CHECK(data_size(tensors) == 31);
  // the metadata of the input is kept, its format too
  CHECK(build_header("f", tensors, {{"format", "mlx"}}).substr(8, 34) == "{\"__metadata__\":{\"format\":\"mlx\"},\"");
}

TEST_CASE("safetensors: mutated headers are refused or consistent", "[safetensors]") {
  const std::string good = "{\"__metadata__\":{\"format\":\"pt\"}," + entry("a.weight", "F32", "[2,3]", "[0,24]") + "," +
                           entry("b", "U8", "[4]", "[24,28]") + "," + entry("c", "BF16", "[]", "[28,30]") + "}";
  const std::string alphabet = "{}[]\",:0123456789.-eE \\u\n\xC3\xA9ntf/" + std::string(1, '\0');
  std::mt19937 random(1);
  int parsed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string json = good;
    for (uint32_t n = random() % 4 + 1; n > 0; --n) {
      const size_t at = random() % json.size();
      const char letter = alphabet[random() % alphabet.size()];
      switch (random() % 3) {
        case 0: json[at] = letter; break;
        case 1: json.insert(at, 1, letter); break;
        default: json.erase(at, random() % 8 + 1);
      }
      if (json.empty()) json = "{";
    }
    try {
      const Header header = parse_header("f", json, 30);
      int64_t position = 0;
      for (const TensorEntry& tensor : header.tensors) {
        REQUIRE(tensor.begin == position);
        REQUIRE(tensor.elements() * tensor.dtype->bits == tensor.bytes() * 8);
        position = tensor.end;
      }
      REQUIRE(position == 30);
      ++parsed;
    } catch (const Error& error) {
      REQUIRE(error.status() == Status::kCorrupt);
      REQUIRE(error.message().rfind("f: ", 0) == 0);
    }
  }
  CHECK(parsed > 0);
}
