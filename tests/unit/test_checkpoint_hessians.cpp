// Jobs with a folder of Hessians: those layers are what calib::Gptq makes of them, the others what they were.
#include <nlohmann/json.hpp>

#include "calib/gptq.h"
#include "calib/hessian.h"
#include "checkpoint/job.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const char* const kModel = "model.safetensors";

calib::Hessian hessian(int64_t cols) {
  std::vector<float> x = random_values(static_cast<size_t>(3 * cols * cols), 5, 1.0f);
  for (size_t i = x.size() - 1; i > 0; --i) x[i] += 0.7f * x[i - 1];
  calib::Hessian out;
  out.set_layout(static_cast<int>(HessianLayout::kFull));
  const int64_t shape[2] = {3 * cols, cols};
  out.collect(make_view(x.data(), Dtype::kF32, 2, shape), nullptr);
  return out;
}

void write_hessian(const std::string& path, int64_t cols) {
  const std::vector<uint8_t> state = hessian(cols).export_state();
  write_file(path, {state.begin(), state.end()});
}

struct Fixture {
  TempFolder folder;
  std::string input = folder.make("in"), hessians = folder.make("hessians"), output = folder / "out";
  Job job;
  Fixture() {
    write_safetensors(input + "/" + kModel,
                      {random_weight("a.0.q_proj.weight", "F32", {32, 64}), random_weight("a.0.k_proj.weight", "F32", {16, 64}, 3.0f),
                       random_weight("a.0.down_proj.weight", "F32", {48, 32}, 0.01f)});
    write_file(input + "/config.json", "{}");
    write_hessian(hessians + "/a.0.q_proj.hessian", 64);
    fs::create_symlink("a.0.q_proj.hessian", hessians + "/a.0.k_proj.hessian");
  }
  json run(const std::string& to) {
    job.run(input, to);
    return json::parse(*job.report());
  }
  void use_hessians(const std::string& of) {
    job.options().method = ScaleMethod::kGptq;
    job.options().hessians = of;
  }
  std::string error() {
    try {
      job.run(input, output);
    } catch (const Error& failure) {
      CHECK(!fs::exists(output + "/" + kModel));
      return failure.message();
    }
    return "no error";
  }
};

std::string expected_codes(const std::string& name, int64_t rows, float scale, float global_amax, GptqEffort effort = GptqEffort::kDefault,
                           double damping = 0.02) {
  const std::vector<float> weights =
      random_values(static_cast<size_t>(rows * 64), static_cast<uint32_t>(std::hash<std::string>{}(name)), scale);
  calib::Gptq gptq;
  gptq.set_effort(static_cast<int>(effort));
  gptq.set_damping(damping);
  gptq.set_hessian(hessian(64), nullptr);
  const int64_t shape[2] = {rows, 64};
  std::string packed(weights.size() / 2, '\0'), scales(weights.size() / 16, '\0');
  calib::GptqOutputs outputs;
  outputs.packed = reinterpret_cast<uint8_t*>(packed.data());
  outputs.scales = reinterpret_cast<uint8_t*>(scales.data());
  gptq.quantize(make_view(weights.data(), Dtype::kF32, 2, shape), {global_amax}, outputs);
  return packed + scales;
}

}  // namespace

TEST_CASE("layers with a Hessian are quantized by GPTQ, under their group's scale", "[checkpoint]") {
  Fixture f;
  const json plain = f.run(f.folder / "plain");
  f.use_hessians(f.hessians);
  const json report = f.run(f.output);
  CHECK(report["method"] == "gptq");
  CHECK(report["effort"] == "default");
  CHECK(report["damping"] == 0.02);
  CHECK(report["warnings"].dump().find("1 layer has no Hessian: its scales were chosen by method mse") != std::string::npos);
  const StoredFile found = read_safetensors(f.output + "/" + kModel), without = read_safetensors(f.folder / "plain/model.safetensors");
  float amax = 0.0f;
  for (const json& tensor : report["tensors"]) {
    if (tensor["name"] == "a.0.q_proj.weight") amax = tensor["global_amax"];
  }
  REQUIRE(amax > 0.0f);
  const auto stored = [](const StoredFile& file, const std::string& name) { return file.bytes(name) + file.bytes(name + "_scale"); };
  CHECK(stored(found, "a.0.q_proj.weight") == expected_codes("a.0.q_proj.weight", 32, 1.0f, amax));
  CHECK(stored(found, "a.0.k_proj.weight") == expected_codes("a.0.k_proj.weight", 16, 3.0f, amax));
  CHECK(stored(found, "a.0.q_proj.weight") != stored(without, "a.0.q_proj.weight"));
  CHECK(stored(found, "a.0.down_proj.weight") == stored(without, "a.0.down_proj.weight"));
  CHECK(found.scalar("a.0.q_proj.weight_scale_2") == without.scalar("a.0.q_proj.weight_scale_2"));
  // the plain error grows, which is measured as ever
  for (size_t i = 0; i < report["tensors"].size(); ++i) {
    const json &with = report["tensors"][i], &before = plain["tensors"][i];
    CAPTURE(with.dump());
    CHECK(with["method"] == (with["name"] == "a.0.down_proj.weight" ? "mse" : "gptq"));
    CHECK(!before.contains("method"));
    if (with["name"] == "a.0.q_proj.weight") CHECK(with["relative_error"] > before["relative_error"]);
    if (with["name"] == "a.0.down_proj.weight") CHECK(with["relative_error"] == before["relative_error"]);
  }
}

