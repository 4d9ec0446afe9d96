// nvfp4cal_gptq at the C ABI: what it takes and refuses, and that its outputs belong together. Its numbers: tests/unit/test_gptq.cpp.
#include <cmath>
#include <limits>

#include "hessian_calls.h"

using namespace api_test;

namespace {

struct DestroyGptq {
  void operator()(nvfp4cal_gptq* handle) const { nvfp4cal_gptq_destroy(handle); }
};
using Gptq = std::unique_ptr<nvfp4cal_gptq, DestroyGptq>;

Gptq make_gptq(int32_t effort = NVFP4CAL_GPTQ_DEFAULT) {
  nvfp4cal_gptq* handle = nullptr;
  if (nvfp4cal_gptq_create(&handle) != NVFP4CAL_OK) return nullptr;
  Gptq gptq(handle);
  return nvfp4cal_gptq_set_effort(handle, effort) == NVFP4CAL_OK ? std::move(gptq) : nullptr;
}

// X^T X of correlated rows.
Floats gram(int64_t cols, int64_t rows, uint32_t seed) {
  Floats x = random_values(static_cast<size_t>(rows * cols), seed);
  for (size_t i = x.size() - 1; i > 0; --i) x[i] += 0.7f * x[i - 1];
  return naive_hessian(x, {cols, NVFP4CAL_HESSIAN_FULL, 16, false, 0.0});
}

nvfp4cal_status set_hessian(const Gptq& gptq, Floats h, Shape shape) {
  const nvfp4cal_tensor tensor = view(h, shape);
  return nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &tensor, nullptr);
}

struct Quantized {
  nvfp4cal_status status = 0;
  Bytes packed, scales;
  Floats global_scale, used_amax, decoded;
  Shape packed_shape, scales_shape, amax_shape, decoded_shape;
};

Quantized quantize(const Gptq& gptq, const nvfp4cal_tensor& x, Floats global_amax = {}) {
  Quantized q;
  nvfp4cal_tensor out[5] = {question(), question(), question(), question(), question()};
  const nvfp4cal_tensor amax = view(global_amax);
  const auto call = [&] {
    return nvfp4cal_gptq_quantize(gptq.get(), &x, global_amax.empty() ? nullptr : &amax, &out[0], &out[1], &out[2], &out[3], &out[4],
                                  nullptr);
  };
  q.status = call();
  if (q.status != NVFP4CAL_OK) return q;
  q.packed_shape = shape_of(out[0]);
  q.scales_shape = shape_of(out[1]);
  q.amax_shape = shape_of(out[2]);
  q.decoded_shape = shape_of(out[4]);
  q.packed.assign(static_cast<size_t>(count_of(q.packed_shape)), 0xA5);
  q.scales.assign(static_cast<size_t>(count_of(q.scales_shape)), 0xA5);
  for (Floats* floats : {&q.global_scale, &q.used_amax}) floats->assign(static_cast<size_t>(count_of(q.amax_shape)), -7.0f);
  q.decoded.assign(static_cast<size_t>(count_of(q.decoded_shape)), -7.0f);
  void* const data[5] = {q.packed.data(), q.scales.data(), q.global_scale.data(), q.used_amax.data(), q.decoded.data()};
  for (int i = 0; i < 5; ++i) out[i].data = data[i];
  q.status = call();
  return q;
}

Quantized quantize(const Gptq& gptq, Floats& x, const Shape& shape, const Floats& global_amax = {}) {
  return quantize(gptq, view(x, shape), global_amax);
}

bool same(const Quantized& a, const Quantized& b) {
  return a.status == b.status && a.packed == b.packed && a.scales == b.scales && same_bits(a.global_scale, b.global_scale) &&
         same_bits(a.used_amax, b.used_amax) && same_bits(a.decoded, b.decoded);
}

// What nvfp4cal_dequantize makes of packed codes and scales.
Floats decode(Quantized& q) {
  Floats out(q.decoded.size());
  const nvfp4cal_tensor packed = view(q.packed, q.packed_shape), scales = view(q.scales, q.scales_shape),
                        global = view(q.global_scale, q.amax_shape);
  nvfp4cal_tensor decoded = view(out, q.decoded_shape);
  const nvfp4cal_status status = nvfp4cal_dequantize(nullptr, &packed, &scales, &global, NVFP4CAL_DECODE_MODELOPT, &decoded, nullptr);
  return status == NVFP4CAL_OK ? out : Floats();
}

