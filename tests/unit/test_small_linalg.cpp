// Eigenvalues and inverses of small matrices against what they mean.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "num/small_linalg.h"
#include "support/catch.h"

using namespace nvfp4cal;
using num::OneLane;

namespace {

using Matrix = std::vector<double>;

Matrix random_gram(int n, int rows, uint32_t seed) {
  std::mt19937 engine(seed);
  Matrix h(static_cast<size_t>(n * n)), x(static_cast<size_t>(n));
  for (int t = 0; t < rows; ++t) {
    for (double& value : x) value = static_cast<double>(engine() >> 8) * 0x1p-23 - 1.0;
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) h[static_cast<size_t>(i * n + j)] += x[static_cast<size_t>(i)] * x[static_cast<size_t>(j)];
    }
  }
  return h;
}

// The number of eigenvalues below a shift: negative pivots of h - shift (Sylvester's law of inertia).
int eigenvalues_below(Matrix h, int n, double shift) {
  int negative = 0;
  for (int i = 0; i < n; ++i) h[static_cast<size_t>(i * n + i)] -= shift;
  for (int k = 0; k < n; ++k) {
    const double pivot = h[static_cast<size_t>(k * n + k)];
    negative += pivot < 0;
    for (int i = k + 1; i < n; ++i) {
      const double times = h[static_cast<size_t>(i * n + k)] / pivot;
      for (int j = k; j < n; ++j) h[static_cast<size_t>(i * n + j)] -= times * h[static_cast<size_t>(k * n + j)];
    }
  }
  return negative;
}

// Ascending.
std::vector<double> eigenvalues_of(const Matrix& h, int n) {
  Matrix work(h.size());
  num::diagonalize(OneLane(), h.data(), n, work.data());
  std::vector<double> values;
  for (int i = 0; i < n; ++i) values.push_back(work[static_cast<size_t>(i * n + i)]);
  std::sort(values.begin(), values.end());
  const num::EigenvalueRange range = num::eigenvalue_range(OneLane(), h.data(), n, work.data());
  CHECK(range.least == values.front());
  CHECK(range.largest == values.back());
  return values;
}

}  // namespace

TEST_CASE("eigenvalues lie where the inertia says", "[linalg]") {
  for (const int n : {1, 2, 16, 32}) {
    for (const int rows : {1, n / 2 + 1, 4 * n}) {
      CAPTURE(n, rows);
      const Matrix h = random_gram(n, rows, static_cast<uint32_t>(n * 100 + rows));
      const std::vector<double> values = eigenvalues_of(h, n);
      const double margin = 1e-11 * values.back();
      for (int k = 0; k < n; ++k) {
        CHECK(eigenvalues_below(h, n, values[static_cast<size_t>(k)] + margin) >= k + 1);
        CHECK(eigenvalues_below(h, n, values[static_cast<size_t>(k)] - margin) <= k);
      }
    }
  }
}

TEST_CASE("zero, diagonal and equal-valued matrices have their eigenvalues exactly", "[linalg]") {
  const Matrix zero(1024, 0.0);
  std::vector<double> values = eigenvalues_of(zero, 32);
  CHECK(values[0] == 0.0);
  CHECK(values[31] == 0.0);
  Matrix diagonal(256, 0.0);
  for (size_t i = 0; i < 16; ++i) diagonal[i * 17] = 16.0 - static_cast<double>(i);
  values = eigenvalues_of(diagonal, 16);
  for (size_t i = 0; i < 16; ++i) CHECK(values[i] == static_cast<double>(i + 1));
  const Matrix ones(256, 1.0);
  values = eigenvalues_of(ones, 16);
  CHECK(std::fabs(values[15] - 16.0) < 1e-13);
  CHECK(std::fabs(values[0]) < 1e-13);
}

TEST_CASE("a matrix times its inverse is the identity; a singular one is reported", "[linalg]") {
  for (const int n : {1, 3, 16, 32}) {
    Matrix h = random_gram(n, 3 * n, static_cast<uint32_t>(n)), inverse(h.size()), work(h.size());
    if (n > 1) std::swap(h[0], h[static_cast<size_t>(n)]);  // not symmetric, another order of pivots
    REQUIRE(num::invert(OneLane(), h.data(), n, work.data(), inverse.data()));
    double worst = 0;
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        double sum = i == j ? -1.0 : 0.0;
        for (int k = 0; k < n; ++k) sum += h[static_cast<size_t>(i * n + k)] * inverse[static_cast<size_t>(k * n + j)];
        worst = std::max(worst, std::fabs(sum));
      }
    }
    CHECK(worst < 1e-9);
  }
  Matrix inverse(256), work(256);
  CHECK(!num::invert(OneLane(), Matrix(256, 1.0).data(), 16, work.data(), inverse.data()));
  CHECK(!num::invert(OneLane(), Matrix(256, 0.0).data(), 16, work.data(), inverse.data()));
}
