// verify against a decoder of the test's own, in both formats.
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/job.h"
#include "make_quantized.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;

namespace {

json verify(const std::string& original, const std::string& quantized) {
  Job job;
  job.verify(original, quantized);
  return json::parse(*job.report());
}

std::string verify_error(const std::string& original, const std::string& quantized) {
  return error_of([&] { verify(original, quantized); });
}

const json& layer_of(const json& report, const std::string& name) {
  for (const json& layer : report["layers"]) {
    if (layer["name"] == name) return layer;
  }
  throw std::runtime_error("no layer " + name);
}

}  // namespace

TEST_CASE("errors of layers", "[checkpoint][verify]") {
  const bool modelopt = GENERATE(true, false);
  const char* dtype = GENERATE("F32", "BF16");
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  const std::vector<Layer> layers = {random_layer("a.o_proj", 32, 64, 0.0123f), random_layer("b.o_proj", 16, 16, 3.1f)};
  const std::vector<Weight> others = {random_weight("norm.weight", "BF16", {64})};
  std::vector<Weight> weights = others;
  std::map<std::string, double> errors, totals;
  for (const Layer& layer : layers) {
    const std::vector<float> decoded_values = decoded(layer, modelopt), noise = random_values(layer.rows * layer.cols, 3, 0.25f);
    std::vector<float> values = decoded_values;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] += noise[i];
      if (std::string(dtype) == "BF16") {  // what the file will hold
        const uint32_t bits = uint32_t{to_bf16(values[i])} << 16;
        std::memcpy(&values[i], &bits, 4);
      }
      const double d = static_cast<double>(values[i]) - static_cast<double>(decoded_values[i]);
      errors[layer.module] += d * d;
      totals[layer.module] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    weights.push_back(weight_of(layer.module + ".weight", dtype, {layer.rows, layer.cols}, values));
  }
  write_safetensors(original + "/model.safetensors", weights);
  write_quantized(quantized, layers, others, modelopt);
  const json report = verify(original, quantized);
  CHECK(report["ok"] == true);
  CHECK(report["totals"]["copied"] == 1);
  for (const Layer& layer : layers) {
    const json& found = layer_of(report, layer.module);
    CHECK(found["squared_error"].get<double>() == Approx(errors[layer.module]).epsilon(1e-12));
    CHECK(found["relative_error"].get<double>() == Approx(std::sqrt(errors[layer.module] / totals[layer.module])).epsilon(1e-12));
  }
  CHECK(report["totals"]["squared_error"].get<double>() == Approx(errors["a.o_proj"] + errors["b.o_proj"]).epsilon(1e-12));
}

TEST_CASE("a decoded original has no error at all", "[checkpoint][verify]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  // a global scale whose reciprocal is not exact: the orders of the two formats give different bits
  const Layer layer = random_layer("a.o_proj", 64, 256, 0.0117f);
  write_safetensors(original + "/model.safetensors", {weight_of("a.o_proj.weight", "F32", {64, 256}, decoded(layer, modelopt))});
  write_quantized(quantized, {layer}, {}, modelopt);
  CHECK(verify(original, quantized)["totals"]["squared_error"] == 0.0);
  write_quantized(quantized, {layer}, {}, !modelopt);
  const double error = verify(original, quantized)["totals"]["relative_error"];
  CHECK(error > 0.0);
  CHECK(error < 1e-6);
}

TEST_CASE("what a run wrote is as far from its input as its report says", "[checkpoint][verify]") {
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder / "q";
  write_safetensors(original + "/model.safetensors",
                    {random_weight("a.o_proj.weight", "BF16", {64, 256}), random_weight("b.down_proj.weight", "F16", {32, 64}),
                     random_weight("lm_head.weight", "BF16", {8, 64})});
  Job job;
  job.run(original, quantized);
  const json run = json::parse(*job.report()), report = verify(original, quantized);
  CHECK(report["ok"] == true);
  CHECK(report["totals"]["layers"] == 2);
  CHECK(report["totals"]["relative_error"].get<double>() == Approx(run["totals"]["relative_error"].get<double>()).epsilon(1e-6));
  CHECK(report["totals"]["relative_error"] > 0.01);
}

TEST_CASE("missing, left over and different tensors", "[checkpoint][verify]") {
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  const Layer layer = random_layer("a.o_proj", 32, 64);
  const Weight weight = weight_of("a.o_proj.weight", "F32", {32, 64}, decoded(layer, true));
  std::vector<Weight> before = {weight, random_weight("x", "F32", {64}), random_weight("y", "F32", {64})};
  std::vector<Weight> after = {before[1], before[2]};
  SECTION("missing") {
    after.pop_back();
    write_safetensors(original + "/model.safetensors", before);
    write_quantized(quantized, {layer}, after, true);
    CHECK(verify(original, quantized)["missing"] == json({"y"}));
  }
  SECTION("extra") {
    write_safetensors(original + "/model.safetensors", before);
    after.push_back(random_weight("z", "F32", {64}));
    write_quantized(quantized, {layer, random_layer("b.o_proj", 16, 16)}, after, true);
    CHECK(verify(original, quantized)["extra"] == json({"b.o_proj.weight", "z"}));
  }
  SECTION("other bytes") {
    write_safetensors(original + "/model.safetensors", before);
    after[0].bytes[17] ^= 1;
    write_quantized(quantized, {layer}, after, true);
    const json report = verify(original, quantized);
    CHECK(report["ok"] == false);
    REQUIRE(report["different"].size() == 1);
    CHECK(report["different"][0]["text"] == "the bytes differ from byte 17 on");
  }
  SECTION("other shapes") {
    before[0].shape = {64, 32};
    before[1].shape = {8, 8};
    write_safetensors(original + "/model.safetensors", before);
    write_quantized(quantized, {layer}, after, true);
    const json report = verify(original, quantized);
    CHECK(report["ok"] == false);
    CHECK(report["different"].size() == 2);
    CHECK(report["totals"]["layers"] == 0);
  }
}

