// quantize, fake_quantize and scale_sweep against plain loops, and against each other.
#include "one_call.h"
#include "reference.h"

using namespace api_test;

namespace {

constexpr int32_t kFloatDtypes[] = {NVFP4CAL_DTYPE_F32, NVFP4CAL_DTYPE_BF16, NVFP4CAL_DTYPE_F16, NVFP4CAL_DTYPE_F64};

struct Variant {
  int32_t method, block, normalization;
};
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
    for (const int32_t block : {16, 32}) {
      for (const int32_t normalization : {448, 256}) all.push_back({method, block, normalization});
    }
  }
  return all;
}

// Values that every float dtype holds exactly, and the bytes of such a tensor.
Floats exact_values(size_t n, uint32_t seed) {
  Floats values = random_values(n, seed);
  for (float& value : values) value = std::round(value * 128.0f) / 128.0f;  // 8 significant bits at most
  return values;
}

Bytes stored_as(const Floats& values, int32_t dtype) {
  Bytes bytes(values.size() * dtype_size(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == NVFP4CAL_DTYPE_F64) {
      const double wide = static_cast<double>(values[i]);
      std::memcpy(&bytes[i * 8], &wide, 8);
    } else if (dtype == NVFP4CAL_DTYPE_F32) {
      std::memcpy(&bytes[i * 4], &values[i], 4);
    } else if (dtype == NVFP4CAL_DTYPE_BF16) {
      const uint16_t half = truncated_bf16(values[i]);
      std::memcpy(&bytes[i * 2], &half, 2);
    } else {
      // k / 128 with |k| <= 128: exponent and 10 bits of mantissa, found by shifting
      const int k = static_cast<int>(std::fabs(values[i]) * 128.0f);
      int exponent = 0;
      while (k >> (exponent + 1)) ++exponent;
      const uint16_t magnitude = k == 0 ? 0 : static_cast<uint16_t>((exponent - 7 + 15) << 10 | ((k << (10 - exponent)) & 0x3FF));
      const uint16_t half = static_cast<uint16_t>(magnitude | (std::signbit(values[i]) ? 0x8000 : 0));
      std::memcpy(&bytes[i * 2], &half, 2);
    }
  }
  return bytes;
}

}  // namespace

TEST_CASE("method max: every byte is that of the written-out formulas", "[api][quantize]") {
  Floats x = random_values(64 * 96, 2);
  const float global_amax = amax_of(x);
  for (const Variant& variant : variants()) {
    if (variant.method != NVFP4CAL_METHOD_MAX) continue;
    CAPTURE(variant.block, variant.normalization);
    const Quantized q =
        quantize(request(x, {64, 96}, Floats{global_amax}, options_of(variant.method, variant.block, variant.normalization)));
    REQUIRE(q.status == NVFP4CAL_OK);
    const float s2 = reference::global_scale(global_amax, variant.normalization);
    CHECK(q.global_scale == Floats{s2});
    CHECK(q.scales == reference::max_codes(x, global_amax, variant.block, variant.normalization));
    CHECK(q.packed == reference::packed_nibbles(x, q.scales, variant.block, s2));
  }
}

TEST_CASE("method mse: no other scale code has a smaller error", "[api][quantize]") {
  Floats x = random_values(16 * 64, 3);
  const float global_amax = amax_of(x);
  for (const Variant& variant : variants()) {
    if (variant.method != NVFP4CAL_METHOD_MSE) continue;
    CAPTURE(variant.block, variant.normalization);
    const Quantized q =
        quantize(request(x, {16, 64}, Floats{global_amax}, options_of(variant.method, variant.block, variant.normalization)));
    REQUIRE(q.status == NVFP4CAL_OK);
    for (size_t b = 0; b < q.scales.size(); ++b) {
      CAPTURE(b, static_cast<int>(q.scales[b]));
      CHECK(reference::is_best_code(&x[b * static_cast<size_t>(variant.block)], nullptr, variant.block, q.scales[b], global_amax,
                                    variant.normalization));
    }
    const float s2 = reference::global_scale(global_amax, variant.normalization);
    CHECK(q.packed == reference::packed_nibbles(x, q.scales, variant.block, s2));
  }
}

