// What the search must find, written from docs/numerics.md alone: own tables, own rounding, every one of the 126 codes.
#pragma once

#include <cstdint>
#include <vector>

namespace nvfp4cal::test {

inline constexpr int kCodes = 126;
inline constexpr double kLevels[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};  // of E2M1 codes 0..7

// Value of E4M3 code 0..126, and the nearest E2M1 level of y >= 0 (ties to the even mantissa).
double e4m3_value_of(int code);
double e2m1_level_of(double y);

// How blocks are searched: G, the block size, N.
struct Setting {
  float global_amax;
  int block = 16;
  float normalization = 448.0f;

  // The power of two that brings G into [1, 2), as an exponent.
  int exponent() const;
  // G in those units, and the float32 scale of a code: ((v / N) * G) / 6.
  float normalized_amax() const;
  float scale(int code) const;
};

// The float64 optimum of each block: sum over elements of the least squared distance to any level of the scale.
// x holds finite float32 values; weights is NULL or one positive weight per element.
class Oracle {
 public:
  explicit Oracle(const Setting& setting);

  struct Best {
    std::vector<uint8_t> codes;  // the smallest code with the least error
    std::vector<double> errors;  // in normalized units
  };
  Best search(const float* x, const float* weights, int64_t blocks) const;

  // Error of one block at a code.
  double error(const float* x, const float* weights, int code) const;

  // Whether `code` is as good as the optimum of block x: the same code, or an error within the tolerance.
  bool accepts(const float* x, const float* weights, int code, int best_code, double best_error) const;

 private:
  void search_group(const double* transposed, const double* weights, double* best, int* best_code) const;
  void load_group(const float* x, const float* weights, int64_t count, double* transposed, double* transposed_weights) const;

  Setting setting_;
  double factor_;  // to normalized units
  double scales_[kCodes + 1];
};

// The float32 definition, operation by operation, over codes lo..hi: y = x / s, q, r = fma(-q, s, x), E = fma(w r, r, E).
// Weights are multiplied by the power of two that brings the block's largest into [1, 2).
int definition_code(const Setting& setting, const float* x, const float* weights, int lo = 1, int hi = kCodes);

// The "max" code of a block, from which windows are counted.
int definition_max_code(const Setting& setting, const float* x);

// E4M3 code of y >= 0: nearest, ties to even, saturating; by looking at all of them.
int nearest_e4m3(double y);

}  // namespace nvfp4cal::test
