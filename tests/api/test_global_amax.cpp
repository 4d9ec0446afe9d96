// The global amax: one value or one a slice, zero, tiny, wrong.
#include <cmath>
#include <limits>

#include "one_call.h"
#include "reference.h"

using namespace api_test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Answer {
  nvfp4cal_status status;
  bool untouched;
};

// The three functions that take a global amax.
std::vector<Answer> all_three(const Request& r) {
  const Quantized q = quantize(r);
  const Swept s = scale_sweep(r);
  nvfp4cal_status status = 0;
  const Bytes faked = fake_quantize(r, NVFP4CAL_DTYPE_F32, &status);
  return {{q.status, untouched(q)}, {s.status, s.amax == Floats(s.amax.size(), -7.0f)}, {status, faked == Bytes(faked.size(), 0xA5)}};
}

}  // namespace

TEST_CASE("a stack with one global amax a slice equals its slices one by one", "[api][global]") {
  const size_t slice = 8 * 32;
  Floats x = random_values(3 * slice, 11);
  for (size_t i = slice; i < 2 * slice; ++i) x[i] *= 100.0f;
  const Floats global = {1.0f, 250.0f, 0.75f};
  for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
    const nvfp4cal_options chosen = options_of(method, 16, 448);
    const Quantized stack = quantize(request(x, {3, 8, 32}, global, chosen));
    const Swept swept = scale_sweep(request(x, {3, 8, 32}, global, chosen));
    const Floats faked = as<float>(fake_quantize(request(x, {3, 8, 32}, global, chosen), NVFP4CAL_DTYPE_F32));
    REQUIRE(stack.status == NVFP4CAL_OK);
    REQUIRE(stack.global_scale.size() == 3);
    for (size_t s = 0; s < 3; ++s) {
      CAPTURE(method, s);
      Floats part(x.begin() + static_cast<std::ptrdiff_t>(s * slice), x.begin() + static_cast<std::ptrdiff_t>((s + 1) * slice));
      const Request one = request(part, {8, 32}, Floats{global[s]}, chosen);
      const Quantized expected = quantize(one);
      CHECK(stack.global_scale[s] == global[s] / 2688.0f);
      CHECK(std::equal(expected.packed.begin(), expected.packed.end(), stack.packed.begin() + static_cast<std::ptrdiff_t>(s * slice / 2)));
      CHECK(std::equal(expected.scales.begin(), expected.scales.end(), stack.scales.begin() + static_cast<std::ptrdiff_t>(s * slice / 16)));
      const Floats amax = scale_sweep(one).amax, fake = as<float>(fake_quantize(one, NVFP4CAL_DTYPE_F32));
      CHECK(std::memcmp(amax.data(), &swept.amax[s * slice / 16], amax.size() * 4) == 0);
      CHECK(std::memcmp(fake.data(), &faked[s * slice], fake.size() * 4) == 0);
    }
  }
}

TEST_CASE("a stack decodes with one global scale a slice", "[api][global]") {
  Floats x = random_values(2 * 4 * 32, 12);
  Quantized q = quantize(request(x, {2, 4, 32}, Floats{1.0f, 2.0f}));
  const Floats decoded = as<float>(dequantize(q, {2, 4, 32}, 16, NVFP4CAL_DTYPE_F32));
  const Bytes first(q.packed.begin(), q.packed.begin() + 64), second(q.packed.begin() + 64, q.packed.end());
  Floats expected = reference::decoded(first, Bytes(q.scales.begin(), q.scales.begin() + 8), 16, 1.0f / 2688.0f);
  const Floats rest = reference::decoded(second, Bytes(q.scales.begin() + 8, q.scales.end()), 16, 2.0f / 2688.0f);
  expected.insert(expected.end(), rest.begin(), rest.end());
  CHECK(same_bits(decoded, expected));
}

TEST_CASE("a number of global amaxes that fits no slices is refused", "[api][global]") {
  Floats x = random_values(4 * 32, 13);
  for (const size_t count : {size_t{2}, size_t{3}, size_t{5}, size_t{0}}) {
    CAPTURE(count);
    for (const Answer& answer : all_three(request(x, {4, 32}, Floats(count, 1.0f)))) {
      CHECK(answer.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(contains(last_error(), "global_amax"));
      CHECK(answer.untouched);
    }
  }
  // slices of 24 elements are not whole blocks
  const Swept swept = scale_sweep(request(x, {2, 64}, Floats{1.0f, 1.0f}));
  CHECK(swept.status == NVFP4CAL_OK);
  Floats odd = random_values(4 * 24, 14);
  CHECK(scale_sweep(request(odd, {4, 24}, Floats(4, 1.0f))).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "24 elements"));
}

