// dequantize: both decode orders, all scale bytes, what is refused.
#include <cmath>
#include <limits>

#include "one_call.h"
#include "reference.h"

using namespace api_test;

namespace {

Quantized encoded(size_t elements, int block, float global) {
  Quantized q{0, Bytes(elements / 2), Bytes(elements / static_cast<size_t>(block)), {global}};
  std::mt19937 engine(40);
  for (uint8_t& byte : q.packed) byte = static_cast<uint8_t>(engine());
  for (size_t i = 0; i < q.scales.size(); ++i) {
    q.scales[i] = static_cast<uint8_t>(i);
    if ((i & 0x7F) == 0x7F) q.scales[i] = 0x40;  // not NaN
  }
  return q;
}

nvfp4cal_status status_of(Quantized& q, const Shape& shape, int block, int32_t order = NVFP4CAL_DECODE_MODELOPT) {
  nvfp4cal_status status = 0;
  const Bytes out = dequantize(q, shape, block, NVFP4CAL_DTYPE_F32, order, &status);
  if (status != NVFP4CAL_OK) CHECK(out == Bytes(out.size(), 0xA5));
  return status;
}

}  // namespace

TEST_CASE("both orders are the written-out formulas, for every scale byte and nibble", "[api][dequantize]") {
  for (const int block : {16, 32}) {
    const Shape shape = {16, 16 * block};
    for (const float global : {0.000372f, 1.0f, 3.0f}) {
      Quantized q = encoded(static_cast<size_t>(count_of(shape)), block, global);
      CAPTURE(block, global);
      CHECK(same_bits(as<float>(dequantize(q, shape, block, NVFP4CAL_DTYPE_F32)), reference::decoded(q.packed, q.scales, block, global)));
      q.global_scale = {2688.0f / global};
      CHECK(same_bits(as<float>(dequantize(q, shape, block, NVFP4CAL_DTYPE_F32, NVFP4CAL_DECODE_COMPRESSED_TENSORS)),
                      reference::decoded(q.packed, q.scales, block, 2688.0f / global, true)));
    }
  }
}

TEST_CASE("decoded values are rounded to nearest even in other dtypes", "[api][dequantize]") {
  // 1.5 * 1.0 * s2 with s2 = 1 + 2^-8: halfway between two bfloat16 values; 2^-11 off a float16 value
  Quantized q{0, Bytes(8, 0x22), Bytes{0x38}, {1.0f + 0x1p-8f}};
  const auto bf16 = as<uint16_t>(dequantize(q, {1, 16}, 16, NVFP4CAL_DTYPE_BF16));
  CHECK(bf16[0] == 0x3F80);  // 1 + 2^-8 rounds down to 1, the even one
  q.global_scale = {1.0f + 3 * 0x1p-8f};
  CHECK(as<uint16_t>(dequantize(q, {1, 16}, 16, NVFP4CAL_DTYPE_BF16))[0] == 0x3F82);
  q.global_scale = {1.0f + 0x1p-11f};
  CHECK(as<uint16_t>(dequantize(q, {1, 16}, 16, NVFP4CAL_DTYPE_F16))[0] == 0x3C00);
  q.global_scale = {1.0f + 3 * 0x1p-11f};
  CHECK(as<uint16_t>(dequantize(q, {1, 16}, 16, NVFP4CAL_DTYPE_F16))[0] == 0x3C02);
  CHECK(as<double>(dequantize(q, {1, 16}, 16, NVFP4CAL_DTYPE_F64))[0] == 1.0 + 3 * 0x1p-11);
}

TEST_CASE("the question's answer keeps the dtype that was asked for", "[api][dequantize]") {
  Quantized q = encoded(64, 16, 1.0f);
  const nvfp4cal_tensor packed = view(q.packed, {2, 16}), scales = view(q.scales, {2, 2}), global = view(q.global_scale);
  for (const int32_t dtype : {0, NVFP4CAL_DTYPE_F32, NVFP4CAL_DTYPE_BF16, NVFP4CAL_DTYPE_F16, NVFP4CAL_DTYPE_F64}) {
    nvfp4cal_tensor out = question(dtype);
    CHECK(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_OK);
    CHECK(out.dtype == (dtype == 0 ? NVFP4CAL_DTYPE_F32 : dtype));
    CHECK(shape_of(out) == Shape{2, 32});
  }
  nvfp4cal_tensor out = question(NVFP4CAL_DTYPE_U8);
  CHECK(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "uint8"));
}

