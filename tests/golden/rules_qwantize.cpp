// Rules of single-level blocks: scales are judged by the float64 error of what they make of a block.
#include <algorithm>

#include "golden/rules.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

// A tensor's blocks along a dimension, one after the other, from its row-major elements.
std::vector<double> along(const GoldenTensor& tensor, int64_t dim) {
  const size_t axis = static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(tensor.shape.size()) : dim);
  size_t inner = 1;
  for (size_t d = axis + 1; d < tensor.shape.size(); ++d) inner *= static_cast<size_t>(tensor.shape[d]);
  const size_t n = static_cast<size_t>(tensor.shape.at(axis));
  const std::vector<double> values = tensor.numbers();
  std::vector<double> out;
  if (n == 0 || inner == 0) throw std::runtime_error("an extent is 0");
  for (size_t outer = 0; outer < values.size() / n / inner; ++outer) {
    for (size_t i = 0; i < inner; ++i) {
      for (size_t k = 0; k < n; ++k) out.push_back(values.at((outer * n + k) * inner + i));
    }
  }
  return out;
}

// The level of x / scale: a float32 quotient, ties toward zero. A scale of 0 gives 6 for every element but 0.
double level_at(double x, double scale) {
  const float quotient = static_cast<float>(std::fabs(x)) / static_cast<float>(scale);
  const double y = scale == 0 ? HUGE_VAL : static_cast<double>(quotient);
  int code = 0;
  for (int k = 0; k < 7; ++k) code += y > (kLevels[k] + kLevels[k + 1]) / 2;
  return x == 0 ? 0.0 : std::copysign(kLevels[code], x);
}

// The blocks of a case, and errors of a block.
class Blocks {
 public:
  explicit Blocks(const Case& one)
      : dim_(one.param<int64_t>("dim", -1)), size_(one.param<size_t>("block")), x_(along(one.input("x"), dim_)) {
    if (one.has_input("activations")) h_ = gram(one.input("activations"));
  }

  size_t count() const { return x_.size() / size_; }
  size_t size() const { return size_; }

  // Levels of an output or expectation, block after block.
  std::vector<double> levels(const GoldenTensor& tensor) const { return along(tensor, dim_); }
  std::vector<double> scales(const GoldenTensor& tensor) const {
    if (tensor.elements() != static_cast<int64_t>(count())) throw std::runtime_error("not one scale a block");
    return tensor.numbers();
  }
  std::vector<double> levels_at(const std::vector<double>& scales) const {
    std::vector<double> levels;
    for (size_t i = 0; i < x_.size(); ++i) levels.push_back(level_at(x_[i], scales[i / size_]));
    return levels;
  }

  double energy(size_t b) const { return sse(b, 0.0, x_); }  // against zeros

  // sum (x - level * scale)^2
  double sse(size_t b, double scale, const std::vector<double>& levels) const {
    double sum = 0;
    for (size_t i = b * size_; i < (b + 1) * size_; ++i) sum += residual(i, scale, levels) * residual(i, scale, levels);
    return sum;
  }
  // r^T H r of the same residuals
  double hessian_error(size_t b, double scale, const std::vector<double>& levels) const {
    double sum = 0;
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < size_; ++j) {
        sum += residual(b * size_ + i, scale, levels) * matrix(b)[i * size_ + j] * residual(b * size_ + j, scale, levels);
      }
    }
    return sum;
  }
  double floor(size_t b) const {
    double trace = h_.empty() ? 1.0 : 0.0;
    for (size_t i = 0; !h_.empty() && i < size_; ++i) trace += matrix(b)[i * size_ + i];
    return 1e-13 * energy(b) * trace;
  }

 private:
  double residual(size_t i, double scale, const std::vector<double>& levels) const { return x_[i] - levels[i] * scale; }
  const double* matrix(size_t b) const { return h_.data() + b % (h_.size() / size_ / size_) * size_ * size_; }

  // X_j^T X_j for each block of columns
  std::vector<double> gram(const GoldenTensor& activations) const {
    const std::vector<double> x = activations.numbers();
    const size_t cols = static_cast<size_t>(activations.shape.back());
    std::vector<double> h(cols * size_);
    for (size_t row = 0; row < x.size() / cols; ++row) {
      for (size_t c = 0; c < cols; ++c) {
        for (size_t k = 0; k < size_; ++k) h[c * size_ + k] += x[row * cols + c] * x[row * cols + c / size_ * size_ + k];
      }
    }
    return h;
  }

  int64_t dim_;
  size_t size_;
  std::vector<double> x_, h_;
};

