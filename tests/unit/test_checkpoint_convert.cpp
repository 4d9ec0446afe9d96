// From ModelOpt's format to compressed-tensors' and back: bytes, scales, configurations, refusals.
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/config_text.h"
#include "checkpoint/convert.h"
#include "checkpoint/job.h"
#include "checkpoint/output_format.h"
#include "make_quantized.h"
#include "num/bits.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

json convert(const std::string& input, const std::string& output, bool to_modelopt) {
  Job job;
  job.options().format = to_modelopt ? Format::kModelopt : Format::kCompressedTensors;
  job.convert(input, output);
  return json::parse(*job.report());
}

std::string convert_error(const std::string& input, const std::string& output, bool to_modelopt) {
  return error_of([&] { convert(input, output, to_modelopt); });
}

// Global scales of which some are no reciprocal of their reciprocal.
std::vector<Layer> layers_of(bool with_inputs) {
  std::vector<Layer> layers;
  for (int i = 0; i < 12; ++i) {
    layers.push_back(random_layer("model.layers." + std::to_string(i) + ".o_proj", 16, 32, 0.001f * static_cast<float>(3 * i + 7)));
    if (with_inputs) layers.back().input = 0.0007f * static_cast<float>(5 * i + 3);
  }
  return layers;
}

std::vector<Weight> others() { return {random_weight("lm_head.weight", "BF16", {8, 64}), random_weight("model.norm.weight", "F32", {64})}; }

// The text of write_config with the configuration that a conversion writes.
std::string written_config(bool modelopt, bool with_inputs) {
  const QuantizationInfo info{{"lm_head"}, with_inputs};
  const OutputFormat& format = output_format(modelopt ? Format::kModelopt : Format::kCompressedTensors);
  return with_quantization_config("{\n  \"a\": [1.50, NaN],\n  \"quantization_config\": 0,\n  \"z\": 1.00e+02\n}",
                                  format.config_member(info));
}

}  // namespace

TEST_CASE("every scale comes back", "[checkpoint][convert]") {
  int64_t recorded = 0;
  for (uint32_t mantissa = 0; mantissa < 1u << 23; ++mantissa) {
    const float x = num::from_bits(mantissa | 117u << 23);
    const ConvertedScale there = convert_scale(x, std::nullopt, "x");
    const ConvertedScale back = convert_scale(there.value, there.record ? std::optional<float>(x) : std::nullopt, "x");
    recorded += there.record;
    if (num::bits_of(back.value) != num::bits_of(x) || back.record) FAIL("mantissa " << mantissa);
  }
  // only values whose mantissa is over sqrt(2) can get lost: between them, the reciprocals lie further apart
  CHECK(recorded > 1 << 19);
  CHECK(recorded < 1 << 21);
  for (const float x : {1.1754944e-38f, 1e-30f, 0.0117f, 1.0f, 3e20f, 8.4e37f}) {
    const ConvertedScale there = convert_scale(x, std::nullopt, "x");
    CHECK(num::bits_of(convert_scale(there.value, there.record ? std::optional<float>(x) : std::nullopt, "x").value) == num::bits_of(x));
  }
  CHECK(error_of([] { convert_scale(3e38f, std::nullopt, "a.s"); }) == "the scale \"a.s\" is 3e+38, whose reciprocal is no normal float32");
}

TEST_CASE("a record that does not fit the file is not believed", "[checkpoint][convert]") {
  CHECK(convert_scale(4.0f, 0.25f, "x").value == 0.25f);
  CHECK(convert_scale(4.0f, 0.5f, "x").value == 0.25f);
  CHECK(convert_scale(4.0f, NAN, "x").value == 0.25f);
}

TEST_CASE("there and back gives the same bytes", "[checkpoint][convert]") {
  const bool modelopt = GENERATE(true, false), with_inputs = GENERATE(false, true);
  TempFolder folder;
  const std::string first = folder.make("a"), second = folder / "b", third = folder / "c";
  const std::vector<Layer> layers = layers_of(with_inputs);
  std::vector<Weight> all = others(), part[2];
  for (const Layer& layer : layers) add_layer(all, layer, modelopt);
  float divisor = 1450.7f;  // not the reciprocals of anything
  for (Weight& weight : all) {
    if (weight.name.ends_with("_global_scale")) weight.bytes = float_bytes(divisor += 19.13f);
  }
  json map = json::object();
  for (size_t i = 0; i < all.size(); ++i) {  // parts of layers lie in different shards
    part[i % 2].push_back(all[i]);
    map[all[i].name] = i % 2 ? "model-2.safetensors" : "model-1.safetensors";
  }
  int64_t size = 0;
  for (const Weight& weight : all) size += static_cast<int64_t>(weight.bytes.size());
  write_safetensors(first + "/model-1.safetensors", part[0], {{"format", "pt"}, {"who", "test"}});
  write_safetensors(first + "/model-2.safetensors", part[1], {{"format", "pt"}});
  write_file(first + "/model.safetensors.index.json",
             json{{"metadata", {{"total_size", size}, {"x", 1}}}, {"weight_map", map}}.dump(2) + "\n");
  write_file(first + "/config.json", written_config(modelopt, with_inputs));
  write_file(first + "/tokenizer.json", "{}");
  const json there = convert(first, second, !modelopt);
  CHECK(there["totals"]["layers"] == 12);
  CHECK(there["totals"]["recorded"] > 0);
  const json back = convert(second, third, modelopt);
  CHECK(back["totals"]["recorded"] == 0);
  for (const char* name : {"model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json", "config.json", "tokenizer.json"})
    CHECK(read_file(third + "/" + name) == read_file(first + "/" + name));
  CHECK(list(second).size() == (modelopt ? 5 : 6));  // hf_quant_config.json is ModelOpt's
  CHECK(list(third).size() == (modelopt ? 6 : 5));
}

