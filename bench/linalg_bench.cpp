// Products and Cholesky factors beside OpenBLAS's on one thread, and GPTQ's cost over sizes of layers. OpenBLAS is loaded at run time where it is there.
// Times of one thread are its CPU time, so that a busy machine changes them little.
//   nvfp4cal_linalg_bench [--threads N] [--largest COLS] [--target NAME]
#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "calib/gptq.h"
#include "core/backends.h"
#include "cpu/cholesky.h"
#include "cpu/targets.h"

using namespace nvfp4cal;
using namespace nvfp4cal::cpu;

namespace {

struct Options {
  int threads = 2;
  int64_t largest = 4096;
  std::string target;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double best_cpu_seconds(const std::function<void()>& body) {
  double best = 1e300;
  for (int i = 0; i < 5; ++i) {
    const double start = cpu_seconds();
    body();
    best = std::min(best, cpu_seconds() - start);
  }
  return best;
}

template <class T>
std::vector<T> random_values(int64_t n) {
  std::mt19937 engine(1);
  std::vector<T> values(static_cast<size_t>(n));
  for (T& value : values) value = static_cast<T>(static_cast<double>(engine()) * 0x1p-31 - 1.0);
  return values;
}

// OpenBLAS's functions, NULL where it is not installed. C and Fortran interfaces with 32-bit sizes.
struct OpenBlas {
  using Gemm32 = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  using Gemm64 = void (*)(int, int, int, int, int, int, double, const double*, int, const double*, int, double, double*, int);
  using Factor = void (*)(const char*, const int*, double*, const int*, int*);

  OpenBlas() {
    void* const library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    const auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    gemm32 = reinterpret_cast<Gemm32>(dlsym(library, "cblas_sgemm"));
    gemm64 = reinterpret_cast<Gemm64>(dlsym(library, "cblas_dgemm"));
    factor = reinterpret_cast<Factor>(dlsym(library, "dpotrf_"));
    if (set_threads) set_threads(1);
  }
  void multiply(int m, int n, int k, const float* a, const float* b, float* c) const {
    gemm32(kRowMajor, kTransposed, kPlain, m, n, k, 1.0f, a, m, b, n, 1.0f, c, n);
  }
  void multiply(int m, int n, int k, const double* a, const double* b, double* c) const {
    gemm64(kRowMajor, kTransposed, kPlain, m, n, k, 1.0, a, m, b, n, 1.0, c, n);
  }

  static constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;
  Gemm32 gemm32 = nullptr;
  Gemm64 gemm64 = nullptr;
  Factor factor = nullptr;
};

void multiply(const Kernels& kernels, const Product<float>& product) { kernels.multiply_f32(product); }
void multiply(const Kernels& kernels, const Product<double>& product) { kernels.multiply_f64(product); }

// c [rows, cols] += a^T b, as GPTQ's steps call it: 64 rows at a time, b in panels of 64 columns.
template <class T>
void bench_product(const char* dtype, const Kernels& kernels, const OpenBlas& blas, int64_t depth) {
  const int64_t rows = 512, cols = 1024, repeats = std::max<int64_t>(1, 512 / depth);
  const std::vector<T> a = random_values<T>(depth * rows), b = random_values<T>(depth * cols);
  std::vector<T> c(static_cast<size_t>(rows * cols));
  const double flops = 2.0 * static_cast<double>(rows * cols * depth * repeats);
  const double ours = best_cpu_seconds([&] {
    for (int64_t r = 0; r < repeats; ++r) {
      for (int64_t row = 0; row < rows; row += kTile) {
        for (int64_t col = 0; col < cols; col += kTile) {
          multiply(kernels,
                   Product<T>{a.data() + row, rows, b.data() + col * depth, kTile, depth, kTile, c.data() + row * cols + col, cols, false});
        }
      }
    }
  });
  std::printf("product %s, rank %4lld  %7.1f GFLOP/s", dtype, static_cast<long long>(depth), flops / ours / 1e9);
  if (blas.gemm32 && blas.gemm64) {
    const int m = static_cast<int>(rows), n = static_cast<int>(cols), k = static_cast<int>(depth);
    const double theirs = best_cpu_seconds([&] {
      for (int64_t r = 0; r < repeats; ++r) blas.multiply(m, n, k, a.data(), b.data(), c.data());
    });
    std::printf("   OpenBLAS %7.1f   %.2f x", flops / theirs / 1e9, theirs / ours);
  }
  std::printf("\n");
}

double spd(int64_t i, int64_t j) { return i == j ? 3.0 : 1.0 / static_cast<double>(1 + std::abs(i - j)); }

void bench_cholesky(const Kernels& kernels, const OpenBlas& blas, int64_t n) {
  Execution one;
  one.set_threads(1);
  const double flops = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / 3.0;
  UpperPanels<double> matrix(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) matrix.at(i, j) = spd(i, j);
  }
  const double ours = best_cpu_seconds([&] {
    if (CholeskyFactor(one, kernels, matrix).failed() >= 0) std::abort();
  });
  std::printf("Cholesky float64, %4lld  %7.1f GFLOP/s", static_cast<long long>(n), flops / ours / 1e9);
  if (blas.factor) {
    std::vector<double> plain(static_cast<size_t>(n * n)), copy;
    for (int64_t i = 0; i < n * n; ++i) plain[static_cast<size_t>(i)] = spd(i / n, i % n);
    const double theirs = best_cpu_seconds([&] {
      copy = plain;
      const int size = static_cast<int>(n);
      int info = 0;
      blas.factor("L", &size, copy.data(), &size, &info);
      if (info != 0) std::abort();
    });
    std::printf("   OpenBLAS %7.1f   %.2f x", flops / theirs / 1e9, theirs / ours);
  }
  std::printf("\n");
}

// X^T X of rows whose neighbours are correlated, channels of different sizes.
std::vector<float> hessian(int64_t cols) {
  std::vector<float> h(static_cast<size_t>(cols * cols));
  std::mt19937 engine(3);
  std::vector<double> size(static_cast<size_t>(cols));
  for (double& value : size) value = std::exp(0.8 * (static_cast<double>(engine()) * 0x1p-31 - 1.0));
  for (int64_t i = 0; i < cols; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      h[static_cast<size_t>(i * cols + j)] =
          static_cast<float>(size[static_cast<size_t>(i)] * size[static_cast<size_t>(j)] * std::pow(0.7, std::abs(i - j)));
    }
  }
  return h;
}

