// Speed of the searches that try many scales on every element: nvfp4cal_mse and nvfp4cal_observer, in 10^9 elements * candidates a second, and
// nvfp4cal_block_*, in 10^9 elements a second. With --against, the
// same calls go to another build of the library too, run by run in turn, and the ratio is printed: what a change is worth on a machine that others use.
//   nvfp4cal_search_bench [--op NAME] [--dtype f32|bf16] [--rows N] [--cols N] [--runs N] [--threads N] [--target NAME] [--clock wall|cpu]
//                         [--against libnvfp4cal.so]
// The processor time of all threads (--clock cpu) is what a busy machine leaves comparable; wall time is the default. NAME: an operation or the beginning of one, mse_int8_tensor, observer_int4_group128, ...
#include <dlfcn.h>

#include <algorithm>
#include <ctime>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "inputs.h"
#include "nvfp4cal.h"

namespace {

struct Options {
  std::string op, dtype, target, against;
  int64_t rows = 4096, cols = 4096;
  int runs = 5, threads = 1;
  clockid_t clock = CLOCK_MONOTONIC;
};

[[noreturn]] void stop(const std::string& message) {
  std::fprintf(stderr, "nvfp4cal_search_bench: %s\n", message.c_str());
  std::exit(1);
}

// One build of the library: its functions are looked up, so that two can be loaded.
class Library {
 public:
  explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) stop(dlerror());
  }
  template <class Function>
  Function* find(const char* name) const {
    void* const symbol = dlsym(handle_, name);
    if (!symbol) stop(std::string("no function ") + name);
    return reinterpret_cast<Function*>(symbol);
  }

 private:
  void* handle_;
};

// CALL(library, function)(arguments): stops at a status that is not 0.
#define CALL(library, function) \
  Checked<decltype(function)> { (library), #function }

template <class Function>
struct Checked {
  const Library& library;
  const char* name;

  template <class... Args>
  void operator()(Args... args) const {
    if (library.find<Function>(name)(args...) == NVFP4CAL_OK) return;
    stop(std::string(name) + ": " + library.find<decltype(nvfp4cal_last_error)>("nvfp4cal_last_error")());
  }
};

nvfp4cal_tensor tensor(const void* data, int32_t dtype, std::vector<int64_t> shape) {
  nvfp4cal_tensor t = {};
  t.struct_size = sizeof t;
  t.data = const_cast<void*>(data);
  t.dtype = dtype;
  t.ndim = static_cast<int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), t.shape);
  return t;
}

nvfp4cal_context* make_context(const Library& library, const Options& options) {
  nvfp4cal_context* context = nullptr;
  CALL(library, nvfp4cal_context_create)(&context);
  CALL(library, nvfp4cal_context_set_threads)(context, options.threads);
  if (!options.target.empty()) CALL(library, nvfp4cal_context_set_cpu_target)(context, options.target.c_str());
  return context;
}

struct Op {
  std::string name;
  int64_t candidates;
  // Prepares the call that is timed; x is [rows, cols].
  std::function<std::function<void()>(const Library&, const nvfp4cal_context*, const nvfp4cal_tensor& x)> prepare;
};

// ---- nvfp4cal_mse: 39 multipliers ----

enum class Amaxes { kTensor, kChannel, kColumn, kBlock };

using SetQuantizer = void (*)(const Library&, nvfp4cal_mse*);

