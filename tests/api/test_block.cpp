// nvfp4cal_block_*: shapes, dims, options, refusals with their texts, the same bits for every dtype, stride, thread count and target.
#include <cmath>
#include <limits>
#include <sstream>

#include "api_test.h"

using namespace api_test;

namespace {

enum Kind { kNaive, kOptimal, kHessian, kAdmm };
constexpr Kind kKinds[] = {kNaive, kOptimal, kHessian, kAdmm};

struct Setup {
  const nvfp4cal_context* context = nullptr;
  int32_t dim = -1;
  nvfp4cal_block_options options{sizeof(nvfp4cal_block_options), 0, 0, 0};
  const nvfp4cal_tensor* hessians = nullptr;
  const nvfp4cal_tensor* activations = nullptr;
};

nvfp4cal_status call(Kind kind, const Setup& s, const nvfp4cal_tensor* w, nvfp4cal_tensor* scales, nvfp4cal_tensor* quants,
                     nvfp4cal_tensor* dequant) {
  switch (kind) {
    case kNaive: return nvfp4cal_block_naive(s.context, w, s.dim, scales, quants, dequant, nullptr);
    case kOptimal: return nvfp4cal_block_optimal(s.context, w, s.dim, &s.options, scales, quants, dequant, nullptr);
    case kHessian:
      return nvfp4cal_block_optimal_hessian(s.context, w, s.dim, s.hessians, s.activations, &s.options, scales, quants, dequant, nullptr);
    default: return nvfp4cal_block_admm(s.context, w, s.dim, s.hessians, s.activations, &s.options, scales, quants, dequant, nullptr);
  }
}

struct Found {
  nvfp4cal_status status = 0;
  Floats scales, quants, dequant;
};

Found found(Kind kind, const Setup& setup, const nvfp4cal_tensor& w) {
  const int32_t axis = setup.dim < 0 ? setup.dim + w.ndim : setup.dim;
  const size_t n = static_cast<size_t>(count_of(shape_of(w)));
  Found out{0, Floats(n / static_cast<size_t>(w.shape[axis]), -7.0f), Floats(n, -7.0f), Floats(n, -7.0f)};
  nvfp4cal_tensor scales = view(out.scales), quants = view(out.quants), dequant = view(out.dequant);
  out.status = call(kind, setup, &w, &scales, &quants, &dequant);
  return out;
}

bool same(const Found& a, const Found& b) {
  return a.status == b.status && same_bits(a.scales, b.scales) && same_bits(a.quants, b.quants) && same_bits(a.dequant, b.dequant);
}

bool untouched(const Found& f) {
  return f.scales == Floats(f.scales.size(), -7.0f) && f.quants == Floats(f.quants.size(), -7.0f) &&
         f.dequant == Floats(f.dequant.size(), -7.0f);
}

// [rows, columns * 16], the columns correlated.
struct Activations {
  Floats values;
  nvfp4cal_tensor tensor;
  Activations(int64_t rows, int64_t cols, uint32_t seed) : values(random_values(static_cast<size_t>(rows * cols), seed)) {
    for (size_t i = 1; i < values.size(); ++i) values[i] += 0.75f * values[i - 1];
    tensor = view(values, {rows, cols});
  }
};

}  // namespace

TEST_CASE("block searches answer shape queries for every dim", "[api][block]") {
  Floats x = random_values(3 * 16 * 5, 1);
  const nvfp4cal_tensor w = view(x, {3, 16, 5});
  const Activations acts(8, 5 * 16, 2);
  for (const Kind kind : kKinds) {
    for (const int32_t dim : {1, -2}) {
      Setup setup;
      setup.dim = dim;
      setup.activations = &acts.tensor;
      nvfp4cal_tensor scales = question(), quants = question(), dequant = question();
      CHECK(call(kind, setup, &w, &scales, &quants, &dequant) == NVFP4CAL_OK);
      CHECK(shape_of(scales) == Shape{3, 5});
      CHECK(shape_of(quants) == Shape{3, 16, 5});
      CHECK(shape_of(dequant) == Shape{3, 16, 5});
      CHECK(scales.dtype == NVFP4CAL_DTYPE_F32);
      CHECK(quants.dtype == NVFP4CAL_DTYPE_F32);
      scales = question();
      CHECK(call(kind, setup, &w, &scales, &quants, nullptr) == NVFP4CAL_OK);  // dequant is optional
    }
  }
}

