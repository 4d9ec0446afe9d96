// A real model, written by the job and read back: its block scales are the float64 exhaustive optimum, and its error is what that is worth.
// Needs the folder of all-MiniLM-L6-v2 in NVFP4CAL_MINILM (scripts/test.sh sets it).
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "checkpoint/job.h"
#include "checkpoint/model_files.h"
#include "support/catch.h"
#include "support/oracle.h"
#include "unit/make_model.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Model {
  explicit Model(const std::string& folder) : files(checkpoint::open_model(folder)) {
    for (const checkpoint::TensorEntry& entry : files.shards.at(0).header.tensors) entries[entry.name] = &entry;
  }
  template <class T>
  std::vector<T> read(const std::string& name) const {
    const checkpoint::TensorEntry& entry = *entries.at(name);
    std::vector<T> values(static_cast<size_t>(entry.bytes()) / sizeof(T));
    files.shards[0].read(entry, 0, values.data(), entry.bytes());
    return values;
  }
  checkpoint::ModelFiles files;
  std::map<std::string, const checkpoint::TensorEntry*> entries;
};

// The written scale_2 of a layer belongs to the largest magnitude of its fused group.
float group_amax(const Model& model, const std::string& name) {
  std::vector<std::string> members = {name};
  const size_t self = name.find("attention.self.");
  if (self != std::string::npos) {
    const std::string prefix = name.substr(0, self + 15);
    members = {prefix + "query.weight", prefix + "key.weight", prefix + "value.weight"};
  }
  float amax = 0.0f;
  for (const std::string& member : members) {
    for (const float w : model.read<float>(member)) amax = std::max(amax, std::fabs(w));
  }
  return amax;
}

// Squared error of what a reader decodes: E2M1 * (E4M3 * scale_2), by the oracle's own tables.
double decoded_error(const Model& quantized, const std::string& name, const std::vector<float>& weights) {
  const std::vector<uint8_t> packed = quantized.read<uint8_t>(name), scales = quantized.read<uint8_t>(name + "_scale");
  const float global_scale = quantized.read<float>(name + "_scale_2").at(0);
  static const double levels[8] = {0, .5, 1, 1.5, 2, 3, 4, 6};
  double error = 0.0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int code = packed[i / 2] >> (i % 2 * 4) & 15;
    const float scale = static_cast<float>(e4m3_value_of(scales[i / 16])) * global_scale;
    const float magnitude = static_cast<float>(levels[code & 7]) * scale;
    const double r = static_cast<double>(weights[i]) - static_cast<double>(code & 8 ? -magnitude : magnitude);
    error += r * r;
  }
  return error;
}

void write_model(const std::string& input, const std::string& output, checkpoint::ScaleMethod method) {
  checkpoint::Job job;
  job.options().method = method;
  job.run(input, output);
}

}  // namespace

TEST_CASE("MiniLM's written scales are the exhaustive optimum, at least 20 % below max scaling", "[parity][minilm]") {
  const char* folder = std::getenv("NVFP4CAL_MINILM");
  if (!folder) {
    WARN("SKIPPED: NVFP4CAL_MINILM is not set");
    return;
  }
  TempFolder temp;
  write_model(folder, temp / "max", checkpoint::ScaleMethod::kMax);
  write_model(folder, temp / "mse", checkpoint::ScaleMethod::kMse);
  const Model original(folder), by_max(temp / "max"), by_mse(temp / "mse");
  int layers = 0;
  int64_t blocks = 0, other = 0, outside = 0;
  double max_error = 0.0, mse_error = 0.0;
  for (const auto& [name, entry] : by_mse.entries) {
    if (!by_mse.entries.count(name + "_scale")) continue;
    const std::vector<float> weights = original.read<float>(name);
    const Setting setting{group_amax(original, name)};
    const float scale_2 = by_mse.read<float>(name + "_scale_2").at(0);
    CHECK(scale_2 == setting.global_amax / 2688.0f);
    const std::vector<uint8_t> scales = by_mse.read<uint8_t>(name + "_scale");
    const Oracle oracle(setting);
    const Oracle::Best best = oracle.search(weights.data(), nullptr, static_cast<int64_t>(scales.size()));
    for (size_t b = 0; b < scales.size(); ++b) {
      other += scales[b] != best.codes[b];
      outside += !oracle.accepts(weights.data() + 16 * b, nullptr, scales[b], best.codes[b], best.errors[b]);
    }
    blocks += static_cast<int64_t>(scales.size());
    max_error += decoded_error(by_max, name, weights);
    mse_error += decoded_error(by_mse, name, weights);
    ++layers;
  }
  INFO(layers << " layers, " << blocks << " blocks, " << other << " with another code than the oracle's, mse / max "
              << mse_error / max_error);
  CHECK(layers == 36);
  CHECK(blocks == 6 * (4 * 384 * 384 + 2 * 384 * 1536) / 16);
  CHECK(outside == 0);
  CHECK(mse_error <= 0.8 * max_error);
}
