// Quantizing and decoding device tensors: the same bytes as on the host, and nothing written on failure.
#include "device.h"

using namespace device_test;

namespace {

constexpr uint8_t kUntouched = 0xEE;

struct Case {
  const char* name;
  Shape shape;
  int64_t slices;  // 0: no global amax is given
  bool amax_on_device, with_block_amax;
  nvfp4cal_options options;
};

std::vector<Case> cases() {
  const nvfp4cal_options plain = options();
  nvfp4cal_options wide = options_of(NVFP4CAL_METHOD_MAX, 32, 256), tiles = options(), both = wide;
  tiles.scale_layout = both.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
  return {{"amax found", {33, 80}, 0, false, false, plain},
          {"amax from the host", {33, 80}, 1, false, false, plain},
          {"amax from the device", {3, 17, 64}, 1, true, false, wide},
          {"one amax a slice", {5, 16, 32}, 5, true, false, plain},
          {"slices and tiles", {5, 130, 96}, 5, false, false, both},
          {"tiles", {130, 80}, 0, false, false, tiles},
          {"block amaxes", {33, 80}, 0, false, true, plain},
          {"block amaxes in slices and tiles", {2, 9, 64}, 2, true, true, both},
          {"a row", {64}, 0, false, false, plain},
          {"nothing", {0, 64}, 0, false, false, plain}};
}

struct Result {
  nvfp4cal_status status;
  Bytes packed, scales;
  Floats global;
};

// Values whose last slice is all zero where there are several, and that are scaled to reach float32's ends.
Floats values_of(const Case& one, float factor) {
  Floats values = random_values(static_cast<size_t>(count_of(one.shape)), 21);
  for (float& value : values) value *= factor;
  if (one.slices > 1) std::fill(values.end() - static_cast<std::ptrdiff_t>(values.size()) / one.slices, values.end(), 0.0f);
  if (values.size() >= 64) std::fill(values.begin() + 16, values.begin() + 48, 0.0f);
  return values;
}

Floats amaxes_of(const Case& one, const Floats& values) {
  const size_t slice = one.slices > 0 ? values.size() / static_cast<size_t>(one.slices) : 0;
  Floats amaxes;
  for (int64_t s = 0; s < one.slices; ++s) {
    amaxes.push_back(
        amax_of({values.begin() + static_cast<std::ptrdiff_t>(slice) * s, values.begin() + static_cast<std::ptrdiff_t>(slice) * (s + 1)}));
  }
  return amaxes;
}

Floats block_amaxes_of(const Case& one, const Floats& values) {
  Floats amaxes(values.size() / static_cast<size_t>(one.options.block_size ? one.options.block_size : 16));
  for (size_t b = 0; b < amaxes.size(); ++b) amaxes[b] = b % 5 == 0 ? 0.0f : amax_of(values) / static_cast<float>(b % 7 + 1);
  return amaxes;
}

void expect_same(const Case& one, const nvfp4cal_tensor& layout, const Bytes& bytes, const Floats& values) {
  Floats amaxes = amaxes_of(one, values), blocks = block_amaxes_of(one, values);
  nvfp4cal_tensor x = layout;
  x.data = const_cast<uint8_t*>(bytes.data());
  const nvfp4cal_tensor amax = view(amaxes), block_amax = view(blocks);
  const nvfp4cal_tensor *const amax_or_null = one.slices ? &amax : nullptr, *const block_or_null =
                                                                                one.with_block_amax ? &block_amax : nullptr;
  nvfp4cal_tensor packed = question(), scales = question(), global = question();
  REQUIRE(nvfp4cal_quantize(nullptr, &x, amax_or_null, block_or_null, &one.options, &packed, &scales, &global, nullptr) == NVFP4CAL_OK);
  const auto bytes_of = [](const nvfp4cal_tensor& tensor) { return Bytes(static_cast<size_t>(count_of(shape_of(tensor))), kUntouched); };
  Bytes want_packed = bytes_of(packed), want_scales = bytes_of(scales);
  Floats want_global(static_cast<size_t>(count_of(shape_of(global))));
  packed = view(want_packed);
  scales = view(want_scales);
  global = view(want_global);
  REQUIRE(nvfp4cal_quantize(nullptr, &x, amax_or_null, block_or_null, &one.options, &packed, &scales, &global, nullptr) == NVFP4CAL_OK);

  const Memory memory(bytes.data(), bytes.size());
  const OnDevice<float> device_amax(amaxes), device_blocks(blocks);
  const OnDevice<uint8_t> have_packed(Bytes(want_packed.size(), kUntouched)), have_scales(Bytes(want_scales.size(), kUntouched));
  const OnDevice<float> have_global(Floats(want_global.size(), -1.0f));
  const nvfp4cal_tensor y = moved(x, memory.data()), amax_there = moved(amax, device_amax.data()),
                        blocks_there = moved(block_amax, device_blocks.data());
  nvfp4cal_tensor packed_there = moved(packed, have_packed.data()), scales_there = moved(scales, have_scales.data()),
                  global_there = moved(global, have_global.data());
  const nvfp4cal_status status =
      nvfp4cal_quantize(nullptr, &y, one.slices ? (one.amax_on_device ? &amax_there : &amax) : nullptr,
                        one.with_block_amax ? &blocks_there : nullptr, &one.options, &packed_there, &scales_there, &global_there, nullptr);
  INFO(last_error());
  REQUIRE(status == NVFP4CAL_OK);
  CHECK(same_bits(have_packed.read(), want_packed));
  CHECK(same_bits(have_scales.read(), want_scales));
  CHECK(same_bits(have_global.read(), want_global));
}

}  // namespace