TEST_CASE("nibbles: the low one first, signs kept, ties to even, saturation at 6", "[api][quantize]") {
  // G = 2688 makes s2 = 1; the largest value 6 gives the block scale 1.
  Floats x = {6.0f, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, -0.25f, -0.0f, 0.0f, -6.0f, 0.26f, -1.0f, 4.9f, 5.1f};
  const Quantized q = quantize(request(x, {1, 16}, Floats{2688.0f}));
  REQUIRE(q.status == NVFP4CAL_OK);
  CHECK(q.global_scale == Floats{1.0f});
  CHECK(q.scales == Bytes{0x38});
  CHECK(q.packed == Bytes{0x07, 0x22, 0x44, 0x66, 0x08, 0xF0, 0xA1, 0x76});
  // a smaller calibrated amax: the scale is 0.5 and values above 3 saturate
  Request clipped = request(x, {1, 16}, Floats{2688.0f});
  clipped.block_amax = Floats{3.0f};
  const Quantized c = quantize(clipped);
  CHECK(c.scales == Bytes{0x30});
  CHECK((c.packed[0] & 15) == 7);
  CHECK((c.packed[3] & 15) == 7);
  CHECK((c.packed[5] >> 4) == 15);
}

TEST_CASE("decoding what was quantized is what fake_quantize gives, bit for bit", "[api][quantize]") {
  Floats values = exact_values(8 * 64, 4);
  for (const Variant& variant : variants()) {
    for (const int32_t in : kFloatDtypes) {
      Bytes bytes = stored_as(values, in);
      Request r = request(values, {8, 64}, std::nullopt, options_of(variant.method, variant.block, variant.normalization));
      const Quantized from_f32 = quantize(r);
      r.x = view(bytes.data(), in, {8, 64});
      Quantized q = quantize(r);
      CAPTURE(variant.method, variant.block, variant.normalization, in);
      REQUIRE(q.status == NVFP4CAL_OK);
      CHECK(same(q, from_f32));
      const Floats expected = reference::decoded(q.packed, q.scales, variant.block, q.global_scale[0]);
      CHECK(same_bits(as<float>(fake_quantize(r, NVFP4CAL_DTYPE_F32)), expected));
      for (const int32_t out : kFloatDtypes) CHECK(dequantize(q, {8, 64}, variant.block, out) == fake_quantize(r, out));
    }
  }
}

TEST_CASE("the amaxes of scale_sweep, given to quantize, give the codes of method mse", "[api][quantize]") {
  Floats x = random_values(32 * 64, 5);
  for (const int32_t block : {16, 32}) {
    for (const int32_t normalization : {448, 256}) {
      CAPTURE(block, normalization);
      Request r = request(x, {32, 64}, Floats{amax_of(x)}, options_of(NVFP4CAL_METHOD_MSE, block, normalization));
      const Quantized searched = quantize(r);
      const Swept swept = scale_sweep(r);
      REQUIRE(swept.status == NVFP4CAL_OK);
      r.block_amax = swept.amax;
      r.options.method = NVFP4CAL_METHOD_MAX;  // not read any more
      CHECK(same(quantize(r), searched));
      for (size_t b = 0; b < swept.amax.size(); ++b) {
        const float candidate = reference::e4m3_value(searched.scales[b]) / static_cast<float>(normalization);
        CHECK(swept.amax[b] == amax_of(x) * candidate);
      }
    }
  }
}

TEST_CASE("without a global amax it is the largest magnitude of x", "[api][quantize]") {
  Floats x = random_values(16 * 32, 6);
  x[77] = -3.5f;
  for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
    const nvfp4cal_options chosen = options_of(method, 16, 448);
    const Quantized found = quantize(request(x, {16, 32}, std::nullopt, chosen));
    CHECK(found.status == NVFP4CAL_OK);
    CHECK(found.global_scale == Floats{3.5f / 2688.0f});
    CHECK(same(found, quantize(request(x, {16, 32}, Floats{3.5f}, chosen))));
    CHECK(same_bits(scale_sweep(request(x, {16, 32}, std::nullopt, chosen)).amax,
                    scale_sweep(request(x, {16, 32}, Floats{3.5f}, chosen)).amax));
  }
}