TEST_CASE("blocks along any dim, strided and of any float dtype are the same blocks", "[api][block]") {
  Floats x = random_values(64 * 16, 3);
  for (float& value : x) value = bf16_value(truncated_bf16(value));
  Floats transposed(x.size());
  std::vector<double> wide(x.begin(), x.end());
  std::vector<uint16_t> half;
  for (const float value : x) half.push_back(truncated_bf16(value));
  for (size_t b = 0; b < 64; ++b) {
    for (size_t i = 0; i < 16; ++i) transposed[i * 64 + b] = x[b * 16 + i];
  }
  const Activations acts(40, 8 * 16, 4);
  for (const Kind kind : kKinds) {
    CAPTURE(kind);
    Setup setup, first;
    setup.activations = first.activations = &acts.tensor;
    first.dim = 0;
    const Found rows = found(kind, setup, view(x, {64, 16})), columns = found(kind, first, view(transposed, {16, 64}));
    REQUIRE(rows.status == NVFP4CAL_OK);
    CHECK(same_bits(rows.scales, columns.scales));
    Floats back(x.size());
    for (size_t b = 0; b < 64; ++b) {
      for (size_t i = 0; i < 16; ++i) back[b * 16 + i] = columns.quants[i * 64 + b];
    }
    CHECK(same_bits(rows.quants, back));
    CHECK(same(found(kind, setup, strided(transposed.data(), NVFP4CAL_DTYPE_F32, {64, 16}, {1, 64})), rows));
    CHECK(same(found(kind, setup, view(wide, {64, 16})), rows));
    CHECK(same(found(kind, setup, view(half.data(), NVFP4CAL_DTYPE_BF16, {64, 16})), rows));
  }
}

TEST_CASE("block results are the same bits for every target and thread count", "[api][block]") {
  Floats x = random_values(1500 * 32, 5);
  const nvfp4cal_tensor w = view(x, {1500, 32});
  const Activations acts(64, 4 * 32, 6);
  for (const Kind kind : kKinds) {
    Setup setup;
    setup.activations = &acts.tensor;
    const Found expected = found(kind, setup, w);
    REQUIRE(expected.status == NVFP4CAL_OK);
    std::istringstream targets(nvfp4cal_cpu_targets());
    for (std::string target; std::getline(targets, target, ',');) {
      for (const int threads : {1, 2, 7}) {
        const Context context = make_context();
        REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), target.c_str()) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
        setup.context = context.get();
        CHECK(same(found(kind, setup, w), expected));
      }
    }
  }
}

TEST_CASE("searches under Hessians are the same for any rows and columns of blocks, -0 and denormal numbers among them", "[api][block]") {
  const Context plain = make_context();
  REQUIRE(nvfp4cal_context_set_cpu_target(plain.get(), "scalar") == NVFP4CAL_OK);
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {1, 67}, {67, 1}, {131, 3}, {5, 40}, {65, 17}};
  for (const auto& [rows, columns] : shapes) {
    for (const int64_t n : {16, 32}) {
      CAPTURE(rows, columns, n);
      Floats x = random_values(static_cast<size_t>(rows * columns * n), 14);
      for (size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 ? -0.0f : -1e-40f;
      std::fill_n(x.begin(), n, -0.0f);
      const Activations acts(12, columns * n, 15);  // Hessians of rank 12
      const nvfp4cal_tensor across = strided(x.data(), NVFP4CAL_DTYPE_F32, {rows, n, columns}, {columns * n, 1, n});
      for (const uint32_t flags : {0u, NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL}) {
        for (const Kind kind : {kHessian, kAdmm}) {
          Setup setup;
          setup.activations = &acts.tensor;
          setup.options.flags = flags;
          setup.context = plain.get();
          const Found expected = found(kind, setup, view(x, {rows, columns, n}));
          REQUIRE(expected.status == NVFP4CAL_OK);
          setup.context = nullptr;
          CHECK(same(found(kind, setup, view(x, {rows, columns, n})), expected));
          setup.dim = 1;
          CHECK(same_bits(found(kind, setup, across).scales, expected.scales));
        }
      }
    }
  }
}

