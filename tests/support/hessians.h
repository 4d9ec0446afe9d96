// Kinds of Hessians, as X^T X of made-up activations: the same on every run.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace nvfp4cal::test {

enum class HessianKind { kWhite, kAr5, kAr9, kLowRank, kOutlier, kDeficient, kActivations, kCount };

inline const char* kind_name(HessianKind kind) {
  static const char* const kNames[] = {"white",           "AR(1) .5",       "AR(1) .9",   "low rank + noise",
                                       "outlier channel", "rank-deficient", "activations"};
  return kNames[static_cast<int>(kind)];
}

class HessianMaker {
 public:
  HessianMaker(HessianKind kind, int block, uint64_t seed) : kind_(kind), block_(block), random_(seed) {}

  // [block, block], not normalized.
  std::vector<float> make() {
    const int rows = kind_ == HessianKind::kWhite ? 4096 : kind_ == HessianKind::kDeficient ? block_ * 9 / 16 : 512;
    begin();
    std::vector<double> sums(static_cast<size_t>(block_ * block_));
    std::vector<double> x(static_cast<size_t>(block_));
    for (int row = 0; row < rows; ++row) {
      fill(x);
      for (int i = 0; i < block_; ++i) {
        for (int j = 0; j < block_; ++j) sums[static_cast<size_t>(i * block_ + j)] += x[static_cast<size_t>(i)] * x[static_cast<size_t>(j)];
      }
    }
    return {sums.begin(), sums.end()};
  }

 private:
  double normal() { return normal_(random_); }

  // What all rows share: sizes of channels and a few directions.
  void begin() {
    sizes_.assign(static_cast<size_t>(block_), 1.0);
    if (kind_ == HessianKind::kLowRank || kind_ == HessianKind::kActivations) {
      for (double& size : sizes_) size = std::exp(0.8 * normal());
    }
    if (kind_ == HessianKind::kOutlier) sizes_[5] = 30.0;
    if (kind_ == HessianKind::kActivations && random_() % 3 == 0) sizes_[random_() % sizes_.size()] *= 20.0;
    directions_.assign(3, std::vector<double>(static_cast<size_t>(block_)));
    for (auto& direction : directions_) {
      for (double& value : direction) value = normal();
    }
  }

  void fill(std::vector<double>& x) {
    const double rho = kind_ == HessianKind::kAr5 ? 0.5 : kind_ == HessianKind::kAr9 ? 0.9 : 0.0;
    double last = normal();
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = last;
      last = rho * last + std::sqrt(1.0 - rho * rho) * normal();
    }
    if (kind_ == HessianKind::kLowRank || kind_ == HessianKind::kActivations) {
      const double own = kind_ == HessianKind::kLowRank ? 0.1 : 0.7;
      for (double& value : x) value *= own;
      for (const auto& direction : directions_) {
        const double amount = normal();
        for (size_t i = 0; i < x.size(); ++i) x[i] += amount * direction[i];
      }
    }
    for (size_t i = 0; i < x.size(); ++i) {
      // activations pass a gate: small negatives, a mean that is not zero
      if (kind_ == HessianKind::kActivations && x[i] < 0) x[i] *= 0.1;
      x[i] *= sizes_[i];
    }
  }

  HessianKind kind_;
  int block_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::vector<double> sizes_;
  std::vector<std::vector<double>> directions_;
};

}  // namespace nvfp4cal::test