TEST_CASE("quantizing a device tensor writes the host's bytes") {
  for (const Case& one : cases()) {
    for (const Dtyped& type : kFloatDtypes) {
      const Floats values = values_of(one, 1.0f);
      INFO(one.name << ", " << type.name);
      expect_same(one, view(nullptr, type.dtype, one.shape), as_bytes(values, type.dtype), values);
    }
  }
}

TEST_CASE("global amaxes near the ends of float32 give the host's bytes") {
  for (const Case& one : cases()) {
    for (const float factor : {0x1p127f, 0x1p-100f, 0x1p-125f}) {
      INFO(one.name << " times " << factor);
      const Floats values = values_of(one, factor);
      expect_same(one, view(nullptr, NVFP4CAL_DTYPE_F32, one.shape), as_bytes(values, NVFP4CAL_DTYPE_F32), values);
    }
  }
}

TEST_CASE("quantizing a strided device tensor writes the host's bytes") {
  const Case one = cases()[0];
  const Floats values = random_values(80 * 100, 22);
  for (const Dtyped& type : kFloatDtypes) {
    INFO(type.name);
    expect_same(one, strided(nullptr, type.dtype, one.shape, {96, 1}), as_bytes(values, type.dtype), values);
    expect_same(one, strided(nullptr, type.dtype, one.shape, {1, 40}), as_bytes(values, type.dtype), values);
  }
}

TEST_CASE("fake quantization on a device gives the host's values, in place too") {
  const Case one = cases()[3];
  for (const Dtyped& type : kFloatDtypes) {
    for (const Dtyped& to : kFloatDtypes) {
      INFO(type.name << " to " << to.name);
      const Floats values = values_of(one, 1.0f);
      Bytes bytes = as_bytes(values, type.dtype);
      Bytes want(values.size() * dtype_size(to.dtype));
      nvfp4cal_tensor x = view(bytes.data(), type.dtype, one.shape), out = view(want.data(), to.dtype, one.shape);
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, nullptr, &out, nullptr) == NVFP4CAL_OK);
      const OnDevice<uint8_t> memory(bytes), have(Bytes(want.size()));
      const nvfp4cal_tensor y = moved(x, memory.data());
      nvfp4cal_tensor out_there = moved(out, have.data());
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &y, nullptr, nullptr, nullptr, &out_there, nullptr) == NVFP4CAL_OK);
      CHECK(same_bits(have.read(), want));
      if (type.dtype != to.dtype) continue;
      nvfp4cal_tensor itself = y;
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &y, nullptr, nullptr, nullptr, &itself, nullptr) == NVFP4CAL_OK);
      CHECK(same_bits(memory.read(), want));
    }
  }
}

