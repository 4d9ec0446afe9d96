// A lower bound of r' H r that is cheap, and proved for each H: r' D r + sum_k (w_k . r)^2 - tau |r|^2 with a diagonal D >= 0. How D and w are found does
// not matter: they are rounded to float32, then a Cholesky decomposition of H + tau - D - sum_k w_k w_k' in float64 shows that it holds.
// One warp a matrix. docs/cuda_sweep.md, "Hessian".
#pragma once

#include "num/bits.h"
#include "sweep_problem.cuh"

namespace nvfp4cal::cuda {

inline constexpr int kMostBlock = 32, kMostRows = 16;

// One H as the search uses it.
struct alignas(16) DeviceHessian {
  float values[kMostBlock * kMostBlock];  // row-major [block, block], times the power of two that brings the largest magnitude into [1, 2)
  float d[kMostBlock];
  float w[kMostRows][kMostBlock];
  float slack;  // a code is out if its bound exceeds (best + slack |x|^2)(1 + 2^-10)
  int rows;     // of w in use
  bool usable;  // false: H is not positive semidefinite to rounding, only trying all codes is exact
};

struct BoundWork {
  static constexpr int kStride = kMostBlock + 1;
  double h[kMostBlock * kStride], a[kMostBlock * kStride], l[kMostBlock * kStride];
  double column[kMostBlock];
  double diagonal[kMostBlock];
  float largest[kMostBlock];
};

// Cta: thread blocks of kMostBlock threads, thread i has row i.
template <class Cta>
class BoundMaker {
 public:
  NVFP4CAL_HD BoundMaker(Cta& cta, BoundWork& work, int n, DeviceHessian& out) : cta_(cta), work_(work), n_(n), out_(out) {}

  // values: [n, n], finite, symmetric to rounding.
  NVFP4CAL_HD void run(const float* values) {
    normalize(values);
    load_matrix();
    const double trace = sum_of_diagonal(work_.h);
    const double norm = largest_sum();
    double tau = -1.0, squares = 0.0;
    if (trace > 0.0) {
      const double held = choose_diagonal(trace);
      const int rows = choose_rows(trace, held, squares);
      tau = certified_tau(norm);
      cta_.each([&](int i) {
        if (i == 0) out_.rows = rows;
      });
    }
    // The definition's float32 sums: 2 n + 1 roundings of terms that sum to at most norm |r|^2. The bound's own: its diagonal part errs by a share
    // that the factor of the limit covers, its rows by less than 2^-16.6 |w| |x|, whose square over that share is added.
    const double noise = (2 * n_ + 4) * 0x1p-24 * norm;
    cta_.each([&](int i) {
      if (i != 0) return;
      out_.usable = tau >= 0.0;
      out_.slack = static_cast<float>((tau + noise + 0x1p-22 * squares) * (1.0 + 0x1p-10));
    });
  }

 private:
  NVFP4CAL_HD static int at(int i, int j) { return i * BoundWork::kStride + j; }

  // Each lane's own row.
  template <class Body>
  NVFP4CAL_HD void rows(Body&& body) {
    cta_.each([&](int i) {
      if (i < n_) body(i);
    });
  }

  NVFP4CAL_HD void normalize(const float* values) {
    rows([&](int i) {
      float largest = 0.0f;
      for (int j = 0; j < n_; ++j) {
        const float value = fabsf(values[i * n_ + j]);
        largest = value > largest ? value : largest;
      }
      work_.largest[i] = largest;
    });
    rows([&](int i) {
      float largest = 0.0f;
      for (int j = 0; j < n_; ++j) largest = work_.largest[j] > largest ? work_.largest[j] : largest;
      const int exponent = largest > 0.0f ? -num::exponent_of(largest) : 0;
      for (int j = 0; j < n_; ++j) out_.values[i * n_ + j] = ldexpf(values[i * n_ + j], exponent);
    });
  }

  // h: the mean of H and its transpose; column: sums of magnitudes of H's rows and columns, the larger one.
  NVFP4CAL_HD void load_matrix() {
    rows([&](int i) {
      double row = 0.0, column = 0.0;
      for (int j = 0; j < n_; ++j) {
        const double a = static_cast<double>(out_.values[i * n_ + j]), b = static_cast<double>(out_.values[j * n_ + i]);
        work_.h[at(i, j)] = (a + b) / 2.0;
        row += fabs(a);
        column += fabs(b);
      }
      work_.column[i] = row > column ? row : column;
    });
  }

  // What all threads compute alike from shared memory; nobody writes on before all have read.
  template <class Read>
  NVFP4CAL_HD double agreed(Read&& read) {
    const double value = read();
    cta_.each([](int) {});
    return value;
  }

  NVFP4CAL_HD double sum_of_diagonal(const double* a) {
    return agreed([&] {
      double sum = 0.0;
      for (int i = 0; i < n_; ++i) sum += a[at(i, i)];
      return sum;
    });
  }

  NVFP4CAL_HD double largest_sum() {
    return agreed([&] {
      double largest = 0.0;
      for (int i = 0; i < n_; ++i) largest = work_.column[i] > largest ? work_.column[i] : largest;
      return largest;
    });
  }

