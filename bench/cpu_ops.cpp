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
  nvfp4cal_tensor x, normal, amax, packed, scales, decoded, hessian;
  std::vector<nvfp4cal_tensor> weights;
  float global_amax, normal_amax, global_scale;
  nvfp4cal_max* max;
  nvfp4cal_actmax* actmax;
  double size;
};

namespace {

std::vector<float> make_weights(const std::string& name, int64_t n) {
  std::mt19937_64 random(78);
  std::lognormal_distribution<float> lognormal, wide(0.0f, 2.0f);
  std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
  std::vector<float> weights;
  for (int64_t i = 0; i < n; ++i) {
    weights.push_back(name == ""                           ? lognormal(random)
                      : name == "_lognormal2"              ? wide(random)
                      : name == "_outliers" && i % 37 == 0 ? 900.0f
                                                           : uniform(random));
  }
  return weights;
}

}  // namespace

Bench::Bench(const Options& options) : options_(options), cols_(4096), rows_count_(options.elements / 4096) {
  const size_t n = static_cast<size_t>(rows_count_ * cols_);
  packed_.resize(n / 2);
  scales_.resize(n / 16);
  amax_.resize(n / 16);
  out_.resize(options.dtype.empty() || options.dtype == "f32" ? n : n / 2);
  for (const char* name : {"", "_uniform", "_lognormal2", "_outliers"}) weights_.emplace_back(name, make_weights(name, cols_));
  for (int64_t i = 0; i < cols_ * 16; ++i) hessian_.push_back(i / 16 % 16 == i % 16 ? 1.0f : 0.25f);  // positive definite
  check(nvfp4cal_context_create(&context_), "context");
  if (!options.target.empty()) check(nvfp4cal_context_set_cpu_target(context_, options.target.c_str()), "target");
  target_ = options.target.empty() ? nvfp4cal_cpu_target() : options.target;
}

Bench::~Bench() { nvfp4cal_context_destroy(context_); }

void Bench::run(const Input& input, const Input* normal, int threads) {
  check(nvfp4cal_context_set_threads(context_, threads), "threads");
  threads_ = threads;
  input_name_ = input.name;
  if (!input.f32.empty()) run_dtype("f32", NVFP4CAL_DTYPE_F32, input.f32.data(), normal ? normal->f32.data() : nullptr, 4);
  if (!input.bf16.empty()) run_dtype("bf16", NVFP4CAL_DTYPE_BF16, input.bf16.data(), normal ? normal->bf16.data() : nullptr, 2);
  if (!input.f16.empty()) run_dtype("f16", NVFP4CAL_DTYPE_F16, input.f16.data(), normal ? normal->f16.data() : nullptr, 2);
}

void Bench::run_dtype(const char* dtype_name, int32_t dtype, const void* data, const void* normal, int64_t size) {
  dtype_name_ = dtype_name;
  Tensors t = {};
  t.x = tensor(const_cast<void*>(data), dtype, rows_count_, cols_);
  t.normal = tensor(const_cast<void*>(normal), dtype, rows_count_, cols_);
  t.amax = tensor(amax_.data(), NVFP4CAL_DTYPE_F32, rows_count_, cols_ / 16);
  t.packed = tensor(packed_.data(), NVFP4CAL_DTYPE_U8, rows_count_, cols_ / 2);
  t.scales = tensor(scales_.data(), NVFP4CAL_DTYPE_E4M3, rows_count_, cols_ / 16);
  t.decoded = tensor(out_.data(), dtype, rows_count_, cols_);
  for (auto& [name, values] : weights_) {
    t.weights.push_back(tensor(values.data(), NVFP4CAL_DTYPE_F32, cols_, 0));
    t.weights.back().ndim = 1;
  }
  t.hessian = tensor(hessian_.data(), NVFP4CAL_DTYPE_F32, cols_ / 16, 16);
  t.hessian.ndim = 3;
  t.hessian.shape[2] = 16;
  t.size = static_cast<double>(size);
  check(nvfp4cal_max_create(&t.max), "max");
  check(nvfp4cal_max_set_context(t.max, context_), "max");
  check(nvfp4cal_actmax_create(&t.actmax), "actmax");
  check(nvfp4cal_actmax_set_context(t.actmax, context_), "actmax");
  run_ops(t);
  nvfp4cal_max_destroy(t.max);
  nvfp4cal_actmax_destroy(t.actmax);
}

float Bench::find_amax(Tensors& t, const nvfp4cal_tensor& x) {
  float value = 0.0f;
  nvfp4cal_tensor out = scalar(&value);
  check(nvfp4cal_max_reset(t.max), "reset");
  check(nvfp4cal_max_collect(t.max, &x, nullptr), "collect");
  check(nvfp4cal_max_compute_amax(t.max, &out), "amax");
  return value;
}

void Bench::add_searches(Tensors& t, std::vector<Op>& ops) {
  const double bytes = t.size + 0.25;
  const auto sweep = [this, &t](const nvfp4cal_tensor* x, float* global_amax, const nvfp4cal_tensor* weights) {
    const nvfp4cal_options options = options_with(NVFP4CAL_METHOD_MSE, weights);
    const nvfp4cal_tensor g = scalar(global_amax);
    check(nvfp4cal_scale_sweep(context_, x, &g, &options, &t.amax, nullptr), "sweep");
  };
  ops.push_back({"sweep", bytes, Roof::kRead, [=, &t] { sweep(&t.x, &t.global_amax, nullptr); }});
  if (t.normal.data) ops.push_back({"sweep_normal", bytes, Roof::kRead, [=, &t] { sweep(&t.normal, &t.normal_amax, nullptr); }});
  for (size_t i = 0; i < t.weights.size(); ++i) {
    ops.push_back({"sweep_weighted" + weights_[i].first, bytes, Roof::kRead, [=, &t] { sweep(&t.x, &t.global_amax, &t.weights[i]); }});
  }
  ops.push_back({"sweep_hessian", bytes, Roof::kRead, [this, &t] {
                   const nvfp4cal_tensor g = scalar(&t.global_amax);
                   check(nvfp4cal_scale_sweep_hessian(context_, &t.x, &g, &t.hessian, nullptr, &t.amax, nullptr), "Hessian sweep");
                 }});
}

