// What inspect finds in quantized models of both formats, and what is wrong with broken ones.
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

json inspect(const std::string& folder) {
  Job job;
  job.inspect(folder);
  return json::parse(*job.report());
}

std::vector<Layer> attention() {
  return {random_layer("model.layers.0.self_attn.q_proj", 32, 64), random_layer("model.layers.0.self_attn.k_proj", 16, 64),
          random_layer("model.layers.0.self_attn.v_proj", 16, 64), random_layer("model.layers.0.mlp.down_proj", 64, 48, 0.25f)};
}

std::vector<Weight> others() { return {random_weight("lm_head.weight", "BF16", {8, 64}), random_weight("model.norm.weight", "F32", {64})}; }

// The defects of a kind.
std::vector<json> of_kind(const json& report, const std::string& kind) {
  std::vector<json> found;
  for (const json& defect : report["defects"]) {
    if (defect["kind"] == kind) found.push_back(defect);
  }
  return found;
}

}  // namespace

TEST_CASE("a sound model has no defects", "[checkpoint][inspect]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string path = folder.make("q");
  const std::vector<Layer> layers = attention();
  write_quantized(path, layers, others(), modelopt, {"lm_head"});
  const json report = inspect(path);
  CHECK(report["format"] == (modelopt ? "modelopt" : "compressed-tensors"));
  CHECK(report["algorithm"] == "W4A16_NVFP4");
  CHECK(report["defects"].empty());
  CHECK(report["warnings"].empty());
  CHECK(report["totals"]["layers"] == 4);
  CHECK(report["totals"]["elements_quantized"] == 64 * 64 + 64 * 48);
  CHECK(report["totals"]["elements"] == 64 * 64 + 64 * 48 + 9 * 64);
  CHECK(report["totals"]["tensors"] == 14);
  CHECK(report["fused_groups"].size() == 1);
  CHECK(report["fused_groups"][0]["equal"] == true);
  CHECK(report["fused_groups"][0]["members"].size() == 3);
  CHECK(report["others"].size() == 2);
  int64_t scales = 0;
  for (const json& count : report["scale_codes"]) scales += count.get<int64_t>();
  CHECK(scales == (64 * 64 + 64 * 48) / 16);
  for (const json& layer : report["layers"]) {
    const auto it = std::find_if(layers.begin(), layers.end(), [&](const Layer& l) { return layer["name"] == l.module; });
    REQUIRE(it != layers.end());
    const auto largest = static_cast<uint8_t>(*std::max_element(it->scales.begin(), it->scales.end()));
    const double v = std::ldexp(1.0 + (largest & 7) / 8.0, (largest >> 3) - 7);
    CHECK(layer["scale_max"] == v);
    CHECK(layer["reach"].get<double>() == 6.0 * v * static_cast<double>(it->global));
    CHECK(layer["shape"] == json({it->rows, it->cols}));
  }
}

TEST_CASE("a layer without a module's name is one", "[checkpoint][inspect]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string path = folder.make("q");
  write_quantized(path, {random_layer("", 16, 32, 0.01f)}, others(), modelopt, {"lm_head"});
  const json report = inspect(path);
  CHECK(report["defects"].empty());
  CHECK(report["totals"]["layers"] == 1);
  CHECK(report["layers"][0]["name"] == "");
  CHECK(report["others"].size() == 2);
}

TEST_CASE("a model that is not quantized is described", "[checkpoint][inspect]") {
  TempFolder folder;
  const std::string path = folder.make("m");
  write_safetensors(path + "/model.safetensors", others());
  const json report = inspect(path);
  CHECK(report["format"].is_null());
  CHECK(report["layers"].empty());
  CHECK(report["defects"].empty());
  CHECK(report["others"].size() == 2);
}

TEST_CASE("scales that engines stumble over are defects", "[checkpoint][inspect]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string path = folder.make("q");
  std::vector<Layer> layers = attention();
  layers[0].scales[3] = 0x7F;
  layers[0].scales[4] = static_cast<char>(0xFF);
  layers[1].scales[0] = 0;
  layers[3].scales[1] = static_cast<char>(0xB8);
  write_quantized(path, layers, others(), modelopt, {"lm_head"});
  const json report = inspect(path);
  REQUIRE(of_kind(report, "nan").size() == 1);
  CHECK(of_kind(report, "nan")[0]["name"] == "model.layers.0.self_attn.q_proj.weight_scale");
  CHECK(of_kind(report, "nan")[0]["text"] == "2 of the block scales are NaN");
  CHECK(of_kind(report, "zero").size() == 1);
  CHECK(of_kind(report, "negative").size() == 1);
  CHECK(report["totals"]["defects"] == 3);
}

