// Rules of packed tensors: what nibbles decode to, and compressed-tensors' scale bytes.
#include <cstdlib>

#include "golden/rules.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

// Arguments: the output to judge, then packed, scales and global scale among the expectations, then multiply or divide.
// Every element is level * (v * s2) or level * (v / g) in float32, and the weight's nearest level: nibbles lie where they belong.
void decoded(Check& check) {
  const Case& one = check.one();
  const std::vector<uint8_t> packed = one.expected(check.argument(1)).as<uint8_t>(), scales = one.expected(check.argument(2)).as<uint8_t>();
  const float global = one.expected(check.argument(3)).floats().at(0);
  const std::vector<float> found = check.output(check.argument(0)).floats(), w = one.input("w").floats();
  const size_t block = one.param<size_t>("block", 16);
  if (found.size() != w.size() || packed.size() * 2 != w.size() || scales.size() * block != w.size())
    return check.fail("sizes do not fit the weight");
  Tally bits, near;
  for (size_t i = 0; i < w.size(); ++i) {
    const int code = packed[i / 2] >> (i % 2 * 4) & 15;
    const float level = static_cast<float>(code & 8 ? -kLevels[code & 7] : kLevels[code & 7]);
    const float v = static_cast<float>(e4m3_value_of(scales[i / block])), scale = check.argument(4) == "divide" ? v / global : v * global;
    const float wanted = level * scale;
    bits.add(std::memcmp(&found[i], &wanted, sizeof wanted) == 0, i, static_cast<double>(found[i]), static_cast<double>(wanted));
    const double magnitude = std::fabs(static_cast<double>(w[i])), s = static_cast<double>(scale);
    const double least = std::fabs(s * e2m1_level_of(magnitude / s) - magnitude);
    // a tool that divides in bfloat16 rounds the quotient to 2^-8 before it takes the level
    const double slack = magnitude * (one.input("w").dtype == NVFP4CAL_DTYPE_F32 ? 1e-6 : 0x1p-7);
    near.add(std::fabs(static_cast<double>(found[i]) - static_cast<double>(w[i])) <= least + slack, i, static_cast<double>(found[i]),
             static_cast<double>(w[i]));
  }
  bits.report(check);
  near.report(check);
}

// The expectation is the E4M3 byte of an observer's scale. A tool that got weights of a shorter dtype (exactly_if_f32) rounds amax / 6 to that first,
// which may make it the next byte.
void observer_scale(Check& check) {
  const std::vector<double> found = check.compared(0).numbers();
  const std::vector<uint8_t> wanted = check.expected().as<uint8_t>();
  const bool exact = !check.has_argument(1) || check.one().input("w").dtype == NVFP4CAL_DTYPE_F32;
  Tally tally;
  for (size_t b = 0; b < wanted.size(); ++b) {
    const int code = nearest_e4m3(found[b]), away = std::abs(code - static_cast<int>(wanted[b]));
    tally.add(e4m3_value_of(code) == found[b] && away <= (exact ? 0 : 1), b, code, wanted[b]);
    if (away != 0) check.differ();
  }
  tally.report(check);
}

}  // namespace

const Rules& pack_rules() {
  static const Rules kRules = {{"decoded", decoded}, {"observer_scale", observer_scale}};
  return kRules;
}

}  // namespace nvfp4cal::test
