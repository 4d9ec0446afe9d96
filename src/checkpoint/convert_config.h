// The configuration of a model in the other format, and which models have one.
#pragma once

#include "checkpoint/output_format.h"
#include "checkpoint/quantized_model.h"

namespace nvfp4cal::checkpoint {

// kUnsupported, naming what it is, for models that say more than W4A16 or W4A4 with one group of layers: key-value caches, transforms,
// several algorithms, pre-quantization scales.
void refuse_what_has_no_counterpart(const QuantizedModel& model, Format target);

// Full names of the modules that are not quantized, sorted: those of matrices and of stacks of experts, and those that the model's own
// list names in full.
std::vector<std::string> unquantized_modules(const QuantizedModel& model);

}  // namespace nvfp4cal::checkpoint
