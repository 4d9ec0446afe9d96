// What the options of a job do to its output.
#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/input_scales.h"
#include "checkpoint/job.h"
#include "make_model.h"
#include "num/e2m1.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const char* const kModel = "model.safetensors";

std::vector<Weight> layers() {
  return {random_weight("a.0.q_proj.weight", "F32", {32, 64}), random_weight("a.0.k_proj.weight", "F32", {16, 64}, 3.0f),
          random_weight("a.0.down_proj.weight", "F32", {48, 32}, 0.01f), random_weight("lm_head.weight", "BF16", {16, 64})};
}

struct Fixture {
  TempFolder folder;
  std::string input = folder.make("in"), output = folder / "out";
  Job job;
  Fixture() {
    write_safetensors(input + "/" + kModel, layers());
    write_file(input + "/config.json", "{}");
  }
  json run() {
    job.run(input, output);
    return json::parse(*job.report());
  }
  json config() { return json::parse(read_file(output + "/config.json"))["quantization_config"]; }
  void use_scales(const std::string& text) {
    write_file(folder / "scales.json", text);
    job.options().input_scales = read_input_scales(folder / "scales.json");
    job.options().input_scales_file = "scales.json";
  }
};

json tensor_of(const json& report, const std::string& name) {
  for (const json& tensor : report["tensors"]) {
    if (tensor["name"] == name) return tensor;
  }
  return nullptr;
}

// The error that a scale leaves, in float64, by the nearest of the eight levels.
double block_error(const float* x, double scale) {
  static const double levels[] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
  double sum = 0.0;
  for (int i = 0; i < 16; ++i) {
    double best = HUGE_VAL;
    for (const double level : levels) best = std::min(best, std::fabs(std::fabs(double{x[i]}) - level * scale));
    sum += best * best;
  }
  return sum;
}

}  // namespace

TEST_CASE("four over six takes the better of two scales", "[checkpoint]") {
  Fixture f;
  f.job.options().method = ScaleMethod::kFourOverSix;
  const json report = f.run();
  CHECK(report["method"] == "four-over-six");
  const StoredFile stored = read_safetensors(f.output + "/" + kModel);
  const std::string name = "a.0.down_proj.weight";
  const std::vector<float> values = random_values(48 * 32, static_cast<uint32_t>(std::hash<std::string>{}(name)), 0.01f);
  const float amax = tensor_of(report, name)["global_amax"], s2 = stored.scalar(name + "_scale_2");
  CHECK(s2 == amax / 1536.0f);
  const std::string scales = stored.bytes(name + "_scale"), codes = stored.bytes(name);
  int fours = 0, sixes = 0;
  for (size_t b = 0; b < scales.size(); ++b) {
    const float* x = values.data() + 16 * b;
    double m = 0.0;
    for (int i = 0; i < 16; ++i) m = std::max(m, std::fabs(double{x[i]}));
    const double six = num::e4m3_magnitude(num::e4m3_code_of_magnitude(static_cast<float>(m / 6.0 / double{s2})));
    const double four = num::e4m3_magnitude(num::e4m3_code_of_magnitude(static_cast<float>(m / 4.0 / double{s2})));
    const double chosen = num::e4m3_magnitude(static_cast<uint8_t>(scales[b]));
    const double of_six = block_error(x, six * double{s2}), of_four = block_error(x, four * double{s2});
    CHECK((chosen == six || chosen == four));
    CHECK(block_error(x, chosen * double{s2}) <= std::min(of_six, of_four) * (1 + 1e-5));
    fours += chosen == four;
    sixes += chosen == six;
    for (int i = 0; i < 16; ++i) {
      const int code = static_cast<uint8_t>(codes[8 * b + static_cast<size_t>(i) / 2]) >> (i % 2 * 4) & 15;
      const double decoded = double{num::e2m1_value(static_cast<uint8_t>(code))} * chosen * double{s2};
      CHECK(std::fabs(decoded - double{x[i]}) <= chosen * double{s2} * 1.001);
    }
  }
  CHECK(fours > 5);
  CHECK(sixes > 5);
  f.job.options().method = ScaleMethod::kMax;
  f.output = f.folder / "max";
  CHECK(tensor_of(report, name)["squared_error"].get<double>() < tensor_of(f.run(), name)["squared_error"].get<double>());
}

