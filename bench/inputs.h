// Inputs of the benchmark: what weights look like, and what is hard for a search.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lines.h"

namespace bench {

struct Input {
  std::string name;
  LineVector<float> f32;
  LineVector<uint16_t> bf16, f16;  // nearest even; f16 is empty where it cannot hold such numbers
};

// "normal", "student_t3", "subnormal" (every block scale FP8-subnormal), "top" (block maxima near the global amax),
// "ranges" (every block its own range), "tiny" and "huge" (global amaxes of 1e-37 and 1e37), "zero".
const std::vector<std::string>& input_names();

// "layer" is what `file` holds, float32 numbers, again and again. dtype: "f32", "bf16" or "f16" alone, the others stay empty; "": all.
Input make_input(const std::string& name, int64_t elements, const std::string& file = "", const std::string& dtype = "");

}  // namespace bench
