// A Hessian as GPTQ's stages use it: damped, scaled to a mean diagonal of 1 to 2, its blocks of 16 columns in the order in which they are rounded. "place"
// is an index in that order. Places past the last column are decoupled from the others and stay zero.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops.h"
#include "cpu/cholesky.h"
#include "cpu/gptq_block.h"

namespace nvfp4cal::cpu {

inline constexpr int64_t kGptqGroup = num::kGptqGroup;
inline constexpr int kNeighbourhoodPasses = 6;

// A = R R^T with R upper triangular, from the factor of A turned upside down.
class RootFactor {
 public:
  // value(i, j) of a symmetric matrix, i <= j < size, a multiple of 64.
  template <class Value>
  RootFactor(const Execution& execution, const Kernels& kernels, int64_t size, Value&& value)
      : last_(size - 1), factor_(execution, kernels, turned(execution, size, value)) {}

  double at(int64_t row, int64_t col) const { return factor_.upper().at(last_ - col, last_ - row); }
  int64_t failed() const { return factor_.failed() < 0 ? -1 : last_ - factor_.failed(); }
  double failed_pivot() const { return factor_.failed_pivot(); }
  // x A = b; what lies where in x: CholeskyFactor::solve, from the last column to the first.
  void solve_turned(double* x) const { factor_.solve(x); }

 private:
  template <class Value>
  static UpperPanels<double> turned(const Execution& execution, int64_t size, Value&& value) {
    UpperPanels<double> upper(size);
    execution.parallel_for(upper.panels(), [&](int64_t p) {
      for (int64_t i = 0; i < (p + 1) * kTile; ++i) {
        for (int64_t j = std::max(i, p * kTile); j < (p + 1) * kTile; ++j) upper.at(i, j) = value(size - 1 - j, size - 1 - i);
      }
    });
    return upper;
  }

  int64_t last_;
  CholeskyFactor factor_;
};

// Up to eight blocks that are rounded anew together, everything else fixed. Matrices are [size, size], row-major.
struct Neighbourhood {
  std::vector<int32_t> places;  // [size], blocks whole, columns shuffled inside a block
  std::vector<float> matrix;    // the Hessian's part
  std::vector<float> feedback;  // as GptqMatrix::feedback
  std::vector<float> pull;      // gradient of the rest, times this: by how much the targets move
  std::vector<float> pivots, reciprocals;
};

struct GptqMatrix : GptqHessian {
  GptqMatrix(const Execution& execution, const Kernels& kernels, const GptqPrepareArgs& args);

  int64_t cols, padded;
  GptqEffort effort;
  double mean;                        // of the diagonal, 1 if that is 0; times the damping where that is above 1
  std::vector<int32_t> order;         // the block at each place
  UpperPanels<float> feedback;        // R[i][j] / R[j][j] above the diagonal of H = R R^T, 0 elsewhere
  std::vector<float> pivots;          // R[j][j]^2
  std::vector<float> matrix;          // panels of 64 columns, [padded, 64] each; from kDefault on
  std::vector<float> reciprocals;     // of its diagonal
  std::vector<float> shift;           // the same panels, of what is added to weights (GptqShiftArgs) times them; with a cross term
  std::vector<Neighbourhood> around;  // kMax: all passes, one after the other

  GptqParts parts(std::vector<GptqGroupParts>& groups) const override;
  int64_t blocks() const { return cols / kGptqBlock; }
  int64_t column(int64_t place) const { return order[static_cast<size_t>(place / kGptqBlock)] * int64_t{kGptqBlock} + place % kGptqBlock; }
  const float* matrix_row(int64_t panel, int64_t row) const { return matrix.data() + (panel * padded + row) * kTile; }
  const float* shift_row(int64_t panel, int64_t row) const { return shift.data() + (panel * padded + row) * kTile; }
};

}  // namespace nvfp4cal::cpu
