// Tensors without elements, scalars, and numbers of elements that do not fit.
#include "one_call.h"

using namespace api_test;

TEST_CASE("tensors without elements are quantized to nothing", "[api][empty]") {
  Floats none;
  for (const Shape& shape : {Shape{0, 32}, Shape{4, 0}, Shape{0, 0}, Shape{0}, Shape{3, 0, 16}}) {
    for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
      for (const bool given : {false, true}) {
        CAPTURE(shape, method, given);
        const Request r = request(none, shape, given ? std::optional<Floats>(Floats{1.0f}) : std::nullopt, options_of(method, 16, 448));
        const Quantized q = quantize(r);
        CHECK(q.status == NVFP4CAL_OK);
        CHECK(q.global_scale == Floats{given ? 1.0f / 2688.0f : 1.0f});
        CHECK(scale_sweep(r).status == NVFP4CAL_OK);
        nvfp4cal_status status = -1;
        CHECK(fake_quantize(r, NVFP4CAL_DTYPE_F32, &status).empty());
        CHECK(status == NVFP4CAL_OK);
      }
    }
  }
}

TEST_CASE("nothing decodes to nothing and has no tiles", "[api][empty]") {
  float one = 1.0f;
  const nvfp4cal_tensor packed = view(nullptr, NVFP4CAL_DTYPE_U8, {0, 16}), scales = view(nullptr, NVFP4CAL_DTYPE_E4M3, {0, 2});
  const nvfp4cal_tensor global = scalar(one);
  nvfp4cal_tensor out = view(nullptr, NVFP4CAL_DTYPE_F32, {0, 32});
  CHECK(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_OK);
  nvfp4cal_tensor tiles = view(nullptr, NVFP4CAL_DTYPE_E4M3, {0});
  CHECK(nvfp4cal_swizzle_scales(nullptr, &scales, &tiles, nullptr) == NVFP4CAL_OK);
  nvfp4cal_tensor linear = view(nullptr, NVFP4CAL_DTYPE_E4M3, {0, 2});
  CHECK(nvfp4cal_unswizzle_scales(nullptr, &tiles, &linear, nullptr) == NVFP4CAL_OK);
  const nvfp4cal_tensor no_columns = view(nullptr, NVFP4CAL_DTYPE_E4M3, {5, 0});
  CHECK(nvfp4cal_swizzle_scales(nullptr, &no_columns, &tiles, nullptr) == NVFP4CAL_OK);
}

TEST_CASE("the shape of an empty output can be asked for", "[api][empty]") {
  Floats none;
  const nvfp4cal_tensor x = view(none.data(), NVFP4CAL_DTYPE_F32, {0, 32});
  nvfp4cal_tensor packed = question(), scales = question(), out = question();
  CHECK(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, nullptr, &packed, &scales, nullptr, nullptr) == NVFP4CAL_OK);
  CHECK(packed.dtype == NVFP4CAL_DTYPE_U8);
  CHECK(shape_of(packed) == Shape{0, 16});
  CHECK(scales.dtype == NVFP4CAL_DTYPE_E4M3);
  CHECK(shape_of(scales) == Shape{0, 2});
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, nullptr, &out, nullptr) == NVFP4CAL_OK);
  CHECK(out.dtype == NVFP4CAL_DTYPE_F32);
  CHECK(shape_of(out) == Shape{0, 2});
  out = question(NVFP4CAL_DTYPE_BF16);
  CHECK(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, nullptr, &out, nullptr) == NVFP4CAL_OK);
  CHECK(shape_of(out) == Shape{0, 32});
}

TEST_CASE("a scalar has no blocks", "[api][empty]") {
  float value = 1.0f;
  const nvfp4cal_tensor x = scalar(value);
  Floats memory(16, -7.0f);
  Bytes bytes(16, 0xA5);
  nvfp4cal_tensor out = view(memory), packed = view(bytes), scales = view(bytes);
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, nullptr, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "1 elements"));
  CHECK(nvfp4cal_quantize(nullptr, &x, nullptr, nullptr, nullptr, &packed, &scales, nullptr, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "scalar"));
  CHECK(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, nullptr, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(memory == Floats(16, -7.0f));
  CHECK(bytes == Bytes(16, 0xA5));
}

TEST_CASE("elements that do not make whole blocks are refused with their number", "[api][empty]") {
  struct Case {
    Shape shape;
    int32_t block;
    const char* part;
  };
  for (const Case& wrong : {Case{{40}, 16, "40"}, Case{{3, 15}, 16, "45"}, Case{{1, 16}, 32, "16"}, Case{{3, 48}, 32, "144"}}) {
    Floats x(static_cast<size_t>(count_of(wrong.shape)), 0.5f);
    const Request r = request(x, wrong.shape, Floats{1.0f}, options_of(NVFP4CAL_METHOD_MAX, wrong.block, 448));
    CAPTURE(wrong.shape, wrong.block);
    const Quantized q = quantize(r);
    CHECK(q.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(untouched(q));
    CHECK(scale_sweep(r).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), wrong.part));
    CHECK(contains(last_error(), std::to_string(wrong.block)));
  }
}

TEST_CASE("huge extents beside a zero neither overflow nor take time", "[api][empty]") {
  float value = 1.0f;
  Bytes byte(1, 0xA5);
  constexpr int64_t kLarge = int64_t{1} << 40;
  const nvfp4cal_tensor scales = view(byte, {kLarge, 0}), x = view(&value, NVFP4CAL_DTYPE_F32, {kLarge, 0});
  nvfp4cal_tensor out = view(byte, {0}), amax = view(&value, NVFP4CAL_DTYPE_F32, {0});
  CHECK(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, nullptr, &amax, nullptr) == NVFP4CAL_OK);
  const nvfp4cal_tensor cube = view(&value, NVFP4CAL_DTYPE_F32, {kLarge, kLarge, 0});
  const nvfp4cal_status status = nvfp4cal_scale_sweep(nullptr, &cube, nullptr, nullptr, &amax, nullptr);
  CHECK((status == NVFP4CAL_OK || status == NVFP4CAL_ERROR_INVALID_ARGUMENT));
  CHECK(value == 1.0f);
  CHECK(byte[0] == 0xA5);
}

TEST_CASE("a result with more bytes than memory can have is refused", "[api][empty]") {
  Bytes byte(2, 0x38);
  // one byte seen over and over: as a view it is fine, but its tiles are 512 times as many
  for (const int64_t rows : {int64_t{1} << 62, INT64_MAX, INT64_MAX - 126}) {
    const nvfp4cal_tensor scales = strided(byte.data(), NVFP4CAL_DTYPE_U8, {rows, 1}, {0, 0});
    nvfp4cal_tensor out = question();
    CAPTURE(rows);
    CHECK(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(rows)));
  }
  float one = 1.0f;
  const nvfp4cal_tensor packed = strided(byte.data(), NVFP4CAL_DTYPE_U8, {int64_t{1} << 62}, {0}), global = scalar(one);
  const nvfp4cal_tensor scales = strided(byte.data(), NVFP4CAL_DTYPE_U8, {int64_t{1} << 59}, {0});
  nvfp4cal_tensor out = question();
  CHECK(nvfp4cal_dequantize(nullptr, &packed, &scales, &global, 0, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), std::to_string(int64_t{1} << 62)));
}