Op mse_op(const std::string& name, SetQuantizer set_quantizer, Amaxes amaxes, double power = 2.0) {
  return {"mse_" + name, 39, [=](const Library& library, const nvfp4cal_context* context, const nvfp4cal_tensor& x) {
            nvfp4cal_mse* mse = nullptr;
            CALL(library, nvfp4cal_mse_create)(&mse);
            CALL(library, nvfp4cal_mse_set_context)(mse, context);
            set_quantizer(library, mse);
            if (power != 2.0) CALL(library, nvfp4cal_mse_set_power_error)(mse, power);
            const int32_t axis = amaxes == Amaxes::kColumn ? 1 : 0;
            if (amaxes != Amaxes::kTensor) CALL(library, nvfp4cal_mse_set_axes)(mse, &axis, 1);
            nvfp4cal_tensor seen = x;
            if (amaxes == Amaxes::kBlock) seen = tensor(x.data, x.dtype, {x.shape[0] * x.shape[1] / 16, 16});
            const auto amax =
                std::make_shared<std::vector<float>>(amaxes == Amaxes::kTensor ? 1 : static_cast<size_t>(seen.shape[axis]), 4.0f);
            return [=, &library] {
              const nvfp4cal_tensor initial = tensor(amax->data(), NVFP4CAL_DTYPE_F32, {static_cast<int64_t>(amax->size())});
              CALL(library, nvfp4cal_mse_reset)(mse);
              CALL(library, nvfp4cal_mse_set_initial_amax)(mse, &initial);
              CALL(library, nvfp4cal_mse_collect)(mse, &seen, nullptr);
            };
          }};
}

// ---- nvfp4cal_observer: memoryless MSE, all steps ----

Op observer_op(const std::string& name, int32_t format, int32_t strategy, int32_t group_size, double norm = 2.4) {
  return {"observer_" + name, 20, [=](const Library& library, const nvfp4cal_context* context, const nvfp4cal_tensor& x) {
            nvfp4cal_observer* observer = nullptr;
            CALL(library, nvfp4cal_observer_create)(&observer);
            CALL(library, nvfp4cal_observer_set_context)(observer, context);
            CALL(library, nvfp4cal_observer_set_format)(observer, format);
            CALL(library, nvfp4cal_observer_set_strategy)(observer, strategy);
            CALL(library, nvfp4cal_observer_set_group_size)(observer, group_size);
            CALL(library, nvfp4cal_observer_set_norm)(observer, norm);
            CALL(library, nvfp4cal_observer_set_patience)(observer, 1000);
            return [=, &library] { CALL(library, nvfp4cal_observer_collect)(observer, &x, nullptr); };
          }};
}

void int8(const Library& library, nvfp4cal_mse* mse) { CALL(library, nvfp4cal_mse_set_int_quantizer)(mse, 8, NVFP4CAL_INT_SYMMETRIC); }
void int4(const Library& library, nvfp4cal_mse* mse) { CALL(library, nvfp4cal_mse_set_int_quantizer)(mse, 4, NVFP4CAL_INT_SYMMETRIC); }
void e4m3(const Library& library, nvfp4cal_mse* mse) { CALL(library, nvfp4cal_mse_set_float_quantizer)(mse, NVFP4CAL_FLOAT_E4M3); }
void e2m1(const Library& library, nvfp4cal_mse* mse) { CALL(library, nvfp4cal_mse_set_float_quantizer)(mse, NVFP4CAL_FLOAT_E2M1); }
void nvfp4(const Library& library, nvfp4cal_mse* mse) { CALL(library, nvfp4cal_mse_set_nvfp4_quantizer)(mse, 5.0f); }

// ---- nvfp4cal_block_*: single-level quantization of blocks of 16; elements alone are counted ----

using BlockCall = void (*)(const Library&, const nvfp4cal_context*, const nvfp4cal_tensor& w, const nvfp4cal_tensor& hessians,
                           nvfp4cal_tensor* scales, nvfp4cal_tensor* quants);

