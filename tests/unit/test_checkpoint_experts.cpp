// Stacks of experts: taken apart where the layout is known, whole where it is not.
#include <nlohmann/json.hpp>

#include "checkpoint/job.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;

namespace {

const char* const kModel = "model.safetensors";
const std::string kExperts = "model.layers.0.mlp.experts.";

struct Shape {
  int64_t experts, hidden, intermediate;
};

// Element [r, c] of a projection of an expert: gate, up and down are 0, 1 and 2.
float value(int64_t expert, int projection, int64_t r, int64_t c) {
  const auto hash = static_cast<uint32_t>((expert * 31 + projection * 7 + 1) * 2654435761u + r * 40503u + c * 69069u);
  return static_cast<float>(static_cast<int>(hash >> 13 & 255) - 127) / 128.0f * static_cast<float>(1 << (expert + projection) % 3);
}

std::vector<float> matrix(int64_t expert, int projection, int64_t rows, int64_t cols) {
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) values.push_back(value(expert, projection, r, c));
  }
  return values;
}

Weight other_layer() { return random_weight("model.layers.0.self_attn.o_proj.weight", "BF16", {16, 32}); }

std::vector<Weight> taken_apart(const Shape& s, const char* dtype) {
  std::vector<Weight> weights = {other_layer()};
  for (int64_t e = 0; e < s.experts; ++e) {
    const std::string prefix = kExperts + std::to_string(e);
    weights.push_back(weight_of(prefix + ".gate_proj.weight", dtype, {s.intermediate, s.hidden}, matrix(e, 0, s.intermediate, s.hidden)));
    weights.push_back(weight_of(prefix + ".up_proj.weight", dtype, {s.intermediate, s.hidden}, matrix(e, 1, s.intermediate, s.hidden)));
    weights.push_back(weight_of(prefix + ".down_proj.weight", dtype, {s.hidden, s.intermediate}, matrix(e, 2, s.hidden, s.intermediate)));
  }
  return weights;
}

// columns: [E, H, 2I] and [E, I, H] instead of [E, 2I, H] and [E, H, I].
std::vector<Weight> stacked(const Shape& s, const char* dtype, bool columns) {
  std::vector<float> gate_up, down;
  for (int64_t e = 0; e < s.experts; ++e) {
    const int64_t rows = columns ? s.hidden : 2 * s.intermediate, cols = columns ? 2 * s.intermediate : s.hidden;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const int64_t out = columns ? c : r, in = columns ? r : c;
        gate_up.push_back(value(e, out / s.intermediate ? 1 : 0, out % s.intermediate, in));
      }
    }
    for (int64_t r = 0; r < (columns ? s.intermediate : s.hidden); ++r) {
      for (int64_t c = 0; c < (columns ? s.hidden : s.intermediate); ++c) down.push_back(columns ? value(e, 2, c, r) : value(e, 2, r, c));
    }
  }
  using Extents = std::vector<int64_t>;
  const Extents up_shape = columns ? Extents{s.experts, s.hidden, 2 * s.intermediate} : Extents{s.experts, 2 * s.intermediate, s.hidden};
  const Extents down_shape = columns ? Extents{s.experts, s.intermediate, s.hidden} : Extents{s.experts, s.hidden, s.intermediate};
  return {other_layer(), weight_of(kExperts + "gate_up_proj", dtype, up_shape, gate_up),
          weight_of(kExperts + "down_proj", dtype, down_shape, down)};
}

json run(const TempFolder& folder, const std::string& name, const std::vector<Weight>& weights, const std::string& config,
         const LayerRules& rules = {}) {
  const std::string input = folder.make(name + "-in");
  write_safetensors(input + "/" + kModel, weights);
  if (!config.empty()) write_file(input + "/config.json", config);
  Job job;
  job.options().rules = rules;
  job.run(input, folder / name);
  return json::parse(*job.report());
}

json tensor_of(const json& report, const std::string& name) {
  for (const json& tensor : report["tensors"]) {
    if (tensor["name"] == name) return tensor;
  }
  return nullptr;
}

std::string config_of(const char* type, int64_t hidden) { return json{{"model_type", type}, {"hidden_size", hidden}}.dump(); }

}  // namespace

TEST_CASE("stacks of experts become what the same experts in 2-D become", "[checkpoint]") {
  struct Case {
    const char* type;
    bool columns;
    Shape shape;
  };
  // the last two: 2 I == H, and more than one piece of 512 KiB an expert
  const Case c =
      GENERATE(Case{"qwen3_moe", false, {3, 48, 32}}, Case{"llama4_text", true, {3, 48, 32}}, Case{"qwen3_vl_moe", false, {2, 64, 32}},
               Case{"qwen3_vl_moe", true, {2, 64, 32}}, Case{"llama4", true, {2, 1008, 560}});
  const char* dtype = GENERATE("BF16", "F32");
  TempFolder folder;
  const json report = run(folder, "stacked", stacked(c.shape, dtype, c.columns), config_of(c.type, c.shape.hidden));
  const json expected = run(folder, "apart", taken_apart(c.shape, dtype), config_of(c.type, c.shape.hidden));
  CHECK((read_file(folder / (std::string("stacked/") + kModel)) == read_file(folder / (std::string("apart/") + kModel))));
  CHECK(read_file(folder / "stacked/config.json") == read_file(folder / "apart/config.json"));
  CHECK(report["warnings"] == json::array());
  CHECK(report["totals"]["elements_quantized"] == expected["totals"]["elements_quantized"]);
  const json tensor = tensor_of(report, kExperts + "1.gate_proj.weight");
  CHECK(tensor["reason"] == "linear layer, one of a fused group, an expert of a 3-D stack");
  CHECK(tensor["group"] == kExperts + "1.{gate_proj,up_proj}");
  CHECK(tensor["squared_error"].get<double>() ==
        Approx(tensor_of(expected, kExperts + "1.gate_proj.weight")["squared_error"].get<double>()));
}

