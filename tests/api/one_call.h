// quantize, scale_sweep, fake_quantize and dequantize on vectors, for tests that look at the numbers.
#pragma once

#include <optional>

#include "api_test.h"

namespace api_test {

// What a call may be given beside x.
struct Request {
  nvfp4cal_tensor x;
  Shape shape;  // of x
  std::optional<Floats> global_amax;
  std::optional<Floats> block_amax;
  nvfp4cal_options options = api_test::options();
  const nvfp4cal_context* context = nullptr;

  int block() const { return options.block_size == 0 ? 16 : options.block_size; }
  int normalization() const { return options.normalization == 0 ? 448 : options.normalization; }
  size_t elements() const { return static_cast<size_t>(count_of(shape)); }
  size_t blocks() const { return elements() / static_cast<size_t>(block()); }
};

inline Request request(Floats& x, const Shape& shape, std::optional<Floats> global_amax = std::nullopt,
                       const nvfp4cal_options& chosen = options()) {
  Request result;
  result.x = view(x, shape);
  result.shape = shape;
  result.global_amax = std::move(global_amax);
  result.options = chosen;
  return result;
}

// NULL, or a view that lives as long as this.
class Optional {
 public:
  explicit Optional(const std::optional<Floats>& values) : values_(values) {
    if (values_) tensor_ = view(*values_);
  }
  const nvfp4cal_tensor* get() const { return values_ ? &tensor_ : nullptr; }

 private:
  std::optional<Floats> values_;
  nvfp4cal_tensor tensor_{};
};

struct Quantized {
  nvfp4cal_status status;
  Bytes packed, scales;
  Floats global_scale;
};

inline Quantized quantize(const Request& r, size_t scale_bytes = 0) {
  Quantized q{0, Bytes(r.elements() / 2, 0xA5), Bytes(scale_bytes ? scale_bytes : r.blocks(), 0xA5),
              Floats(r.global_amax ? r.global_amax->size() : 1, -7.0f)};
  nvfp4cal_tensor packed = view(q.packed), scales = view(q.scales), global_scale = view(q.global_scale);
  q.status = nvfp4cal_quantize(r.context, &r.x, Optional(r.global_amax).get(), Optional(r.block_amax).get(), &r.options, &packed, &scales,
                               &global_scale, nullptr);
  return q;
}

inline bool same(const Quantized& a, const Quantized& b) {
  return a.status == b.status && a.packed == b.packed && a.scales == b.scales && same_bits(a.global_scale, b.global_scale);
}

inline bool untouched(const Quantized& q) {
  return q.packed == Bytes(q.packed.size(), 0xA5) && q.scales == Bytes(q.scales.size(), 0xA5) &&
         q.global_scale == Floats(q.global_scale.size(), -7.0f);
}

struct Swept {
  nvfp4cal_status status;
  Floats amax;
};

inline Swept scale_sweep(const Request& r) {
  Swept swept{0, Floats(r.blocks(), -7.0f)};
  nvfp4cal_tensor out = view(swept.amax);
  swept.status = nvfp4cal_scale_sweep(r.context, &r.x, Optional(r.global_amax).get(), &r.options, &out, nullptr);
  return swept;
}

// Bytes of the output: any dtype.
inline Bytes fake_quantize(const Request& r, int32_t dtype, nvfp4cal_status* status = nullptr) {
  Bytes bytes(r.elements() * dtype_size(dtype), 0xA5);
  nvfp4cal_tensor out = view(bytes.data(), dtype, r.shape);
  const nvfp4cal_status result =
      nvfp4cal_fake_quantize(r.context, &r.x, Optional(r.global_amax).get(), Optional(r.block_amax).get(), &r.options, &out, nullptr);
  if (status) *status = result;
  return bytes;
}

inline Bytes dequantize(Quantized& q, const Shape& shape, int block, int32_t dtype, int32_t order = NVFP4CAL_DECODE_MODELOPT,
                        nvfp4cal_status* status = nullptr) {
  Shape packed_shape = shape, scales_shape = shape;
  packed_shape.back() /= 2;
  scales_shape.back() /= block;
  Bytes bytes(static_cast<size_t>(count_of(shape)) * dtype_size(dtype), 0xA5);
  const nvfp4cal_tensor packed = view(q.packed, packed_shape), scales = view(q.scales, scales_shape), global = view(q.global_scale);
  nvfp4cal_tensor out = view(bytes.data(), dtype, shape);
  const nvfp4cal_status result = nvfp4cal_dequantize(nullptr, &packed, &scales, &global, order, &out, nullptr);
  if (status) *status = result;
  return bytes;
}

template <class T>
std::vector<T> as(const Bytes& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace api_test