TEST_CASE("a layer whose name no file can have has no Hessian", "[checkpoint]") {
  Fixture f;
  write_safetensors(f.input + "/" + kModel, {random_weight("a.0.q_proj.weight", "F32", {32, 64}),
                                             random_weight(std::string(300, 'x') + ".weight", "F32", {16, 64})});
  f.use_hessians(f.hessians);
  CHECK(f.run(f.output)["warnings"].dump().find("1 layer has no Hessian") != std::string::npos);
}

TEST_CASE("effort and damping are those of the options", "[checkpoint]") {
  Fixture f;
  f.use_hessians(f.hessians);
  f.job.options().effort = GptqEffort::kFast;
  f.job.options().damping = 0.5;
  const json report = f.run(f.output);
  CHECK(report["effort"] == "fast");
  CHECK(report["damping"] == 0.5);
  const StoredFile found = read_safetensors(f.output + "/" + kModel);
  for (const json& tensor : report["tensors"]) {
    if (tensor["name"] != "a.0.q_proj.weight") continue;
    const std::string stored = found.bytes("a.0.q_proj.weight") + found.bytes("a.0.q_proj.weight_scale");
    CHECK(stored == expected_codes("a.0.q_proj.weight", 32, 1.0f, tensor["global_amax"], GptqEffort::kFast, 0.5));
    CHECK(stored != expected_codes("a.0.q_proj.weight", 32, 1.0f, tensor["global_amax"], GptqEffort::kFast));
    CHECK(stored != expected_codes("a.0.q_proj.weight", 32, 1.0f, tensor["global_amax"], GptqEffort::kDefault, 0.5));
  }
}

TEST_CASE("method gptq and a folder of Hessians go together", "[checkpoint]") {
  Fixture f;
  f.job.options().method = ScaleMethod::kGptq;
  CHECK(f.error() == "method gptq without a folder of Hessians");
  f.job.options().hessians = f.hessians;
  for (const auto& [method, name] :
       {std::pair(ScaleMethod::kMax, "max"), {ScaleMethod::kMse, "mse"}, {ScaleMethod::kFourOverSix, "four-over-six"}}) {
    f.job.options().method = method;
    CHECK(f.error() == "Hessians are for method gptq alone, the method is " + std::string(name));
  }
}

TEST_CASE("what is wrong with a folder of Hessians is said with the file's name", "[checkpoint]") {
  Fixture f;
  f.use_hessians(f.hessians);
  SECTION("of another model") {
    f.use_hessians(f.folder.make("others"));
    CHECK(f.error().find("/others has no Hessian of a layer to quantize") != std::string::npos);
  }
  SECTION("damaged") {
    std::string bytes = read_file(f.hessians + "/a.0.q_proj.hessian");
    bytes[bytes.size() / 2] ^= 1;
    write_file(f.hessians + "/a.0.q_proj.hessian", bytes);
    CHECK(f.error().find("/a.0.q_proj.hessian: ") != std::string::npos);
  }
  SECTION("of other columns") {
    write_hessian(f.hessians + "/a.0.down_proj.hessian", 48);
    CHECK(f.error().find("/a.0.down_proj.hessian is of 48 columns, the layer has 32") != std::string::npos);
    f.job.options().dry_run = true;  // reads no weights, but looks at each file's start
    CHECK(f.error().find("/a.0.down_proj.hessian is of 48 columns, the layer has 32") != std::string::npos);
  }
  SECTION("no Hessian, at a dry run") {
    f.job.options().dry_run = true;
    write_file(f.hessians + "/a.0.down_proj.hessian", "");
    CHECK(f.error().find("/a.0.down_proj.hessian: a state of 0 bytes is too short") != std::string::npos);
    write_file(f.hessians + "/a.0.down_proj.hessian", "not a state, but long enough");
    CHECK(f.error().find("/a.0.down_proj.hessian: these bytes are not a calibrator state") != std::string::npos);
    write_file(f.hessians + "/a.0.down_proj.hessian", read_file(f.hessians + "/a.0.q_proj.hessian").substr(0, 30));
    CHECK(f.error().find("/a.0.down_proj.hessian: the state ends early") != std::string::npos);
    calib::Hessian blocks;
    const std::vector<uint8_t> state = blocks.export_state();
    write_file(f.hessians + "/a.0.down_proj.hessian", {state.begin(), state.end()});
    CHECK(f.error().find("/a.0.down_proj.hessian: hessian has layout 0, expected 1 (full)") != std::string::npos);
  }
}

TEST_CASE("a Hessian that is written anew during a run ends it", "[checkpoint]") {
  Fixture f;
  f.use_hessians(f.hessians);
  const auto rewrite = [](void* user, int64_t, int64_t, const char*) -> int32_t {
    write_hessian(*static_cast<std::string*>(user) + "/a.0.q_proj.hessian", 64);
    return 0;
  };
  f.job.set_progress(rewrite, &f.hessians);
  CHECK(f.error() == "the Hessian of a.0.k_proj was changed while it was read");  // a link to that of q_proj
  CHECK_FALSE(fs::exists(f.output));
  f.job.set_progress(nullptr, nullptr);
  f.job.run(f.input, f.output);
  CHECK(fs::exists(f.output));
}
