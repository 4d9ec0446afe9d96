// Everything here is float64. How D and w are found does not matter: they are rounded first, and then a Cholesky decomposition of
// H + tau - (1 - kBoundShare) (D + w' w) shows that the bound holds for those numbers.
#include "cpu/hessian_bound.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace nvfp4cal::cpu {

namespace {

// A small square matrix.
class Matrix {
 public:
  explicit Matrix(int n) : n_(n), values_(static_cast<size_t>(n * n)) {}
  int size() const { return n_; }
  double& operator()(int i, int j) { return values_[static_cast<size_t>(i * n_ + j)]; }
  double operator()(int i, int j) const { return values_[static_cast<size_t>(i * n_ + j)]; }

 private:
  int n_;
  std::vector<double> values_;
};

double trace_of(const Matrix& a) {
  double trace = 0.0;
  for (int i = 0; i < a.size(); ++i) trace += a(i, i);
  return trace;
}

// a = l l'; false unless every pivot exceeds `least`.
bool cholesky(const Matrix& a, double least, Matrix& l) {
  const int n = a.size();
  for (int j = 0; j < n; ++j) {
    double pivot = a(j, j);
    for (int k = 0; k < j; ++k) pivot -= l(j, k) * l(j, k);
    if (!(pivot > least)) return false;
    l(j, j) = std::sqrt(pivot);
    for (int i = j + 1; i < n; ++i) {
      double sum = a(i, j);
      for (int k = 0; k < j; ++k) sum -= l(i, k) * l(j, k);
      l(i, j) = sum / l(j, j);
    }
  }
  return true;
}

// The inverse of l l'.
Matrix inverse_of_product(const Matrix& l) {
  const int n = l.size();
  Matrix inverse(n), result(n);  // of l, lower triangular
  for (int j = 0; j < n; ++j) {
    inverse(j, j) = 1.0 / l(j, j);
    for (int i = j + 1; i < n; ++i) {
      double sum = 0.0;
      for (int k = j; k < i; ++k) sum += l(i, k) * inverse(k, j);
      inverse(i, j) = -sum / l(i, i);
    }
  }
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      for (int k = std::max(i, j); k < n; ++k) result(i, j) += inverse(k, i) * inverse(k, j);
    }
  }
  return result;
}

// One rotation that makes a(p, q) zero.
void rotate(Matrix& a, Matrix& vectors, int p, int q) {
  if (a(p, q) == 0.0) return;
  const double theta = (a(q, q) - a(p, p)) / (2.0 * a(p, q));
  const double t = (theta >= 0.0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
  const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
  for (int k = 0; k < a.size(); ++k) {
    const double x = a(k, p), y = a(k, q);
    a(k, p) = c * x - s * y;
    a(k, q) = s * x + c * y;
  }
  for (int k = 0; k < a.size(); ++k) {
    const double x = a(p, k), y = a(q, k);
    a(p, k) = c * x - s * y;
    a(q, k) = s * x + c * y;
    const double u = vectors(k, p), v = vectors(k, q);
    vectors(k, p) = c * u - s * v;
    vectors(k, q) = s * u + c * v;
  }
}

// Jacobi's method: a becomes its eigenvalues, column j of the result is the eigenvector of a(j, j). Good to what a bound needs.
Matrix diagonalize(Matrix& a) {
  const int n = a.size();
  Matrix vectors(n);
  for (int i = 0; i < n; ++i) vectors(i, i) = 1.0;
  for (int sweep = 0; sweep < 12; ++sweep) {
    double outside = 0.0, inside = 0.0;
    for (int p = 0; p < n; ++p) {
      inside += a(p, p) * a(p, p);
      for (int q = 0; q < p; ++q) outside += a(p, q) * a(p, q);
    }
    if (outside <= 1e-16 * inside) break;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) rotate(a, vectors, p, q);
    }
  }
  return vectors;
}

// Whether h - factor * d is positive definite.
bool holds(const Matrix& h, const std::vector<double>& d, double factor) {
  Matrix rest = h, l(h.size());
  for (int i = 0; i < h.size(); ++i) rest(i, i) -= factor * d[static_cast<size_t>(i)];
  return cholesky(rest, 0.0, l);
}