TEST_CASE("a code window limits the search to codes around the max code", "[api][quantize]") {
  Floats x = random_values(16 * 32, 7);
  const float global_amax = amax_of(x);
  const Bytes n = reference::max_codes(x, global_amax, 16, 448);
  const std::pair<int, int> windows[] = {{0, 0}, {-2, 2}, {-126, 126}, {3, 5}, {-126, -126}};
  for (const auto& [lo, hi] : windows) {
    CAPTURE(lo, hi);
    nvfp4cal_options chosen = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
    chosen.flags = NVFP4CAL_OPTION_CODE_WINDOW;
    chosen.code_lo = lo;
    chosen.code_hi = hi;
    const Quantized q = quantize(request(x, {16, 32}, Floats{global_amax}, chosen));
    REQUIRE(q.status == NVFP4CAL_OK);
    for (size_t b = 0; b < n.size(); ++b) {
      const int first = std::clamp(n[b] + lo, 1, 126), last = std::clamp(n[b] + hi, 1, 126);
      CAPTURE(b, first, last, static_cast<int>(q.scales[b]));
      CHECK(reference::is_best_code(&x[b * 16], nullptr, 16, q.scales[b], global_amax, 448, first, last));
    }
  }
}

TEST_CASE("a search over blocks that cross rows", "[api][quantize]") {
  Floats x = random_values(4 * 24, 8);
  Request r = request(x, {4, 24}, Floats{1.0f});
  nvfp4cal_tensor shape = question();
  CHECK(nvfp4cal_scale_sweep(nullptr, &r.x, nullptr, nullptr, &shape, nullptr) == NVFP4CAL_OK);
  CHECK(shape_of(shape) == Shape{6});
  const Swept crossed = scale_sweep(r);
  CHECK(crossed.status == NVFP4CAL_OK);
  CHECK(same_bits(crossed.amax, scale_sweep(request(x, {6, 16}, Floats{1.0f})).amax));
  const Quantized q = quantize(r);
  CHECK(q.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "cols 24"));
  CHECK(untouched(q));
}

TEST_CASE("in place: the output of fake_quantize may be x", "[api][quantize]") {
  const Floats values = exact_values(32 * 64, 9);
  for (const int32_t dtype : kFloatDtypes) {
    for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
      CAPTURE(dtype, method);
      Bytes bytes = stored_as(values, dtype);
      Floats unused = values;
      Request r = request(unused, {32, 64}, std::nullopt, options_of(method, 16, 448));
      r.x = view(bytes.data(), dtype, {32, 64});
      const Bytes expected = fake_quantize(r, dtype);
      nvfp4cal_tensor out = r.x;
      CHECK(nvfp4cal_fake_quantize(nullptr, &r.x, nullptr, nullptr, &r.options, &out, nullptr) == NVFP4CAL_OK);
      CHECK(bytes == expected);
      CHECK(bytes != stored_as(values, dtype));
    }
  }
}