TEST_CASE("stacks of an unknown layout stay whole", "[checkpoint]") {
  const Shape shape{2, 48, 32};
  TempFolder folder;
  struct Case {
    std::string config, reason;
  };
  const std::vector<Case> cases = {
      {"", "their layout is not known without config.json"},
      {"{}", "their layout is not known for the model type \"\""},
      {config_of("gpt_oss", 48), "their layout is not known for the model type \"gpt_oss\""},
      {"{\"model_type\": \"qwen3_moe\"}", "config.json has no hidden_size"},
      {config_of("qwen3_moe", 32), "the shapes do not fit the layout of the model type \"qwen3_moe\""},
      {config_of("llama4", 48), "the shapes do not fit the layout of the model type \"llama4\""},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string name = "out" + std::to_string(i);
    const json report = run(folder, name, stacked(shape, "BF16", false), cases[i].config);
    CHECK(tensor_of(report, kExperts + "gate_up_proj")["reason"] == "3-D stack of experts: " + cases[i].reason);
    CHECK(tensor_of(report, kExperts + "down_proj")["action"] == "copied");
    const StoredFile stored = read_safetensors(folder / (name + "/" + kModel));
    CHECK((stored.bytes(kExperts + "down_proj") == stacked(shape, "BF16", false)[2].bytes));
  }
  // nested configuration
  const json report = run(folder, "nested", stacked(shape, "BF16", false), "{\"text_config\": " + config_of("qwen3_moe", 48) + "}");
  CHECK(tensor_of(report, kExperts + "0.down_proj.weight")["action"] == "quantized");
}

TEST_CASE("a stack without its partner, or with experts that must be copied, stays whole", "[checkpoint]") {
  TempFolder folder;
  const Shape shape{2, 48, 32};
  std::vector<Weight> weights = stacked(shape, "BF16", false);
  const json excluded = run(folder, "excluded", weights, config_of("qwen3_moe", 48), {{}, {"*.experts.1.*"}, {}});
  CHECK(tensor_of(excluded, kExperts + "gate_up_proj")["reason"].get<std::string>().find("an expert would be copied: ") !=
        std::string::npos);
  CHECK(tensor_of(excluded, kExperts + "down_proj")["action"] == "copied");
  const json odd = run(folder, "odd", stacked({2, 48, 24}, "BF16", false), config_of("qwen3_moe", 48));  // K = 24 in down_proj
  CHECK(tensor_of(odd, kExperts + "gate_up_proj")["action"] == "copied");
  weights.pop_back();
  const json alone = run(folder, "alone", weights, config_of("qwen3_moe", 48));
  CHECK(tensor_of(alone, kExperts + "gate_up_proj")["reason"] == "3-D stack of experts: not a pair of gate_up_proj and down_proj");
}

TEST_CASE("stacks without elements stay whole, however many experts they claim", "[checkpoint]") {
  TempFolder folder;
  constexpr int64_t kMany = int64_t{1} << 40;
  for (const bool columns : {false, true}) {
    for (const std::vector<int64_t>& s : std::vector<std::vector<int64_t>>{{kMany, 48, 0}, {kMany, 0, 32}, {0, 48, 32}}) {
      const int64_t experts = s[0], hidden = s[1], rows = s[2];
      using Extents = std::vector<int64_t>;
      const Extents up = columns ? Extents{experts, hidden, 2 * rows} : Extents{experts, 2 * rows, hidden};
      const Extents down = columns ? Extents{experts, rows, hidden} : Extents{experts, hidden, rows};
      const std::vector<Weight> weights = {
          other_layer(), {kExperts + "gate_up_proj", "BF16", up, ""}, {kExperts + "down_proj", "BF16", down, ""}};
      const std::string type = columns ? "llama4" : "qwen3_moe";
      const std::string name = "out" + std::to_string(experts + hidden) + type;
      const json report = run(folder, name, weights, config_of(type.c_str(), hidden));
      CHECK(tensor_of(report, kExperts + "down_proj")["reason"] ==
            "3-D stack of experts: the shapes do not fit the layout of the model type \"" + type + "\"");
    }
  }
}

TEST_CASE("NaN in a stack is named by its place there", "[checkpoint]") {
  TempFolder folder;
  std::vector<Weight> weights = stacked({2, 48, 32}, "F32", true);
  weights[1].bytes.replace(4 * 3777, 4, std::string("\0\0\xC0\x7F", 4));
  CHECK(error_of([&] { run(folder, "out", weights, config_of("llama4", 48)); }) ==
        "model.safetensors: tensor \"" + kExperts + "gate_up_proj\"[3777] is NaN");
}