TEST_CASE("a NaN scale byte is named by index", "[api][dequantize]") {
  for (const uint8_t byte : {uint8_t{0x7F}, uint8_t{0xFF}}) {
    for (const size_t index : {size_t{0}, size_t{5}, size_t{7}}) {
      Quantized q = encoded(4 * 32, 16, 1.0f);
      q.scales[index] = byte;
      if (index < 6) q.scales[6] = 0x7F;
      CAPTURE(index, static_cast<int>(byte));
      CHECK(status_of(q, {4, 32}, 16) == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(contains(last_error(), "scales[" + std::to_string(index) + "]"));
      CHECK(contains(last_error(), byte == 0x7F ? "0x7F" : "0xFF"));
    }
  }
}

TEST_CASE("a global scale that is not positive and finite is refused", "[api][dequantize]") {
  for (const int32_t order : {NVFP4CAL_DECODE_MODELOPT, NVFP4CAL_DECODE_COMPRESSED_TENSORS}) {
    for (const float wrong : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Quantized q = encoded(4 * 32, 16, wrong);
      CAPTURE(order, wrong);
      const bool finite = std::isfinite(wrong);
      CHECK(status_of(q, {4, 32}, 16, order) == (finite ? NVFP4CAL_ERROR_INVALID_ARGUMENT : NVFP4CAL_ERROR_NOT_FINITE));
      CHECK(contains(last_error(), "global_scale[0]"));
    }
  }
  Quantized q = encoded(4 * 32, 16, 1.0f);
  q.global_scale = {1.0f, 1.0f, -2.0f, 1.0f};
  CHECK(status_of(q, {4, 32}, 16) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "global_scale[2]"));
  for (const size_t count : {size_t{0}, size_t{2}, size_t{5}}) {
    q.global_scale = Floats(count, 1.0f);
    CHECK(status_of(q, {4, 32}, 16) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "global_scale"));
  }
}

TEST_CASE("nibbles and scales that do not belong together are refused", "[api][dequantize]") {
  Bytes packed_bytes(1024), scale_bytes(1024, 0x38);
  float one = 1.0f;
  const nvfp4cal_tensor global = scalar(one);
  const std::pair<Shape, Shape> pairs[] = {
      {{4, 16}, {4, 3}},    {{4, 16}, {2, 4}}, {{4, 16}, {4, 4}}, {{4, 16}, {5, 2}}, {{4, 16}, {8}}, {{64}, {4, 2}},
      {{2, 2, 16}, {4, 2}}, {{4, 7}, {4, 1}},  {{4, 32}, {4, 1}}, {{}, {}},          {{4, 16}, {}},
  };
  for (const auto& [packed_shape, scales_shape] : pairs) {
    Floats values(4096, 9.0f);
    const nvfp4cal_tensor packed = view(packed_bytes.data(), NVFP4CAL_DTYPE_U8, packed_shape);
    const nvfp4cal_tensor scales = view(scale_bytes.data(), NVFP4CAL_DTYPE_E4M3, scales_shape);
    nvfp4cal_tensor out = view(values);
    CAPTURE(packed_shape, scales_shape);
    CHECK(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "do not belong together"));
    CHECK(values == Floats(4096, 9.0f));
  }
}

TEST_CASE("strided and unaligned inputs and unaligned outputs decode the same", "[api][dequantize]") {
  Quantized q = encoded(8 * 64, 16, 0.5f);
  const Floats expected = as<float>(dequantize(q, {8, 64}, 16, NVFP4CAL_DTYPE_F32));
  Bytes packed_t(q.packed.size()), scales_t(q.scales.size() * 3), memory(8 * 64 * 4 + 1);
  for (size_t r = 0; r < 8; ++r) {
    for (size_t c = 0; c < 32; ++c) packed_t[c * 8 + r] = q.packed[r * 32 + c];
    for (size_t c = 0; c < 4; ++c) scales_t[(r * 4 + c) * 3] = q.scales[r * 4 + c];
  }
  Bytes global_bytes(5);
  std::memcpy(global_bytes.data() + 1, q.global_scale.data(), 4);
  const nvfp4cal_tensor packed = strided(packed_t.data(), NVFP4CAL_DTYPE_U8, {8, 32}, {1, 8});
  const nvfp4cal_tensor scales = strided(scales_t.data(), NVFP4CAL_DTYPE_E4M3, {8, 4}, {12, 3});
  const nvfp4cal_tensor global = view(global_bytes.data() + 1, NVFP4CAL_DTYPE_F32, {});
  nvfp4cal_tensor out = view(memory.data() + 1, NVFP4CAL_DTYPE_F32, {8, 64});
  REQUIRE(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_OK);
  CHECK(std::memcmp(memory.data() + 1, expected.data(), expected.size() * 4) == 0);
}
