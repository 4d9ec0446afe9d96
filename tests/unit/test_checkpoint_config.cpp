// config.json keeps its text: number spellings, Python's literals, indentation.
#include "checkpoint/config_text.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::ordered_json;

namespace {

const ordered_json kSmall = {{"a", 1}};

}  // namespace

TEST_CASE("config.json keeps every byte but the last brace", "[checkpoint]") {
  CHECK(with_quantization_config("{}", kSmall) == "{\n  \"quantization_config\": {\n    \"a\": 1\n  }\n}");
  CHECK(with_quantization_config("{ }\n", kSmall) == "{\n  \"quantization_config\": {\n    \"a\": 1\n  }\n}\n");
  CHECK(with_quantization_config("{\n    \"x\": 1.0e+5\n}\n", kSmall) ==
        "{\n    \"x\": 1.0e+5,\n    \"quantization_config\": {\n        \"a\": 1\n    }\n}\n");
  CHECK(with_quantization_config("{\n\t\"x\": {}\n}", kSmall) == "{\n\t\"x\": {},\n\t\"quantization_config\": {\n\t\t\"a\": 1\n\t}\n}");
  const std::string text =
      "{\"n\": 1000000000000000019884624838656, \"l\": [0.0, Infinity, -Infinity, NaN], \"s\": \"NaN \\\" Infinity }\"}";
  CHECK(with_quantization_config(text, kSmall).starts_with(text.substr(0, text.size() - 1) + ",\n"));
}

TEST_CASE("config.json that is wrong", "[checkpoint]") {
  for (const char* text : {"{\"a\": NaNx}", "{\"a\": 1NaN}", "{\"a\": NaN1}", "{\"a\": -NaN}", "{\"a\": nan}", "{\"a\": xInfinity}",
                           "{NaN: 1}", "{\"a\": \"NaN}", "{\"a\": 1", "[NaN]", "{\"a\": 1}}", ""}) {
    CAPTURE(text);
    CHECK(error_of([&] { parse_config(text); }).starts_with("config.json: "));
  }
}

TEST_CASE("a null quantization_config is replaced", "[checkpoint]") {
  const std::string added = "\"quantization_config\": {\n    \"a\": 1\n  }";
  const auto quantized = [](const std::string& text) { return with_quantization_config(text, kSmall); };
  CHECK(quantized("{\"quantization_config\": null, \"compression_config\": null, \"b\": 2}") ==
        "{" + added + ", \"compression_config\": null, \"b\": 2}");
  CHECK(quantized("{\"b\": 1e5, \"compression_config\": {\"x\": 1}, \"quantization_config\" : null }") ==
        "{\"b\": 1e5, \"compression_config\": null, " + added + " }");
  CHECK(quantized("{\"b\": Infinity, \"compression_config\": null, \"c\": 18446744073709551616}") ==
        "{\"b\": Infinity, " + added + ", \"c\": 18446744073709551616}");
  CHECK(quantized("{\"quantization\\u005fconfig\":null}") == "{" + added + "}");
}

TEST_CASE("a configuration's text but for one member", "[checkpoint]") {
  const ordered_json value = {{"k", {1}}};
  const auto replaced = [&](const std::string& text) { return with_quantization_config(text, value); };
  CHECK(replaced("{\"quantization_config\": null}") == "{\"quantization_config\": {\n    \"k\": [\n      1\n    ]\n  }}");
  CHECK(
      replaced(
          "{\n    \"x\\\"quantization_config\": \"}\",\n    \"quantization_config\" : {\"a\": [\"]\", {}]} ,\n    \"y\": [NaN, \"a,b\"]\n}\n") ==
      "{\n    \"x\\\"quantization_config\": \"}\",\n    \"quantization_config\": {\n        \"k\": [\n            1\n        ]\n    } ,\n    \"y\": "
      "[NaN, \"a,b\"]\n}\n");
  CHECK(replaced("{\"a\": {\"quantization_config\": 1}, \"compression_config\": 2}")
            .find("\"a\": {\"quantization_config\": 1}, \"quantization_config\": {") != std::string::npos);
  CHECK(replaced("{\"a\": 1}") == "{\"a\": 1,\n  \"quantization_config\": {\n    \"k\": [\n      1\n    ]\n  }\n}");
}

TEST_CASE("configs that are quantized already", "[checkpoint]") {
  refuse_quantized_config(parse_config("{\"quantization_config\": null, \"text_config\": {\"quantization_config\": null}}"));
  CHECK(error_of([] { refuse_quantized_config(parse_config("{\"text_config\": {\"quantization_config\": {}}}")); }) ==
        "the model is already quantized: config.json has a text_config.quantization_config");
  CHECK(error_of([] { refuse_quantized_config(parse_config("{\"compression_config\": {}}")); }) ==
        "the model is already quantized: config.json has a compression_config");
}

TEST_CASE("a configuration in one line, of many members, is written in the time of its text", "[checkpoint]") {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += "\"" + std::to_string(i) + "\":0,";
  const std::string wide(1 << 20, ' ');
  const std::string result = with_quantization_config(text + "\n" + wide + "\"x\":{}}", kSmall);
  CHECK(result == text + "\n" + wide + "\"x\":{},\n  \"quantization_config\": {\n    \"a\": 1\n  }\n}");
}
