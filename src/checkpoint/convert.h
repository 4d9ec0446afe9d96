// From one NVFP4 format to the other: codes and block scales keep their bytes, global scales become their reciprocals. docs/tool.md.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/monitor.h"
#include "checkpoint/options.h"

namespace nvfp4cal::checkpoint {

// Returns the report. The output is all or nothing, as a run's.
std::string convert_model(Monitor& monitor, Format target, const std::string& input, const std::string& output);

// A global scale in the other format. Not every float32 is the reciprocal of its reciprocal: what cannot be found again is recorded beside it.
struct ConvertedScale {
  float value;
  bool record;  // the original has to be written down for the way back
};

// `recorded`: what the original was, as a conversion the other way wrote it down; taken only if its reciprocal is `stored`. Throws kCorrupt
// for a scale without a normal reciprocal; `name` is its tensor's.
ConvertedScale convert_scale(float stored, std::optional<float> recorded, const std::string& name);

}  // namespace nvfp4cal::checkpoint