Op block_op(const std::string& name, BlockCall call) {
  return {"block_" + name, 1, [=](const Library& library, const nvfp4cal_context* context, const nvfp4cal_tensor& x) {
            const int64_t rows = x.shape[0], blocks = x.shape[1] / 16;
            const auto scales = std::make_shared<std::vector<float>>(static_cast<size_t>(rows * blocks));
            const auto quants = std::make_shared<std::vector<float>>(static_cast<size_t>(rows * x.shape[1]));
            const auto hessians = std::make_shared<std::vector<float>>(static_cast<size_t>(blocks * 256));
            for (size_t i = 0; i < hessians->size(); ++i) {  // correlations of .5 to the distance
              (*hessians)[i] = 1.0f / static_cast<float>(1 << std::abs(static_cast<int>(i / 16 % 16) - static_cast<int>(i % 16)));
            }
            return [=, &library] {
              const nvfp4cal_tensor w = tensor(x.data, x.dtype, {rows, blocks, 16});
              const nvfp4cal_tensor h = tensor(hessians->data(), NVFP4CAL_DTYPE_F32, {blocks, 16, 16});
              nvfp4cal_tensor s = tensor(scales->data(), NVFP4CAL_DTYPE_F32, {rows, blocks});
              nvfp4cal_tensor q = tensor(quants->data(), NVFP4CAL_DTYPE_F32, {rows, blocks, 16});
              call(library, context, w, h, &s, &q);
            };
          }};
}

std::vector<Op> block_ops() {
  using T = nvfp4cal_tensor;
  return {block_op("naive",
                   [](const Library& library, const nvfp4cal_context* context, const T& w, const T&, T* s, T* q) {
                     CALL(library, nvfp4cal_block_naive)
                     (context, &w, -1, s, q, nullptr, nullptr);
                   }),
          block_op("optimal",
                   [](const Library& library, const nvfp4cal_context* context, const T& w, const T&, T* s, T* q) {
                     CALL(library, nvfp4cal_block_optimal)
                     (context, &w, -1, nullptr, s, q, nullptr, nullptr);
                   }),
          block_op("hessian",
                   [](const Library& library, const nvfp4cal_context* context, const T& w, const T& h, T* s, T* q) {
                     CALL(library, nvfp4cal_block_optimal_hessian)(context, &w, -1, &h, nullptr, nullptr, s, q, nullptr, nullptr);
                   }),
          block_op("admm", [](const Library& library, const nvfp4cal_context* context, const T& w, const T& h, T* s, T* q) {
            CALL(library, nvfp4cal_block_admm)(context, &w, -1, &h, nullptr, nullptr, s, q, nullptr, nullptr);
          })};
}

std::vector<Op> all_ops() {
  std::vector<Op> ops;
  const std::pair<const char*, SetQuantizer> quantizers[] = {
      {"int8", int8}, {"int4", int4}, {"e4m3", e4m3}, {"e2m1", e2m1}, {"nvfp4", nvfp4}};
  for (const auto& [name, set_quantizer] : quantizers) {
    ops.push_back(mse_op(std::string(name) + "_tensor", set_quantizer, Amaxes::kTensor));
    ops.push_back(mse_op(std::string(name) + "_channel", set_quantizer, Amaxes::kChannel));
  }
  ops.push_back(mse_op("int8_column", int8, Amaxes::kColumn));
  ops.push_back(mse_op("int8_block16", int8, Amaxes::kBlock));
  ops.push_back(mse_op("nvfp4_block16", nvfp4, Amaxes::kBlock));
  ops.push_back(mse_op("int8_channel_power2.4", int8, Amaxes::kChannel, 2.4));
  ops.push_back(observer_op("int8_tensor", NVFP4CAL_OBSERVER_FORMAT_INT8, NVFP4CAL_OBSERVER_STRATEGY_TENSOR, 1));
  ops.push_back(observer_op("int4_group128", NVFP4CAL_OBSERVER_FORMAT_INT4, NVFP4CAL_OBSERVER_STRATEGY_GROUP, 128));
  ops.push_back(observer_op("fp8_channel", NVFP4CAL_OBSERVER_FORMAT_FP8, NVFP4CAL_OBSERVER_STRATEGY_CHANNEL, 1));
  ops.push_back(observer_op("nvfp4_group16", NVFP4CAL_OBSERVER_FORMAT_FP4, NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP, 16));
  ops.push_back(observer_op("nvfp4_group16_norm2", NVFP4CAL_OBSERVER_FORMAT_FP4, NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP, 16, 2.0));
  for (const Op& op : block_ops()) ops.push_back(op);
  return ops;
}

