// What the output formats have in common and what differs.
#include <cmath>
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

std::vector<Weight> some_layers() {
  return {random_weight("a.0.q_proj.weight", "BF16", {32, 64}), random_weight("a.0.k_proj.weight", "BF16", {16, 64}, 3.0f),
          random_weight("a.0.down_proj.weight", "F32", {48, 32}, 0.01f),
          weight_of("a.0.zero.weight", "F32", {2, 16}, std::vector<float>(32, 0.0f)), random_weight("lm_head.weight", "BF16", {7, 64})};
}

json run(const std::string& input, const std::string& output, Format format) {
  Job job;
  job.options().format = format;
  job.run(input, output);
  return json::parse(*job.report());
}

}  // namespace

TEST_CASE("both formats hold the same codes and block scales", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in");
  write_safetensors(input + "/" + kModel, some_layers());
  write_file(input + "/config.json", "{}");
  const json report = run(input, folder / "modelopt", Format::kModelopt);
  const json other = run(input, folder / "packed", Format::kCompressedTensors);
  CHECK(report["output_format"] == "modelopt");
  CHECK(other["output_format"] == "compressed-tensors");
  CHECK(report["tensors"] == other["tensors"]);
  CHECK(list(folder / "packed") == std::vector<std::string>{"config.json", kModel});
  const StoredFile a = read_safetensors(folder / "modelopt/model.safetensors"), b = read_safetensors(folder / "packed/model.safetensors");
  CHECK(a.header.tensors.size() == b.header.tensors.size());
  for (const json& tensor : report["tensors"]) {
    const std::string name = tensor["name"];
    if (tensor["action"] == "copied") {
      CHECK(a.bytes(name) == b.bytes(name));
      continue;
    }
    CHECK(a.bytes(name) == b.bytes(name + "_packed"));
    CHECK(a.entry(name).shape == b.entry(name + "_packed").shape);
    CHECK(b.entry(name + "_packed").dtype->name == std::string("U8"));
    CHECK(a.bytes(name + "_scale") == b.bytes(name + "_scale"));
    CHECK(b.entry(name + "_scale").dtype->name == std::string("F8_E4M3"));
    CHECK(b.entry(name + "_global_scale").dtype->name == std::string("F32"));
    CHECK(b.entry(name + "_global_scale").shape == std::vector<int64_t>{1});
    const float amax = tensor["global_amax"], scale = b.scalar(name + "_global_scale");
    if (amax == 0.0f) {
      CHECK(scale == 1.0f);
      continue;
    }
    CHECK(scale == 2688.0f * (1.0f / amax));
    CHECK(std::fabs(double{scale} * double{amax} / 2688.0 - 1.0) < 0x1p-23);
    CHECK(std::fabs(double{scale} * double{a.scalar(name + "_scale_2")} - 1.0) < 0x1p-22);
  }
  CHECK(b.scalar("a.0.q_proj.weight_global_scale") == b.scalar("a.0.k_proj.weight_global_scale"));
}

TEST_CASE("the configuration of compressed-tensors", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/" + kModel, some_layers());
  write_file(input + "/config.json", "{\"a\": 1e-05}");
  run(input, output, Format::kCompressedTensors);
  const std::string text = read_file(output + "/config.json");
  CHECK(text.find("1e-05") != std::string::npos);
  CHECK(json::parse(text)["quantization_config"] == json::parse(R"({
    "config_groups": {"group_0": {"targets": ["Linear"],
      "weights": {"num_bits": 4, "type": "float", "symmetric": true, "strategy": "tensor_group", "group_size": 16, "dynamic": false},
      "input_activations": null, "output_activations": null}},
    "format": "nvfp4-pack-quantized", "quant_method": "compressed-tensors", "quantization_status": "compressed",
    "ignore": ["lm_head"], "kv_cache_scheme": null, "global_compression_ratio": null})"));
}

TEST_CASE("compressed-tensors without config.json", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/" + kModel, some_layers());
  const json report = run(input, output, Format::kCompressedTensors);
  CHECK(report["warnings"][0] == "the input has no config.json: nothing in the output says how it is quantized");
  CHECK(list(output) == std::vector<std::string>{kModel});
}
