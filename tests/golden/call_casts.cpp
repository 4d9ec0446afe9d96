// casts: roundings through the functions that apply them with a scale of 1.
#include <algorithm>
#include <cmath>

#include "golden/adapters.h"
#include "golden/calls.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

// The elements as T: NaN (no expectation) becomes 0, infinity the largest finite number.
template <class T>
void make_finite(GoldenTensor& x, T infinity) {
  constexpr T sign = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  std::vector<T> bits = x.as<T>();
  for (T& one : bits) {
    const T magnitude = static_cast<T>(one & ~sign);
    if (magnitude > infinity) one = 0;
    if (magnitude == infinity) one = static_cast<T>(one - 1);
  }
  std::memcpy(x.bytes.data(), bits.data(), x.bytes.size());
}

// Blocks of 16 finite elements, the last one padded with zeros.
GoldenTensor blocks_of(GoldenTensor x) {
  if (x.dtype == NVFP4CAL_DTYPE_F64) x = golden_tensor(NVFP4CAL_DTYPE_F32, x.shape, x.floats());
  if (x.dtype == NVFP4CAL_DTYPE_F32) make_finite<uint32_t>(x, 0x7F800000);
  if (x.dtype == NVFP4CAL_DTYPE_BF16) make_finite<uint16_t>(x, 0x7F80);
  if (x.dtype == NVFP4CAL_DTYPE_F16) make_finite<uint16_t>(x, 0x7C00);
  const int64_t blocks = (x.elements() + 15) / 16;
  const size_t size = x.bytes.size() / static_cast<size_t>(std::max<int64_t>(x.elements(), 1));
  x.bytes.resize(static_cast<size_t>(blocks) * 16 * size, 0);
  x.shape = {blocks, 16};
  return x;
}

// Codes of values that lie on an ascending grid of magnitudes; 255 for others.
GoldenTensor codes_of(const std::vector<float>& values, const std::vector<double>& grid, int sign_bit, int64_t n) {
  std::vector<uint8_t> codes;
  for (const float value : values) {
    const double magnitude = std::fabs(static_cast<double>(value));
    const auto found = std::lower_bound(grid.begin(), grid.end(), magnitude);
    const int code = static_cast<int>(found - grid.begin()) | (std::signbit(value) ? sign_bit : 0);
    codes.push_back(found != grid.end() && *found == magnitude ? static_cast<uint8_t>(code) : uint8_t{255});
  }
  codes.resize(static_cast<size_t>(n));
  return golden_tensor(NVFP4CAL_DTYPE_U8, {n}, codes);
}

GoldenTensor nibbles(const nvfp4cal_context* context, const GoldenTensor& x, int64_t n) {
  const GoldenTensor g = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1}, {2688.0f}),
                     amax = golden_tensor(NVFP4CAL_DTYPE_F32, {x.shape[0]}, std::vector<float>(static_cast<size_t>(x.shape[0]), 6.0f));
  const nvfp4cal_tensor x_view = view_of(x), g_view = view_of(g), amax_view = view_of(amax);
  const auto out = answers<2>([&](nvfp4cal_tensor* t) {
    return nvfp4cal_quantize(context, &x_view, &g_view, &amax_view, nullptr, &t[0], &t[1], nullptr, nullptr);
  });
  std::vector<uint8_t> codes;
  for (const uint8_t byte : out[0].as<uint8_t>()) {
    codes.push_back(byte & 15);
    codes.push_back(byte >> 4);
  }
  codes.resize(static_cast<size_t>(n));
  return golden_tensor(NVFP4CAL_DTYPE_U8, {n}, codes);
}

std::vector<float> ties_down(const nvfp4cal_context* context, const GoldenTensor& x) {
  const GoldenTensor one = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1}, {1.0f});
  const nvfp4cal_tensor x_view = view_of(x), one_view = view_of(one);
  return answer([&](nvfp4cal_tensor* out) { return nvfp4cal_block_quantize(context, &x_view, &one_view, -1, out, nullptr); }).floats();
}

int32_t keep_quantized(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  const float* const values = static_cast<const float*>(xq->data);
  static_cast<std::vector<float>*>(user)->assign(values, values + x->shape[0] * x->shape[1]);
  *static_cast<double*>(out->data) = 0.0;
  return 0;
}

// What the multiplier search shows its error function when amax is the format's largest value: x rounded.
std::vector<float> rounded(const nvfp4cal_context* context, const GoldenTensor& x, int32_t format, float largest) {
  const MseHandle handle(created(nvfp4cal_mse_create));
  const GoldenTensor amax = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1}, {largest});
  const nvfp4cal_tensor x_view = view_of(x), amax_view = view_of(amax);
  std::vector<float> values;
  ok(nvfp4cal_mse_set_context(handle.get(), context));
  ok(nvfp4cal_mse_set_multipliers(handle.get(), 1.0, 1.0, 1.0));
  ok(nvfp4cal_mse_set_float_quantizer(handle.get(), format));
  ok(nvfp4cal_mse_set_error_callback(handle.get(), keep_quantized, NVFP4CAL_ERRORS_SCALAR, &values));
  ok(nvfp4cal_mse_set_initial_amax(handle.get(), &amax_view));
  ok(nvfp4cal_mse_collect(handle.get(), &x_view, nullptr));
  return values;
}

}  // namespace

Outputs call_casts(const Case& one, const nvfp4cal_context* context) {
  const GoldenTensor given = cast_input(one), x = blocks_of(given);
  const int64_t n = given.elements();
  const std::vector<double> e2m1(kLevels, kLevels + 8);
  std::vector<double> e4m3, e5m2;
  for (int code = 0; code <= kCodes; ++code) e4m3.push_back(e4m3_value_of(code));
  for (int code = 0; code < 124; ++code) e5m2.push_back(code < 4 ? std::ldexp(code, -16) : std::ldexp(4 + code % 4, code / 4 - 17));
  return {{"e2m1", nibbles(context, x, n)},
          {"e2m1_ties_down", codes_of(ties_down(context, x), e2m1, 8, n)},
          {"e4m3", codes_of(rounded(context, x, NVFP4CAL_FLOAT_E4M3, 448.0f), e4m3, 0x80, n)},
          {"e5m2", codes_of(rounded(context, x, NVFP4CAL_FLOAT_E5M2, 57344.0f), e5m2, 0x80, n)}};
}

}  // namespace nvfp4cal::test