// The diagonal: for P the inverse of H, H >= 1 / (P_ii * largest eigenvalue of P with unit diagonal). That eigenvalue is found by bisection.
void choose_diagonal(const Matrix& h, HessianBound& bound) {
  const int n = h.size();
  const double floor = 1e-6 * trace_of(h) / n;
  Matrix a = h, l(n);
  for (int i = 0; i < n; ++i) a(i, i) += floor;
  if (!cholesky(a, 0.0, l)) return;
  const Matrix inverse = inverse_of_product(l);
  std::vector<double> d;
  for (int i = 0; i < n; ++i) d.push_back(1.0 / inverse(i, i));
  double low = 1.0 / n, high = 1.0;  // the eigenvalue lies between 1 and n
  for (int step = 0; step < 10; ++step) {
    const double middle = (low + high) / 2.0;
    (holds(a, d, middle) ? low : high) = middle;
  }
  for (int i = 0; i < n; ++i) bound.d[i] = static_cast<float>(std::max(0.0, 0.9999 * low * d[static_cast<size_t>(i)] - floor));
}

// The rows: eigenvectors of what the diagonal leaves, until they hold nearly all of the trace.
void choose_rows(const Matrix& h, HessianBound& bound) {
  constexpr double kAlone = 0.5, kEnough = 0.97;
  const int n = h.size();
  Matrix rest = h;
  double held = 0.0;
  for (int i = 0; i < n; ++i) {
    rest(i, i) -= static_cast<double>(bound.d[i]);
    held += static_cast<double>(bound.d[i]);
  }
  const double enough = kEnough * trace_of(h);
  if (held >= kAlone * trace_of(h)) return;  // rows would cost more than they save
  const Matrix vectors = diagonalize(rest);
  std::vector<int> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return rest(a, a) > rest(b, b); });
  for (const int k : order) {
    if (held >= enough || bound.rows == kMaxBoundRows || rest(k, k) <= 0.0) break;
    const double root = std::sqrt(rest(k, k));
    for (int i = 0; i < n; ++i) bound.w[bound.rows][i] = static_cast<float>(root * vectors(i, k));
    held += rest(k, k);
    ++bound.rows;
  }
}

constexpr double kStep = 0x1p-11;  // of residuals