bool refused(nvfp4cal_status status, nvfp4cal_status expected, const char* text) {
  return status == expected && contains(last_error(), text);
}

}  // namespace

TEST_CASE("GPTQ: outputs belong together", "[api][gptq]") {
  for (const int64_t rows : {1, 5, 64, 65}) {
    for (const int64_t cols : {16, 48, 128, 144}) {
      CAPTURE(rows, cols);
      const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
      REQUIRE(set_hessian(gptq, gram(cols, 2 * cols, 3), {cols, cols}) == NVFP4CAL_OK);
      Floats x = random_values(static_cast<size_t>(rows * cols), 4);
      Quantized q = quantize(gptq, x, {rows, cols});
      REQUIRE(q.status == NVFP4CAL_OK);
      CHECK(q.packed_shape == Shape{rows, cols / 2});
      CHECK(q.scales_shape == Shape{rows, cols / 16});
      CHECK(q.amax_shape.empty());
      CHECK(q.decoded_shape == Shape{rows, cols});
      CHECK(q.used_amax == Floats{amax_of(x)});
      CHECK(q.global_scale == Floats{amax_of(x) / 2688.0f});
      CHECK(same_bits(decode(q), q.decoded));
      int bad = 0;
      for (const uint8_t code : q.scales) bad += code < 1 || code > 126;
      for (const uint8_t byte : q.packed) bad += (byte & 15) == 8 || byte >> 4 == 8;
      CHECK(bad == 0);
    }
  }
}

TEST_CASE("GPTQ: a handle's Hessian and a tensor, of any dtype and strides, give the same", "[api][gptq]") {
  constexpr int64_t kCols = 144;
  Floats x = random_values(300 * kCols, 8), w = random_values(20 * kCols, 9);
  const Hessian hessian = make_hessian(NVFP4CAL_HESSIAN_FULL);
  REQUIRE(collect(hessian, x, {300, kCols}) == NVFP4CAL_OK);
  const Gptq a = make_gptq(), b = make_gptq(), c = make_gptq();
  REQUIRE(nvfp4cal_gptq_set_hessian(a.get(), hessian.get(), nullptr) == NVFP4CAL_OK);
  std::vector<double> full(kCols * kCols), padded(kCols * (kCols + 3));
  for (int64_t i = 0; i < kCols; ++i) {
    for (int64_t j = 0; j < kCols; ++j) {
      double sum = 0.0, part = 0.0;  // in the chunks of 128 rows that the handle adds
      for (int64_t t = 0; t < 300; ++t) {
        part += static_cast<double>(x[static_cast<size_t>(t * kCols + i)]) * static_cast<double>(x[static_cast<size_t>(t * kCols + j)]);
        if (t % 128 == 127 || t == 299) {
          sum += part;
          part = 0.0;
        }
      }
      full[static_cast<size_t>(i * kCols + j)] = padded[static_cast<size_t>(j * (kCols + 3) + i)] = sum;
    }
  }
  const nvfp4cal_tensor plain = view(full, {kCols, kCols});
  const nvfp4cal_tensor turned = strided(padded.data(), NVFP4CAL_DTYPE_F64, {kCols, kCols}, {1, kCols + 3});
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(b.get(), &plain, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(c.get(), &turned, nullptr) == NVFP4CAL_OK);
  const Quantized expected = quantize(a, w, {20, kCols});
  REQUIRE(expected.status == NVFP4CAL_OK);
  CHECK(same(quantize(b, w, {20, kCols}), expected));
  CHECK(same(quantize(c, w, {20, kCols}), expected));
  std::vector<double> wide(w.begin(), w.end());
  CHECK(same(quantize(a, view(wide, {20, kCols})), expected));
  Floats columns(w.size());
  for (size_t i = 0; i < w.size(); ++i) columns[i % kCols * 20 + i / kCols] = w[i];
  CHECK(same(quantize(a, strided(columns.data(), NVFP4CAL_DTYPE_F32, {20, kCols}, {1, 20})), expected));
}

