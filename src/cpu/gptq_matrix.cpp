#include "cpu/gptq_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "cpu/load.h"

namespace nvfp4cal::cpu {

namespace {

// Elements of a matrix in float64, wherever it lies.
class MatrixReader {
 public:
  explicit MatrixReader(const TensorView& view) : view_(view) {}

  double operator()(int64_t i, int64_t j) const {
    const int64_t at = i * view_.strides[0] + j * view_.strides[1];
    if (view_.dtype != Dtype::kF64) return static_cast<double>(load_element({view_.dtype, view_.data}, at));
    double value;
    std::memcpy(&value, static_cast<const char*>(view_.data) + at * 8, 8);
    return value;
  }

  void check_finite(const Execution& execution, const char* name) const {
    execution.parallel_for(view_.shape[0], [&](int64_t i) {
      for (int64_t j = 0; j < view_.shape[1]; ++j) {
        const double value = (*this)(i, j);
        if (!std::isfinite(value)) fail(Status::kNotFinite, "%s[%lld, %lld] is %g", name, ll(i), ll(j), value);
      }
    });
  }

 private:
  const TensorView& view_;
};

// The Hessian that was given, symmetric.
class GivenHessian {
 public:
  explicit GivenHessian(const GptqPrepareArgs& args) : args_(args) {
    if (args.matrix) reader_.emplace(*args.matrix);
  }

  double operator()(int64_t i, int64_t j) const {
    if (reader_) return 0.5 * ((*reader_)(i, j) + (*reader_)(j, i));
    if (i > j) std::swap(i, j);
    const int64_t first = i / kHessianBand * kHessianBand;
    return args_.bands[hessian_band_offset(args_.cols, first) + (i - first) * (args_.cols - first) + (j - first)];
  }

  void check(const Execution& execution) const {
    double largest = 0.0;
    if (reader_) reader_->check_finite(execution, "hessian");
    for (int64_t i = 0; i < args_.cols; ++i) {
      const double value = (*this)(i, i);
      if (value < 0) fail(Status::kInvalidArgument, "hessian[%lld, %lld] is %g, expected 0 or more", ll(i), ll(i), value);
      largest = std::max(largest, value);
    }
    if (!reader_) return;
    execution.parallel_for(args_.cols, [&](int64_t i) {
      for (int64_t j = 0; j < i; ++j) {
        const double a = (*reader_)(i, j), b = (*reader_)(j, i);
        if (!(std::fabs(a - b) <= 1e-4 * largest))
          fail(Status::kInvalidArgument, "hessian[%lld, %lld] is %g and [%lld, %lld] is %g, expected a symmetric matrix", ll(i), ll(j), a,
               ll(j), ll(i), b);
      }
    });
  }

 private:
  const GptqPrepareArgs& args_;
  std::optional<MatrixReader> reader_;  // where it is no sum of bands
};

double mean_diagonal(const GivenHessian& given, int64_t cols) {
  double sum = 0.0;
  for (int64_t i = 0; i < cols; ++i) sum += given(i, i);
  if (!std::isfinite(sum)) fail(Status::kNotFinite, "the diagonal of hessian sums to more than float64 holds");
  return sum > 0 ? sum / static_cast<double>(cols) : 1.0;
}

// Blocks of larger diagonals first: their errors have the most columns left to be made up by.
std::vector<int32_t> rounding_order(const GivenHessian& given, int64_t blocks) {
  std::vector<double> weight(static_cast<size_t>(blocks));
  for (int64_t i = 0; i < blocks * kGptqBlock; ++i) weight[static_cast<size_t>(i / kGptqBlock)] += given(i, i);
  std::vector<int32_t> order(weight.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return weight[static_cast<size_t>(a)] > weight[static_cast<size_t>(b)]; });
  return order;
}

// The damped, scaled Hessian by places.
class Damped {
 public:
  Damped(const GptqMatrix& matrix, const GivenHessian& given, double damping) : matrix_(matrix), given_(given), damping_(damping) {}

  double operator()(int64_t i, int64_t j) const {
    if (i >= matrix_.cols || j >= matrix_.cols) return i == j ? 1.0 : 0.0;
    const double value = given_(matrix_.column(i), matrix_.column(j)) / matrix_.mean;
    return i == j ? value + damping_ : value;
  }