// Rows of whole multiples of a power of two, the least for which no sum of sixteen products with residuals (at most 20479 steps each) leaves 31 bits.
void round_row(float* row, float& unit, uint32_t* steps) {
  constexpr double kMostSum = 0x1p31 / 20480 - 16, kMost = 32767.0;
  double sum = 0.0, largest = 0.0;
  for (int i = 0; i < 16; ++i) {
    sum += std::fabs(static_cast<double>(row[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(row[i])));
  }
  const double step = std::exp2(std::ceil(std::log2(std::max({sum / kMostSum, largest / kMost, 0x1p-100}))));
  for (int i = 0; i < 16; ++i) {
    const int32_t whole = static_cast<int32_t>(std::lrint(static_cast<double>(row[i]) / step));
    row[i] = static_cast<float>(whole * step);
    steps[i % 8] |= (static_cast<uint32_t>(whole) & 0xFFFFu) << (i < 8 ? 0 : 16);
  }
  unit = static_cast<float>(step * kStep);
}

// Rounds rows, and the roots of D downwards.
void round_to_integers(HessianBound& bound) {
  for (int k = 0; k < bound.rows; ++k) round_row(bound.w[k], bound.w_unit[k], bound.w_steps[k]);
  const float largest = *std::max_element(bound.d, bound.d + 16);
  bound.d_unit = static_cast<float>(static_cast<double>(largest) * kStep * kStep);
  bound.d_root = std::sqrt(largest);
  for (int i = 0; i < 16 && largest > 0.0f; ++i) {
    const double root = std::sqrt(static_cast<double>(bound.d[i]) / static_cast<double>(largest));
    bound.d_roots[i % 8] |= static_cast<uint32_t>(32767.0 * root) << (i < 8 ? 0 : 16);
  }
}

// D + w' w.
Matrix bounding_matrix(const HessianBound& bound, int n) {
  Matrix sum(n);
  for (int i = 0; i < n; ++i) {
    sum(i, i) = static_cast<double>(bound.d[i]);
    for (int j = 0; j < n; ++j) {
      for (int k = 0; k < bound.rows; ++k) sum(i, j) += static_cast<double>(bound.w[k][i]) * static_cast<double>(bound.w[k][j]);
    }
  }
  return sum;
}

// At least (x' a x)^(1/2) for |x_i| <= 1.
float spread_of(const Matrix& a) {
  double sum = 0.0;
  for (int i = 0; i < a.size(); ++i) {
    for (int j = 0; j < a.size(); ++j) sum += std::fabs(a(i, j));
  }
  return static_cast<float>(std::sqrt(sum) * (1.0 + 1e-6));
}

// At least the root of the largest eigenvalue: that of the square, whose squares add up to those of its elements.
float reach_of(const Matrix& a) {
  double squares = 0.0;
  for (int i = 0; i < a.size(); ++i) {
    for (int j = 0; j < a.size(); ++j) {
      double sum = 0.0;
      for (int k = 0; k < a.size(); ++k) sum += a(i, k) * a(k, j);
      squares += sum * sum;
    }
  }
  return static_cast<float>(std::pow(squares, 0.125) * (1.0 + 1e-6));
}

// The least tau tried for which H + tau - (1 - kBoundShare) (D + w' w) is positive definite; negative if none is small enough.
double certified_tau(const Matrix& h, const Matrix& bounding, double norm) {
  const int n = h.size();
  Matrix rest = h, l(n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) rest(i, j) -= (1.0 - static_cast<double>(kBoundShare)) * bounding(i, j);
  }
  // Pivots that pass prove the matrix up to the decomposition's own rounding, far below this margin.
  const double margin = 1e-12 * norm;
  for (double tau = 0x1p-24 * norm; tau <= 0x1p-12 * norm; tau *= 4.0) {
    Matrix lifted = rest;
    for (int i = 0; i < n; ++i) lifted(i, i) += tau - margin;
    if (cholesky(lifted, 0.0, l)) return tau;
  }
  return -1.0;
}

}  // namespace

HessianBound make_hessian_bound(const float* values, int block) {
  HessianBound bound;
  Matrix h(block);
  double norm = 0.0;  // at least the norm of |H|: the largest sum of a row's or column's magnitudes
  for (int i = 0; i < block; ++i) {
    double row = 0.0, column = 0.0;
    for (int j = 0; j < block; ++j) {
      const double a = static_cast<double>(values[i * block + j]), b = static_cast<double>(values[j * block + i]);
      h(i, j) = (a + b) / 2.0;
      row += std::fabs(a);
      column += std::fabs(b);
    }
    norm = std::max({norm, row, column});
  }
  if (!(trace_of(h) > 0.0)) return bound;
  choose_diagonal(h, bound);
  choose_rows(h, bound);
  if (block == 16) round_to_integers(bound);
  const Matrix bounding = bounding_matrix(bound, block);
  bound.reach = bound.rows > 0 ? reach_of(bounding) : bound.d_root;
  bound.spread = spread_of(bounding);
  double held = 0.0;
  for (int i = 0; i < block; ++i) held += static_cast<double>(bound.d[i]);
  bound.nearly_singular = held < trace_of(h) / 32.0;
  const double tau = certified_tau(h, bounding, norm);
  if (tau < 0.0) return bound;
  double squares = 0.0;
  for (const auto& row : bound.w) {
    for (const float value : row) squares += static_cast<double>(value) * static_cast<double>(value);
  }
  // The definition's float32 sums: 2 block + 1 roundings of terms whose magnitudes sum to at most norm |r|^2. The bound's own: its diagonal
  // part errs by a share that prune_limit covers, its rows by less than 2^-17 |w| |x| (the square of which, over that share, is added).
  const double noise = (2 * block + 4) * 0x1p-24 * norm;
  bound.noise = static_cast<float>((2.0 * noise + 0x1p-22 * norm) * (1.0 + 0x1p-10));
  bound.slack = static_cast<float>((tau + noise + 0x1p-23 * squares) * (1.0 + 0x1p-10));
  bound.usable = true;
  return bound;
}

}  // namespace nvfp4cal::cpu
