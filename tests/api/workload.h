// Every computing function once, on tensors of several chunks: the bytes of all results, to be compared between ways to run.
#pragma once

#include <string>

#include "one_call.h"

namespace api_test {

inline std::vector<std::string> cpu_targets() {
  std::vector<std::string> names(1);
  for (const char* c = nvfp4cal_cpu_targets(); *c; ++c) {
    if (*c == ',') {
      names.emplace_back();
    } else {
      names.back() += *c;
    }
  }
  return names;
}

inline Context context_with(int32_t threads, const char* target = nullptr) {
  Context context = make_context();
  const bool good = nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK &&
                    nvfp4cal_context_set_cpu_target(context.get(), target) == NVFP4CAL_OK;
  return good ? std::move(context) : nullptr;
}

// All numbers are made here, so that run() does no arithmetic of its own: tests call it in odd floating-point environments.
class Workload {
 public:
  explicit Workload(size_t rows = 640) : rows_(static_cast<int64_t>(rows)), x_(random_values(rows * kCols, 100)), weights_(kCols, 1.0f) {
    for (size_t i = 0; i < kCols; ++i) weights_[i] = 0.25f + static_cast<float>(i % 5);
    for (size_t i = 0; i < kCols * 8; ++i) x_[i] *= 0x1p-126f;  // rows of subnormals
    tiny_.assign(x_.begin(), x_.begin() + kCols * 8);
    half_.resize(5 * 1024 * 256);
    for (size_t i = 0; i < half_.size(); ++i) half_[i] = truncated_bf16(x_[i % x_.size()]);
  }

  // "" if every call succeeded, else the first error; results of all calls are in bytes.
  std::string run(const nvfp4cal_context* context, Bytes& bytes) const {
    bytes.clear();
    error_.clear();
    const nvfp4cal_tensor x = tensor(x_, {rows_, kCols}), tiny = tensor(tiny_, {8, kCols}), row = tensor(weights_, {kCols});
    nvfp4cal_options chosen = options();
    quantize(context, x, chosen, bytes);
    chosen.method = NVFP4CAL_METHOD_MSE;
    quantize(context, x, chosen, bytes);
    quantize(context, tiny, chosen, bytes);
    chosen.scale_layout = NVFP4CAL_SCALES_LINEAR;
    chosen.weights = &row;
    const nvfp4cal_tensor some = tensor(x_, {300, kCols});
    call(bytes, NVFP4CAL_DTYPE_F32, {300, kCols / 16},
         [&](nvfp4cal_tensor* out) { return nvfp4cal_scale_sweep(context, &some, nullptr, &chosen, out, nullptr); });
    collect(context, bytes);
    return error_;
  }

  static constexpr int64_t kCols = 256;

 private:
  template <class T>
  static nvfp4cal_tensor tensor(const std::vector<T>& values, const Shape& shape) {
    return view(const_cast<T*>(values.data()), sizeof(T) == 2 ? NVFP4CAL_DTYPE_BF16 : NVFP4CAL_DTYPE_F32, shape);
  }

  void note(nvfp4cal_status status) const {
    if (status != NVFP4CAL_OK && error_.empty()) error_ = nvfp4cal_last_error();
  }

  // Appends the output's bytes.
  template <class Function>
  size_t call(Bytes& bytes, int32_t dtype, const Shape& shape, Function&& function) const {
    const size_t begin = bytes.size();
    bytes.resize(begin + static_cast<size_t>(count_of(shape)) * dtype_size(dtype), 0xA5);
    nvfp4cal_tensor out = view(bytes.data() + begin, dtype, shape);
    note(function(&out));
    return begin;
  }

  void quantize(const nvfp4cal_context* context, const nvfp4cal_tensor& x, const nvfp4cal_options& chosen, Bytes& bytes) const {
    const int64_t rows = x.shape[0];
    Bytes packed_bytes(static_cast<size_t>(rows * kCols / 2)), scale_bytes(static_cast<size_t>(rows * kCols / 16));
    Floats scale(1);
    nvfp4cal_tensor packed = view(packed_bytes, {rows, kCols / 2}), scales = view(scale_bytes, {rows, kCols / 16}),
                    global = view(scale, {});
    note(nvfp4cal_quantize(context, &x, nullptr, nullptr, &chosen, &packed, &scales, &global, nullptr));
    bytes.insert(bytes.end(), packed_bytes.begin(), packed_bytes.end());
    bytes.insert(bytes.end(), scale_bytes.begin(), scale_bytes.end());
    call(bytes, NVFP4CAL_DTYPE_F32, {rows, kCols}, [&](nvfp4cal_tensor* out) {
      return nvfp4cal_dequantize(context, &packed, &scales, &global, NVFP4CAL_DECODE_MODELOPT, out, nullptr);
    });
    call(bytes, NVFP4CAL_DTYPE_F16, {rows, kCols},
         [&](nvfp4cal_tensor* out) { return nvfp4cal_fake_quantize(context, &x, nullptr, nullptr, &chosen, out, nullptr); });
    const int64_t tile_bytes = (rows + 127) / 128 * 128 * (kCols / 16);
    call(bytes, NVFP4CAL_DTYPE_U8, {tile_bytes},
         [&](nvfp4cal_tensor* out) { return nvfp4cal_swizzle_scales(context, &scales, out, nullptr); });
  }

  void collect(const nvfp4cal_context* context, Bytes& bytes) const {
    const nvfp4cal_tensor x = tensor(half_, {5, 1024, kCols});
    const int32_t first = 0, last = -1;
    for (int kind = 0; kind < 4; ++kind) {
      const Max max = make_max();
      note(nvfp4cal_max_set_context(max.get(), context));
      if (kind == 1) note(nvfp4cal_max_set_axes(max.get(), &first, 1));
      if (kind == 2) note(nvfp4cal_max_set_axes(max.get(), &last, 1));
      if (kind == 3) note(nvfp4cal_max_set_block_size(max.get(), 16));
      note(nvfp4cal_max_collect(max.get(), &x, nullptr));
      nvfp4cal_tensor shape = question();
      note(nvfp4cal_max_compute_amax(max.get(), &shape));
      call(bytes, NVFP4CAL_DTYPE_F32, shape_of(shape), [&](nvfp4cal_tensor* out) { return nvfp4cal_max_compute_amax(max.get(), out); });
    }
  }

  int64_t rows_;
  Floats x_, weights_, tiny_;
  std::vector<uint16_t> half_;
  mutable std::string error_;
};

// The results that every way to run has to give: one thread, plain loops.
inline const Bytes& expected_bytes(const Workload& workload) {
  static const Bytes bytes = [&] {
    Bytes result;
    const std::string error = workload.run(context_with(1, "scalar").get(), result);
    return error.empty() ? result : Bytes();
  }();
  return bytes;
}

inline const Workload& standard_workload() {
  static const Workload workload;
  return workload;
}

inline bool gives_expected_bytes(const nvfp4cal_context* context) {
  Workload workload = standard_workload();  // the error text is not shared between threads
  Bytes bytes;
  return workload.run(context, bytes).empty() && !bytes.empty() && bytes == expected_bytes(standard_workload());
}

}  // namespace api_test