TEST_CASE("a zero tensor: scales 1, codes 0, global scale 1, amaxes 0", "[api][global]") {
  Floats x(4 * 32, 0.0f);
  x[5] = -0.0f;
  for (const int32_t method : {NVFP4CAL_METHOD_MAX, NVFP4CAL_METHOD_MSE}) {
    for (const bool given : {false, true}) {
      CAPTURE(method, given);
      const Request r = request(x, {4, 32}, given ? std::optional<Floats>(Floats{0.0f}) : std::nullopt, options_of(method, 16, 448));
      const Quantized q = quantize(r);
      REQUIRE(q.status == NVFP4CAL_OK);
      CHECK(q.packed == Bytes(64, 0));
      CHECK(q.scales == Bytes(8, 0x38));
      CHECK(q.global_scale == Floats{1.0f});
      CHECK(scale_sweep(r).amax == Floats(8, 0.0f));
      CHECK(same_bits(as<float>(fake_quantize(r, NVFP4CAL_DTYPE_F32)), Floats(128, 0.0f)));
    }
  }
}

TEST_CASE("a zero block in a tensor: scale 1 with method max, code 1 with mse", "[api][global]") {
  Floats x = random_values(2 * 32, 15);
  std::fill(x.begin() + 16, x.begin() + 32, 0.0f);
  const Quantized by_max = quantize(request(x, {2, 32}, Floats{1.0f}, options_of(NVFP4CAL_METHOD_MAX, 16, 448)));
  const Quantized by_mse = quantize(request(x, {2, 32}, Floats{1.0f}, options_of(NVFP4CAL_METHOD_MSE, 16, 448)));
  CHECK(by_max.scales[1] == 0x38);
  CHECK(by_mse.scales[1] == 1);
  for (size_t i = 8; i < 16; ++i) CHECK((by_max.packed[i] == 0 && by_mse.packed[i] == 0));
  CHECK(scale_sweep(request(x, {2, 32}, Floats{1.0f})).amax[1] == 1.0f * (0.001953125f / 448.0f));
}

TEST_CASE("a zero global amax for a tensor that is not zero is refused", "[api][global]") {
  Floats x(4 * 32, 0.0f);
  x[100] = -0.25f;
  for (const Answer& answer : all_three(request(x, {4, 32}, Floats{0.0f}))) {
    CHECK(answer.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "global_amax[0] is 0"));
    CHECK(contains(last_error(), "0.25"));
    CHECK(answer.untouched);
  }
  for (const Answer& answer : all_three(request(x, {4, 32}, Floats{1.0f, 1.0f, 1.0f, 0.0f}))) {
    CHECK(answer.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "global_amax[3] is 0"));
  }
  for (const Answer& answer : all_three(request(x, {4, 32}, Floats{0.0f, 0.0f, 0.0f, 1.0f}))) CHECK(answer.status == NVFP4CAL_OK);
}

TEST_CASE("a global amax that is not finite or negative is refused by index", "[api][global]") {
  Floats x = random_values(4 * 32, 16);
  struct Case {
    float value;
    nvfp4cal_status status;
  };
  for (const Case& wrong : {Case{NAN, NVFP4CAL_ERROR_NOT_FINITE}, Case{kInfinity, NVFP4CAL_ERROR_NOT_FINITE},
                            Case{-kInfinity, NVFP4CAL_ERROR_NOT_FINITE}, Case{-1.0f, NVFP4CAL_ERROR_INVALID_ARGUMENT}}) {
    CAPTURE(wrong.value);
    for (const Answer& answer : all_three(request(x, {4, 32}, Floats{1.0f, 1.0f, wrong.value, 1.0f}))) {
      CHECK(answer.status == wrong.status);
      CHECK(contains(last_error(), "global_amax[2]"));
      CHECK(answer.untouched);
    }
  }
}

TEST_CASE("a global amax whose global scale has no float32 value is refused", "[api][global]") {
  Floats x(32, 0.0f);
  x[3] = 0x1p-149f;
  nvfp4cal_status status = 0;
  const Quantized q = quantize(request(x, {1, 32}, Floats{0x1p-149f}));
  CHECK(q.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "global_amax[0]"));
  CHECK(untouched(q));
  const Bytes faked = fake_quantize(request(x, {1, 32}), NVFP4CAL_DTYPE_F32, &status);
  CHECK(status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(faked == Bytes(faked.size(), 0xA5));
}

TEST_CASE("the global amax may be below the largest magnitude: blocks saturate", "[api][global]") {
  Floats x = random_values(2 * 32, 17);
  const Quantized q = quantize(request(x, {2, 32}, Floats{amax_of(x) / 64.0f}));
  REQUIRE(q.status == NVFP4CAL_OK);
  CHECK(q.scales == reference::max_codes(x, amax_of(x) / 64.0f, 16, 448));
  CHECK(std::count(q.scales.begin(), q.scales.end(), uint8_t{126}) > 0);
  CHECK(q.packed == reference::packed_nibbles(x, q.scales, 16, amax_of(x) / 64.0f / 2688.0f));
}

TEST_CASE("the global amax may be strided", "[api][global]") {
  Floats x = random_values(2 * 32, 18), spaced = {1.0f, -5.0f, 2.0f, -5.0f}, amax(4);
  const nvfp4cal_tensor tensor = view(x, {2, 32}), global = strided(spaced.data(), NVFP4CAL_DTYPE_F32, {2}, {2});
  nvfp4cal_tensor out = view(amax);
  CHECK(nvfp4cal_scale_sweep(nullptr, &tensor, &global, nullptr, &out, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(amax, scale_sweep(request(x, {2, 32}, Floats{1.0f, 2.0f})).amax));
}
