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
  const std::string text = with_quantization_config("{\"quantization_config\": null, \"compression_config\": null, \"b\": 2}", kSmall);
  CHECK(ordered_json::parse(text) == ordered_json{{"b", 2}, {"quantization_config", kSmall}});
  CHECK(error_of([&] { with_quantization_config("{\"quantization_config\": null, \"b\": Infinity}", kSmall); }) ==
        "config.json: a quantization_config or compression_config that is null cannot be replaced beside Infinity");
}

TEST_CASE("configs that are quantized already", "[checkpoint]") {
  refuse_quantized_config(parse_config("{\"quantization_config\": null, \"text_config\": {\"quantization_config\": null}}"));
  CHECK(error_of([] { refuse_quantized_config(parse_config("{\"text_config\": {\"quantization_config\": {}}}")); }) ==
        "the model is already quantized: config.json has a text_config.quantization_config");
  CHECK(error_of([] { refuse_quantized_config(parse_config("{\"compression_config\": {}}")); }) ==
        "the model is already quantized: config.json has a compression_config");
}
