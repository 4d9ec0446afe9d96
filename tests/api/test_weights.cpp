// Weights of the squared errors.
#include <cmath>
#include <limits>

#include "one_call.h"
#include "reference.h"

using namespace api_test;

namespace {

Floats positive_values(size_t n, uint32_t seed) {
  Floats values = random_values(n, seed);
  for (float& value : values) value = std::fabs(value) + 0.001f;
  return values;
}

Bytes codes_with(Floats& x, const Shape& shape, const nvfp4cal_tensor& weights, int32_t block = 16) {
  nvfp4cal_options chosen = options_of(NVFP4CAL_METHOD_MSE, block, 448);
  chosen.weights = &weights;
  const Quantized q = quantize(request(x, shape, Floats{1.0f}, chosen));
  return q.status == NVFP4CAL_OK ? q.scales : Bytes();
}

}  // namespace

TEST_CASE("weights of x's shape: no other code has a smaller weighted error", "[api][weights]") {
  Floats x = random_values(8 * 64, 20), weights = positive_values(8 * 64, 21);
  for (const int32_t block : {16, 32}) {
    const Bytes codes = codes_with(x, {8, 64}, view(weights, {8, 64}), block);
    REQUIRE(codes.size() == 512 / static_cast<size_t>(block));
    for (size_t b = 0; b < codes.size(); ++b) {
      CAPTURE(block, b, static_cast<int>(codes[b]));
      const size_t first = b * static_cast<size_t>(block);
      CHECK(reference::is_best_code(&x[first], &weights[first], block, codes[b], 1.0f, 448));
    }
  }
}

TEST_CASE("a row of weights is the same row for every row of x", "[api][weights]") {
  Floats x = random_values(8 * 64, 22), row = positive_values(64, 23), repeated;
  for (int i = 0; i < 8; ++i) repeated.insert(repeated.end(), row.begin(), row.end());
  const Bytes expected = codes_with(x, {8, 64}, view(repeated, {8, 64}));
  CHECK(expected.size() == 32);
  CHECK(codes_with(x, {8, 64}, view(row)) == expected);
  CHECK(codes_with(x, {2, 4, 64}, view(row)) == expected);
  CHECK(codes_with(x, {8, 64}, strided(row.data(), NVFP4CAL_DTYPE_F32, {8, 64}, {0, 1})) == expected);
  Floats ones(64, 1.0f);
  CHECK(codes_with(x, {8, 64}, view(ones)) != expected);
}

TEST_CASE("weights of 1, or of any one value, change nothing", "[api][weights]") {
  Floats x = random_values(8 * 64, 24);
  const Quantized plain = quantize(request(x, {8, 64}, Floats{1.0f}, options_of(NVFP4CAL_METHOD_MSE, 16, 448)));
  REQUIRE(plain.status == NVFP4CAL_OK);
  for (const float value : {1.0f, 0x1p-100f, 0x1p120f}) {
    CAPTURE(value);
    Floats weights(64, value);
    CHECK(codes_with(x, {8, 64}, view(weights)) == plain.scales);
  }
}

TEST_CASE("float64 and bfloat16 weights are their float32 values", "[api][weights]") {
  Floats x = random_values(4 * 32, 25), weights = positive_values(32, 26), rounded(32);
  std::vector<double> wide(weights.begin(), weights.end());
  CHECK(codes_with(x, {4, 32}, view(wide, {32})) == codes_with(x, {4, 32}, view(weights)));
  std::vector<uint16_t> halves(32);
  for (size_t i = 0; i < 32; ++i) {
    halves[i] = truncated_bf16(weights[i]);
    rounded[i] = bf16_value(halves[i]);
  }
  const Bytes codes = codes_with(x, {4, 32}, view(halves.data(), NVFP4CAL_DTYPE_BF16, {32}));
  CHECK(codes.size() == 8);
  CHECK(codes == codes_with(x, {4, 32}, view(rounded)));
}

TEST_CASE("a weight that is not positive and finite is named by index", "[api][weights]") {
  Floats x = random_values(4 * 32, 27);
  for (const float wrong : {0.0f, -0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const size_t index : {size_t{0}, size_t{77}, size_t{127}}) {
      CAPTURE(wrong, index);
      Floats weights(128, 1.0f);
      weights[index] = wrong;
      if (index < 100) weights[120] = wrong;  // the first one is named
      const nvfp4cal_tensor tensor = view(weights, {4, 32});
      nvfp4cal_options chosen = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
      chosen.weights = &tensor;
      const Quantized q = quantize(request(x, {4, 32}, Floats{1.0f}, chosen));
      CHECK(q.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(contains(last_error(), "weights[" + std::to_string(index) + "]"));
      CHECK(untouched(q));
      const Swept swept = scale_sweep(request(x, {4, 32}, Floats{1.0f}, chosen));
      CHECK(swept.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(swept.amax == Floats(8, -7.0f));
    }
  }
}

TEST_CASE("a float64 weight that float32 rounds to zero or infinity is refused", "[api][weights]") {
  Floats x = random_values(32, 28);
  for (const double wrong : {1e-60, 1e60}) {
    std::vector<double> weights(32, 1.0);
    weights[9] = wrong;
    CAPTURE(wrong);
    CHECK(codes_with(x, {1, 32}, view(weights, {32})).empty());
    CHECK(contains(last_error(), "weights[9]"));
  }
}

TEST_CASE("weights of another shape are refused", "[api][weights]") {
  Floats x = random_values(4 * 32, 29), weights(256, 1.0f);
  for (const Shape& shape : {Shape{31}, Shape{128}, Shape{32, 4}, Shape{4, 32, 1}, Shape{1, 4, 32}, Shape{4}, Shape{4, 2}, Shape{}}) {
    CAPTURE(shape);
    CHECK(codes_with(x, {4, 32}, view(weights.data(), NVFP4CAL_DTYPE_F32, shape)).empty());
    CHECK(contains(last_error(), "weights"));
    CHECK(contains(last_error(), "[4, 32]"));
  }
}