TEST_CASE("stacks of experts against experts", "[checkpoint][verify]") {
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  std::vector<Layer> layers;
  std::vector<float> gate_up, down;
  for (int e = 0; e < 3; ++e) {
    const std::string prefix = "l.mlp.experts." + std::to_string(e) + ".";
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
      layers.push_back(name == std::string("down_proj") ? random_layer(prefix + name, 32, 16) : random_layer(prefix + name, 16, 32));
      const std::vector<float> values = decoded(layers.back(), true);
      std::vector<float>& stack = name == std::string("down_proj") ? down : gate_up;
      stack.insert(stack.end(), values.begin(), values.end());
    }
  }
  write_safetensors(original + "/model.safetensors", {weight_of("l.mlp.experts.gate_up_proj", "F32", {3, 32, 32}, gate_up),
                                                      weight_of("l.mlp.experts.down_proj", "F32", {3, 32, 16}, down)});
  write_quantized(quantized, layers, {}, true);
  CHECK(verify(original, quantized)["missing"].size() == 2);  // nothing says how the stacks lie
  write_file(original + "/config.json", "{\"model_type\": \"qwen3_moe\", \"hidden_size\": 32}");
  const json report = verify(original, quantized);
  CHECK(report["ok"] == true);
  CHECK(report["totals"]["layers"] == 9);
  CHECK(report["totals"]["squared_error"] == 0.0);
  layers.erase(layers.begin() + 4);
  write_quantized(quantized, layers, {}, true);
  CHECK(verify(original, quantized)["missing"] == json({"l.mlp.experts.1.up_proj"}));
}

TEST_CASE("stacks with columns as outputs", "[checkpoint][verify]") {
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  const int64_t experts = 2, hidden = 48, inner = 32;
  std::vector<Layer> layers;
  std::vector<float> gate_up(static_cast<size_t>(experts * hidden * 2 * inner)), down(static_cast<size_t>(experts * inner * hidden));
  for (int64_t e = 0; e < experts; ++e) {
    const std::string prefix = "l.experts." + std::to_string(e) + ".";
    for (int64_t half = 0; half < 2; ++half) {
      layers.push_back(random_layer(prefix + (half ? "up_proj" : "gate_proj"), inner, hidden));
      const std::vector<float> values = decoded(layers.back(), true);
      for (int64_t r = 0; r < inner; ++r) {
        for (int64_t c = 0; c < hidden; ++c)
          gate_up[static_cast<size_t>((e * hidden + c) * 2 * inner + half * inner + r)] = values[static_cast<size_t>(r * hidden + c)];
      }
    }
    layers.push_back(random_layer(prefix + "down_proj", hidden, inner));
    const std::vector<float> values = decoded(layers.back(), true);
    for (int64_t r = 0; r < hidden; ++r) {
      for (int64_t c = 0; c < inner; ++c)
        down[static_cast<size_t>((e * inner + c) * hidden + r)] = values[static_cast<size_t>(r * inner + c)];
    }
  }
  write_safetensors(original + "/model.safetensors", {weight_of("l.experts.gate_up_proj", "F32", {experts, hidden, 2 * inner}, gate_up),
                                                      weight_of("l.experts.down_proj", "F32", {experts, inner, hidden}, down)});
  write_file(original + "/config.json", "{\"model_type\": \"llama4_text\", \"hidden_size\": 48}");
  write_quantized(quantized, layers, {}, true);
  const json report = verify(original, quantized);
  CHECK(report["ok"] == true);
  CHECK(report["totals"]["layers"] == 6);
  CHECK(report["totals"]["squared_error"] == 0.0);
  CHECK(report["totals"]["sum_squares"] > 0.0);
}

TEST_CASE("models that cannot be decoded", "[checkpoint][verify]") {
  TempFolder folder;
  const std::string original = folder.make("m"), quantized = folder.make("q");
  Layer layer = random_layer("a.o_proj", 32, 64);
  const std::vector<Weight> weights = {weight_of("a.o_proj.weight", "F32", {32, 64}, decoded(layer, true))};
  write_safetensors(original + "/model.safetensors", weights);
  CHECK(verify_error(original, original) == original + " holds no layer in NVFP4");
  CHECK(verify_error(original, folder / "none").find("does not exist") != std::string::npos);
  layer.scales[7] = 0x7F;
  write_quantized(quantized, {layer}, {}, true);
  CHECK(verify_error(original, quantized) == "layer \"a.o_proj\", elements from 0 on: scales[7] is 0x7F, NaN");
  std::vector<Weight> parts;
  add_layer(parts, layer, true);
  parts.pop_back();
  write_safetensors(quantized + "/model.safetensors", parts);
  CHECK(verify_error(original, quantized) == quantized + ": \"a.o_proj\": the layer has no global scale");
}