TEST_CASE("global scales", "[checkpoint][inspect]") {
  const float global = GENERATE(0.0f, -1.0f, 1e-40f, INFINITY, NAN);
  TempFolder folder;
  const std::string path = folder.make("q");
  std::vector<Layer> layers = {random_layer("a.o_proj", 16, 16, global), random_layer("b.o_proj", 16, 16)};
  write_quantized(path, layers, {}, true);
  const std::vector<json> found = of_kind(inspect(path), "global scale");
  REQUIRE(found.size() == 1);
  CHECK(found[0]["name"] == "a.o_proj.weight_scale_2");
}

TEST_CASE("fused groups of quantized models", "[checkpoint][inspect]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string path = folder.make("q");
  std::vector<Layer> layers = attention();
  SECTION("unequal global scales") {
    layers[2].global *= 2.0f;
    write_quantized(path, layers, others(), modelopt, {"lm_head"});
    const json report = inspect(path);
    REQUIRE(of_kind(report, "fused group").size() == 1);
    CHECK(report["fused_groups"][0]["equal"] == false);
  }
  SECTION("unequal input scales") {
    for (Layer& layer : layers) layer.input = 1.0f;
    layers[0].input = 2.0f;
    write_quantized(path, layers, others(), modelopt, {"lm_head"});
    // both others differ from the first member by name, k_proj
    CHECK(of_kind(inspect(path), "fused group").size() == 1);
  }
  SECTION("a member that is not quantized") {
    layers.erase(layers.begin() + 1);
    std::vector<Weight> rest = others();
    rest.push_back(random_weight("model.layers.0.self_attn.k_proj.weight", "BF16", {16, 64}));
    write_quantized(path, layers, rest, modelopt, {"lm_head", "model.layers.0.self_attn.k_proj"});
    const std::vector<json> found = of_kind(inspect(path), "fused group");
    REQUIRE(found.size() == 1);
    CHECK(found[0]["name"] == "model.layers.0.self_attn.k_proj.weight");
  }
  SECTION("experts") {
    layers.push_back(random_layer("model.layers.0.mlp.experts.0.down_proj", 16, 32));
    std::vector<Weight> rest = others();
    rest.push_back(random_weight("model.layers.0.mlp.experts.1.down_proj.weight", "BF16", {16, 32}));
    write_quantized(path, layers, rest, modelopt, {"lm_head", "model.layers.0.mlp.experts.1.down_proj"});
    CHECK(of_kind(inspect(path), "experts").size() == 1);
  }
}

TEST_CASE("layers that are not complete", "[checkpoint][inspect]") {
  const bool modelopt = GENERATE(true, false);
  TempFolder folder;
  const std::string path = folder.make("q");
  std::vector<Weight> weights = others();
  add_layer(weights, random_layer("a.o_proj", 16, 32), modelopt);
  add_layer(weights, random_layer("b.o_proj", 16, 32), modelopt);
  write_config(path, modelopt ? modelopt_member({"lm_head"}) : compressed_tensors_member({"lm_head"}));
  const size_t at = others().size();  // codes, scales, global scale of a
  const auto expect = [&](const char* kind, const std::string& name) {
    write_safetensors(path + "/model.safetensors", weights);
    const json report = inspect(path);
    REQUIRE(of_kind(report, kind).size() == 1);
    CHECK(of_kind(report, kind)[0]["name"] == name);
    CHECK(report["totals"]["layers"] == 1);
  };
  SECTION("no codes") {
    weights.erase(weights.begin() + static_cast<long>(at));
    expect("missing", "a.o_proj");
  }
  SECTION("no block scales") {
    weights.erase(weights.begin() + static_cast<long>(at) + 1);
    expect("missing", "a.o_proj");
  }
  SECTION("no global scale") {
    weights.erase(weights.begin() + static_cast<long>(at) + 2);
    expect("missing", "a.o_proj");
  }
  SECTION("scales of another shape") {
    weights[at + 1].shape = {32, 1};
    expect("shape", "a.o_proj.weight_scale");
  }
  SECTION("scales in bytes") {
    weights[at + 1].dtype = "U8";
    expect("shape", "a.o_proj.weight_scale");
  }
  SECTION("a global scale in BF16") {
    weights[at + 2].dtype = "BF16";
    weights[at + 2].bytes = weights[at + 2].bytes.substr(2);
    expect("shape", weights[at + 2].name);
  }
  SECTION("the other format's name") {
    weights[at + 2].name = modelopt ? "a.o_proj.weight_global_scale" : "a.o_proj.weight_scale_2";
    expect("format", "a.o_proj");
  }
}