TEST_CASE("GPTQ: a stack is its matrices", "[api][gptq]") {
  constexpr int64_t kCols = 48, kRows = 7, kExperts = 3;
  Floats all, w = random_values(kExperts * kRows * kCols, 12);
  for (uint32_t e = 0; e < kExperts; ++e) {
    const Floats h = gram(kCols, 100, 20 + e);
    all.insert(all.end(), h.begin(), h.end());
  }
  const Gptq own = make_gptq(), shared = make_gptq();
  REQUIRE(set_hessian(own, all, {kExperts, kCols, kCols}) == NVFP4CAL_OK);
  REQUIRE(set_hessian(shared, gram(kCols, 100, 20), {kCols, kCols}) == NVFP4CAL_OK);
  const Quantized stack = quantize(own, w, {kExperts, kRows, kCols}), first = quantize(shared, w, {kExperts, kRows, kCols});
  REQUIRE(stack.status == NVFP4CAL_OK);
  CHECK(stack.amax_shape == Shape{kExperts});
  for (int64_t e = 0; e < kExperts; ++e) {
    const Gptq one = make_gptq();
    const auto h = all.begin() + e * kCols * kCols;
    REQUIRE(set_hessian(one, Floats(h, h + kCols * kCols), {kCols, kCols}) == NVFP4CAL_OK);
    Floats part(w.begin() + e * kRows * kCols, w.begin() + (e + 1) * kRows * kCols);
    const Quantized q = quantize(one, part, {kRows, kCols}), q_shared = quantize(shared, part, {kRows, kCols});
    const size_t bytes = q.packed.size(), values = q.decoded.size(), at = static_cast<size_t>(e);
    CHECK(std::memcmp(stack.packed.data() + at * bytes, q.packed.data(), bytes) == 0);
    CHECK(std::memcmp(stack.decoded.data() + at * values, q.decoded.data(), values * sizeof(float)) == 0);
    CHECK(std::memcmp(first.packed.data() + at * bytes, q_shared.packed.data(), bytes) == 0);
    CHECK(stack.used_amax[at] == q.used_amax[0]);
  }
  CHECK(refused(quantize(own, w, {kExperts * kRows, kCols}).status, NVFP4CAL_ERROR_INVALID_ARGUMENT, "x of shape [21, 48] for 3 Hessians"));
}

TEST_CASE("GPTQ: dead channels, zero weights and a Hessian of zeros", "[api][gptq]") {
  constexpr int64_t kCols = 64;
  Floats h = gram(kCols, 200, 31);
  for (int64_t dead = 16; dead < 33; ++dead) {
    for (int64_t i = 0; i < kCols; ++i) h[static_cast<size_t>(dead * kCols + i)] = h[static_cast<size_t>(i * kCols + dead)] = 0.0f;
  }
  Floats w = random_values(10 * kCols, 32);
  std::fill(w.begin() + 2 * kCols, w.begin() + 3 * kCols, 0.0f);  // a row
  std::fill(w.begin(), w.begin() + 16, 0.0f);                     // a block
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX), flat = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  const Quantized q = quantize(gptq, w, {10, kCols});
  REQUIRE(q.status == NVFP4CAL_OK);
  for (int64_t i = 0; i < kCols; ++i) CHECK(q.decoded[static_cast<size_t>(2 * kCols + i)] == 0.0f);
  // a dead column is rounded for itself: within its block's half step
  for (int64_t row = 0; row < 10; ++row) {
    const float scale = q.global_scale[0] * 448.0f;
    for (int64_t i = 17; i < 33; ++i) {
      const size_t at = static_cast<size_t>(row * kCols + i);
      CHECK(std::fabs(q.decoded[at] - w[at]) <= scale);
    }
  }
  Floats zeros(10 * kCols);
  const Quantized none = quantize(gptq, zeros, {10, kCols});
  CHECK(none.packed == Bytes(5 * kCols, 0));
  CHECK(none.scales == Bytes(10 * kCols / 16, 0x38));
  CHECK(none.global_scale == Floats{1.0f});
  CHECK(none.used_amax == Floats{0.0f});
  // under a group's global amax too
  const Quantized grouped = quantize(gptq, zeros, {10, kCols}, {3.0f});
  CHECK(grouped.packed == Bytes(5 * kCols, 0));
  CHECK(grouped.scales == Bytes(10 * kCols / 16, 0x38));
  CHECK(grouped.global_scale == Floats{3.0f / 2688.0f});
  REQUIRE(set_hessian(flat, Floats(kCols * kCols), {kCols, kCols}) == NVFP4CAL_OK);
  CHECK(quantize(flat, w, {10, kCols}).status == NVFP4CAL_OK);
}

