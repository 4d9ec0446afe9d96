// 64 rows of weights on their way through GPTQ's stages; tasks work on one of these each, so rows never meet.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/float_reader.h"
#include "cpu/gptq_matrix.h"

namespace nvfp4cal::cpu {

class GptqRows {
 public:
  GptqRows(const Execution& execution, const GptqMatrix& hessian, const Kernels& kernels);

  // Rows [first, first + rows) of weights, by places, times factor. rows <= 64; the others are zero.
  void load(FloatReader& weights, int64_t first, int64_t rows, double factor);

  // The objective of rounding to nearest with the scales of the blocks' magnitudes.
  double nearest(float global_scale);
  // Block by block at the best scale, errors passed on.
  void round(float global_scale);
  // The objective after round(), before begin_descent().
  double rounded() const;
  // From then on: one level at a time, all others fixed.
  void begin_descent();
  void descend();
  // Groups of blocks rounded anew (gptq_neighbourhood.cpp); rows that gain nothing stay.
  void search_neighbourhoods();
  // The objective as gradients tell it: after begin_descent().
  double objective() const;

  // Nibbles and scale codes of row `row`.
  void store(int64_t row, uint8_t* packed, uint8_t* scales) const;

 private:
  friend class NeighbourhoodSearch;

  // |D R|^2, where distance(at) is what column j of D R is, R[j][j] taken out; `at` is its place in the arrays of rows.
  template <class Distance>
  double squares(Distance&& distance) const;
  // Columns of all rows, as lanes: out[column][64].
  void gather(const std::vector<float>& from, int64_t place, int64_t columns, float* out) const;
  void scatter(const float* lanes, int64_t place, int64_t columns, std::vector<float>& to) const;
  float* tile(std::vector<float>& rows, int64_t panel) const { return rows.data() + panel * kTile; }
  void round_block(int64_t place, float* errors);
  bool descend_block(int64_t place, float* changes);
  // Adds changes (lanes of `columns` columns at `places`) times their rows of the Hessian to the gradients of panels outside [skip, skip_end).
  void spread(const float* changes, const int32_t* places, int64_t columns, int64_t skip, int64_t skip_end);
  void spread_few(const float* changes, const int32_t* places, int64_t columns, int64_t skip, int64_t skip_end);

  const Execution& execution_;
  const GptqMatrix& hessian_;
  const Kernels& kernels_;
  const int64_t stride_;  // of the arrays of rows
  float global_scale_ = 1.0f;
  std::vector<float> weights_, errors_;
  std::vector<float> moving_;   // while rounding: targets; from begin_descent on: gradients
  std::vector<int32_t> codes_;  // [blocks][64]
  std::vector<float> lanes_;    // [kGptqGroup][64]: errors or changes of a group
};

}  // namespace nvfp4cal::cpu