  // l l' = a + shift; false unless every pivot is positive.
  NVFP4CAL_HD bool cholesky(const double* a, double shift) {
    for (int j = 0; j < n_; ++j) {
      rows([&](int i) {
        if (i < j) return;
        double sum = a[at(i, j)] + (i == j ? shift : 0.0);
        for (int k = 0; k < j; ++k) sum -= work_.l[at(i, k)] * work_.l[at(j, k)];
        work_.column[i] = sum;
      });
      const double pivot = agreed([&] { return work_.column[j]; });
      if (!(pivot > 0.0)) return false;
      rows([&](int i) {
        if (i >= j) work_.l[at(i, j)] = i == j ? sqrt(pivot) : work_.column[i] / sqrt(pivot);
      });
    }
    return true;
  }

  // d: for P the inverse of H, H >= 1 / (P_ii * largest eigenvalue of P with unit diagonal), that eigenvalue by bisection. Returns their sum.
  NVFP4CAL_HD double choose_diagonal(double trace) {
    const double floor = 1e-6 * trace / n_;
    rows([&](int i) { out_.d[i] = 0.0f; });
    if (!cholesky(work_.h, floor)) return 0.0;
    rows([&](int i) { work_.diagonal[i] = 1.0 / inverse_diagonal(i); });
    double low = 1.0 / n_, high = 1.0;  // the eigenvalue's inverse lies between these
    for (int step = 0; step < 10; ++step) {
      const double middle = (low + high) / 2.0;
      rows([&](int i) {
        for (int j = 0; j < n_; ++j) work_.a[at(i, j)] = work_.h[at(i, j)] - (i == j ? middle * work_.diagonal[i] : 0.0);
      });
      (cholesky(work_.a, floor) ? low : high) = middle;
    }
    rows([&](int i) {
      const double d = 0.9999 * low * work_.diagonal[i] - floor;
      out_.d[i] = static_cast<float>(d > 0.0 ? d : 0.0);
    });
    return agreed([&] {
      double sum = 0.0;
      for (int i = 0; i < n_; ++i) sum += static_cast<double>(out_.d[i]);
      return sum;
    });
  }

  // (l l')^-1 at (i, i): column i of l^-1, by row in a, squared.
  NVFP4CAL_HD double inverse_diagonal(int i) {
    double* const y = work_.a + at(i, 0);
    double sum = 0.0;
    for (int k = i; k < n_; ++k) {
      double value = k == i ? 1.0 : 0.0;
      for (int j = i; j < k; ++j) value -= work_.l[at(k, j)] * y[j];
      y[k] = value / work_.l[at(k, k)];
      sum += y[k] * y[k];
    }
    return sum;
  }

  // w: columns of a Cholesky decomposition of H - D, the largest pivot first, until they hold nearly all of the trace. a: what they leave. squares: of w.
  NVFP4CAL_HD int choose_rows(double trace, double held, double& squares) {
    constexpr double kAlone = 0.5, kEnough = 0.97;
    rows([&](int i) {
      for (int j = 0; j < n_; ++j) work_.a[at(i, j)] = work_.h[at(i, j)] - (i == j ? static_cast<double>(out_.d[i]) : 0.0);
    });
    if (held >= kAlone * trace) return 0;  // rows would cost more than they save
    int count = 0;
    for (; count < kMostRows && held < kEnough * trace; ++count) {
      int pivot = 0;
      const double largest = agreed([&] {
        for (int i = 1; i < n_; ++i) pivot = work_.a[at(i, i)] > work_.a[at(pivot, pivot)] ? i : pivot;
        return work_.a[at(pivot, pivot)];
      });
      if (!(largest > 1e-9 * trace)) break;
      rows([&](int i) { out_.w[count][i] = static_cast<float>(work_.a[at(i, pivot)] / sqrt(largest)); });
      rows([&](int i) {
        for (int j = 0; j < n_; ++j) work_.a[at(i, j)] -= static_cast<double>(out_.w[count][i]) * static_cast<double>(out_.w[count][j]);
      });
      const double square = agreed([&] {
        double sum = 0.0;
        for (int i = 0; i < n_; ++i) sum += static_cast<double>(out_.w[count][i]) * static_cast<double>(out_.w[count][i]);
        return sum;
      });
      held += square;
      squares += square;
    }
    return count;
  }

  // The least tau tried for which a + tau is positive definite; negative if none is small enough. Pivots that pass prove it up to the
  // decomposition's own rounding, far below the margin.
  NVFP4CAL_HD double certified_tau(double norm) {
    const double margin = 1e-12 * norm;
    for (double tau = 0x1p-24 * norm; tau <= 0x1p-12 * norm; tau *= 4.0) {
      if (cholesky(work_.a, tau - margin)) return tau;
    }
    return -1.0;
  }

  Cta& cta_;
  BoundWork& work_;
  int n_;
  DeviceHessian& out_;
};

}  // namespace nvfp4cal::cuda