TEST_CASE("weights that are not numbers", "[checkpoint][inspect]") {
  TempFolder folder;
  const std::string path = folder.make("q");
  std::vector<float> values(64, 1.0f);
  values[5] = NAN;
  std::vector<float> mask(64, 0.0f);
  mask[1] = -INFINITY;
  write_quantized(path, {random_layer("a.o_proj", 16, 32)},
                  {weight_of("model.norm.weight", "F32", {64}, values), weight_of("mask", "F32", {64}, mask)}, true);
  const json report = inspect(path);
  REQUIRE(of_kind(report, "nan").size() == 1);
  CHECK(of_kind(report, "nan")[0]["text"] == "element 5 is NaN");
  REQUIRE(report["warnings"].size() == 1);
  CHECK(report["warnings"][0].get<std::string>().find("element 1 is") != std::string::npos);
}

TEST_CASE("configurations that contradict the tensors", "[checkpoint][inspect]") {
  TempFolder folder;
  const std::string path = folder.make("q");
  const bool modelopt = GENERATE(true, false);
  const nlohmann::ordered_json right = modelopt ? modelopt_member({"lm_head"}) : compressed_tensors_member({"lm_head"});
  nlohmann::ordered_json member = right;
  std::vector<Layer> layers = attention();
  const auto expect = [&](size_t count) {
    write_quantized(path, layers, others(), modelopt);
    write_config(path, member);
    const json report = inspect(path);
    INFO(report["defects"].dump());
    CHECK(of_kind(report, "configuration").size() == count);
    CHECK(report["defects"].size() == count);
  };
  SECTION("right") { expect(0); }
  SECTION("none") {
    member = nullptr;
    expect(1);
  }
  SECTION("no quant_method") {
    member.erase("quant_method");
    expect(1);
  }
  SECTION("of the other format") {
    member["quant_method"] = modelopt ? "compressed-tensors" : "modelopt";
    expect(1);
  }
  SECTION("another group size") {
    member["config_groups"]["group_0"]["weights"]["group_size"] = 32;
    expect(1);
  }
  SECTION("types that nobody expects") {
    member["config_groups"] = 3;
    member["ignore"] = "lm_head";
    expect(modelopt ? 0 : 1);
  }
  SECTION("a quantized layer is excluded") {
    member["ignore"] = {"lm_head", "model.layers.0.mlp*"};
    expect(1);
  }
  SECTION("activations without scales") {
    if (modelopt) {
      member["quant_algo"] = "NVFP4";
    } else {
      member["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 4}};
    }
    expect(1);
    for (Layer& layer : layers) layer.input = 1.0f;
    expect(0);
  }
}

TEST_CASE("two configurations that differ", "[checkpoint][inspect]") {
  TempFolder folder;
  const std::string path = folder.make("q");
  write_quantized(path, attention(), others(), true, {"lm_head"});
  const auto defects = [&](const json& quantization) {
    write_file(path + "/hf_quant_config.json", json{{"quantization", quantization}}.dump());
    return of_kind(inspect(path), "configuration").size();
  };
  CHECK(defects({{"quant_algo", "W4A16_NVFP4"}, {"group_size", 16}, {"exclude_modules", {"lm_head"}}}) == 0);
  CHECK(defects({{"quant_algo", "NVFP4"}, {"group_size", 16}, {"exclude_modules", {"lm_head"}}}) == 1);
  CHECK(defects({{"quant_algo", "W4A16_NVFP4"}, {"group_size", 32}, {"exclude_modules", {"lm_head"}}}) == 1);
  CHECK(defects({{"quant_algo", "W4A16_NVFP4"}, {"group_size", 16}, {"exclude_modules", json::array()}}) == 1);
  write_file(path + "/hf_quant_config.json", "{\"a\": 1, \"a\": 2}");
  CHECK(error_of([&] { inspect(path); }).find("hf_quant_config.json: an object has the key \"a\" twice") == 0);
}

TEST_CASE("what is listed nowhere is a warning", "[checkpoint][inspect]") {
  TempFolder folder;
  const std::string path = folder.make("q");
  write_quantized(path, attention(), others(), true);
  const json report = inspect(path);
  CHECK(report["defects"].empty());
  REQUIRE(report["warnings"].size() == 1);
  CHECK(report["warnings"][0] == "1 matrices are neither quantized nor listed as excluded: \"lm_head.weight\"");
}
