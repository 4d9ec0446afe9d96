// Products and Cholesky factors against Eigen and plain float64 loops, on every CPU target.
#include <Eigen/Dense>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/backends.h"
#include "cpu/cholesky.h"
#include "cpu/targets.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::cpu;

namespace {

template <class T>
std::vector<T> random_values(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<T> values(n);
  for (T& value : values) value = static_cast<T>(static_cast<double>(engine()) * 0x1p-31 - 1.0);
  return values;
}

const Kernels& target(int index) {
  Execution execution;
  execution.set_cpu_target(index);
  return kernels_of(execution);
}

void run(const Kernels& kernels, const Product<float>& product) { kernels.multiply_f32(product); }
void run(const Kernels& kernels, const Product<double>& product) { kernels.multiply_f64(product); }

// a and b have 3 and 5 elements more in a row than are used.
template <class T>
void check_product(int index, int64_t depth, int64_t rows, bool subtract, double tolerance) {
  const int64_t a_stride = rows + 3, b_stride = kTile + 5, c_stride = kTile + 1;
  const auto a = random_values<T>(static_cast<size_t>(depth * a_stride), 1), b = random_values<T>(static_cast<size_t>(depth * b_stride), 2);
  const auto before = random_values<T>(static_cast<size_t>(rows * c_stride), 3);
  std::vector<T> c = before, scalar = before;
  run(target(index), Product<T>{a.data(), a_stride, b.data(), b_stride, depth, rows, c.data(), c_stride, subtract});
  run(scalar_kernels(), Product<T>{a.data(), a_stride, b.data(), b_stride, depth, rows, scalar.data(), c_stride, subtract});
  const bool fuses = std::string(cpu_target_name(index)) != "sse4";
  if (fuses) CHECK(std::memcmp(c.data(), scalar.data(), c.size() * sizeof(T)) == 0);
  double worst = 0.0;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < c_stride; ++j) {
      const size_t at = static_cast<size_t>(i * c_stride + j);
      double sum = 0.0;
      for (int64_t k = 0; j < kTile && k < depth; ++k) {
        sum +=
            static_cast<double>(a[static_cast<size_t>(k * a_stride + i)]) * static_cast<double>(b[static_cast<size_t>(k * b_stride + j)]);
      }
      worst = std::max(worst, std::fabs(static_cast<double>(c[at]) - (static_cast<double>(before[at]) + (subtract ? -sum : sum))));
    }
  }
  CHECK(worst <= tolerance * std::sqrt(static_cast<double>(depth) + 1.0));
}

Eigen::MatrixXd gram(int64_t n, int64_t rows, uint32_t seed, double damping) {
  const auto values = random_values<double>(static_cast<size_t>(n * rows), seed);
  const Eigen::Map<const Eigen::MatrixXd> x(values.data(), rows, n);
  return x.transpose() * x + damping * Eigen::MatrixXd::Identity(n, n);
}

// With ones on the diagonal past n.
UpperPanels<double> panels_of(const Eigen::MatrixXd& a) {
  const int64_t n = a.rows(), padded = (n + kTile - 1) / kTile * kTile;
  UpperPanels<double> upper(padded);
  for (int64_t i = 0; i < padded; ++i) {
    for (int64_t j = i; j < padded; ++j) upper.at(i, j) = j < n ? a(i, j) : i == j ? 1.0 : 0.0;
  }
  return upper;
}

}  // namespace

TEST_CASE("products equal plain loops on every target") {
  for (int index = 0; index < cpu_target_count(); ++index) {
    INFO(cpu_target_name(index));
    for (const int64_t depth : {0, 1, 16, 127, 128, 129, 300}) {
      for (const int64_t rows : {8, 16, 64, 136}) {
        INFO("depth " << depth << ", rows " << rows);
        check_product<float>(index, depth, rows, rows == 16, 1e-6);
        check_product<double>(index, depth, rows, rows == 16, 4e-15);
      }
    }
  }
}