TEST_CASE("Hessians given are those made from the activations", "[api][block]") {
  Floats x = random_values(24 * 16, 7), h(3 * 256);
  Activations acts(32, 48, 8);
  for (float& value : acts.values) value = std::round(value * 64.0f);  // sums are exact in float32
  for (size_t t = 0; t < 32; ++t) {
    for (size_t c = 0; c < 48; ++c) {
      for (size_t k = 0; k < 16; ++k) h[c * 16 + k] += acts.values[t * 48 + c] * acts.values[t * 48 + c / 16 * 16 + k];
    }
  }
  const nvfp4cal_tensor w = view(x, {24, 16}), hessians = view(h, {3, 16, 16});
  for (const Kind kind : {kHessian, kAdmm}) {
    Setup from_acts, given;
    from_acts.activations = &acts.tensor;
    given.hessians = &hessians;
    const Found expected = found(kind, from_acts, w);
    CHECK(expected.status == NVFP4CAL_OK);
    CHECK(same(found(kind, given, w), expected));
    Floats other(64, 1.0f);
    const nvfp4cal_tensor ignored = view(other, {4, 16});  // Hessians win
    given.activations = &ignored;
    CHECK(same(found(kind, given, w), expected));
  }
}

TEST_CASE("an identity Hessian gives the scales of the plain search with noise blocks", "[api][block]") {
  Floats x = random_values(200 * 16, 9), h(256);
  for (size_t i = 0; i < 100 * 16; ++i) x[i] *= 0x1p-9f;  // scales below 1, noise blocks
  for (size_t i = 0; i < 16; ++i) h[i * 17] = 1.0f;
  const nvfp4cal_tensor w = view(x, {200, 16}), hessian = view(h, {1, 16, 16});
  Setup weighted, plain;
  weighted.hessians = &hessian;
  plain.options.flags = NVFP4CAL_BLOCK_SEARCH_NOISE;
  CHECK(same(found(kHessian, weighted, w), found(kOptimal, plain, w)));
}

TEST_CASE("special blocks: zeros, too small, too large, a scale of 0", "[api][block]") {
  Floats x(5 * 16, 0.0f);
  for (size_t i = 16; i < 32; ++i) x[i] = i % 2 ? -1e-30f : 1e-30f;
  for (size_t i = 32; i < 48; ++i) x[i] = 3e38f;
  for (size_t i = 48; i < 64; ++i) x[i] = i % 2 ? -0x1p-11f : 0.0f;  // a noise block: the naive scale is 0
  for (size_t i = 64; i < 80; ++i) x[i] = 6.0f;
  const nvfp4cal_tensor w = view(x, {5, 16});
  const Found naive = found(kNaive, {}, w), best = found(kOptimal, {}, w);
  CHECK(naive.scales == Floats{0.0f, 0.0f, 448.0f, 0.0f, 1.0f});
  CHECK(same(naive, best));
  CHECK(naive.quants[0] == 0.0f);
  CHECK(naive.quants[16] == 6.0f);
  CHECK(naive.quants[17] == -6.0f);
  CHECK(naive.dequant[17] == 0.0f);
  CHECK(naive.quants[48] == 0.0f);
  Setup noise;
  noise.options.flags = NVFP4CAL_BLOCK_SEARCH_NOISE;
  const Found all = found(kOptimal, noise, w);
  CHECK(all.scales == naive.scales);  // -2^-11 is a quarter of 2^-9: a tie, to zero
  Floats second(16, 0x1p-10f);
  CHECK(found(kOptimal, noise, view(second, {16})).scales == Floats{0x1p-9f});  // half of it is a level
  CHECK(found(kOptimal, {}, view(second, {16})).scales == Floats{0.0f});
}