TEST_CASE("what a conversion writes", "[checkpoint][convert]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string input = folder.make("a"), output = folder / "b";
  const std::vector<Layer> layers = layers_of(true);
  write_quantized(input, layers, others(), modelopt);
  const auto member = modelopt ? modelopt_member({"lm_head"}, "NVFP4") : compressed_tensors_member({"lm_head"});
  write_config(input, member);
  if (!modelopt) {
    nlohmann::ordered_json changed = member;
    changed["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 4}};
    write_config(input, changed);
  }
  convert(input, output, !modelopt);
  const StoredFile from = read_safetensors(input + "/model.safetensors"), to = read_safetensors(output + "/model.safetensors");
  const char* const codes[] = {".weight_packed", ".weight"};
  const char* const globals[] = {".weight_global_scale", ".weight_scale_2"};
  const char* const inputs[] = {".input_global_scale", ".input_scale"};
  for (const Layer& layer : layers) {
    CHECK(to.bytes(layer.module + codes[!modelopt]) == layer.codes);
    CHECK(to.bytes(layer.module + ".weight_scale") == layer.scales);
    CHECK(to.scalar(layer.module + globals[!modelopt]) == 1.0f / from.scalar(layer.module + globals[modelopt]));
    CHECK(to.scalar(layer.module + inputs[!modelopt]) == 1.0f / from.scalar(layer.module + inputs[modelopt]));
    CHECK(to.entry(layer.module + globals[!modelopt]).shape.size() == (modelopt ? 1 : 0));
  }
  CHECK(to.header.tensors.size() == from.header.tensors.size());
  CHECK(to.bytes("lm_head.weight") == from.bytes("lm_head.weight"));
  Job job;
  job.inspect(output);
  const json report = json::parse(*job.report());
  CHECK(report["defects"].empty());
  CHECK(report["warnings"].empty());
  CHECK(report["algorithm"] == "NVFP4");
  CHECK(report["format"] == (modelopt ? "compressed-tensors" : "modelopt"));
}

TEST_CASE("models without a counterpart are refused", "[checkpoint][convert]") {
  TempFolder folder;
  const std::string input = folder.make("a"), output = folder / "b";
  std::vector<Weight> rest = others();
  nlohmann::ordered_json member = modelopt_member({"lm_head"});
  bool to_modelopt = false;
  std::string expected = "the other format has no counterpart";
  SECTION("the same format") {
    to_modelopt = true;
    expected = "has that format already: modelopt";
  }
  SECTION("another algorithm") { member["quant_algo"] = "NVFP4_AWQ"; }
  SECTION("a key-value cache") { member["kv_cache_scheme"] = {{"num_bits", 8}}; }
  SECTION("its scales") { rest.push_back(random_weight("model.layers.0.k_proj.k_scale", "F32", {1})); }
  SECTION("two groups of layers") { member["config_groups"]["group_1"] = member["config_groups"]["group_0"]; }
  SECTION("pre-quantization scales") { rest.push_back(random_weight("model.layers.0.o_proj.pre_quant_scale", "BF16", {32})); }
  SECTION("a defect") {
    member["ignore"] = {"lm_head", "model.layers.0.o_proj"};
    expected = "is quantized, but listed as not quantized";
  }
  SECTION("a name that is taken") {
    rest.push_back(random_weight("model.layers.0.o_proj.weight_packed.weight", "BF16", {1}));
    rest.back().name = "model.layers.0.o_proj.weight_global_scale";
    expected = "mixes names";
  }
  write_quantized(input, layers_of(false), rest, true);
  write_config(input, member);
  const std::string error = convert_error(input, output, to_modelopt);
  INFO(error);
  CHECK(error.find(expected) != std::string::npos);
  CHECK_FALSE(fs::exists(output));
}

TEST_CASE("an input that changes while it is converted", "[checkpoint][convert]") {
  TempFolder folder;
  write_quantized(folder.make("in"), layers_of(false), others(), true, {"lm_head"});
  Job job;
  job.options().format = Format::kCompressedTensors;
  const std::string file = folder / "in/model.safetensors";
  job.set_progress(
      [](void* user, int64_t, int64_t, const char*) {
        fs::last_write_time(*static_cast<const std::string*>(user), fs::file_time_type::clock::now() + std::chrono::hours(1));
        return int32_t{0};
      },
      const_cast<std::string*>(&file));
  CHECK(error_of([&] { job.convert(folder / "in", folder / "out"); }) == file + " was changed while it was read");
  CHECK_FALSE(fs::exists(folder / "out"));
}

TEST_CASE("records that are damaged", "[checkpoint][convert]") {
  TempFolder folder;
  const std::string input = folder.make("a"), output = folder / "b";
  std::vector<Weight> weights;
  add_layer(weights, random_layer("a.o_proj", 16, 32), true);
  write_config(input, modelopt_member({}));
  const auto error = [&](const std::string& record) {
    write_safetensors(input + "/model.safetensors", weights, {{"nvfp4cal.exact_scales", record}});
    return convert_error(input, output, false);
  };
  const std::string where = "model.safetensors: nvfp4cal.exact_scales";
  CHECK(error("3") == where + ": the file is not a JSON object");
  CHECK(error("{\"a\":1}") == where + ": \"a\" has no 8 hexadecimal digits");
  CHECK(error("{\"a\":\"0x3f8000\"}") == where + ": \"a\" has no 8 hexadecimal digits");
  CHECK(error("{\"a\":\"3f80000\"}") == where + ": \"a\" has no 8 hexadecimal digits");
  CHECK(error("{\"unknown\":\"3f800000\"}").empty());
}