struct Seconds {
  double wall, cpu;
};

Seconds measure(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds();
  body();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), cpu_seconds() - cpu};
}

void add(Seconds& sum, const Seconds& part) {
  sum.wall += part.wall;
  sum.cpu += part.cpu;
}

// count layers [rows, cols] behind each of `inputs` Hessians.
Seconds quantize_layers(const Execution& execution, GptqEffort effort, int64_t rows, int64_t cols, int inputs, int count, bool print) {
  const std::vector<float> h = hessian(cols), w = random_values<float>(rows * cols);
  const int64_t square[2] = {cols, cols}, shape[2] = {rows, cols};
  std::vector<uint8_t> packed(w.size() / 2), scales(w.size() / 16);
  calib::GptqOutputs outputs;
  outputs.packed = packed.data();
  outputs.scales = scales.data();
  Seconds prepare{}, rounding{};
  for (int i = 0; i < inputs; ++i) {
    calib::Gptq gptq;
    gptq.set_execution(execution);
    gptq.set_effort(static_cast<int>(effort));
    add(prepare, measure([&] { gptq.set_hessian(make_view(h.data(), Dtype::kF32, 2, square), nullptr); }));
    for (int layer = 0; layer < count; ++layer) {
      add(rounding, measure([&] { gptq.quantize(make_view(w.data(), Dtype::kF32, 2, shape), {}, outputs); }));
    }
  }
  if (print) {
    const char* const names[] = {"fast", "default", "max"};
    std::printf("%6lld x %-6lld %-8s  Hessian %7.3f s (CPU %7.3f)   layer %7.3f s (CPU %7.3f)\n", static_cast<long long>(rows),
                static_cast<long long>(cols), names[static_cast<int>(effort)], prepare.wall, prepare.cpu, rounding.wall, rounding.cpu);
    std::fflush(stdout);
  }
  add(rounding, prepare);
  return rounding;
}

void bench_gptq(const Execution& execution, int64_t largest) {
  for (int64_t cols = 256; cols <= largest; cols *= 2) {
    for (const GptqEffort effort : {GptqEffort::kFast, GptqEffort::kDefault, GptqEffort::kMax}) {
      quantize_layers(execution, effort, cols, cols, 1, 1, true);
    }
  }
  for (const GptqEffort effort : {GptqEffort::kFast, GptqEffort::kDefault, GptqEffort::kMax}) {
    Seconds sum{};
    const auto layers = [&](int64_t rows, int64_t cols, int inputs, int count) {
      add(sum, quantize_layers(execution, effort, rows, cols, inputs, count, false));
    };
    layers(384, 384, 6, 3);   // q, k and v
    layers(384, 384, 6, 1);   // the output of attention
    layers(1536, 384, 6, 1);  // up
    layers(384, 1536, 6, 1);  // down
    std::printf("36 layers of all-MiniLM-L6-v2's shapes, effort %d: %.3f s (CPU %.3f)\n", static_cast<int>(effort), sum.wall, sum.cpu);
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--threads") options.threads = std::atoi(argv[i + 1]);
    if (name == "--largest") options.largest = std::atoll(argv[i + 1]);
    if (name == "--target") options.target = argv[i + 1];
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Execution execution;
  execution.set_threads(options.threads);
  if (!options.target.empty()) execution.set_cpu_target(cpu_target_index(options.target.c_str()));
  const Kernels& kernels = kernels_of(execution);
  const OpenBlas blas;
  std::printf("target %s, OpenBLAS %s\n", kernels.name, blas.factor ? "loaded" : "not installed");
  for (const int64_t depth : {16, 128, 1024}) {
    bench_product<float>("float32", kernels, blas, depth);
    bench_product<double>("float64", kernels, blas, depth);
  }
  for (int64_t n = 256; n <= std::min<int64_t>(options.largest, 2048); n *= 2) bench_cholesky(kernels, blas, n);
  std::printf("GPTQ, %d threads\n", options.threads);
  bench_gptq(execution, options.largest);
  return 0;
}
