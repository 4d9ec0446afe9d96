// Speed of every operation beside the memory roof measured in the same run. Uses the public interface alone.
//   nvfp4cal_bench [--json] [--elements N] [--runs N] [--target NAME] [--threads N] [--input NAME] [--op NAME]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "inputs.h"
#include "nvfp4cal.h"

namespace {

struct Options {
  bool json = false;
  int64_t elements = int64_t{1} << 26;  // 256 MiB of float32: several times any last-level cache
  int runs = 7;
  std::string target, input, op;
  int threads = 0;
};

struct Time {
  double best, median;
};

Time measure(int runs, const std::function<void()>& body) {
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

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

// The roof: reading n bytes, or copying them.
uint64_t sink;

void read_range(const char* data, int64_t begin, int64_t end) {
  const uint64_t* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t sums[8] = {};
  for (int64_t i = begin / 8; i + 8 <= end / 8; i += 8) {
    for (int k = 0; k < 8; ++k) sums[k] += words[i + k];
  }
  for (const uint64_t sum : sums) __atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
}

void split(int threads, int64_t bytes, const std::function<void(int64_t, int64_t)>& body) {
  std::vector<std::thread> all;
  for (int t = 1; t < threads; ++t) all.emplace_back([=] { body(bytes / threads / 64 * 64 * t, bytes / threads / 64 * 64 * (t + 1)); });
  body(0, bytes / threads / 64 * 64);
  for (std::thread& thread : all) thread.join();
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), cols_(4096), rows_(options.elements / 4096) {
    const size_t n = static_cast<size_t>(rows_ * cols_);
    packed_.resize(n / 2);
    scales_.resize(n / 16);
    amax_.resize(n / 16);
    out_.resize(n);
    check(nvfp4cal_context_create(&context_), "context");
    if (!options.target.empty()) check(nvfp4cal_context_set_cpu_target(context_, options.target.c_str()), "target");
    target_ = options.target.empty() ? nvfp4cal_cpu_target() : options.target;
  }
  ~Bench() { nvfp4cal_context_destroy(context_); }

  void run(const bench::Input& input, int threads) {
    check(nvfp4cal_context_set_threads(context_, threads), "threads");
    threads_ = threads;
    input_name_ = input.name;
    run_dtype("f32", NVFP4CAL_DTYPE_F32, const_cast<float*>(input.f32.data()), 4);
    run_dtype("bf16", NVFP4CAL_DTYPE_BF16, const_cast<uint16_t*>(input.bf16.data()), 2);
  }

 private:
  void run_dtype(const char* dtype_name, int32_t dtype, void* data, int64_t size) {
    const int64_t n = rows_ * cols_, bytes = n * size;
    const Time read = measure(
        options_.runs, [&] { split(threads_, bytes, [&](int64_t a, int64_t b) { read_range(static_cast<const char*>(data), a, b); }); });
    const Time copy = measure(options_.runs, [&] {
      split(threads_, bytes, [&](int64_t a, int64_t b) {
        std::memcpy(reinterpret_cast<char*>(out_.data()) + a, static_cast<char*>(data) + a, static_cast<size_t>(b - a));
      });
    });
    const double read_rate = static_cast<double>(bytes) / read.best, copy_rate = 2.0 * static_cast<double>(bytes) / copy.best;
    const nvfp4cal_tensor x = tensor(data, dtype, rows_, cols_);
    nvfp4cal_tensor amax = tensor(amax_.data(), NVFP4CAL_DTYPE_F32, rows_, cols_ / 16);
    nvfp4cal_tensor packed = tensor(packed_.data(), NVFP4CAL_DTYPE_U8, rows_, cols_ / 2);
    nvfp4cal_tensor scales = tensor(scales_.data(), NVFP4CAL_DTYPE_E4M3, rows_, cols_ / 16);
    nvfp4cal_tensor decoded = tensor(out_.data(), dtype, rows_, cols_);
    float global = 0.0f;
    nvfp4cal_tensor g = {};
    g.struct_size = sizeof g;
    g.data = &global;
    g.dtype = NVFP4CAL_DTYPE_F32;
    nvfp4cal_max* max = nullptr;
    check(nvfp4cal_max_create(&max), "max");
    check(nvfp4cal_max_set_context(max, context_), "max");
    const auto find_amax = [&] {
      check(nvfp4cal_max_reset(max), "reset");
      check(nvfp4cal_max_collect(max, &x, nullptr), "collect");
      check(nvfp4cal_max_compute_amax(max, &g), "amax");
    };
    find_amax();
    nvfp4cal_options mse = {};
    mse.struct_size = sizeof mse;
    mse.method = NVFP4CAL_METHOD_MSE;
    float global_scale = global > 0 ? global / 2688.0f : 1.0f;
    nvfp4cal_tensor s2 = g;
    s2.data = &global_scale;
    const double nibbles = 0.5 + 1.0 / 16, element = static_cast<double>(size);
    report("amax", dtype_name, n, element, read_rate, find_amax);
    report("sweep", dtype_name, n, element + 0.25, read_rate,
           [&] { check(nvfp4cal_scale_sweep(context_, &x, &g, nullptr, &amax, nullptr), "sweep"); });
    report("quantize_max", dtype_name, n, element + nibbles, copy_rate,
           [&] { check(nvfp4cal_quantize(context_, &x, &g, nullptr, nullptr, &packed, &scales, nullptr, nullptr), "quantize"); });
    report("quantize_mse", dtype_name, n, element + nibbles, copy_rate,
           [&] { check(nvfp4cal_quantize(context_, &x, &g, nullptr, &mse, &packed, &scales, nullptr, nullptr), "quantize"); });
    report("dequantize", dtype_name, n, element + nibbles, copy_rate,
           [&] { check(nvfp4cal_dequantize(context_, &packed, &scales, &s2, NVFP4CAL_DECODE_MODELOPT, &decoded, nullptr), "dequantize"); });
    report("fake_quantize", dtype_name, n, 2 * element, copy_rate,
           [&] { check(nvfp4cal_fake_quantize(context_, &x, &g, nullptr, nullptr, &decoded, nullptr), "fake_quantize"); });
    nvfp4cal_max_destroy(max);
  }

  // bytes: moved per element; roof: bytes per second.
  void report(const char* op, const char* dtype, int64_t n, double bytes, double roof, const std::function<void()>& body) {
    if (!options_.op.empty() && options_.op != op) return;
    body();
    const Time time = measure(options_.runs, body);
    const double elements = static_cast<double>(n) / 1e9;
    const double gels = elements / time.best, median = elements / time.median, roof_gels = roof / bytes / 1e9;
    if (options_.json) {
      std::printf(
          "{\"op\":\"%s\",\"dtype\":\"%s\",\"input\":\"%s\",\"threads\":%d,\"target\":\"%s\",\"gels\":%.4f,\"gels_median\":%.4f,\"roof_gels\":%.4f,\"ratio\":%.4f}\n",
          op, dtype, input_name_.c_str(), threads_, target_.c_str(), gels, median, roof_gels, gels / roof_gels);
    } else {
      std::printf("%-14s %-5s %-11s %3d  %8.3f %8.3f %9.2f %9.2f %7.2f\n", op, dtype, input_name_.c_str(), threads_, gels, median,
                  gels * bytes, roof_gels, gels / roof_gels);
    }
    std::fflush(stdout);
  }

  const Options& options_;
  const int64_t cols_, rows_;
  nvfp4cal_context* context_ = nullptr;
  std::string target_, input_name_;
  int threads_ = 1;
  std::vector<uint8_t> packed_, scales_;
  std::vector<float> amax_, out_;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) {
      std::fprintf(stderr, "nvfp4cal_bench: %s needs a value\n", argv[i]);
      std::exit(2);
    }
    const char* value = argv[++i];
    if (name == "--elements")
      options.elements = std::max<int64_t>(std::atoll(value) / 4096, 16) * 4096;
    else if (name == "--runs")
      options.runs = std::max(std::atoi(value), 1);
    else if (name == "--target")
      options.target = value;
    else if (name == "--threads")
      options.threads = std::atoi(value);
    else if (name == "--input")
      options.input = value;
    else if (name == "--op")
      options.op = value;
    else {
      std::fprintf(stderr, "nvfp4cal_bench: unknown option %s\n", name.c_str());
      std::exit(2);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const int all = std::max(1u, std::thread::hardware_concurrency());
  Bench bench(options);
  if (!options.json) {
    std::printf("%s, %d cores; %s; target %s; %lld elements, %d runs\n", cpu_name().c_str(), all, nvfp4cal_build_info(),
                options.target.empty() ? nvfp4cal_cpu_target() : options.target.c_str(), static_cast<long long>(options.elements),
                options.runs);
    std::printf("%-14s %-5s %-11s %3s  %8s %8s %9s %9s %7s\n", "op", "dtype", "input", "thr", "Gel/s", "median", "GB/s", "roof", "ratio");
    std::printf(
        "(Gel/s: 10^9 elements a second, best of the runs; roof: the Gel/s at which its bytes would move in this run; ratio: of the two)\n");
  }
  for (const std::string& name : bench::input_names()) {
    if (!options.input.empty() && options.input != name) continue;
    const bench::Input input = bench::make_input(name, options.elements);
    for (const int threads : {1, all}) {
      if (options.threads != 0 ? threads != 1 : (threads == all && all == 1)) continue;
      bench.run(input, options.threads != 0 ? options.threads : threads);
      if (options.threads != 0) break;
    }
  }
  return 0;
}