TEST_CASE("decoding and reordering on a device give the host's values") {
  std::mt19937 engine(31);
  Bytes packed(6 * 40 * 32), scales(6 * 40 * 4);
  for (uint8_t& byte : packed) byte = static_cast<uint8_t>(engine());
  for (uint8_t& byte : scales) byte = static_cast<uint8_t>(engine() % 127 | (engine() & 0x80));
  Floats global = {0.5f, 1e-3f, 3.0f, 1e-30f, 1e20f, 0.1f};
  const OnDevice<uint8_t> packed_there(packed), scales_there(scales);
  const OnDevice<float> global_there(global);
  for (const Dtyped& to : kFloatDtypes) {
    for (const int32_t order : {NVFP4CAL_DECODE_MODELOPT, NVFP4CAL_DECODE_COMPRESSED_TENSORS}) {
      for (const int kind : {0, 1, 2}) {
        INFO(to.name << ", order " << order << (kind == 1 ? ", strided" : kind == 2 ? ", blocks of 32" : ""));
        nvfp4cal_tensor p = view(packed.data(), NVFP4CAL_DTYPE_U8, {6, 40, 32}), s = view(scales.data(), NVFP4CAL_DTYPE_E4M3, {6, 40, 4});
        if (kind == 2) s = view(scales.data(), NVFP4CAL_DTYPE_E4M3, {6, 40, 2});
        if (kind == 1) {
          p = strided(packed.data(), NVFP4CAL_DTYPE_U8, {6, 10, 16}, {1280, 64, 2});
          s = strided(scales.data(), NVFP4CAL_DTYPE_E4M3, {6, 10, 2}, {160, 1, 80});
        }
        const nvfp4cal_tensor g = view(global), p_there = moved(p, packed_there.data()), s_there = moved(s, scales_there.data());
        const Shape shape = {p.shape[0], p.shape[1], p.shape[2] * 2};
        Bytes want(static_cast<size_t>(count_of(shape)) * dtype_size(to.dtype));
        nvfp4cal_tensor out = view(want.data(), to.dtype, shape);
        REQUIRE(nvfp4cal_dequantize(nullptr, &p, &s, &g, order, &out, nullptr) == NVFP4CAL_OK);
        for (const bool global_on_device : {false, true}) {
          const OnDevice<uint8_t> have(Bytes(want.size()));
          nvfp4cal_tensor out_there = moved(out, have.data());
          const nvfp4cal_tensor g_there = moved(g, global_there.data());
          REQUIRE(nvfp4cal_dequantize(nullptr, &p_there, &s_there, global_on_device ? &g_there : &g, order, &out_there, nullptr) ==
                  NVFP4CAL_OK);
          CHECK(same_bits(have.read(), want));
        }
      }
    }
  }
  nvfp4cal_tensor linear = view(scales.data(), NVFP4CAL_DTYPE_U8, {2, 160, 3}), ask = question();
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &linear, &ask, nullptr) == NVFP4CAL_OK);
  Bytes want(static_cast<size_t>(count_of(shape_of(ask))));
  nvfp4cal_tensor tiles = view(want);
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &linear, &tiles, nullptr) == NVFP4CAL_OK);
  const OnDevice<uint8_t> have(Bytes(want.size(), kUntouched)), back(Bytes(960, kUntouched));
  const nvfp4cal_tensor linear_there = moved(linear, scales_there.data());
  nvfp4cal_tensor tiles_there = moved(tiles, have.data());
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &linear_there, &tiles_there, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(have.read(), want));
  nvfp4cal_tensor back_there = moved(linear, back.data());
  REQUIRE(nvfp4cal_unswizzle_scales(nullptr, &tiles_there, &back_there, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(back.read(), Bytes(scales.begin(), scales.begin() + 960)));
}

