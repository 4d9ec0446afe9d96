// GPTQ as its papers have it, in float64 on Eigen: the factor of the inverse Hessian, one row at a time. Nothing is shared with the library.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <vector>

namespace nvfp4cal::test {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// What a layer's weights became: decoded values and scale codes.
struct Rounded {
  Matrix decoded;
  std::vector<int> codes;  // [rows, blocks]
};

class GptqOracle {
 public:
  GptqOracle(const Matrix& hessian, double damping);

  // tr(D (H + damping) D^T)
  double objective(const Matrix& errors) const;
  // Scales from the blocks' magnitudes, found before any rounding [GPTQ as peers have it], or from all candidates around the moved targets' magnitudes.
  Rounded round(const Matrix& weights, double global_scale, bool search) const;
  Rounded nearest(const Matrix& weights, double global_scale) const;

  // Follows what the library chose for a row: how many of its blocks have a loss above (1 + tolerance) times the least, and the sum of all losses.
  struct Followed {
    int worse;
    double loss;
  };
  Followed follow(const Matrix& weights, const Rounded& chosen, int64_t row, double global_scale, double tolerance) const;
  // The least objective of a row when the first `blocks` blocks (in rounding order) have these errors and the others any real values.
  double least_completion(const Matrix& errors, int64_t row, int64_t blocks) const;

  int64_t blocks() const { return static_cast<int64_t>(order_.size()); }

 private:
  double loss_of(const Eigen::VectorXd& moved, int64_t block, const Eigen::VectorXd& levels, Eigen::VectorXd& scaled_errors) const;
  Eigen::VectorXd round_block(const Eigen::VectorXd& moved, int64_t block, double scale) const;
  void pass_on(Eigen::VectorXd& moved, int64_t block, const Eigen::VectorXd& scaled_errors) const;
  Eigen::VectorXd ordered(const Matrix& rows, int64_t row) const;

  int64_t cols_;
  double mean_;
  std::vector<int64_t> order_;  // blocks
  Matrix damped_;               // scaled to a mean diagonal of 1, in order
  Matrix upper_;                // of the inverse: U^T U
};

}  // namespace nvfp4cal::test