TEST_CASE("outputs that overlap x are refused, in gaps of x they are not", "[api][quantize]") {
  Floats memory = random_values(8 * 64, 31);
  const Floats before = memory;
  const nvfp4cal_options chosen = options();
  const auto call = [&](float* in, const Shape& shape, int64_t row_step, float* out) {
    nvfp4cal_tensor x = view(in, NVFP4CAL_DTYPE_F32, shape), y = view(out, NVFP4CAL_DTYPE_F32, shape);
    x.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
    x.strides[0] = row_step;
    x.strides[1] = 1;
    return nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, &chosen, &y, nullptr);
  };
  float* const a = memory.data();
  for (const int64_t shift : {-16, -1, 1, 16, 63}) {
    CAPTURE(shift);
    REQUIRE(call(a + 64, {2, 32}, 32, a + 64 + shift) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    REQUIRE(std::string(nvfp4cal_last_error()) == "out overlaps the input's memory in part: it is the same tensor, or memory of its own");
  }
  REQUIRE(call(a, {4, 16}, 64, a) == NVFP4CAL_ERROR_INVALID_ARGUMENT);         // x's rows are not where out's are
  REQUIRE(call(a + 128, {3, 16}, -64, a) == NVFP4CAL_ERROR_INVALID_ARGUMENT);  // rows backwards
  nvfp4cal_tensor x = view(a, NVFP4CAL_DTYPE_F32, {2, 32}), packed = view(a + 63, NVFP4CAL_DTYPE_U8, {2, 16}),
                  scales = view(a + 100, NVFP4CAL_DTYPE_E4M3, {2, 2});
  REQUIRE(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, &chosen, &packed, &scales, nullptr, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  REQUIRE(std::string(nvfp4cal_last_error()) == "packed overlaps the input's memory, which is read while it is written");
  REQUIRE(memory == before);
  // Rows of 16 with 48 free behind each: out lies between the first and the second.
  Floats expected(32);
  nvfp4cal_tensor gapped = view(a, NVFP4CAL_DTYPE_F32, {2, 16}), y = view(expected);
  gapped.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  gapped.strides[0] = 64;
  gapped.strides[1] = 1;
  REQUIRE(nvfp4cal_fake_quantize(nullptr, &gapped, nullptr, nullptr, &chosen, &y, nullptr) == NVFP4CAL_OK);
  REQUIRE(call(a, {2, 16}, 64, a + 16) == NVFP4CAL_OK);
  REQUIRE(Floats(memory.begin() + 16, memory.begin() + 48) == expected);
}

TEST_CASE("outputs that overlap weights, scales or each other are refused", "[api][quantize]") {
  Floats memory = random_values(8 * 64, 37);
  for (float& value : memory) value = std::fabs(value) + 1.0f;
  const Floats before = memory;
  Floats x_values = random_values(64, 38);
  const nvfp4cal_tensor weights = view(memory.data(), NVFP4CAL_DTYPE_F32, {2, 32});
  nvfp4cal_options weighted = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
  weighted.weights = &weights;
  nvfp4cal_tensor x = view(x_values.data(), NVFP4CAL_DTYPE_F32, {2, 32});
  const auto refused = [&](nvfp4cal_status status, const char* text) {
    CHECK(status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(std::string(nvfp4cal_last_error()) == text);
    CHECK(memory == before);
  };
  nvfp4cal_tensor out = view(memory.data() + 63, NVFP4CAL_DTYPE_F32, {2, 32}), amax = view(memory.data() + 63, NVFP4CAL_DTYPE_F32, {2, 2});
  refused(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, &weighted, &out, nullptr), "out overlaps the memory of weights");
  refused(nvfp4cal_scale_sweep(nullptr, &x, nullptr, &weighted, &amax, nullptr), "out overlaps the memory of weights");
  nvfp4cal_tensor packed = view(memory.data() + 63, NVFP4CAL_DTYPE_U8, {2, 16}),
                  scales = view(memory.data() + 100, NVFP4CAL_DTYPE_E4M3, {2, 2});
  refused(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, &weighted, &packed, &scales, nullptr, nullptr),
          "packed overlaps the memory of weights");
  scales.data = memory.data() + 70;  // among the 32 bytes of packed
  packed.data = memory.data() + 64;
  refused(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, nullptr, &packed, &scales, nullptr, nullptr),
          "packed overlaps the memory of scales");
  std::vector<uint8_t> codes(32, 0x11);
  nvfp4cal_tensor nibbles = view(codes.data(), NVFP4CAL_DTYPE_U8, {2, 16}), s2 = view(x_values.data(), NVFP4CAL_DTYPE_F32, {});
  out.data = memory.data() + 70;
  refused(nvfp4cal_dequantize(nullptr, &nibbles, &scales, &s2, NVFP4CAL_DECODE_MODELOPT, &out, nullptr),
          "out overlaps the memory of scales");
}

TEST_CASE("views of any strides and any alignment give what a copy gives", "[api][quantize]") {
  Floats x = random_values(12 * 64, 10), transposed(12 * 64), shifted(12 * 64 + 1);
  for (size_t r = 0; r < 12; ++r) {
    for (size_t c = 0; c < 64; ++c) transposed[c * 12 + r] = x[r * 64 + c];
  }
  const nvfp4cal_options chosen = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
  Request r = request(x, {12, 64}, std::nullopt, chosen);
  const Quantized expected = quantize(r);
  REQUIRE(expected.status == NVFP4CAL_OK);
  r.x = strided(transposed.data(), NVFP4CAL_DTYPE_F32, {12, 64}, {1, 12});
  CHECK(same(quantize(r), expected));
  char* odd = reinterpret_cast<char*>(shifted.data()) + 1;
  std::memcpy(odd, x.data(), x.size() * 4);
  r.x = view(odd, NVFP4CAL_DTYPE_F32, {12, 64});
  CHECK(same(quantize(r), expected));
  Floats reversed(x.rbegin(), x.rend());
  r.x = strided(&reversed.back(), NVFP4CAL_DTYPE_F32, {12, 64}, {-64, -1});
  CHECK(same(quantize(r), expected));
  Floats row(x.begin(), x.begin() + 64), repeated;
  for (int i = 0; i < 3; ++i) repeated.insert(repeated.end(), row.begin(), row.end());
  const Quantized copies = quantize(request(repeated, {3, 64}, std::nullopt, chosen));
  Request broadcast = request(repeated, {3, 64}, std::nullopt, chosen);
  broadcast.x = strided(row.data(), NVFP4CAL_DTYPE_F32, {3, 64}, {0, 1});
  CHECK(same(quantize(broadcast), copies));
}