 private:
  const GptqMatrix& matrix_;
  const GivenHessian& given_;
  double damping_;
};

void fill_feedback(const Execution& execution, const RootFactor& root, GptqMatrix& matrix) {
  for (int64_t j = 0; j < matrix.padded; ++j) matrix.pivots[static_cast<size_t>(j)] = static_cast<float>(root.at(j, j) * root.at(j, j));
  execution.parallel_for(matrix.feedback.panels(), [&](int64_t p) {
    for (int64_t j = p * kTile; j < (p + 1) * kTile; ++j) {
      const double factor = 1.0 / root.at(j, j);
      for (int64_t i = 0; i < j; ++i) matrix.feedback.at(i, j) = static_cast<float>(root.at(i, j) * factor);
    }
  });
}

void fill_matrix(const Execution& execution, const Damped& damped, GptqMatrix& matrix) {
  matrix.matrix.resize(static_cast<size_t>(matrix.padded * matrix.padded));
  matrix.reciprocals.resize(static_cast<size_t>(matrix.padded));
  execution.parallel_for(matrix.padded / kTile, [&](int64_t p) {
    for (int64_t i = 0; i < matrix.padded; ++i) {
      float* const row = matrix.matrix.data() + (p * matrix.padded + i) * kTile;
      for (int64_t j = 0; j < kTile; ++j) row[j] = static_cast<float>(damped(i, p * kTile + j));
    }
    for (int64_t j = p * kTile; j < (p + 1) * kTile; ++j)
      matrix.reciprocals[static_cast<size_t>(j)] = 1.0f / static_cast<float>(damped(j, j));
  });
}

// (cross - H) (H + damping)^-1, 64 rows at a time: what it adds to weights is all there is to compute for them, in float32.
void fill_shift(const Execution& execution, const RootFactor& root, const GivenHessian& given, const TensorView& cross_view,
                GptqMatrix& matrix) {
  const MatrixReader cross(cross_view);
  cross.check_finite(execution, "cross");
  matrix.shift.resize(static_cast<size_t>(matrix.padded * matrix.padded));
  execution.parallel_for(matrix.padded / kTile, [&](int64_t chunk) {
    std::vector<double> x(static_cast<size_t>(matrix.padded * kTile));
    const int64_t first = chunk * kTile, rows = std::min(kTile, matrix.cols - first);
    for (int64_t j = 0; j < matrix.cols; ++j) {
      double* const turned = x.data() + (matrix.padded - 1 - j) * kTile;
      const int64_t col = matrix.column(j);
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t row = matrix.column(first + i);
        turned[i] = (cross(row, col) - given(row, col)) / matrix.mean;
      }
    }
    root.solve_turned(x.data());
    for (int64_t j = 0; j < matrix.cols; ++j) {
      float* const panel = matrix.shift.data() + (j / kTile * matrix.padded + first) * kTile + j % kTile;
      for (int64_t i = 0; i < rows; ++i) panel[i * kTile] = static_cast<float>(x[static_cast<size_t>((matrix.padded - 1 - j) * kTile + i)]);
    }
  });
}

// A small generator of our own: the same order on every platform.
class Shuffler {
 public:
  template <class T>
  void shuffle(T* values, int64_t n) {
    for (int64_t i = n - 1; i > 0; --i) std::swap(values[i], values[static_cast<int64_t>(next() % static_cast<uint64_t>(i + 1))]);
  }

 private:
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  uint64_t state_ = 0;
};

std::vector<Neighbourhood> choose_neighbourhoods(int64_t blocks) {
  std::vector<Neighbourhood> all;
  std::vector<int32_t> order(static_cast<size_t>(blocks));
  std::iota(order.begin(), order.end(), 0);
  Shuffler shuffler;
  for (int pass = 0; pass < kNeighbourhoodPasses; ++pass) {
    shuffler.shuffle(order.data(), blocks);
    for (int64_t first = 0; first < blocks; first += kGptqGroup / kGptqBlock) {
      const int64_t count = std::min(kGptqGroup / kGptqBlock, blocks - first);
      std::vector<int32_t> places(static_cast<size_t>(count * kGptqBlock));
      for (int64_t i = 0; i < count * kGptqBlock; ++i) {
        places[static_cast<size_t>(i)] =
            order[static_cast<size_t>(first + i / kGptqBlock)] * kGptqBlock + static_cast<int32_t>(i % kGptqBlock);
      }
      for (int64_t b = 0; b < count; ++b) shuffler.shuffle(places.data() + b * kGptqBlock, kGptqBlock);
      all.push_back({std::move(places), {}, {}, {}, {}, {}});
    }
  }
  return all;
}