TEST_CASE("GPTQ: a cross term moves weights to the least squares solution", "[api][gptq]") {
  constexpr int64_t kCols = 32, kRows = 6;
  Floats w = random_values(kRows * kCols, 41), h = gram(kCols, 200, 42);
  // X = X0 A with A = 0.5: H = 0.25 H0, cross = 0.5 H0; without damping the best weights are 2 w
  Floats quarter = h, half = h, twice = w;
  for (float& value : quarter) value *= 0.25f;
  for (float& value : half) value *= 0.5f;
  for (float& value : twice) value *= 2.0f;
  const Gptq plain = make_gptq(), moved = make_gptq();
  for (const Gptq* gptq : {&plain, &moved}) REQUIRE(nvfp4cal_gptq_set_damping(gptq->get(), 1e-9) == NVFP4CAL_OK);
  REQUIRE(set_hessian(plain, quarter, {kCols, kCols}) == NVFP4CAL_OK);
  const nvfp4cal_tensor hessian = view(quarter, {kCols, kCols}), cross = view(half, {kCols, kCols});
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(moved.get(), &hessian, &cross) == NVFP4CAL_OK);
  const Quantized expected = quantize(plain, twice, {kRows, kCols}), found = quantize(moved, w, {kRows, kCols});
  REQUIRE(found.status == NVFP4CAL_OK);
  CHECK(std::fabs(found.used_amax[0] / expected.used_amax[0] - 1.0f) < 1e-5f);
  CHECK(found.packed == expected.packed);
  CHECK(found.scales == expected.scales);
  // with the Hessian itself as the cross term nothing moves
  const Gptq still = make_gptq();
  REQUIRE(nvfp4cal_gptq_set_damping(still.get(), 1e-9) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(still.get(), &hessian, &hessian) == NVFP4CAL_OK);
  CHECK(same(quantize(still, w, {kRows, kCols}), quantize(plain, w, {kRows, kCols})));
}

TEST_CASE("GPTQ: the group's global amax is used as given", "[api][gptq]") {
  constexpr int64_t kCols = 32;
  Floats w = random_values(4 * kCols, 51);
  const Gptq gptq = make_gptq();
  REQUIRE(set_hessian(gptq, gram(kCols, 80, 52), {kCols, kCols}) == NVFP4CAL_OK);
  const float amax = amax_of(w);
  CHECK(same(quantize(gptq, w, {4, kCols}, {amax}), quantize(gptq, w, {4, kCols})));
  const Quantized larger = quantize(gptq, w, {4, kCols}, {3.0f * amax});
  CHECK(larger.used_amax == Floats{3.0f * amax});
  CHECK(larger.global_scale == Floats{3.0f * amax / 2688.0f});
  const int32_t invalid = NVFP4CAL_ERROR_INVALID_ARGUMENT;
  CHECK(refused(quantize(gptq, w, {4, kCols}, {0.0f}).status, invalid, "global_amax[0] is 0 but the weights have"));
  CHECK(refused(quantize(gptq, w, {4, kCols}, {amax / 2000.0f}).status, invalid, "less than the weights' amax"));
  CHECK(refused(quantize(gptq, w, {4, kCols}, {amax, amax}).status, invalid, "global_amax has 2 elements, expected 1"));
}

TEST_CASE("GPTQ: any damping; a large one leaves the identity", "[api][gptq]") {
  constexpr int64_t kCols = 144;  // places are padded
  Floats w = random_values(5 * kCols, 71), identity(kCols * kCols);
  for (int64_t i = 0; i < kCols; ++i) identity[static_cast<size_t>(i * (kCols + 1))] = 1.0f;
  const Floats h = gram(kCols, 300, 72);
  const Gptq flat = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(set_hessian(flat, identity, {kCols, kCols}) == NVFP4CAL_OK);
  const Quantized expected = quantize(flat, w, {5, kCols});
  for (const double damping : {1e16, 1e30, 1e60, 1e300, 1.7e308}) {
    INFO("damping " << damping);
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
    REQUIRE(nvfp4cal_gptq_set_damping(gptq.get(), damping) == NVFP4CAL_OK);
    REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
    CHECK(same(quantize(gptq, w, {5, kCols}), expected));
  }
}