TEST_CASE("one input scale for all layers", "[checkpoint]") {
  Fixture f;
  const bool packed = GENERATE(false, true);
  f.job.options().format = packed ? Format::kCompressedTensors : Format::kModelopt;
  f.job.options().input_scale = 0.25f;
  const json report = f.run();
  CHECK(report["format"] == "NVFP4");
  CHECK(tensor_of(report, "a.0.q_proj.weight")["input_scale"] == 0.25f);
  const StoredFile stored = read_safetensors(f.output + "/" + kModel);
  const std::string name = packed ? "a.0.q_proj.input_global_scale" : "a.0.q_proj.input_scale";
  CHECK(stored.scalar(name) == (packed ? 4.0f : 0.25f));
  CHECK(stored.entry(name).shape == (packed ? std::vector<int64_t>{1} : std::vector<int64_t>{}));
  CHECK_FALSE(stored.has("lm_head.input_scale"));
  const json inputs = f.config()["config_groups"]["group_0"]["input_activations"];
  if (packed) {
    CHECK(inputs == json::parse("{\"num_bits\":4,\"type\":\"float\",\"symmetric\":true,\"strategy\":\"tensor_group\",\"group_size\":16,"
                                "\"dynamic\":\"local\",\"scale_dtype\":\"torch.float8_e4m3fn\"}"));
  } else {
    CHECK(inputs == json::parse("{\"dynamic\":false,\"num_bits\":4,\"type\":\"float\",\"group_size\":16}"));
    CHECK(f.config()["quant_algo"] == "NVFP4");
    CHECK(json::parse(read_file(f.output + "/hf_quant_config.json"))["quantization"]["quant_algo"] == "NVFP4");
  }
}

TEST_CASE("input scales of layers", "[checkpoint]") {
  Fixture f;
  f.use_scales("{\"a.0.q_proj\": 0.5, \"a.0.k_proj\": 2, \"a.0.down_proj\": 1e-3}");
  f.run();
  const StoredFile stored = read_safetensors(f.output + "/" + kModel);
  CHECK(stored.scalar("a.0.q_proj.input_scale") == 2.0f);  // fused: the larger one
  CHECK(stored.scalar("a.0.k_proj.input_scale") == 2.0f);
  CHECK(stored.scalar("a.0.down_proj.input_scale") == 1e-3f);
}

TEST_CASE("input scales that do not fit the model", "[checkpoint]") {
  Fixture f;
  f.use_scales("{\"a.0.q_proj\": 0.5, \"a.0.k_proj\": 2}");
  CHECK(error_of([&] { f.run(); }) == "scales.json has no input scale for the layer \"a.0.down_proj\"");
  CHECK_FALSE(fs::exists(f.output));
  f.job.options().input_scale = 1.0f;  // serves the rest
  CHECK(tensor_of(f.run(), "a.0.down_proj.weight")["input_scale"] == 1.0f);
  f.output = f.folder / "second";
  f.use_scales("{\"lm_head\": 2}");
  CHECK(error_of([&] { f.run(); }) == "scales.json has an input scale for \"lm_head\", which is no quantized layer of the model");
  const std::string path = f.folder / "scales.json";
  CHECK(error_of([&] { f.use_scales("{\"a\": \"1\"}"); }) == path + ": the input scale of \"a\" is not a number");
  CHECK(error_of([&] { f.use_scales("{\"a\": -1}"); }) ==
        path + ": the input scale of \"a\" -1 is not a positive float32 with a normal reciprocal");
  CHECK(error_of([&] { f.use_scales("{\"a\": 1e60}"); }).find("1e+60 is not") != std::string::npos);
  CHECK(error_of([&] { f.use_scales("{\"a\": 1e-60}"); }).find("1e-60 is not") != std::string::npos);
  CHECK(error_of([&] { f.use_scales("{\"a\": 1, \"a\": 2}"); }).find("twice") != std::string::npos);
}

TEST_CASE("patterns choose layers", "[checkpoint]") {
  Fixture f;
  f.job.options().rules = {{"lm_head", "*"}, {"*.{x,down}_proj", "nothing.*"}, {}};
  const json report = f.run();
  CHECK(tensor_of(report, "lm_head.weight")["action"] == "quantized");
  CHECK(tensor_of(report, "a.0.q_proj.weight")["action"] == "quantized");
  CHECK(tensor_of(report, "a.0.down_proj.weight")["reason"] == "excluded (*.{x,down}_proj)");
  CHECK(report["warnings"] == json::array({"exclude \"nothing.*\" matches no layer"}));
  CHECK(f.config()["ignore"] == json::array({"a.0.down_proj"}));
}

TEST_CASE("a dry run says what would be done and writes nothing", "[checkpoint]") {
  Fixture f;
  f.job.options().input_scale = 1.0f;
  f.job.options().dry_run = true;
  const json planned = f.run();
  CHECK_FALSE(fs::exists(f.output));
  CHECK(planned["dry_run"] == true);
  CHECK_FALSE(planned["tensors"][0].contains("squared_error"));
  CHECK_FALSE(planned["totals"].contains("relative_error"));
  f.job.options().dry_run = false;
  const json done = f.run();
  CHECK(done["dry_run"] == false);
  CHECK(planned["totals"]["bytes_out"] == done["totals"]["bytes_out"]);
  CHECK(planned["shards"] == done["shards"]);
  CHECK(done["shards"][0]["bytes_out"] == fs::file_size(f.output + "/" + kModel));
  CHECK(done["shards"][0]["bytes_in"] == fs::file_size(f.input + "/" + kModel));
  f.job.options().dry_run = true;
  CHECK(error_of([&] { f.run(); }).find("is not empty") != std::string::npos);
  f.output = f.input + "/inside";
  CHECK(error_of([&] { f.run(); }).find("lies inside the input folder") != std::string::npos);
}
