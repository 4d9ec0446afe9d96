// The configuration files of a quantized model, and whether they say what the tensors are.
#pragma once

#include "checkpoint/quantized_model.h"

namespace nvfp4cal::checkpoint {

// Fills in model.config. Files that are no JSON are errors (kCorrupt).
void read_quantization_config(QuantizedModel& model);

// Adds what contradicts the tensors to the defects, what may to the warnings.
void check_quantization_config(QuantizedModel& model);

}  // namespace nvfp4cal::checkpoint