// What a search returned: <name>_scales and <name>_quants.
struct Found {
  std::vector<double> scales, levels;

  Found(const Check& check, const Blocks& blocks, const std::string& name)
      : scales(blocks.scales(check.output(name + "_scales"))), levels(blocks.levels(check.output(name + "_quants"))) {
    if (levels.size() != blocks.count() * blocks.size()) throw std::runtime_error("not one level an element");
  }
};

// An expectation; levels may be doubled integers.
std::vector<double> expected_values(const Check& check) {
  std::vector<double> values = check.expected().numbers();
  if (check.expected().dtype != NVFP4CAL_DTYPE_I8 || !check.one().one.value("quants_are_doubled_int8", false)) return values;
  for (double& value : values) value /= 2;
  return values;
}

// Equal levels; the sign of a zero aside, which integers do not have.
void levels(Check& check) {
  const std::vector<double> found = check.compared(0).numbers(), wanted = expected_values(check);
  Tally tally;
  for (size_t i = 0; i < wanted.size(); ++i) tally.add(found[i] == wanted[i], i, found[i], wanted[i]);
  tally.report(check);
}

// Levels of <name> in the blocks whose scale is the expected one (the second argument names that expectation).
void levels_where_equal(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0));
  const std::vector<double> scales = blocks.scales(check.one().expected(check.argument(1)));
  const std::vector<double> in_blocks = blocks.levels(golden_tensor(NVFP4CAL_DTYPE_F64, check.expected().shape, expected_values(check)));
  if (in_blocks.size() != found.levels.size()) return check.fail("not one level an element");
  Tally tally;
  for (size_t i = 0; i < in_blocks.size(); ++i) {
    const size_t b = i / blocks.size();
    if (found.scales[b] == scales[b]) tally.add(found.levels[i] == in_blocks[i], i, found.levels[i], in_blocks[i]);
  }
  tally.report(check);
}

// <name>_dequant is float32 level * scale.
void dequantized(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0));
  const std::vector<double> decoded = blocks.levels(check.output(check.argument(0) + "_dequant"));
  if (decoded.size() != found.levels.size()) return check.fail("not one value an element");
  Tally tally;
  for (size_t i = 0; i < found.levels.size(); ++i) {
    const float wanted = static_cast<float>(found.levels[i]) * static_cast<float>(found.scales[i / blocks.size()]);
    tally.add(decoded[i] == static_cast<double>(wanted), i, decoded[i], static_cast<double>(wanted));
  }
  tally.report(check);
}

// As good as the peer's scales.
void sse_not_above(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0));
  const std::vector<double> scales = blocks.scales(check.expected()), levels = blocks.levels_at(scales);
  Tally tally;
  for (size_t b = 0; b < blocks.count(); ++b) {
    const double limit = blocks.sse(b, scales[b], levels) * (1 + 1e-6) + blocks.floor(b);
    tally.add(blocks.sse(b, found.scales[b], found.levels) <= limit, b, found.scales[b], scales[b]);
    if (found.scales[b] != scales[b]) check.differ();
  }
  tally.report(check);
}

// The expectation holds scales whose errors are another expectation: whoever evaluates them otherwise is told.
void errors_at(Check& check, bool weighed) {
  const Blocks blocks(check.one());
  const std::vector<double> scales = blocks.scales(check.expected()), levels = blocks.levels_at(scales),
                            wanted = check.one().expected(check.argument(0)).numbers();
  if (wanted.size() != blocks.count()) return check.fail("not one error a block");
  Tally tally;
  for (size_t b = 0; b < blocks.count(); ++b) {
    const double found = weighed ? blocks.hessian_error(b, scales[b], levels) : blocks.sse(b, scales[b], levels);
    tally.add(std::fabs(found - wanted[b]) <= 1e-9 * wanted[b] + blocks.floor(b), b, found, wanted[b]);
  }
  tally.report(check);
}
void sse_at(Check& check) { errors_at(check, false); }
void hessian_error_at(Check& check) { errors_at(check, true); }