TEST_CASE("quantize, dequantize and sse take scales of any value, one or many", "[api][block]") {
  Floats x = {0.25f, -0.75f, 1.25f, 1.7500001f, -2.5f, 3.5f, 5.0f, 100.0f, -0.1f, -0.0f},
         expected = {0, -0.5f, 1, 2, -2, 3, 4, 6, -0.0f, 0};
  Floats one = {1.0f}, out(10), decoded(10);
  const nvfp4cal_tensor x_view = view(x), scale = view(one);
  nvfp4cal_tensor out_view = view(out), decoded_view = view(decoded);
  REQUIRE(nvfp4cal_block_quantize(nullptr, &x_view, &scale, 0, &out_view, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(out, expected));
  Floats third = {0.3f};
  const nvfp4cal_tensor third_view = view(third);
  REQUIRE(nvfp4cal_block_dequantize(nullptr, &out_view, &third_view, -1, &decoded_view, nullptr) == NVFP4CAL_OK);
  for (size_t i = 0; i < 10; ++i) CHECK(decoded[i] == out[i] * 0.3f);

  Floats pair = {3.0f, 1.0f, 8.0f, 1.0f}, scales = {1.0f, 0.0f}, narrow(2);
  std::vector<double> wide(2);
  const nvfp4cal_tensor pairs = view(pair, {2, 2}), many = view(scales);
  nvfp4cal_tensor sse = view(narrow), wide_sse = view(wide), ask = question(), ask_wide = question(NVFP4CAL_DTYPE_F64);
  REQUIRE(nvfp4cal_block_sse(nullptr, &pairs, &many, 0, &sse, nullptr) == NVFP4CAL_OK);
  CHECK(narrow == Floats{4.0f, 2.0f});  // columns {3, 8} at 1 and {1, 1} at 0
  REQUIRE(nvfp4cal_block_sse(nullptr, &pairs, &many, 1, &wide_sse, nullptr) == NVFP4CAL_OK);
  CHECK(wide == std::vector<double>{0.0, 65.0});
  CHECK(nvfp4cal_block_sse(nullptr, &pairs, &many, 1, &ask, nullptr) == NVFP4CAL_OK);
  CHECK(ask.dtype == NVFP4CAL_DTYPE_F32);
  CHECK(nvfp4cal_block_sse(nullptr, &pairs, &many, 1, &ask_wide, nullptr) == NVFP4CAL_OK);
  CHECK(ask_wide.dtype == NVFP4CAL_DTYPE_F64);
}

TEST_CASE("a scale of -0 is one of 0", "[api][block]") {
  Floats x = {1e-30f, -2.0f, 0.0f}, scales = {-0.0f}, out(3), decoded(3), sse(1);
  const nvfp4cal_tensor x_view = view(x), scale = view(scales);
  nvfp4cal_tensor out_view = view(out), decoded_view = view(decoded), sse_view = view(sse);
  REQUIRE(nvfp4cal_block_quantize(nullptr, &x_view, &scale, 0, &out_view, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(out, Floats{6.0f, -6.0f, 0.0f}));
  REQUIRE(nvfp4cal_block_dequantize(nullptr, &out_view, &scale, 0, &decoded_view, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(decoded, Floats{0.0f, -0.0f, 0.0f}));
  REQUIRE(nvfp4cal_block_sse(nullptr, &x_view, &scale, 0, &sse_view, nullptr) == NVFP4CAL_OK);
  CHECK(sse[0] == 4.0f);
}

TEST_CASE("quantize, dequantize and sse along a dimension of any extent", "[api][block]") {
  constexpr int64_t kExtent = 3 * 4096 + 5;
  Floats x = random_values(kExtent * 2, 12), out(x.size()), decoded(x.size()), scales = {0.25f, 0.0625f};
  std::vector<double> sse(2), expected(2);
  const nvfp4cal_tensor x_view = view(x, {kExtent, 2}), scale = view(scales);
  nvfp4cal_tensor out_view = view(out, {kExtent, 2}), decoded_view = view(decoded), sse_view = view(sse);
  REQUIRE(nvfp4cal_block_quantize(nullptr, &x_view, &scale, 0, &out_view, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_block_dequantize(nullptr, &out_view, &scale, 0, &decoded_view, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_block_sse(nullptr, &x_view, &scale, 0, &sse_view, nullptr) == NVFP4CAL_OK);
  constexpr float kLevels[] = {0, .5f, 1, 1.5f, 2, 3, 4, 6};
  int wrong = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const float scaled = std::fabs(x[i]) / scales[i % 2];
    float nearest = 0.0f;
    for (const float level : kLevels) nearest = std::fabs(scaled - level) < std::fabs(scaled - nearest) ? level : nearest;
    wrong += out[i] != std::copysign(nearest, x[i]) || decoded[i] != out[i] * scales[i % 2];
    const double r = static_cast<double>(x[i]) - static_cast<double>(decoded[i]);
    expected[i % 2] += r * r;
  }
  CHECK(wrong == 0);
  CHECK(sse == expected);  // in the order of the elements
}

TEST_CASE("scales that make no sense are refused by name", "[api][block]") {
  Floats x(8, 1.0f), out(8, -7.0f);
  const nvfp4cal_tensor x_view = view(x, {2, 4});
  nvfp4cal_tensor out_view = view(out);
  const auto refused = [&](Floats scales, nvfp4cal_status status, const char* text) {
    const nvfp4cal_tensor scale_view = view(scales);
    CHECK(nvfp4cal_block_quantize(nullptr, &x_view, &scale_view, -1, &out_view, nullptr) == status);
    CHECK(contains(last_error(), text));
    CHECK(nvfp4cal_block_dequantize(nullptr, &x_view, &scale_view, -1, &out_view, nullptr) == status);
    nvfp4cal_tensor sse = question();
    Floats errors(2);
    sse = view(errors);
    CHECK(nvfp4cal_block_sse(nullptr, &x_view, &scale_view, -1, &sse, nullptr) == status);
  };
  refused({1.0f, 2.0f, 3.0f}, NVFP4CAL_ERROR_INVALID_ARGUMENT, "3 elements, expected 2 or 1");
  refused({1.0f, -2.0f}, NVFP4CAL_ERROR_INVALID_ARGUMENT, "scales[1] is -2");
  refused({1.0f, std::numeric_limits<float>::infinity()}, NVFP4CAL_ERROR_NOT_FINITE, "scales[1]");
  CHECK(out == Floats(8, -7.0f));
  x[5] = std::numeric_limits<float>::quiet_NaN();
  Floats one = {1.0f};
  const nvfp4cal_tensor scale_view = view(one);
  CHECK(nvfp4cal_block_dequantize(nullptr, &x_view, &scale_view, -1, &out_view, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "quants[5] is NaN");
}

TEST_CASE("wrong dims, extents, dtypes and options of a search are named", "[api][block]") {
  Floats x(40 * 16, 1.0f);
  const Activations acts(4, 16, 10);
  Setup setup;
  setup.activations = &acts.tensor;
  const auto refused = [&](const nvfp4cal_tensor& w, const char* text) {
    for (const Kind kind : kKinds) {
      nvfp4cal_tensor scales = question(), quants = question();
      CHECK(call(kind, setup, &w, &scales, &quants, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(contains(last_error(), text));
    }
  };
  refused(view(x, {16, 40}), "40 elements, expected a block of 16 or 32");
  float single = 1.0f;
  refused(scalar(single), "dim -1");
  setup.dim = 2;
  refused(view(x, {40, 16}), "dim 2");
  setup.dim = -1;
  Bytes bytes(16, 0);
  const nvfp4cal_tensor u8 = view(bytes);
  CHECK(found(kNaive, {}, u8).status == NVFP4CAL_ERROR_UNSUPPORTED);
  const nvfp4cal_tensor w = view(x, {40, 16});
  setup.options.n_inner = 1001;
  CHECK(found(kAdmm, setup, w).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "n_inner is 1001"));
  setup.options = {sizeof setup.options, 0, -1, 0};
  CHECK(found(kAdmm, setup, w).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "n_outer is -1"));
  setup.options = {sizeof setup.options, 4, 0, 0};
  CHECK(found(kOptimal, setup, w).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "0x4"));
  setup.options = {4, 0, 0, 0};
  CHECK(found(kOptimal, setup, w).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "struct_size is 4"));
}

TEST_CASE("Hessians and activations that make no sense are named, and nothing is written", "[api][block]") {
  Floats x = random_values(12 * 16, 11), h(2 * 256);
  for (size_t i = 0; i < 16; ++i) h[i * 17] = h[256 + i * 17] = 2.0f;
  const nvfp4cal_tensor w = view(x, {12, 16});
  const auto refused = [&](const nvfp4cal_tensor* hessians, const nvfp4cal_tensor* acts, nvfp4cal_status status, const char* text) {
    for (const Kind kind : {kHessian, kAdmm}) {
      Setup setup;
      setup.hessians = hessians;
      setup.activations = acts;
      const Found result = found(kind, setup, w);
      CHECK(result.status == status);
      CHECK(contains(last_error(), text));
      CHECK(untouched(result));
    }
  };
  refused(nullptr, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "both NULL");
  Floats many(5 * 256, 1.0f), flat(256, 1.0f);
  const nvfp4cal_tensor five = view(many, {5, 16, 16}), matrix = view(flat, {16, 16}), good = view(h, {2, 16, 16});
  refused(&five, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "12 blocks, not a multiple of the 5");
  refused(&matrix, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "[16, 16]");
  h[256 + 3] = 0.001f;
  refused(&good, nullptr, NVFP4CAL_ERROR_INVALID_ARGUMENT, "hessians[1] is not symmetric");
  h[256 + 3] = 0.0001f;  // within 1e-4 of 2
  Setup setup;
  setup.hessians = &good;
  CHECK(found(kHessian, setup, w).status == NVFP4CAL_OK);
  h[256 + 3] = std::numeric_limits<float>::infinity();
  refused(&good, nullptr, NVFP4CAL_ERROR_NOT_FINITE, "hessians[259]");
  Floats acts(4 * 32, 1.0f);
  const nvfp4cal_tensor acts_view = view(acts, {4, 32}), ragged = view(acts, {16, 8}), cube = view(acts, {4, 4, 8}),
                        none = view(acts, {0, 32});
  refused(nullptr, &ragged, NVFP4CAL_ERROR_INVALID_ARGUMENT, "[16, 8]");
  refused(nullptr, &cube, NVFP4CAL_ERROR_INVALID_ARGUMENT, "[4, 4, 8]");
  refused(nullptr, &none, NVFP4CAL_ERROR_INVALID_ARGUMENT, "[0, 32]");
  acts[70] = std::numeric_limits<float>::quiet_NaN();
  refused(nullptr, &acts_view, NVFP4CAL_ERROR_NOT_FINITE, "activations[70] is NaN");
  acts[70] = 1.0f;
  x[77] = std::numeric_limits<float>::quiet_NaN();
  refused(nullptr, &acts_view, NVFP4CAL_ERROR_NOT_FINITE, "w[77] is NaN");
}

TEST_CASE("a Hessian that is not positive semidefinite is searched; ADMM refuses what it cannot invert", "[api][block]") {
  Floats x = random_values(8 * 16, 12), h(256);
  for (size_t i = 0; i < 16; ++i) h[i * 17] = i == 3 ? -1.0f : 1.0f;
  const nvfp4cal_tensor w = view(x, {8, 16}), hessian = view(h, {1, 16, 16});
  Setup setup;
  setup.hessians = &hessian;
  CHECK(found(kHessian, setup, w).status == NVFP4CAL_OK);
  const Found refused = found(kAdmm, setup, w);
  CHECK(refused.status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "hessian 0"));
  CHECK(untouched(refused));
}

TEST_CASE("empty tensors, the codebook and the scale table", "[api][block]") {
  Floats none;
  nvfp4cal_tensor w = view(none, {0, 16});
  CHECK(found(kNaive, {}, w).status == NVFP4CAL_OK);
  CHECK(found(kOptimal, {}, w).status == NVFP4CAL_OK);
  Floats codebook(8), boundaries(7), table(126);
  nvfp4cal_tensor levels = view(codebook), middles = view(boundaries), scales = view(table), ask = question();
  CHECK(nvfp4cal_block_codebook(nullptr, &levels, &middles) == NVFP4CAL_OK);
  CHECK(codebook == Floats{0, 0.5f, 1, 1.5f, 2, 3, 4, 6});
  CHECK(boundaries == Floats{0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5});
  CHECK(nvfp4cal_block_codebook(nullptr, nullptr, &ask) == NVFP4CAL_OK);
  CHECK(shape_of(ask) == Shape{7});
  CHECK(nvfp4cal_block_scale_table(nullptr, &scales) == NVFP4CAL_OK);
  CHECK(table.front() == 0x1p-9f);
  CHECK(table.back() == 448.0f);
}

TEST_CASE("a failing runner leaves block functions usable", "[api][block]") {
  Floats x = random_values(9000 * 16, 13);
  const nvfp4cal_tensor w = view(x, {9000, 16});
  const Context context = make_context();
  REQUIRE(nvfp4cal_context_set_threads(context.get(), 4) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_context_set_runner(
              context.get(), [](void*, void*, nvfp4cal_task, int64_t) { return int32_t{1}; }, nullptr) == NVFP4CAL_OK);
  Setup setup;
  setup.context = context.get();
  CHECK(found(kOptimal, setup, w).status == NVFP4CAL_ERROR_CALLBACK);
  REQUIRE(nvfp4cal_context_set_runner(context.get(), nullptr, nullptr) == NVFP4CAL_OK);
  CHECK(same(found(kOptimal, setup, w), found(kOptimal, {}, w)));
}