double seconds(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Rates {
  std::vector<double> all;  // 10^9 elements * candidates a second

  void add(double elements, clockid_t clock, const std::function<void()>& body) {
    const double start = seconds(clock);
    body();
    all.push_back(elements / (seconds(clock) - start) / 1e9);
  }
  double best() const { return *std::max_element(all.begin(), all.end()); }
  double median() const {
    std::vector<double> sorted = all;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (i + 1 == argc) stop(name + " needs a value");
    const char* const value = argv[++i];
    if (name == "--op")
      options.op = value;
    else if (name == "--dtype")
      options.dtype = value;
    else if (name == "--target")
      options.target = value;
    else if (name == "--against")
      options.against = value;
    else if (name == "--clock" && (std::string(value) == "wall" || std::string(value) == "cpu"))
      options.clock = std::string(value) == "cpu" ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    else if (name == "--rows")
      options.rows = std::max<int64_t>(std::atoll(value), 1);
    else if (name == "--cols")
      options.cols = std::max<int64_t>(std::atoll(value) / 128, 1) * 128;
    else if (name == "--runs")
      options.runs = std::max(std::atoi(value), 1);
    else if (name == "--threads")
      options.threads = std::max(std::atoi(value), 1);
    else
      stop("unknown option " + name + " " + value);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::vector<std::unique_ptr<Library>> libraries;
  libraries.push_back(std::make_unique<Library>(NVFP4CAL_BENCH_LIBRARY));
  if (!options.against.empty()) libraries.push_back(std::make_unique<Library>(options.against));
  const bench::Input input = bench::make_input("normal", options.rows * options.cols);
  std::printf("%s; target %s, %d threads, x [%lld, %lld], %d runs, %s time; 10^9 elements * candidates a second\n",
              libraries[0]->find<decltype(nvfp4cal_build_info)>("nvfp4cal_build_info")(),
              options.target.empty() ? libraries[0]->find<decltype(nvfp4cal_cpu_target)>("nvfp4cal_cpu_target")() : options.target.c_str(),
              options.threads, static_cast<long long>(options.rows), static_cast<long long>(options.cols), options.runs,
              options.clock == CLOCK_MONOTONIC ? "wall" : "processor");
  std::printf("%-26s %-5s %10s %8s%s\n", "op", "dtype", "best", "median",
              libraries.size() > 1 ? "   other: best   median   ratio: best median" : "");
  for (const Op& op : all_ops()) {
    if (op.name.compare(0, options.op.size(), options.op) != 0) continue;
    for (const bool bf16 : {false, true}) {
      if (!options.dtype.empty() && options.dtype != (bf16 ? "bf16" : "f32")) continue;
      const void* const data = bf16 ? static_cast<const void*>(input.bf16.data()) : input.f32.data();
      const nvfp4cal_tensor x = tensor(data, bf16 ? NVFP4CAL_DTYPE_BF16 : NVFP4CAL_DTYPE_F32, {options.rows, options.cols});
      std::vector<std::function<void()>> calls;
      for (const auto& library : libraries) calls.push_back(op.prepare(*library, make_context(*library, options), x));
      std::vector<Rates> rates(calls.size());
      const double elements = static_cast<double>(options.rows * options.cols * op.candidates);
      for (int run = 0; run < options.runs; ++run) {
        for (size_t i = 0; i < calls.size(); ++i) rates[i].add(elements, options.clock, calls[i]);
      }
      std::printf("%-26s %-5s %10.3f %8.3f", op.name.c_str(), bf16 ? "bf16" : "f32", rates[0].best(), rates[0].median());
      if (rates.size() > 1) {
        std::printf("   %11.3f %8.3f   %11.2f %6.2f", rates[1].best(), rates[1].median(), rates[0].best() / rates[1].best(),
                    rates[0].median() / rates[1].median());
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
  return 0;
}
