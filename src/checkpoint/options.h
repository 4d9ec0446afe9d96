// What a job is asked to do.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "calib/gptq.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

enum class Format : int32_t { kModelopt = 0, kCompressedTensors = 1 };

// How block scales are chosen. kFourOverSix: the better of two, by which the largest magnitude of a block becomes 6 or 4. kGptq: by calib::Gptq in layers that
// have a Hessian, as with kMse in the others.
enum class ScaleMethod : int32_t { kMax = 0, kMse = 1, kFourOverSix = 2, kGptq = 3 };

// Which layers, by patterns over names of modules or tensors; see Glob.
struct LayerRules {
  std::vector<std::string> include, exclude, fuse;
};

struct Options {
  Format format = Format::kModelopt;
  ScaleMethod method = ScaleMethod::kMse;
  bool measure_error = true;
  bool detail = false;  // also measures method max beside the chosen one, and counts codes; with measure_error alone
  bool dry_run = false;
  LayerRules rules;
  float input_scale = 0.0f;                   // of layers that input_scales does not name; 0: none
  std::map<std::string, float> input_scales;  // by module
  std::string input_scales_file;              // where they come from, for messages
  std::string hessians;                       // a folder of them, with kGptq alone; "": none
  GptqEffort effort = GptqEffort::kDefault;   // of kGptq, as damping
  double damping = calib::Gptq::kDamping;

  // Activations are quantized as well (W4A4).
  bool quantizes_inputs() const { return input_scale != 0.0f || !input_scales_file.empty(); }
  // Layers without a Hessian have their scales searched.
  bool searches() const { return method == ScaleMethod::kMse || method == ScaleMethod::kGptq; }
  // Four over six leaves room for scales that are half as large again.
  float normalization() const { return method == ScaleMethod::kFourOverSix ? 256.0f : num::kNormalization; }
};

}  // namespace nvfp4cal::checkpoint
