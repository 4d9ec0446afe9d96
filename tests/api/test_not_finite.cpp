// NaN and infinity in the data: the first one is named by its flat index and nothing is written.
#include <cmath>
#include <limits>

#include "one_call.h"

using namespace api_test;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// All functions that read x, all ways to get the global amax and the scales.
void check_named(Request r, size_t index) {
  const std::string name = "x[" + std::to_string(index) + "]";
  for (const bool global_given : {false, true}) {
    r.global_amax = global_given ? std::optional<Floats>(Floats{1.0f}) : std::nullopt;
    for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
      r.options.method = method;
      CAPTURE(index, global_given, method);
      const Quantized q = quantize(r);
      CHECK(q.status == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(contains(last_error(), name));
      CHECK(untouched(q));
      nvfp4cal_status status = 0;
      const Bytes faked = fake_quantize(r, NVFP4CAL_DTYPE_F32, &status);
      CHECK(status == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(faked == Bytes(faked.size(), 0xA5));
    }
    const Swept swept = scale_sweep(r);
    CHECK(swept.status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(contains(last_error(), name));
    CHECK(swept.amax == Floats(swept.amax.size(), -7.0f));
  }
  r.global_amax = Floats{1.0f};
  r.block_amax = Floats(r.blocks(), 0.5f);
  const Quantized q = quantize(r);
  CHECK(q.status == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(last_error(), name));
  CHECK(untouched(q));
}

}  // namespace

TEST_CASE("the first value that is not finite is named, wherever it is", "[api][finite]") {
  for (const float wrong : {kNan, -kNan, kInfinity, -kInfinity}) {
    for (const size_t index : {size_t{0}, size_t{15}, size_t{1000}, size_t{2047}}) {
      Floats x = random_values(32 * 64, 30);
      x[index] = wrong;
      if (index < 2000) x[2040] = -wrong;  // a later one
      check_named(request(x, {32, 64}), index);
    }
  }
}

TEST_CASE("the first of many chunks' values is named", "[api][finite]") {
  Floats x = random_values(1024 * 256, 31);
  for (const size_t index : {size_t{200000}, size_t{70000}, size_t{65536}}) {
    x[index] = kNan;
    const Quantized q = quantize(request(x, {1024, 256}, Floats{1.0f}));
    CHECK(q.status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(contains(last_error(), "x[" + std::to_string(index) + "]"));
    CHECK(untouched(q));
    CHECK(scale_sweep(request(x, {1024, 256}, Floats{1.0f})).status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(contains(last_error(), "x[" + std::to_string(index) + "]"));
  }
}

TEST_CASE("in a strided view the index is the view's, not the memory's", "[api][finite]") {
  Floats memory = random_values(64 * 40, 32);
  Request r = request(memory, {32, 32});
  r.x = strided(memory.data() + 5, NVFP4CAL_DTYPE_F32, {32, 32}, {1, 64});  // a transposed part
  memory[5 + 3 + 64 * 7] = kInfinity;                                       // row 3, column 7
  memory[5 + 9 + 64 * 2] = kNan;                                            // row 9, column 2: later in the view, earlier in memory
  memory[0] = memory[4] = kNan;                                             // outside the view
  check_named(r, 3 * 32 + 7);
}

TEST_CASE("values outside a view are not looked at", "[api][finite]") {
  Floats memory(4 * 64, kNan);
  for (size_t row = 0; row < 4; ++row) {
    for (size_t c = 0; c < 32; ++c) memory[row * 64 + c] = 0.5f;
  }
  Request r = request(memory, {4, 32}, Floats{1.0f});
  r.x = strided(memory.data(), NVFP4CAL_DTYPE_F32, {4, 32}, {64, 1});
  CHECK(quantize(r).status == NVFP4CAL_OK);
  CHECK(scale_sweep(r).status == NVFP4CAL_OK);
}

TEST_CASE("the values are named as what they are", "[api][finite]") {
  Floats x(16, 1.0f);
  const std::pair<float, const char*> cases[] = {{kNan, "x[4] is NaN"}, {kInfinity, "x[4] is infinite"}, {-kInfinity, "x[4] is -infinite"}};
  for (const auto& [value, message] : cases) {
    x[4] = value;
    CHECK(scale_sweep(request(x, {1, 16}, Floats{1.0f})).status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(last_error() == message);
  }
}

TEST_CASE("a float64 value beyond float32 is named with its value", "[api][finite]") {
  Floats unused(32);
  std::vector<double> x(32, 0.25);
  Request r = request(unused, {1, 32});
  r.x = view(x, {1, 32});
  x[17] = -1e39;
  check_named(r, 17);
  CHECK(contains(last_error(), "-1e+39"));
  CHECK(contains(last_error(), "float32"));
  x[17] = 3.4028235677973366e38;  // halfway between the largest float32 and 2^128: rounds to infinity
  check_named(r, 17);
  x[17] = 3.4028235677973362e38;  // just below: rounds to the largest float32
  CHECK(quantize(r).status == NVFP4CAL_OK);
  x[17] = std::numeric_limits<double>::infinity();
  check_named(r, 17);
  CHECK(contains(last_error(), "infinite"));
}

TEST_CASE("half-precision NaN and infinity are found", "[api][finite]") {
  Floats unused(32);
  for (const int32_t dtype : {NVFP4CAL_DTYPE_F16, NVFP4CAL_DTYPE_BF16}) {
    for (const bool nan : {false, true}) {
      CAPTURE(dtype, nan);
      std::vector<uint16_t> x(32, 0x3C00);
      x[31] = static_cast<uint16_t>((dtype == NVFP4CAL_DTYPE_F16 ? 0x7C00 : 0x7F80) | (nan ? 1 : 0));
      Request r = request(unused, {1, 32});
      r.x = view(x.data(), dtype, {1, 32});
      check_named(r, 31);
    }
  }
}

TEST_CASE("a block amax that is not finite or negative is named", "[api][finite]") {
  Floats x = random_values(64, 33);
  const std::pair<float, nvfp4cal_status> cases[] = {
      {kNan, NVFP4CAL_ERROR_NOT_FINITE}, {kInfinity, NVFP4CAL_ERROR_NOT_FINITE}, {-0.5f, NVFP4CAL_ERROR_INVALID_ARGUMENT}};
  for (const auto& [value, status] : cases) {
    Request r = request(x, {2, 32}, Floats{1.0f});
    r.block_amax = Floats{0.5f, 0.5f, value, 0.5f};
    const Quantized q = quantize(r);
    CHECK(q.status == status);
    CHECK(contains(last_error(), "block_amax[2]"));
    CHECK(untouched(q));
  }
  Request r = request(x, {2, 32}, Floats{1.0f});
  r.block_amax = Floats(3, 0.5f);
  CHECK(quantize(r).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "block_amax has 3 elements, expected 4"));
}