TEST_CASE("quotients at and beside the boundaries between levels have the host's codes on a device") {
  const float boundaries[] = {0.25f, 0.5f, 0.75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.5f, 3.0f, 3.5f, 4.0f, 5.0f, 6.0f};
  uint64_t seed = 0;
  for (const float amax : {1.0f, 2.875f, 0x1p-100f, 3e-39f, 1e-30f, 0x1.8p120f}) {
    Floats values, block_amax;
    for (int code = 1; code <= 126; ++code) {
      block_amax.push_back(amax * (nvfp4cal::num::e4m3_magnitude(code) / 448.0f));
      const float step = nvfp4cal::num::e4m3_magnitude(code) * (amax / 2688.0f);
      for (int i = 0; i < 16; ++i) {
        float value = boundaries[(++seed * 7) % 14] * step;
        for (int k = static_cast<int>(seed * 5 % 13) - 6; k != 0; k += k < 0 ? 1 : -1)
          value = std::nextafter(value, k < 0 ? 0.0f : HUGE_VALF);
        values.push_back(i == 15 ? 0.0f : i % 3 ? value : -value);
      }
    }
    for (const Dtyped& type : kFloatDtypes) {
      if (type.dtype == NVFP4CAL_DTYPE_F16 && amax > 1e5f) continue;
      INFO(type.name << ", amax " << amax);
      Bytes bytes = as_bytes(values, type.dtype);
      const Shape shape = {126, 16};
      float global = amax;
      const nvfp4cal_tensor x = view(bytes.data(), type.dtype, shape), g = scalar(global), b = view(block_amax, {126, 1});
      Bytes want(126 * 8), want_scales(126);
      nvfp4cal_tensor packed = view(want, {126, 8}), scales = view(want_scales, {126, 1});
      REQUIRE(nvfp4cal_quantize(nullptr, &x, &g, &b, nullptr, &packed, &scales, nullptr, nullptr) == NVFP4CAL_OK);
      const Memory memory(bytes.data(), bytes.size());
      const OnDevice<uint8_t> have(Bytes(want.size())), have_scales(Bytes(126));
      const nvfp4cal_tensor y = moved(x, memory.data());
      nvfp4cal_tensor packed_there = moved(packed, have.data()), scales_there = moved(scales, have_scales.data());
      REQUIRE(nvfp4cal_quantize(nullptr, &y, &g, &b, nullptr, &packed_there, &scales_there, nullptr, nullptr) == NVFP4CAL_OK);
      CHECK(same_bits(have.read(), want));
      CHECK(same_bits(have_scales.read(), want_scales));
    }
  }
}