// False where the part's factor fails, which it can only by rounding: that group is left out.
bool fill_neighbourhood(const Execution& execution, const Kernels& kernels, const Damped& damped, Neighbourhood& group) {
  const int64_t n = static_cast<int64_t>(group.places.size());
  const auto value = [&](int64_t i, int64_t j) {
    if (i >= n || j >= n) return i == j ? 1.0 : 0.0;
    return damped(group.places[static_cast<size_t>(i)], group.places[static_cast<size_t>(j)]);
  };
  const RootFactor root(execution, kernels, (n + kTile - 1) / kTile * kTile, value);
  if (root.failed() >= 0) return false;
  std::vector<double> upper(static_cast<size_t>(n * n)), inverse(static_cast<size_t>(n * n));
  for (std::vector<float>* part : {&group.matrix, &group.feedback, &group.pull}) part->resize(static_cast<size_t>(n * n));
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i <= j; ++i) upper[static_cast<size_t>(i * n + j)] = root.at(i, j);
  }
  invert_upper(upper.data(), n, inverse.data());
  for (int64_t i = 0; i < n; ++i) {
    const double pivot = root.at(i, i);
    group.pivots.push_back(static_cast<float>(pivot * pivot));
    group.reciprocals.push_back(1.0f / static_cast<float>(value(i, i)));
    for (int64_t j = 0; j < n; ++j) {
      const size_t at = static_cast<size_t>(i * n + j), mirrored = static_cast<size_t>(j * n + i);
      group.matrix[at] = static_cast<float>(value(i, j));
      group.feedback[at] = i < j ? static_cast<float>(upper[at] / root.at(j, j)) : 0.0f;
      group.pull[at] = static_cast<float>(inverse[mirrored] / root.at(j, j));
    }
  }
  return true;
}

}  // namespace

GptqMatrix::GptqMatrix(const Execution& execution, const Kernels& kernels, const GptqPrepareArgs& args)
    : cols(args.cols),
      padded((args.cols + kTile - 1) / kTile * kTile),
      effort(args.effort),
      mean(1.0),
      feedback(padded),
      pivots(static_cast<size_t>(padded)) {
  const GivenHessian given(args);
  given.check(execution);
  // A damping above 1 becomes part of the unit, so that float32 holds the pivots at any.
  const double unit = std::max(args.damping, 1.0);
  mean = mean_diagonal(given, cols) * unit;
  order = rounding_order(given, blocks());
  const Damped damped(*this, given, args.damping / unit);
  const RootFactor root(execution, kernels, padded, damped);
  if (root.failed() >= 0) {
    fail(Status::kInvalidArgument, "the hessian with damping %g is not positive definite (pivot %g at column %lld): raise the damping",
         args.damping, root.failed_pivot(), ll(root.failed() < cols ? column(root.failed()) : root.failed()));
  }
  fill_feedback(execution, root, *this);
  if (args.cross) fill_shift(execution, root, given, *args.cross, *this);
  if (effort >= GptqEffort::kDefault) fill_matrix(execution, damped, *this);
  if (effort < GptqEffort::kMax) return;
  around = choose_neighbourhoods(blocks());
  std::vector<char> good(around.size());
  execution.parallel_for(static_cast<int64_t>(around.size()), [&](int64_t i) {
    good[static_cast<size_t>(i)] = fill_neighbourhood(execution, kernels, damped, around[static_cast<size_t>(i)]);
  });
  size_t kept = 0;
  for (size_t i = 0; i < around.size(); ++i) {
    if (good[i] && kept != i) around[kept] = std::move(around[i]);
    kept += good[i] != 0;
  }
  around.resize(kept);
}

GptqParts GptqMatrix::parts(std::vector<GptqGroupParts>& groups) const {
  groups.clear();
  for (const Neighbourhood& group : around) {
    groups.push_back({static_cast<int64_t>(group.places.size()), group.places.data(), group.matrix.data(), group.feedback.data(),
                      group.pull.data(), group.pivots.data(), group.reciprocals.data()});
  }
  const auto or_null = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
  return {cols,
          padded,
          mean,
          order.data(),
          feedback.row(0, 0),
          pivots.data(),
          or_null(matrix),
          or_null(reciprocals),
          or_null(shift),
          groups.data(),
          static_cast<int64_t>(groups.size())};
}

}  // namespace nvfp4cal::cpu
