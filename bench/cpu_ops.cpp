#include "cpu_ops.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "roof.h"

namespace bench {

namespace {

void check(nvfp4cal_status status, const char* what) {
  if (status == NVFP4CAL_OK) return;
  std::fprintf(stderr, "nvfp4cal_bench: %s: %s\n", what, nvfp4cal_last_error());
  std::exit(1);
}

nvfp4cal_tensor tensor(void* data, int32_t dtype, int64_t rows, int64_t cols) {
  nvfp4cal_tensor t = {};
  t.struct_size = sizeof t;
  t.data = data;
  t.dtype = dtype;
  t.ndim = 2;
  t.shape[0] = rows;
  t.shape[1] = cols;
  return t;
}

nvfp4cal_tensor scalar(float* value) {
  nvfp4cal_tensor t = tensor(value, NVFP4CAL_DTYPE_F32, 0, 0);
  t.ndim = 0;
  return t;
}

nvfp4cal_options options_with(int32_t method, const nvfp4cal_tensor* weights) {
  nvfp4cal_options options = {};
  options.struct_size = sizeof options;
  options.method = method;
  options.weights = weights;
  return options;
}

}  // namespace

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

struct Bench::Tensors {
  nvfp4cal_tensor x, amax, packed, scales, decoded, weights, hessian;
  nvfp4cal_max* max;
  nvfp4cal_actmax* actmax;
  double size, read_rate, copy_rate;
};

Bench::Bench(const Options& options) : options_(options), cols_(4096), rows_count_(options.elements / 4096) {
  const size_t n = static_cast<size_t>(rows_count_ * cols_);
  packed_.resize(n / 2);
  scales_.resize(n / 16);
  amax_.resize(n / 16);
  out_.resize(n);
  std::mt19937_64 random(78);
  std::lognormal_distribution<float> lognormal;
  for (int64_t i = 0; i < cols_; ++i) weights_.push_back(lognormal(random));
  for (int64_t i = 0; i < cols_ * 16; ++i) hessian_.push_back(i / 16 % 16 == i % 16 ? 1.0f : 0.25f);  // positive definite
  check(nvfp4cal_context_create(&context_), "context");
  if (!options.target.empty()) check(nvfp4cal_context_set_cpu_target(context_, options.target.c_str()), "target");
  target_ = options.target.empty() ? nvfp4cal_cpu_target() : options.target;
}

Bench::~Bench() { nvfp4cal_context_destroy(context_); }

void Bench::run(const Input& input, int threads) {
  check(nvfp4cal_context_set_threads(context_, threads), "threads");
  threads_ = threads;
  input_name_ = input.name;
  run_dtype("f32", NVFP4CAL_DTYPE_F32, input.f32.data(), 4);
  run_dtype("bf16", NVFP4CAL_DTYPE_BF16, input.bf16.data(), 2);
  run_dtype("f16", NVFP4CAL_DTYPE_F16, input.f16.data(), 2);
}

void Bench::run_dtype(const char* dtype_name, int32_t dtype, const void* data, int64_t size) {
  if (!options_.dtype.empty() && options_.dtype != dtype_name) return;
  dtype_name_ = dtype_name;
  const int64_t bytes = rows_count_ * cols_ * size;
  Tensors t = {};
  t.x = tensor(const_cast<void*>(data), dtype, rows_count_, cols_);
  t.amax = tensor(amax_.data(), NVFP4CAL_DTYPE_F32, rows_count_, cols_ / 16);
  t.packed = tensor(packed_.data(), NVFP4CAL_DTYPE_U8, rows_count_, cols_ / 2);
  t.scales = tensor(scales_.data(), NVFP4CAL_DTYPE_E4M3, rows_count_, cols_ / 16);
  t.decoded = tensor(out_.data(), dtype, rows_count_, cols_);
  t.weights = tensor(weights_.data(), NVFP4CAL_DTYPE_F32, cols_, 0);
  t.weights.ndim = 1;
  t.hessian = tensor(hessian_.data(), NVFP4CAL_DTYPE_F32, cols_ / 16, 16);
  t.hessian.ndim = 3;
  t.hessian.shape[2] = 16;
  t.size = static_cast<double>(size);
  t.read_rate = read_rate(data, bytes, threads_, options_.runs);
  t.copy_rate = copy_rate(data, out_.data(), bytes, threads_, options_.runs);
  check(nvfp4cal_max_create(&t.max), "max");
  check(nvfp4cal_max_set_context(t.max, context_), "max");
  check(nvfp4cal_actmax_create(&t.actmax), "actmax");
  check(nvfp4cal_actmax_set_context(t.actmax, context_), "actmax");
  run_ops(t);
  nvfp4cal_max_destroy(t.max);
  nvfp4cal_actmax_destroy(t.actmax);
}

void Bench::run_ops(const Tensors& t) {
  float global_amax = 0.0f, global_scale = 0.0f;
  nvfp4cal_tensor g = scalar(&global_amax), s2 = scalar(&global_scale);
  nvfp4cal_tensor amax = t.amax, packed = t.packed, scales = t.scales, decoded = t.decoded;
  const auto find_amax = [&] {
    check(nvfp4cal_max_reset(t.max), "reset");
    check(nvfp4cal_max_collect(t.max, &t.x, nullptr), "collect");
    check(nvfp4cal_max_compute_amax(t.max, &g), "amax");
  };
  find_amax();
  global_scale = global_amax > 0 ? global_amax / 2688.0f : 1.0f;
  const nvfp4cal_options plain = options_with(NVFP4CAL_METHOD_MAX, nullptr), mse = options_with(NVFP4CAL_METHOD_MSE, nullptr);
  const nvfp4cal_options weighted = options_with(NVFP4CAL_METHOD_MSE, &t.weights);
  const auto quantize = [&](const nvfp4cal_options& options) {
    check(nvfp4cal_quantize(context_, &t.x, &g, nullptr, &options, &packed, &scales, nullptr, nullptr), "quantize");
  };
  const double nibbles = 0.5 + 1.0 / 16;
  report("amax", t.size, t.read_rate, find_amax);
  report("histogram", t.size, t.read_rate, [&] { check(nvfp4cal_actmax_collect(t.actmax, &t.x, nullptr), "histogram"); });
  report("sweep", t.size + 0.25, t.read_rate, [&] { check(nvfp4cal_scale_sweep(context_, &t.x, &g, nullptr, &amax, nullptr), "sweep"); });
  report("sweep_weighted", t.size + 0.25, t.read_rate,
         [&] { check(nvfp4cal_scale_sweep(context_, &t.x, &g, &weighted, &amax, nullptr), "weighted sweep"); });
  report("sweep_hessian", t.size + 0.25, t.read_rate,
         [&] { check(nvfp4cal_scale_sweep_hessian(context_, &t.x, &g, &t.hessian, nullptr, &amax, nullptr), "Hessian sweep"); });
  report("quantize_max", t.size + nibbles, t.copy_rate, [&] { quantize(plain); });
  report("quantize_mse", t.size + nibbles, t.copy_rate, [&] { quantize(mse); });
  if (wanted("dequantize")) quantize(plain);
  report("dequantize", t.size + nibbles, t.copy_rate,
         [&] { check(nvfp4cal_dequantize(context_, &packed, &scales, &s2, NVFP4CAL_DECODE_MODELOPT, &decoded, nullptr), "dequantize"); });
  report("fake_quantize", 2 * t.size, t.copy_rate,
         [&] { check(nvfp4cal_fake_quantize(context_, &t.x, &g, nullptr, &plain, &decoded, nullptr), "fake_quantize"); });
}

void Bench::report(const char* op, double bytes, double roof, const std::function<void()>& body) {
  if (!wanted(op)) return;
  body();
  const Time time = measure(options_.runs, body);
  const double elements = static_cast<double>(rows_count_ * cols_) / 1e9, roof_gels = roof / bytes / 1e9;
  const Row row{op,
                dtype_name_,
                input_name_,
                target_,
                threads_,
                elements / time.best,
                elements / time.median,
                roof_gels,
                elements / time.best / roof_gels};
  rows_.push_back(row);
  if (options_.json) {
    std::printf(
        "{\"op\":\"%s\",\"dtype\":\"%s\",\"input\":\"%s\",\"threads\":%d,\"target\":\"%s\",\"gels\":%.4f,\"gels_median\":%.4f,"
        "\"roof_gels\":%.4f,\"ratio\":%.4f}\n",
        op, row.dtype.c_str(), row.input.c_str(), row.threads, row.target.c_str(), row.gels, row.median, row.roof_gels, row.ratio);
  } else {
    std::printf("%-14s %-5s %-11s %3d  %8.3f %8.3f %9.2f %9.2f %7.2f\n", op, row.dtype.c_str(), row.input.c_str(), row.threads, row.gels,
                row.median, row.gels * bytes, row.roof_gels, row.ratio);
  }
  std::fflush(stdout);
}

}  // namespace bench