TEST_CASE("a Cholesky factor equals Eigen's") {
  for (const int64_t n : {1, 15, 16, 63, 64, 65, 130, 272, 400}) {
    INFO("n " << n);
    const Eigen::MatrixXd a = gram(n, n + 40, 7, 0.1);
    const Eigen::MatrixXd expected = a.llt().matrixU();
    const CholeskyFactor factor(Execution(), target(0), panels_of(a));
    REQUIRE(factor.failed() == -1);
    double worst = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = i; j < n; ++j) worst = std::max(worst, std::fabs(factor.upper().at(i, j) - expected(i, j)));
    }
    CHECK(worst <= 1e-12 * expected.norm());
    for (int64_t i = n; i < factor.upper().size(); ++i) CHECK(factor.upper().at(i, i) == 1.0);
  }
}

TEST_CASE("a factor solves as Eigen's does") {
  for (const int64_t n : {5, 64, 200}) {
    INFO("n " << n);
    const Eigen::MatrixXd a = gram(n, n + 10, 3, 0.5);
    const CholeskyFactor factor(Execution(), target(0), panels_of(a));
    const int64_t padded = factor.upper().size();
    const auto values = random_values<double>(static_cast<size_t>(padded * kTile), 9);
    std::vector<double> x = values;
    factor.solve(x.data());
    // x[column][row]: its transpose is column-major [64, padded]
    const Eigen::Map<const Eigen::MatrixXd> right(values.data(), kTile, padded), found(x.data(), kTile, padded);
    const Eigen::MatrixXd expected = a.llt().solve(right.leftCols(n).transpose()).transpose();
    CHECK((found.leftCols(n) - expected).norm() <= 1e-11 * expected.norm());
    CHECK((found.rightCols(padded - n) - right.rightCols(padded - n)).norm() <= 1e-14);
  }
}

TEST_CASE("factors are the same bits for any number of threads") {
  const Eigen::MatrixXd a = gram(400, 500, 5, 0.0);
  std::vector<double> first;
  for (const int threads : {1, 2, 7}) {
    Execution execution;
    execution.set_threads(threads);
    const CholeskyFactor factor(execution, target(0), panels_of(a));
    std::vector<double> values;
    for (int64_t i = 0; i < 400; ++i) {
      for (int64_t j = i; j < 400; ++j) values.push_back(factor.upper().at(i, j));
    }
    if (first.empty()) first = values;
    CHECK(values == first);
  }
}

TEST_CASE("matrices that are not positive definite are told") {
  SECTION("rank-deficient: 50 rows for 100 columns") {
    const CholeskyFactor factor(Execution(), target(0), panels_of(gram(100, 50, 11, 0.0)));
    CHECK(factor.failed() == 50);
    CHECK(std::fabs(factor.failed_pivot()) < 1e-12);
    CHECK(CholeskyFactor(Execution(), target(0), panels_of(gram(100, 50, 11, 1e-3))).failed() == -1);
  }
  SECTION("a zero column") {
    Eigen::MatrixXd a = gram(80, 100, 12, 0.0);
    a.row(70).setZero();
    a.col(70).setZero();
    CHECK(CholeskyFactor(Execution(), target(0), panels_of(a)).failed() == 70);
  }
  SECTION("a negative eigenvalue") {
    Eigen::MatrixXd a = gram(80, 100, 13, 0.0);
    a(3, 3) = -1.0;
    CHECK(CholeskyFactor(Execution(), target(0), panels_of(a)).failed() == 3);
  }
}

TEST_CASE("inverses of upper triangles") {
  for (const int64_t n : {1, 16, 37, 128}) {
    Eigen::MatrixXd a = gram(n, n + 3, 17, 1.0).llt().matrixU();
    const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = a;
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> inverse(n, n);
    invert_upper(rows.data(), n, inverse.data());
    CHECK((inverse * rows - Eigen::MatrixXd::Identity(n, n)).norm() <= 1e-12 * static_cast<double>(n));
  }
}