void Bench::add_conversions(Tensors& t, std::vector<Op>& ops) {
  const double nibbles = 0.5 + 1.0 / 16;
  const auto quantize = [this, &t](int32_t method) {
    const nvfp4cal_options options = options_with(method, nullptr);
    const nvfp4cal_tensor g = scalar(&t.global_amax);
    check(nvfp4cal_quantize(context_, &t.x, &g, nullptr, &options, &t.packed, &t.scales, nullptr, nullptr), "quantize");
  };
  ops.push_back({"quantize_max", t.size + nibbles, Roof::kCopy, [=] { quantize(NVFP4CAL_METHOD_MAX); }});
  ops.push_back({"quantize_mse", t.size + nibbles, Roof::kCopy, [=] { quantize(NVFP4CAL_METHOD_MSE); }});
  if (wanted("dequantize")) quantize(NVFP4CAL_METHOD_MAX);
  ops.push_back({"dequantize", t.size + nibbles, Roof::kCopy, [this, &t] {
                   const nvfp4cal_tensor s2 = scalar(&t.global_scale);
                   check(nvfp4cal_dequantize(context_, &t.packed, &t.scales, &s2, NVFP4CAL_DECODE_MODELOPT, &t.decoded, nullptr),
                         "dequantize");
                 }});
  ops.push_back({"fake_quantize", 2 * t.size, Roof::kCopy, [this, &t] {
                   const nvfp4cal_options options = options_with(NVFP4CAL_METHOD_MAX, nullptr);
                   const nvfp4cal_tensor g = scalar(&t.global_amax);
                   check(nvfp4cal_fake_quantize(context_, &t.x, &g, nullptr, &options, &t.decoded, nullptr), "fake_quantize");
                 }});
}

std::vector<Bench::Op> Bench::make_ops(Tensors& t) {
  std::vector<Op> all, ops;
  all.push_back({"amax", t.size, Roof::kRead, [this, &t] { find_amax(t, t.x); }});
  all.push_back({"histogram", t.size, Roof::kRead, [&t] { check(nvfp4cal_actmax_collect(t.actmax, &t.x, nullptr), "histogram"); }});
  add_searches(t, all);
  add_conversions(t, all);
  for (Op& op : all) {
    // targets of other inputs are the search's
    if (options_.check && input_name_ != "normal" && op.name != "sweep" && op.name != "sweep_normal") continue;
    if (wanted(op.name) || (op.name == "sweep_normal" && wanted("sweep"))) ops.push_back(std::move(op));
  }
  return ops;
}

void Bench::run_ops(Tensors& t) {
  t.global_amax = find_amax(t, t.x);
  t.global_scale = t.global_amax > 0 ? t.global_amax / 2688.0f : 1.0f;
  if (t.normal.data) t.normal_amax = find_amax(t, t.normal);
  const std::vector<Op> ops = make_ops(t);
  const int64_t bytes = rows_count_ * cols_ * static_cast<int64_t>(t.size);
  // Its roof goes before each operation: what memory gives changes from second to second.
  std::vector<std::function<void()>> bodies;
  for (const Op& op : ops) {
    bodies.push_back(op.roof == Roof::kRead ? std::function<void()>([&] { read_all(t.x.data, bytes, threads_); })
                                            : [&] { copy_all(t.x.data, out_.data(), bytes, threads_); });
    bodies.push_back(op.body);
  }
  const std::vector<Time> times = measure(options_.runs, bodies);
  double normal = 0.0;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].name == "sweep_normal") normal = times[2 * i + 1].best;
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].name == "sweep_normal") continue;
    const double moved = (ops[i].roof == Roof::kRead ? 1.0 : 2.0) * static_cast<double>(bytes);
    report(ops[i], times[2 * i + 1], moved / times[2 * i].best, ops[i].name == "sweep" ? normal : 0.0);
  }
}

void Bench::report(const Op& op, const Time& time, double roof_rate, double normal_seconds) {
  const double elements = static_cast<double>(rows_count_ * cols_) / 1e9, roof_gels = roof_rate / op.bytes / 1e9;
  const Row row{op.name,
                dtype_name_,
                input_name_,
                target_,
                threads_,
                elements / time.best,
                elements / time.median,
                roof_gels,
                elements / time.best / roof_gels,
                normal_seconds > 0 ? elements / normal_seconds : 0.0};
  rows_.push_back(row);
  if (options_.json) {
    std::printf(
        "{\"op\":\"%s\",\"dtype\":\"%s\",\"input\":\"%s\",\"threads\":%d,\"target\":\"%s\",\"gels\":%.4f,\"gels_median\":%.4f,"
        "\"roof_gels\":%.4f,\"ratio\":%.4f}\n",
        row.op.c_str(), row.dtype.c_str(), row.input.c_str(), row.threads, row.target.c_str(), row.gels, row.median, row.roof_gels,
        row.ratio);
  } else {
    std::printf("%-25s %-5s %-11s %3d  %8.3f %8.3f %9.2f %9.2f %7.2f\n", row.op.c_str(), row.dtype.c_str(), row.input.c_str(), row.threads,
                row.gels, row.median, row.gels * op.bytes, row.roof_gels, row.ratio);
  }
  std::fflush(stdout);
}

}  // namespace bench