TEST_CASE("what is wrong with device tensors is named as on the host, and nothing is written") {
  const Floats good(64, 1.0f);
  Floats nan = good, zero_slice = good;
  nan[40] = NAN;
  const OnDevice<float> a(good), b(nan);
  const OnDevice<uint8_t> packed(Bytes(32, kUntouched)), scales(Bytes(4, kUntouched)), out_bytes(Bytes(256, kUntouched));
  const OnDevice<float> global(Floats{-1.0f}), amaxes(Floats{1.0f, 0.0f}), negative(Floats{1.0f, -2.0f}), infinite(Floats{HUGE_VALF}),
      tiny(Floats{0x1p-140f}), blocks(Floats{1.0f, 0.0f, NAN, -1.0f}), last_block(Floats{1.0f, 0.0f, 1.0f, -1.0f});
  nvfp4cal_tensor p = packed.view(NVFP4CAL_DTYPE_U8, {2, 16}), s = scales.view(NVFP4CAL_DTYPE_U8, {2, 2}),
                  g = global.view(NVFP4CAL_DTYPE_F32, {1});
  const auto expect = [&](const OnDevice<float>& x, const OnDevice<float>* amax, int64_t n, const OnDevice<float>* block_amax,
                          nvfp4cal_status status, const char* text) {
    INFO(text);
    const nvfp4cal_tensor tensor = x.view(NVFP4CAL_DTYPE_F32, {2, 32});
    const nvfp4cal_tensor given = amax ? amax->view(NVFP4CAL_DTYPE_F32, {n}) : nvfp4cal_tensor{};
    const nvfp4cal_tensor block = block_amax ? block_amax->view(NVFP4CAL_DTYPE_F32, {4}) : nvfp4cal_tensor{};
    nvfp4cal_tensor g_out = n == 2 ? global.view(NVFP4CAL_DTYPE_F32, {1}) : g;
    CHECK(nvfp4cal_quantize(nullptr, &tensor, amax ? &given : nullptr, block_amax ? &block : nullptr, nullptr, &p, &s,
                            n == 2 ? nullptr : &g_out, nullptr) == status);
    CHECK(last_error() == text);
    CHECK(packed.read() == Bytes(32, kUntouched));
    CHECK(scales.read() == Bytes(4, kUntouched));
    CHECK(global.read() == Floats{-1.0f});
  };
  expect(b, nullptr, 0, nullptr, NVFP4CAL_ERROR_NOT_FINITE, "x[40] is NaN");
  expect(b, &amaxes, 1, nullptr, NVFP4CAL_ERROR_NOT_FINITE, "x[40] is NaN");
  expect(a, &amaxes, 2, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "global_amax[1] is 0 but x has magnitudes up to 1 there");
  expect(a, &negative, 2, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "global_amax[1] is -2, expected 0 or more");
  expect(a, &infinite, 1, nullptr, NVFP4CAL_ERROR_NOT_FINITE, "global_amax[0] is inf");
  expect(a, &tiny, 1, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "global_amax[0] is 7.17465e-43: its global scale is 0 in float32");
  expect(a, nullptr, 0, &blocks, NVFP4CAL_ERROR_NOT_FINITE, "block_amax[2] is nan");
  expect(a, nullptr, 0, &last_block, NVFP4CAL_ERROR_INVALID_ARGUMENT, "block_amax[3] is -1, expected 0 or more");

  const OnDevice<uint8_t> bad_scales(Bytes{1, 0x7F, 2, 0xFF});
  nvfp4cal_tensor out = out_bytes.view(NVFP4CAL_DTYPE_F32, {2, 32});
  const nvfp4cal_tensor nan_scales = bad_scales.view(NVFP4CAL_DTYPE_E4M3, {2, 2}), one = amaxes.view(NVFP4CAL_DTYPE_F32, {1}),
                        bad = negative.view(NVFP4CAL_DTYPE_F32, {2}), huge = infinite.view(NVFP4CAL_DTYPE_F32, {1});
  CHECK(nvfp4cal_dequantize(nullptr, &p, &nan_scales, &one, 0, &out, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "scales[1] is 0x7F, NaN");
  bad_scales.write(Bytes{1, 1, 2, 0xFF});
  CHECK(nvfp4cal_dequantize(nullptr, &p, &nan_scales, &one, 0, &out, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "scales[3] is 0xFF, NaN");
  const OnDevice<uint8_t> good_scales(Bytes(4, 0x38));
  const nvfp4cal_tensor fine = good_scales.view(NVFP4CAL_DTYPE_E4M3, {2, 2});
  CHECK(nvfp4cal_dequantize(nullptr, &p, &fine, &bad, 0, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "global_scale[1] is -2, expected a positive value");
  CHECK(nvfp4cal_dequantize(nullptr, &p, &fine, &huge, 0, &out, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "global_scale[0] is inf");
  CHECK(out_bytes.read() == Bytes(256, kUntouched));
}

TEST_CASE("one-shot calls leave no memory behind and fail cleanly where there is none") {
  NEEDS_EMULATION();
  const OnDevice<float> a(Floats(64, 1.0f));
  const OnDevice<uint8_t> packed(Bytes(32, kUntouched)), scales(Bytes(512, kUntouched));
  nvfp4cal_options tiles = options();
  tiles.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, {2, 32});
  nvfp4cal_tensor p = packed.view(NVFP4CAL_DTYPE_U8, {2, 16}), s = scales.view(NVFP4CAL_DTYPE_U8, {512});
  const int32_t before = live_allocations();
  for (int32_t skip = 0; skip < 8; ++skip) {
    fail_call("cudaMallocAsync", kOutOfMemory, skip);
    const nvfp4cal_status status = nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, &tiles, &p, &s, nullptr, nullptr);
    heal();
    CHECK((status == NVFP4CAL_ERROR_OUT_OF_MEMORY || (status == NVFP4CAL_OK && skip > 2)));
    CHECK((packed.read() == Bytes(32, kUntouched)) == (status != NVFP4CAL_OK));
    CHECK(live_allocations() == before);
    if (status == NVFP4CAL_OK) break;
  }
}