TEST_CASE("GPTQ: messages say where", "[api][gptq]") {
  const Gptq gptq = make_gptq();
  Floats h = gram(32, 64, 81), stack = h, w = random_values(2 * 32, 82);
  stack.insert(stack.end(), h.begin(), h.end());
  stack[32 * 32 + 3 * 33] = -1.0f;
  CHECK(refused(set_hessian(gptq, stack, {2, 32, 32}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "slice 1: hessian[3, 3] is -1, expected"));
  std::vector<double> huge(32 * 32);
  for (size_t i = 0; i < 32; ++i) huge[i * 33] = 1e308;
  const nvfp4cal_tensor largest = view(huge, {32, 32}), plain = view(h, {32, 32});
  const int32_t not_finite = NVFP4CAL_ERROR_NOT_FINITE;
  CHECK(refused(nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &largest, nullptr), not_finite, "sums to more than float64 holds"));
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &plain, &largest) == NVFP4CAL_OK);
  CHECK(refused(quantize(gptq, w, {2, 32}).status, not_finite, "moved by the cross term, x["));
}

TEST_CASE("GPTQ: what is refused", "[api][gptq]") {
  const int32_t invalid = NVFP4CAL_ERROR_INVALID_ARGUMENT;
  const Gptq gptq = make_gptq();
  Floats w = random_values(2 * 32, 61), h = gram(32, 64, 62);
  CHECK(refused(quantize(gptq, w, {2, 32}).status, NVFP4CAL_ERROR_NO_DATA, "no Hessian has been set"));
  CHECK(refused(set_hessian(gptq, h, {16, 64}), invalid, "hessian of shape [16, 64]"));
  CHECK(refused(set_hessian(gptq, Floats(400), {20, 20}), invalid, "cols 20 is not a multiple of 16"));
  Floats bad = h;
  bad[5] += 10.0f * bad[0];
  CHECK(refused(set_hessian(gptq, bad, {32, 32}), invalid, "expected a symmetric matrix"));
  bad = h;
  bad[3 * 33] = -1.0f;
  CHECK(refused(set_hessian(gptq, bad, {32, 32}), invalid, "hessian[3, 3] is -1, expected 0 or more"));
  bad = h;
  bad[40] = std::numeric_limits<float>::quiet_NaN();
  CHECK(refused(set_hessian(gptq, bad, {32, 32}), NVFP4CAL_ERROR_NOT_FINITE, "hessian[1, 8] is nan"));
  const Hessian blocks = make_hessian(), empty = make_hessian(NVFP4CAL_HESSIAN_FULL);
  CHECK(refused(nvfp4cal_gptq_set_hessian(gptq.get(), blocks.get(), nullptr), invalid, "expected 1 (full)"));
  CHECK(nvfp4cal_gptq_set_hessian(gptq.get(), empty.get(), nullptr) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(refused(nvfp4cal_gptq_set_effort(gptq.get(), 3), invalid, "effort 3"));
  CHECK(refused(nvfp4cal_gptq_set_damping(gptq.get(), -1.0), invalid, "damping -1"));
  REQUIRE(set_hessian(gptq, h, {32, 32}) == NVFP4CAL_OK);
  CHECK(refused(set_hessian(gptq, h, {32, 32}), NVFP4CAL_ERROR_WRONG_STATE, "reset first"));
  CHECK(refused(nvfp4cal_gptq_set_effort(gptq.get(), 0), NVFP4CAL_ERROR_WRONG_STATE, "reset first"));
  CHECK(refused(quantize(gptq, w, {4, 16}).status, invalid, "x of shape [4, 16], expected [rows, 32]"));
  Floats spoilt = w;
  spoilt[37] = std::numeric_limits<float>::infinity();
  CHECK(refused(quantize(gptq, spoilt, {2, 32}).status, NVFP4CAL_ERROR_NOT_FINITE, "x[37] is infinite"));
  nvfp4cal_gptq_objectives objectives{};
  objectives.struct_size = sizeof objectives;
  REQUIRE(quantize(gptq, w, {2, 32}).status == NVFP4CAL_OK);
  CHECK(nvfp4cal_gptq_compute_objectives(gptq.get(), &objectives) == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(nvfp4cal_gptq_set_measure_objectives(gptq.get(), 1) == NVFP4CAL_OK);
  REQUIRE(quantize(gptq, w, {2, 32}).status == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_compute_objectives(gptq.get(), &objectives) == NVFP4CAL_OK);
  CHECK(objectives.descent <= objectives.rounding);
  CHECK(objectives.rounding < objectives.nearest);
  CHECK(objectives.neighbourhood == objectives.descent);
  CHECK(nvfp4cal_gptq_reset(gptq.get()) == NVFP4CAL_OK);
  CHECK(quantize(gptq, w, {2, 32}).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_gptq_set_effort(gptq.get(), 0) == NVFP4CAL_OK);
}
