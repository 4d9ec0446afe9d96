#include "support/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

constexpr int64_t kBlock = 16;

double level_of(double y) { return std::copysign(e2m1_level_of(std::fabs(y)), y); }

int max_code(double amax, double global_scale) { return std::max(1, nearest_e4m3(std::max(amax / (6.0 * global_scale), 0x1p-9))); }

}  // namespace

GptqOracle::GptqOracle(const Matrix& hessian, double damping) : cols_(hessian.rows()), order_(static_cast<size_t>(cols_ / kBlock)) {
  mean_ = hessian.diagonal().mean();
  if (mean_ == 0.0) mean_ = 1.0;
  std::iota(order_.begin(), order_.end(), 0);
  const auto weight = [&](int64_t block) { return hessian.diagonal().segment(block * kBlock, kBlock).sum(); };
  std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return weight(a) > weight(b); });
  damped_.resize(cols_, cols_);
  const auto column = [&](int64_t place) { return order_[static_cast<size_t>(place / kBlock)] * kBlock + place % kBlock; };
  for (int64_t i = 0; i < cols_; ++i) {
    for (int64_t j = 0; j < cols_; ++j) damped_(i, j) = hessian(column(i), column(j)) / mean_ + (i == j ? damping : 0.0);
  }
  const Matrix inverse = damped_.inverse();
  upper_ = inverse.llt().matrixU();
}

Eigen::VectorXd GptqOracle::ordered(const Matrix& rows, int64_t row) const {
  Eigen::VectorXd out(cols_);
  for (int64_t i = 0; i < cols_; ++i) out(i) = rows(row, order_[static_cast<size_t>(i / kBlock)] * kBlock + i % kBlock);
  return out;
}

double GptqOracle::objective(const Matrix& errors) const {
  double sum = 0.0;
  for (int64_t row = 0; row < errors.rows(); ++row) {
    const Eigen::VectorXd d = ordered(errors, row);
    sum += d.dot(damped_ * d);
  }
  return sum * mean_;
}

// Sequential rounding of a block at a scale: the levels.
Eigen::VectorXd GptqOracle::round_block(const Eigen::VectorXd& moved, int64_t block, double scale) const {
  Eigen::VectorXd w = moved.segment(block * kBlock, kBlock), levels(kBlock);
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t at = block * kBlock + i;
    levels(i) = level_of(w(i) / scale) * scale;
    const double error = (w(i) - levels(i)) / upper_(at, at);
    for (int64_t j = i + 1; j < kBlock; ++j) w(j) -= error * upper_(at, block * kBlock + j);
  }
  return levels;
}

// The loss of decoded values, and the errors divided by the pivots.
double GptqOracle::loss_of(const Eigen::VectorXd& moved, int64_t block, const Eigen::VectorXd& levels,
                           Eigen::VectorXd& scaled_errors) const {
  Eigen::VectorXd w = moved.segment(block * kBlock, kBlock);
  scaled_errors.resize(kBlock);
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t at = block * kBlock + i;
    scaled_errors(i) = (w(i) - levels(i)) / upper_(at, at);
    for (int64_t j = i + 1; j < kBlock; ++j) w(j) -= scaled_errors(i) * upper_(at, block * kBlock + j);
  }
  return scaled_errors.squaredNorm();
}

void GptqOracle::pass_on(Eigen::VectorXd& moved, int64_t block, const Eigen::VectorXd& scaled_errors) const {
  const int64_t rest = (block + 1) * kBlock;
  moved.tail(cols_ - rest) -= upper_.block(block * kBlock, rest, kBlock, cols_ - rest).transpose() * scaled_errors;
}

Rounded GptqOracle::round(const Matrix& weights, double global_scale, bool search) const {
  Rounded out{Matrix(weights.rows(), cols_), std::vector<int>(static_cast<size_t>(weights.rows() * blocks()))};
  for (int64_t row = 0; row < weights.rows(); ++row) {
    const Eigen::VectorXd original = ordered(weights, row);
    Eigen::VectorXd moved = original, best_levels, best_errors, errors;
    for (int64_t b = 0; b < blocks(); ++b) {
      const Eigen::VectorXd& from = search ? moved : original;
      const int middle = max_code(from.segment(b * kBlock, kBlock).cwiseAbs().maxCoeff(), global_scale);
      double least = HUGE_VAL;
      int best = 1;
      for (int code = std::max(1, middle - (search ? 6 : 0)); code <= std::min(126, middle + (search ? 8 : 0)); ++code) {
        const Eigen::VectorXd levels = round_block(moved, b, e4m3_value_of(code) * global_scale);
        const double loss = loss_of(moved, b, levels, errors);
        if (loss >= least) continue;
        least = loss;
        best = code;
        best_levels = levels;
        best_errors = errors;
      }
      pass_on(moved, b, best_errors);
      const int64_t block = order_[static_cast<size_t>(b)];
      out.decoded.row(row).segment(block * kBlock, kBlock) = best_levels.transpose();
      out.codes[static_cast<size_t>(row * blocks() + block)] = best;
    }
  }
  return out;
}

Rounded GptqOracle::nearest(const Matrix& weights, double global_scale) const {
  Rounded out{weights, std::vector<int>(static_cast<size_t>(weights.rows() * blocks()))};
  for (int64_t row = 0; row < weights.rows(); ++row) {
    for (int64_t b = 0; b < blocks(); ++b) {
      auto values = out.decoded.row(row).segment(b * kBlock, kBlock);
      const int code = max_code(values.cwiseAbs().maxCoeff(), global_scale);
      const double scale = e4m3_value_of(code) * global_scale;
      for (int64_t i = 0; i < kBlock; ++i) values(i) = level_of(values(i) / scale) * scale;
      out.codes[static_cast<size_t>(row * blocks() + b)] = code;
    }
  }
  return out;
}

GptqOracle::Followed GptqOracle::follow(const Matrix& weights, const Rounded& chosen, int64_t row, double global_scale,
                                        double tolerance) const {
  Followed out{0, 0.0};
  const Eigen::VectorXd decoded = ordered(chosen.decoded, row);
  Eigen::VectorXd moved = ordered(weights, row), errors, own_errors;
  for (int64_t b = 0; b < blocks(); ++b) {
    const double loss = loss_of(moved, b, decoded.segment(b * kBlock, kBlock), own_errors);
    const int middle = max_code(moved.segment(b * kBlock, kBlock).cwiseAbs().maxCoeff(), global_scale);
    double least = HUGE_VAL;
    for (int code = std::max(1, middle - 6); code <= std::min(126, middle + 8); ++code) {
      least = std::min(least, loss_of(moved, b, round_block(moved, b, e4m3_value_of(code) * global_scale), errors));
    }
    out.worse += loss > least * (1.0 + tolerance) + 1e-12 * moved.squaredNorm();
    out.loss += loss * mean_;
    pass_on(moved, b, own_errors);
  }
  return out;
}

double GptqOracle::least_completion(const Matrix& errors, int64_t row, int64_t blocks) const {
  const Eigen::VectorXd all = ordered(errors, row);
  const int64_t n = blocks * kBlock, rest = cols_ - n;
  Eigen::VectorXd d = all;
  if (rest > 0) {
    d.tail(rest) = -damped_.bottomRightCorner(rest, rest).llt().solve(damped_.bottomLeftCorner(rest, n) * all.head(n));
  }
  return d.dot(damped_ * d) * mean_;
}

}  // namespace nvfp4cal::test
