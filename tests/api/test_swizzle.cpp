// Block scales between row-major order and 128x4 tiles, against the formula of the offset.
#include "one_call.h"
#include "reference.h"

using namespace api_test;

namespace {

Bytes random_bytes(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  Bytes bytes(n);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(engine() % 255 + 1);  // padding is 0
  return bytes;
}

// Both ways, through the shape query.
void check_both_ways(Bytes& linear, const Shape& shape, int64_t stack, int64_t rows, int64_t k) {
  CAPTURE(shape);
  const Bytes expected = reference::swizzled(linear, stack, rows, k);
  const nvfp4cal_tensor scales = view(linear.data(), NVFP4CAL_DTYPE_E4M3, shape);
  nvfp4cal_tensor out = question();
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_OK);
  CHECK(out.dtype == NVFP4CAL_DTYPE_E4M3);
  Shape tiles_shape(shape.begin(), shape.end() - 2);
  tiles_shape.push_back(static_cast<int64_t>(expected.size()) / stack);
  CHECK(shape_of(out) == tiles_shape);
  Bytes tiles(expected.size(), 0xA5);
  out.data = tiles.data();
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_OK);
  CHECK(tiles == expected);
  Bytes back(linear.size(), 0xA5);
  nvfp4cal_tensor linear_out = view(back.data(), NVFP4CAL_DTYPE_E4M3, shape);
  REQUIRE(nvfp4cal_unswizzle_scales(nullptr, &out, &linear_out, nullptr) == NVFP4CAL_OK);
  CHECK(back == linear);
}

}  // namespace

TEST_CASE("offsets of some scales, written out", "[api][swizzle]") {
  Bytes linear = random_bytes(256 * 8, 50);
  const nvfp4cal_tensor scales = view(linear, {256, 8});
  Bytes tiles(256 * 8);
  nvfp4cal_tensor out = view(tiles);
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_OK);
  const auto scale = [&](size_t m, size_t k) { return linear[m * 8 + k]; };
  CHECK(tiles[0] == scale(0, 0));
  CHECK(tiles[3] == scale(0, 3));
  CHECK(tiles[4] == scale(32, 0));
  CHECK(tiles[16] == scale(1, 0));
  CHECK(tiles[15] == scale(96, 3));
  CHECK(tiles[512] == scale(0, 4));
  CHECK(tiles[1024] == scale(128, 0));
  CHECK(tiles[2047] == scale(255, 7));
}

TEST_CASE("matrices of all sizes around the tile", "[api][swizzle]") {
  for (const int64_t rows : {1, 127, 128, 129, 300}) {
    for (int64_t k = 1; k <= 9; ++k) {
      Bytes linear = random_bytes(static_cast<size_t>(rows * k), static_cast<uint32_t>(rows * 10 + k));
      check_both_ways(linear, {rows, k}, 1, rows, k);
    }
  }
}

TEST_CASE("stacks of matrices", "[api][swizzle]") {
  Bytes linear = random_bytes(3 * 130 * 5, 51);
  check_both_ways(linear, {3, 130, 5}, 3, 130, 5);
  check_both_ways(linear, {1, 390, 5}, 1, 390, 5);
  Bytes many = random_bytes(2 * 3 * 33 * 6, 52);
  check_both_ways(many, {2, 3, 33, 6}, 6, 33, 6);
}

TEST_CASE("strided scales are reordered as their copy is", "[api][swizzle]") {
  Bytes linear = random_bytes(2 * 130 * 5, 53), spread(2 * 130 * 5 * 2);
  for (size_t s = 0; s < 2; ++s) {
    for (size_t m = 0; m < 130; ++m) {
      for (size_t k = 0; k < 5; ++k) spread[((s * 5 + k) * 130 + m) * 2] = linear[(s * 130 + m) * 5 + k];
    }
  }
  const nvfp4cal_tensor scales = strided(spread.data(), NVFP4CAL_DTYPE_U8, {2, 130, 5}, {1300, 2, 260});
  const Bytes expected = reference::swizzled(linear, 2, 130, 5);
  Bytes tiles(expected.size());
  nvfp4cal_tensor out = view(tiles);
  REQUIRE(nvfp4cal_swizzle_scales(nullptr, &scales, &out, nullptr) == NVFP4CAL_OK);
  CHECK(tiles == expected);
}

TEST_CASE("quantize writes the tiles that swizzling its linear scales gives", "[api][swizzle]") {
  for (const Shape& shape : {Shape{130, 96}, Shape{3, 40, 48}}) {
    for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
      Floats x = random_values(static_cast<size_t>(count_of(shape)), 54);
      nvfp4cal_options chosen = options_of(method, 16, 448);
      const Quantized linear = quantize(request(x, shape, Floats{1.0f}, chosen));
      const int64_t stack = shape.size() == 3 ? shape[0] : 1;
      const Bytes expected = reference::swizzled(linear.scales, stack, shape[shape.size() - 2], shape.back() / 16);
      chosen.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
      const Quantized tiled = quantize(request(x, shape, Floats{1.0f}, chosen), expected.size());
      CAPTURE(shape, method);
      REQUIRE(tiled.status == NVFP4CAL_OK);
      CHECK(tiled.scales == expected);
      CHECK(tiled.packed == linear.packed);
      Request r = request(x, shape, Floats{1.0f}, chosen);
      Bytes packed_bytes(x.size() / 2, 0xA5);
      nvfp4cal_tensor packed = view(packed_bytes), scales = question();
      CHECK(nvfp4cal_quantize(nullptr, &r.x, nullptr, nullptr, &chosen, &packed, &scales, nullptr, nullptr) == NVFP4CAL_OK);
      CHECK(scales.shape[scales.ndim - 1] == static_cast<int64_t>(expected.size()) / stack);
      CHECK(packed_bytes == Bytes(x.size() / 2, 0xA5));
    }
  }
}

TEST_CASE("a vector of scales has no tiles", "[api][swizzle]") {
  Bytes bytes(512, 0x38), tiles(512);
  const nvfp4cal_tensor vector = view(bytes, {512}), single = view(bytes, {});
  nvfp4cal_tensor out = view(tiles);
  CHECK(nvfp4cal_swizzle_scales(nullptr, &vector, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "[512]"));
  CHECK(nvfp4cal_swizzle_scales(nullptr, &single, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  Floats x = random_values(64, 55);
  nvfp4cal_options chosen = options();
  chosen.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
  const Quantized q = quantize(request(x, {64}, Floats{1.0f}, chosen), 512);
  CHECK(q.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(untouched(q));
}

TEST_CASE("unswizzle refuses tiles of another size, kind or layout", "[api][swizzle]") {
  Bytes tiles(1024, 0x38), linear(15, 0xA5);
  nvfp4cal_tensor out = view(linear, {3, 5}), in = view(tiles, {512});
  CHECK(nvfp4cal_unswizzle_scales(nullptr, &in, &out, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "512"));
  CHECK(contains(last_error(), "1024"));
  in = strided(tiles.data(), NVFP4CAL_DTYPE_U8, {1024}, {0});
  CHECK(nvfp4cal_unswizzle_scales(nullptr, &in, &out, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  in = view(tiles.data(), NVFP4CAL_DTYPE_E4M3, {1024});
  CHECK(nvfp4cal_unswizzle_scales(nullptr, &in, &out, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);  // out is uint8
  CHECK(contains(last_error(), "out is uint8"));
  CHECK(linear == Bytes(15, 0xA5));
}
