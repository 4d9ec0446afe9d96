// Quantizing on a device where bits are hard to keep: every 16-bit number, float32 numbers of all exponents, scales at the ends of float32's range.
#include "device.h"
#include "num/scale.h"

using namespace device_test;
namespace num = nvfp4cal::num;

namespace {

// Quantizes and fake-quantizes blocks of 16 on the device, the scales' codes in turn the given ones, or those of the blocks, and compares with the host.
void expect_same(const Bytes& bytes, int32_t dtype, float global, const std::vector<int>& codes) {
  const int64_t rows = static_cast<int64_t>(bytes.size() / dtype_size(dtype) / 16);
  const Shape shape = {rows, 16};
  Floats block_amax;
  for (int64_t row = 0; row < rows && !codes.empty(); ++row) {
    block_amax.push_back(num::block_amax(codes[static_cast<size_t>(row) % codes.size()], global, num::kNormalization));
  }
  Bytes copy = bytes;
  float of_all = global;
  const nvfp4cal_tensor x = view(copy.data(), dtype, shape), g = scalar(of_all), blocks = view(block_amax, {rows, 1});
  const nvfp4cal_tensor* const b = codes.empty() ? nullptr : &blocks;
  Bytes want(static_cast<size_t>(rows) * 8), want_scales(static_cast<size_t>(rows)), want_values(bytes.size());
  nvfp4cal_tensor packed = view(want, {rows, 8}), scales = view(want_scales, {rows, 1}), values = view(want_values.data(), dtype, shape);
  REQUIRE(nvfp4cal_quantize(nullptr, &x, &g, b, nullptr, &packed, &scales, nullptr, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_fake_quantize(nullptr, &x, &g, b, nullptr, &values, nullptr) == NVFP4CAL_OK);
  const Memory memory(bytes.data(), bytes.size());
  const OnDevice<uint8_t> have(Bytes(want.size())), have_scales(Bytes(want_scales.size())), have_values(Bytes(want_values.size()));
  const nvfp4cal_tensor y = moved(x, memory.data());
  nvfp4cal_tensor packed_there = moved(packed, have.data()), scales_there = moved(scales, have_scales.data()),
                  values_there = moved(values, have_values.data());
  REQUIRE(nvfp4cal_quantize(nullptr, &y, &g, b, nullptr, &packed_there, &scales_there, nullptr, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_fake_quantize(nullptr, &y, &g, b, nullptr, &values_there, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(have.read(), want));
  CHECK(same_bits(have_scales.read(), want_scales));
  CHECK(same_bits(have_values.read(), want_values));
}

// Global amaxes at and near float32's ends, and some whose steps lie just below powers of two.
constexpr float kGlobals[] = {
    1.0f,       2.875f, 0x1.fffffep0f, 448.0f * 6 * 0x1.fffffep-3f, 65504.0f, 3.3e-3f, 1e-38f, 3e-39f, 1e-30f, 0x1p-90f, 1e-20f, 1e20f,
    0x1.8p100f, 1e38f,  3e38f};

}  // namespace

TEST_CASE("every 16-bit number is quantized on a device as on the host") {
  for (const int32_t dtype : {NVFP4CAL_DTYPE_BF16, NVFP4CAL_DTYPE_F16}) {
    const uint32_t infinite = dtype == NVFP4CAL_DTYPE_BF16 ? 0x7F80 : 0x7C00;
    for (const float global : kGlobals) {
      for (const int code : {1, 7, 8, 0x38, 93, 126}) {
        Bytes bytes(65536 * 2);
        for (uint32_t bits = 0; bits < 65536; ++bits) {
          const uint16_t stored = static_cast<uint16_t>((bits & 0x7FFF) < infinite ? bits : 0);
          std::memcpy(bytes.data() + 2 * bits, &stored, 2);
        }
        INFO((dtype == NVFP4CAL_DTYPE_BF16 ? "bfloat16" : "float16") << ", G " << global << ", code " << code);
        expect_same(bytes, dtype, global, {code});
      }
    }
  }
}

TEST_CASE("float32 numbers of all bits are quantized on a device as on the host") {
  std::mt19937 engine(77);
  for (const float global : kGlobals) {
    Bytes bytes(4096 * 16 * 4);
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint32_t bits = engine();
      // all exponents, then those near the levels of the first code's scale
      float value = num::from_bits(bits);
      if (i % 8 == 0) value = global * (static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f) / 400.0f;
      if (i % 64 == 4)
        value = bits & 1 ? -0.0f : num::from_bits((bits & 0x80000000u) | (bits >> 8 & 0xFF));  // and zeros, subnormal numbers
      if (!num::is_finite(value)) value = 0.0f;
      std::memcpy(bytes.data() + i, &value, 4);
    }
    INFO("G " << global);
    expect_same(bytes, NVFP4CAL_DTYPE_F32, global, {1, 7, 8, 9, 0x38, 0x39, 70, 93, 126});
  }
}

TEST_CASE("block scales of a device are the host's for largest magnitudes of all sizes") {
  std::mt19937 engine(78);
  for (const float global : kGlobals) {
    for (const Dtyped& type : kFloatDtypes) {
      Floats values(2048 * 16);
      for (size_t i = 0; i < values.size(); ++i) {
        const int code = static_cast<int>(i / 16 % 128);
        // at the boundaries between the codes of scales, and far below them
        const float middle = (num::e4m3_magnitude(code % 126) + num::e4m3_magnitude(code % 126 + 1)) * 0.5f * (global / 448.0f);
        const float nudged = num::from_bits(num::bits_of(middle) + engine() % 3 - 1);
        values[i] = code == 127             ? num::from_bits(engine() % 70000)
                    : i % 16 == i / 16 % 16 ? nudged
                                            : middle * 0.25f * static_cast<float>(engine() % 4);
        if (!num::is_finite(values[i]) || num::abs_of(values[i]) > global) values[i] = global;
        if (engine() & 1) values[i] = -values[i];
      }
      if (type.dtype == NVFP4CAL_DTYPE_F16 && global > 6e4f) continue;  // beyond its range
      INFO("G " << global << ", " << type.name);
      expect_same(as_bytes(values, type.dtype), type.dtype, global, {});
    }
  }
}

TEST_CASE("outputs on a device may be aligned to four bytes of codes, or to their elements, alone") {
  const Floats values = random_values(40 * 64, 79);
  for (const int32_t block : {16, 32}) {
    const nvfp4cal_options how = options_of(NVFP4CAL_METHOD_MAX, block, 448);
    for (const Dtyped& type : kFloatDtypes) {
      INFO(type.name << ", blocks of " << block);
      Bytes bytes = as_bytes(values, type.dtype), want(values.size() / 2), want_scales(values.size() / static_cast<size_t>(block)),
            want_values(bytes.size());
      const Shape shape = {40, 64};
      const nvfp4cal_tensor x = view(bytes.data(), type.dtype, shape);
      nvfp4cal_tensor packed = view(want, {40, 32}), scales = view(want_scales, {40, 64 / block}),
                      decoded = view(want_values.data(), type.dtype, shape);
      REQUIRE(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, &how, &packed, &scales, nullptr, nullptr) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, &how, &decoded, nullptr) == NVFP4CAL_OK);
      const size_t element = dtype_size(type.dtype);
      const OnDevice<uint8_t> memory(bytes), have(Bytes(want.size() + 4)), have_scales(Bytes(want_scales.size())),
          have_values(Bytes(bytes.size() + element));
      const nvfp4cal_tensor y = moved(x, memory.data());
      nvfp4cal_tensor packed_there = have.view(NVFP4CAL_DTYPE_U8, {40, 32}, 4), scales_there = moved(scales, have_scales.data()),
                      decoded_there = have_values.view(type.dtype, shape, element);
      REQUIRE(nvfp4cal_quantize(nullptr, &y, nullptr, nullptr, &how, &packed_there, &scales_there, nullptr, nullptr) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &y, nullptr, nullptr, &how, &decoded_there, nullptr) == NVFP4CAL_OK);
      const Bytes codes = have.read(), levels = have_values.read();
      CHECK(Bytes(codes.begin() + 4, codes.end()) == want);
      CHECK(have_scales.read() == want_scales);
      CHECK(Bytes(levels.begin() + static_cast<std::ptrdiff_t>(element), levels.end()) == want_values);
    }
  }
}