// The least error; with keeps_noise, blocks that the naive scale makes no better than zeros keep it (either within 1e-6 of the border).
void least_sse(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0)), naive(check, blocks, "naive");
  const std::vector<double> wanted = check.expected().numbers();
  if (wanted.size() != blocks.count()) return check.fail("not one error a block");
  Tally tally;
  for (size_t b = 0; b < blocks.count(); ++b) {
    const double mine = blocks.sse(b, found.scales[b], found.levels), energy = blocks.energy(b),
                 noise = blocks.sse(b, naive.scales[b], naive.levels);
    const bool least = mine <= wanted[b] * (1 + 1e-6) + blocks.floor(b), kept = found.scales[b] == naive.scales[b];
    bool good = least;
    if (check.has_argument(1)) good = energy <= noise * (1 - 1e-6) ? kept : energy <= noise * (1 + 1e-6) ? least || kept : least;
    tally.add(good, b, mine, wanted[b]);
  }
  tally.report(check);
}

void hessian_error(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0));
  const std::vector<double> wanted = check.expected().numbers();
  if (wanted.size() != blocks.count()) return check.fail("not one error a block");
  Tally tally;
  for (size_t b = 0; b < blocks.count(); ++b) {
    const double mine = blocks.hessian_error(b, found.scales[b], found.levels);
    tally.add(mine <= wanted[b] * (1 + check.number(1)) + blocks.floor(b), b, mine, wanted[b]);
  }
  tally.report(check);
}

// The sums of errors are close.
void mean_hessian_error(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0));
  const std::vector<double> wanted = check.expected().numbers();
  if (wanted.size() != blocks.count()) return check.fail("not one error a block");
  double mine = 0, theirs = 0;
  for (size_t b = 0; b < blocks.count(); ++b) {
    mine += blocks.hessian_error(b, found.scales[b], found.levels);
    theirs += wanted[b];
  }
  Tally tally;
  tally.add(close(mine, theirs, check.number(1)), 0, mine, theirs);
  tally.report(check);
}

// No block of the first search is worse than that of the second; better ones are counted as differing.
void hessian_not_above(Check& check) {
  const Blocks blocks(check.one());
  const Found found(check, blocks, check.argument(0)), other(check, blocks, check.argument(1));
  Tally tally;
  for (size_t b = 0; b < blocks.count(); ++b) {
    const double mine = blocks.hessian_error(b, found.scales[b], found.levels),
                 theirs = blocks.hessian_error(b, other.scales[b], other.levels);
    tally.add(mine <= theirs * (1 + 1e-12) + 1e-3 * blocks.floor(b), b, mine, theirs);
    if (mine < theirs * (1 - 1e-9)) check.differ();
  }
  tally.report(check);
}

// At least this share of entries is equal.
void share_equal(Check& check) {
  const std::vector<double> found = check.compared(0).numbers(), wanted = expected_values(check);
  Tally tally;
  for (size_t i = 0; i < wanted.size(); ++i) tally.add(found[i] == wanted[i], i, found[i], wanted[i]);
  check.differ(tally.wrong());
  tally.report(check, static_cast<int64_t>((1 - check.number(1)) * static_cast<double>(wanted.size())));
}

}  // namespace

const Rules& qwantize_rules() {
  static const Rules kRules = {{"levels", levels},
                               {"levels_where_equal", levels_where_equal},
                               {"dequantized", dequantized},
                               {"sse_not_above", sse_not_above},
                               {"sse_at", sse_at},
                               {"hessian_error_at", hessian_error_at},
                               {"least_sse", least_sse},
                               {"hessian_error", hessian_error},
                               {"mean_hessian_error", mean_hessian_error},
                               {"hessian_not_above", hessian_not_above},
                               {"share_equal", share_equal}};
  return kRules;
}

}  // namespace nvfp4cal::test
