// Device operations over the C ABI, against a device copy measured in the same run. Times are of whole calls, from the host: allocation of temporary
// memory, launches and the wait for what the device has found are in them; calibrators' calls are followed by a wait for the stream. "*" are
// launches of the same call captured in a CUDA graph: the device's work alone. Where there is a target for the share of the copy, it stands beside it.
//   nvfp4cal_cuda_bench [rows] [cols] [runs]
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "nvfp4cal.h"

namespace {

[[noreturn]] void die(const char* what, const char* why) {
  std::fprintf(stderr, "%s: %s\n", what, why);
  std::exit(1);
}

void check(cudaError_t error) {
  if (error != cudaSuccess) die("CUDA", cudaGetErrorString(error));
}

void check(nvfp4cal_status status) {
  if (status != NVFP4CAL_OK) die("nvfp4cal", nvfp4cal_last_error());
}

struct Buffer {
  explicit Buffer(size_t bytes) { check(cudaMalloc(&data, bytes)); }
  ~Buffer() { cudaFree(data); }
  Buffer(const Buffer&) = delete;
  void* data = nullptr;
};

nvfp4cal_tensor tensor(void* data, int32_t dtype, int64_t rows, int64_t cols) {
  nvfp4cal_tensor view = {};
  view.struct_size = sizeof view;
  view.data = data;
  view.dtype = dtype;
  view.device_type = 2;
  view.ndim = 2;
  view.shape[0] = rows;
  view.shape[1] = cols;
  return view;
}

uint16_t bf16_of(float value) {
  uint32_t bits;
  static_assert(sizeof bits == sizeof value);
  __builtin_memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

uint16_t f16_of(float value) { return __half_as_ushort(__float2half(value)); }

// About normal: sums of four uniform numbers.
std::vector<float> normal_values(size_t n) {
  uint64_t state = 1;
  std::vector<float> values(n);
  for (float& value : values) {
    float sum = -2.0f;
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      sum += static_cast<float>(state >> 40) * 0x1p-24f;
    }
    value = sum * 0.02f;
  }
  return values;
}

struct Times {
  double best, median;
};

Times measure(int runs, const std::function<void()>& body) {
  std::vector<double> times;
  for (int i = -2; i < runs; ++i) {  // two to warm up
    check(cudaDeviceSynchronize());
    const auto start = std::chrono::steady_clock::now();
    body();
    check(cudaDeviceSynchronize());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i >= 0) times.push_back(seconds);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

// The share of the copy that calls should reach, in a graph where they can be captured (docs/cuda.md, docs/cuda_sweep.md).
struct Target {
  const char *dtype, *name;
  double percent;
};
constexpr Target kTargets[] = {
    {"bfloat16", "amax", 85},           {"float16", "amax", 85},           {"float32", "amax", 85},
    {"bfloat16", "quantize max *", 85}, {"float16", "quantize max *", 85}, {"float32", "quantize max *", 85},
    {"bfloat16", "dequantize *", 85},   {"float16", "dequantize *", 85},   {"float32", "dequantize *", 85},
    {"bfloat16", "scale sweep *", 35},  {"float32", "scale sweep *", 40},  {"bfloat16", "quantize mse *", 30},
    {"bfloat16", "Hessian sweep", 3},   {"float32", "Hessian sweep", 3},
};

// A call, captured once.
class Graph {
 public:
  Graph(cudaStream_t stream, const std::function<void()>& body) : stream_(stream) {
    body();  // kernels are loaded at first use
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    body();
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&launched_, graph, 0));
    check(cudaGraphDestroy(graph));
  }
  ~Graph() { cudaGraphExecDestroy(launched_); }
  Graph(const Graph&) = delete;
  void launch() const { check(cudaGraphLaunch(launched_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t launched_ = nullptr;
};

class Bench {
 public:
  Bench(int64_t rows, int64_t cols, int runs)
      : rows_(rows), cols_(cols), runs_(runs), n_(static_cast<size_t>(rows * cols)), status_(4 * 8) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    check(cudaMemset(status_.data, 0, 4 * 8));
    nvfp4cal_tensor status = tensor(status_.data, NVFP4CAL_DTYPE_I64, 1, 4);
    check(nvfp4cal_context_create(&context_));
    check(nvfp4cal_context_set_device_status(context_, &status));
  }
  ~Bench() {
    nvfp4cal_context_destroy(context_);
    cudaStreamDestroy(stream_);
  }
  Bench(const Bench&) = delete;

  void run(int32_t dtype, const char* name) {
    const size_t size = dtype == NVFP4CAL_DTYPE_F32 ? 4 : 2;
    Buffer x(n_ * size), copy(n_ * size), packed(n_ / 2), scales(n_ / 16), amaxes(n_ / 4);
    fill(x.data, dtype);
    const double bytes = static_cast<double>(n_ * size);
    const Times roof = measure(runs_, [&] { check(cudaMemcpyAsync(copy.data, x.data, n_ * size, cudaMemcpyDeviceToDevice, nullptr)); });
    roof_ = 2 * bytes / roof.best;
    report(name, "copy", roof, 2 * bytes);
    const nvfp4cal_tensor in = tensor(x.data, dtype, rows_, cols_);
    nvfp4cal_tensor nibbles = tensor(packed.data, NVFP4CAL_DTYPE_U8, rows_, cols_ / 2),
                    codes = tensor(scales.data, NVFP4CAL_DTYPE_E4M3, rows_, cols_ / 16),
                    block_amax = tensor(amaxes.data, NVFP4CAL_DTYPE_F32, rows_, cols_ / 16), out = tensor(copy.data, dtype, rows_, cols_);
    calibrators(name, in, bytes);
    const double packed_bytes = static_cast<double>(n_) * 9 / 16;
    for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
      nvfp4cal_options options = {};
      options.struct_size = sizeof options;
      options.method = method;
      const std::string text = method == NVFP4CAL_METHOD_MAX ? "max" : "mse";
      const double first = method == NVFP4CAL_METHOD_MAX ? bytes : 0.0;  // x is read twice; targets of searches count it once
      both(name, "quantize " + text, first + bytes + packed_bytes, [&](const nvfp4cal_context* context, cudaStream_t stream) {
        check(nvfp4cal_quantize(context, &in, nullptr, nullptr, &options, &nibbles, &codes, nullptr, stream));
      });
      both(name, "fake quantize " + text, first + 2 * bytes, [&](const nvfp4cal_context* context, cudaStream_t stream) {
        check(nvfp4cal_fake_quantize(context, &in, nullptr, nullptr, &options, &out, stream));
      });
    }
    both(name, "scale sweep", bytes + static_cast<double>(n_) / 4, [&](const nvfp4cal_context* context, cudaStream_t stream) {
      check(nvfp4cal_scale_sweep(context, &in, nullptr, nullptr, &block_amax, stream));
    });
    hessian_sweep(name, in, block_amax, bytes + static_cast<double>(n_) / 4);
    float s2 = 1e-4f;
    nvfp4cal_tensor global = tensor(&s2, NVFP4CAL_DTYPE_F32, 1, 1);
    global.device_type = 0;
    both(name, "dequantize", bytes + packed_bytes, [&](const nvfp4cal_context* context, cudaStream_t stream) {
      check(nvfp4cal_dequantize(context, &nibbles, &codes, &global, NVFP4CAL_DECODE_MODELOPT, &out, stream));
    });
    check(nvfp4cal_context_check_device_status(context_, stream_));
    gptq(name, dtype, x.data, packed.data, scales.data, bytes + packed_bytes);
  }

 private:
  // Correlated columns in each block; the Hessian lies in host memory, as calibrators have it.
  void hessian_sweep(const char* name, const nvfp4cal_tensor& in, nvfp4cal_tensor& block_amax, double bytes) const {
    std::vector<float> hessian(static_cast<size_t>(cols_) * 16);
    for (size_t i = 0; i < hessian.size(); ++i) {
      const int row = static_cast<int>(i / 16 % 16), column = static_cast<int>(i % 16);
      hessian[i] = std::pow(0.7f, static_cast<float>(std::abs(row - column)));
    }
    nvfp4cal_tensor h = tensor(hessian.data(), NVFP4CAL_DTYPE_F32, cols_ / 16, 16);
    h.device_type = 0;
    h.ndim = 3;
    h.shape[2] = 16;
    op(name, "Hessian sweep", bytes,
       [&] { check(nvfp4cal_scale_sweep_hessian(nullptr, &in, nullptr, &h, nullptr, &block_amax, nullptr)); });
  }

  // A square layer of at most 4096 columns; the Hessian is prepared and copied before.
  void gptq(const char* name, int32_t dtype, void* x, void* packed, void* scales, double bytes) const {
    const int64_t cols = std::min<int64_t>(4096, cols_ / 16 * 16), rows = std::min(rows_, cols);
    std::vector<float> hessian(static_cast<size_t>(cols * cols));
    for (int64_t i = 0; i < cols; ++i) {  // neighbours' correlation is .7
      for (int64_t j = i; j < std::min(cols, i + 64); ++j)
        hessian[static_cast<size_t>(i * cols + j)] = hessian[static_cast<size_t>(j * cols + i)] = std::pow(0.7f, static_cast<float>(j - i));
    }
    nvfp4cal_tensor h = tensor(hessian.data(), NVFP4CAL_DTYPE_F32, cols, cols);
    h.device_type = 0;
    const nvfp4cal_tensor in = tensor(x, dtype, rows, cols);
    nvfp4cal_tensor nibbles = tensor(packed, NVFP4CAL_DTYPE_U8, rows, cols / 2),
                    codes = tensor(scales, NVFP4CAL_DTYPE_E4M3, rows, cols / 16);
    const double share = static_cast<double>(rows * cols) / static_cast<double>(n_);
    for (const int32_t effort : {NVFP4CAL_GPTQ_FAST, NVFP4CAL_GPTQ_DEFAULT, NVFP4CAL_GPTQ_MAX}) {
      nvfp4cal_gptq* handle = nullptr;
      check(nvfp4cal_gptq_create(&handle));
      check(nvfp4cal_gptq_set_effort(handle, effort));
      check(nvfp4cal_gptq_set_hessian_tensor(handle, &h, nullptr));
      constexpr const char* kNames[] = {"gptq fast", "gptq default", "gptq max"};
      report(name, kNames[effort],
             measure(runs_,
                     [&] { check(nvfp4cal_gptq_quantize(handle, &in, nullptr, &nibbles, &codes, nullptr, nullptr, nullptr, nullptr)); }),
             bytes * share, share);
      nvfp4cal_gptq_destroy(handle);
    }
  }

  void fill(void* to, int32_t dtype) const {
    const std::vector<float> values = normal_values(n_);
    if (dtype == NVFP4CAL_DTYPE_F32) return check(cudaMemcpy(to, values.data(), n_ * 4, cudaMemcpyHostToDevice));
    std::vector<uint16_t> halves(n_);
    std::transform(values.begin(), values.end(), halves.begin(), dtype == NVFP4CAL_DTYPE_BF16 ? bf16_of : f16_of);
    check(cudaMemcpy(to, halves.data(), n_ * 2, cudaMemcpyHostToDevice));
  }

  void calibrators(const char* name, const nvfp4cal_tensor& in, double bytes) const {
    for (const int32_t block : {0, 16}) {
      nvfp4cal_max* max = nullptr;
      check(nvfp4cal_max_create(&max));
      check(nvfp4cal_max_set_block_size(max, block));
      op(name, block == 0 ? "amax" : "amax of blocks", bytes + (block == 0 ? 0.0 : static_cast<double>(n_) / 4),
         [&] { check(nvfp4cal_max_collect(max, &in, nullptr)); });
      nvfp4cal_max_destroy(max);
    }
    nvfp4cal_actmax* actmax = nullptr;
    check(nvfp4cal_actmax_create(&actmax));
    op(name, "histogram", bytes, [&] { check(nvfp4cal_actmax_collect(actmax, &in, nullptr)); });
    nvfp4cal_actmax_destroy(actmax);
  }

  void op(const char* dtype, const std::string& name, double bytes, const std::function<void()>& body) const {
    report(dtype, name, measure(runs_, body), bytes);
  }

  void both(const char* dtype, const std::string& name, double bytes,
            const std::function<void(const nvfp4cal_context*, cudaStream_t)>& body) const {
    op(dtype, name, bytes, [&] { body(nullptr, nullptr); });
    const Graph graph(stream_, [&] { body(context_, stream_); });
    op(dtype, name + " *", bytes, [&] { graph.launch(); });
  }

  // share: of the elements.
  void report(const char* dtype, const std::string& name, const Times& times, double bytes, double share = 1.0) const {
    std::printf("%-8s %-18s %9.1f %9.1f us %8.1f Gel/s %8.0f GB/s %6.1f %%", dtype, name.c_str(), times.best * 1e6, times.median * 1e6,
                share * static_cast<double>(n_) / times.best * 1e-9, bytes / times.best * 1e-9, 100.0 * bytes / times.best / roof_);
    for (const Target& target : kTargets) {
      if (name == target.name && std::string(dtype) == target.dtype) std::printf("   target %.0f %%", target.percent);
    }
    std::printf("\n");
  }

  int64_t rows_, cols_;
  int runs_;
  size_t n_;
  double roof_ = 1.0;
  Buffer status_;
  cudaStream_t stream_ = nullptr;
  nvfp4cal_context* context_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, int standard) { return argc > i ? std::atoi(argv[i]) : standard; };
  const int rows = number(1, 16384), cols = number(2, 16384), runs = number(3, 20);
  if (rows < 1 || cols < 32 || cols % 32 != 0 || runs < 1) die("usage", "nvfp4cal_cuda_bench [rows] [cols, a multiple of 32] [runs]");
  int32_t devices = 0;
  if (nvfp4cal_cuda_available(&devices) != NVFP4CAL_OK) {
    std::printf("SKIPPED %s\n", nvfp4cal_last_error());
    return 0;
  }
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d processors; %d x %d elements, best and median of %d runs; share of the copy by bytes read and written\n", device.name,
              device.multiProcessorCount, rows, cols, runs);
  Bench bench(rows, cols, runs);
  bench.run(NVFP4CAL_DTYPE_BF16, "bfloat16");
  bench.run(NVFP4CAL_DTYPE_F16, "float16");
  bench.run(NVFP4CAL_DTYPE_F32, "float32");
  return 0;
}
