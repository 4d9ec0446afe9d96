// nvfp4cal_observer: shapes, strategies, options, averages and refusals.
#include "observer.h"

#include <cmath>
#include <limits>
#include <sstream>

using namespace api_test;

TEST_CASE("an observer's strategies and the shapes they give", "[api][observer]") {
  struct Case {
    int32_t strategy, observed, format;
    Shape x, shape;
  };
  const Case cases[] = {{0, 0, 0, {6, 32}, {1}},
                        {0, 0, 0, {3, 4, 16}, {1}},
                        {0, 1, 0, {192}, {1}},
                        {1, 0, 1, {6, 32}, {6, 1}},
                        {2, 0, 2, {6, 32}, {6, 2}},
                        {2, 1, 2, {2, 3, 32}, {2}},
                        {3, 0, 0, {6, 32}, {2, 4}},
                        {3, 0, 0, {5, 30}, {2, 4}},
                        {4, 0, 3, {6, 32}, {6, 2}},
                        {4, 1, 3, {6, 32}, {2}},
                        {5, 1, 0, {2, 3, 32}, {3}},
                        {5, 1, 2, {6, 32}, {6}},
                        {0, 0, 0, {}, {1}},
                        {1, 0, 1, {24}, {1}},
                        {1, 0, 1, {2, 3, 8}, {2, 3, 1}},
                        {2, 0, 1, {48}, {3}},
                        {2, 0, 0, {2, 3, 32}, {2, 3, 2}},
                        {4, 0, 3, {2, 2, 3, 32}, {2, 2, 3, 2}},
                        {2, 1, 0, {32}, {2}},
                        {5, 1, 0, {2, 5, 3, 8}, {3}}};
  for (const Case& one : cases) {
    CAPTURE(one.strategy, one.observed);
    const Observer observer = make_observer(NVFP4CAL_OBSERVER_MEMORYLESS_MSE, one.format, one.strategy, one.observed);
    Floats x = random_values(static_cast<size_t>(count_of(one.x)), 1);
    REQUIRE(collect(observer, x, one.x) == NVFP4CAL_OK);
    const Ranges r = result(observer);
    CHECK(r.status == NVFP4CAL_OK);
    CHECK(r.shape == one.shape);
    for (size_t g = 0; g < r.min.size(); ++g) CHECK(r.min[g] <= r.max[g]);
  }
}

TEST_CASE("min-max ranges per group are those of plain loops", "[api][observer]") {
  Floats x = random_values(10 * 48, 2);
  for (const int32_t strategy : {NVFP4CAL_OBSERVER_STRATEGY_CHANNEL, NVFP4CAL_OBSERVER_STRATEGY_GROUP, NVFP4CAL_OBSERVER_STRATEGY_BLOCK}) {
    const size_t height = strategy == NVFP4CAL_OBSERVER_STRATEGY_BLOCK ? 4 : 1;
    const size_t width = strategy == NVFP4CAL_OBSERVER_STRATEGY_BLOCK ? 8 : strategy == NVFP4CAL_OBSERVER_STRATEGY_GROUP ? 16 : 48;
    const Observer observer = make_observer(NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX, NVFP4CAL_OBSERVER_FORMAT_INT8, strategy);
    REQUIRE(collect(observer, x, {10, 48}) == NVFP4CAL_OK);
    const Ranges r = result(observer);
    Floats min(r.min.size(), 1e9f), max(r.min.size(), -1e9f);
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t g = i / 48 / height * (48 / width) + i % 48 / width;
      min[g] = std::min(min[g], x[i]);
      max[g] = std::max(max[g], x[i]);
    }
    if (height == 4) {  // rows 10 and 11 are zeros
      for (size_t g = min.size() - 6; g < min.size(); ++g) {
        min[g] = std::min(min[g], 0.0f);
        max[g] = std::max(max[g], 0.0f);
      }
    }
    CHECK(r.min == min);
    CHECK(r.max == max);
    for (size_t g = 0; g < min.size(); ++g) CHECK(r.scale[g] == std::max(std::fabs(min[g]), std::fabs(max[g])) / 127.5f);
  }
}

TEST_CASE("g_idx says which columns make a group", "[api][observer]") {
  Floats x = random_values(8 * 32, 3), sorted(x.size());
  std::vector<int32_t> g_idx(32);
  std::vector<size_t> order;
  for (size_t c = 0; c < 32; ++c) g_idx[c] = c % 3 == 0 ? 1 : c % 2 ? 0 : 5;
  for (const int32_t value : {0, 1, 5}) {
    for (size_t c = 0; c < 32; ++c) {
      if (g_idx[c] == value) order.push_back(c);
    }
  }
  for (size_t r = 0; r < 8; ++r) {
    for (size_t c = 0; c < 32; ++c) sorted[r * 32 + c] = x[r * 32 + order[c]];
  }
  const Observer permuted = make_nvfp4(), plain = make_nvfp4();
  REQUIRE(nvfp4cal_observer_set_g_idx(permuted.get(), g_idx.data(), 32) == NVFP4CAL_OK);
  REQUIRE(collect(permuted, x, {8, 32}) == NVFP4CAL_OK);
  REQUIRE(collect(plain, sorted, {8, 32}) == NVFP4CAL_OK);
  CHECK(same(result(permuted), result(plain)));
  const Observer wrong = make_nvfp4();
  REQUIRE(nvfp4cal_observer_set_g_idx(wrong.get(), g_idx.data(), 31) == NVFP4CAL_OK);
  CHECK(collect(wrong, x, {8, 32}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "31 elements"));
  CHECK(nvfp4cal_observer_set_g_idx(wrong.get(), nullptr, 0) == NVFP4CAL_OK);
  CHECK(collect(wrong, x, {8, 32}) == NVFP4CAL_OK);
  CHECK(nvfp4cal_observer_set_g_idx(make_nvfp4().get(), nullptr, 3) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("a stack of weights and a vector have the ranges of their rows", "[api][observer]") {
  Floats x = random_values(2 * 3 * 64, 6);
  for (const int32_t strategy :
       {NVFP4CAL_OBSERVER_STRATEGY_CHANNEL, NVFP4CAL_OBSERVER_STRATEGY_GROUP, NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP}) {
    CAPTURE(strategy);
    const bool nvfp4 = strategy == NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP;
    const auto run = [&](Floats values, const Shape& shape) {
      const Observer observer =
          make_observer(NVFP4CAL_OBSERVER_MEMORYLESS_MSE, nvfp4 ? NVFP4CAL_OBSERVER_FORMAT_FP4 : NVFP4CAL_OBSERVER_FORMAT_INT4, strategy);
      std::vector<int32_t> g_idx(64);
      for (size_t c = 0; c < g_idx.size(); ++c) g_idx[c] = static_cast<int32_t>(c * 7 % 4);
      if (strategy != NVFP4CAL_OBSERVER_STRATEGY_CHANNEL)
        REQUIRE(nvfp4cal_observer_set_g_idx(observer.get(), g_idx.data(), 64) == NVFP4CAL_OK);
      REQUIRE(collect(observer, values, shape) == NVFP4CAL_OK);
      return result(observer);
    };
    Ranges matrix = run(x, {6, 64});
    const Ranges stack = run(x, {2, 3, 64});
    CHECK(stack.shape.size() == 3);
    matrix.shape = stack.shape;
    CHECK(same(stack, matrix));
    for (size_t r = 0; r < 6; ++r) {
      const Ranges row =
          run(Floats(x.begin() + static_cast<std::ptrdiff_t>(r * 64), x.begin() + static_cast<std::ptrdiff_t>(r * 64 + 64)), {64});
      const size_t n = row.min.size();
      CHECK(row.shape == Shape{static_cast<int64_t>(n)});
      CHECK(row.min ==
            Floats(matrix.min.begin() + static_cast<std::ptrdiff_t>(r * n), matrix.min.begin() + static_cast<std::ptrdiff_t>(r * n + n)));
      CHECK(row.max ==
            Floats(matrix.max.begin() + static_cast<std::ptrdiff_t>(r * n), matrix.max.begin() + static_cast<std::ptrdiff_t>(r * n + n)));
    }
  }
}

TEST_CASE("observer results are the same bits for every target, thread count, dtype and stride", "[api][observer]") {
  const int64_t rows = 300, cols = 512;
  Floats x = random_values(static_cast<size_t>(rows * cols), 4), transposed(x.size());
  for (float& value : x) value = bf16_value(truncated_bf16(value));
  for (size_t r = 0; r < 300; ++r) {
    for (size_t c = 0; c < 512; ++c) transposed[c * 300 + r] = x[r * 512 + c];
  }
  std::vector<double> wide(x.begin(), x.end());
  std::vector<uint16_t> half;
  for (const float value : x) half.push_back(truncated_bf16(value));
  const nvfp4cal_tensor tensors[] = {view(x, {rows, cols}), view(wide, {rows, cols}), view(half.data(), NVFP4CAL_DTYPE_BF16, {rows, cols}),
                                     strided(transposed.data(), NVFP4CAL_DTYPE_F32, {rows, cols}, {1, rows})};
  for (const int32_t strategy : {0, 1, 2, 3}) {
    CAPTURE(strategy);
    const auto run = [&](const nvfp4cal_context* context, const nvfp4cal_tensor& tensor) {
      const Observer observer = make_observer(NVFP4CAL_OBSERVER_MEMORYLESS_MSE, NVFP4CAL_OBSERVER_FORMAT_INT4, strategy);
      REQUIRE(nvfp4cal_observer_set_context(observer.get(), context) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_observer_collect(observer.get(), &tensor, nullptr) == NVFP4CAL_OK);
      return result(observer);
    };
    const Ranges expected = run(nullptr, tensors[0]);
    for (const nvfp4cal_tensor& tensor : tensors) CHECK(same(run(nullptr, tensor), expected));
    std::istringstream targets(nvfp4cal_cpu_targets());
    for (std::string target; std::getline(targets, target, ',');) {
      for (const int threads : {1, 2, 7}) {
        const Context context = make_context();
        REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), target.c_str()) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
        CHECK(same(run(context.get(), tensors[0]), expected));
      }
    }
  }
}

TEST_CASE("what each kind makes of several collects", "[api][observer]") {
  Floats a = {-1.0f, 2.0f}, b = {-3.0f, 1.0f};
  struct Case {
    int32_t kind;
    float min, max;
  };
  const float c = 0.25f;
  for (const Case& one :
       {Case{NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX, -3, 1}, Case{NVFP4CAL_OBSERVER_MINMAX, -1 * 0.75f + -3 * c, 2 * 0.75f + 1 * c},
        Case{NVFP4CAL_OBSERVER_STATIC_MINMAX, -3, 2}}) {
    const Observer observer = make_observer(one.kind);
    REQUIRE(nvfp4cal_observer_set_averaging_constant(observer.get(), 0.25) == NVFP4CAL_OK);
    REQUIRE(collect(observer, a, {2}) == NVFP4CAL_OK);
    REQUIRE(collect(observer, b, {2}) == NVFP4CAL_OK);
    const Ranges r = result(observer);
    CHECK(r.min == Floats{one.min});
    CHECK(r.max == Floats{one.max});
  }
}

TEST_CASE("zeros, equal values and huge values", "[api][observer]") {
  Floats zeros(32, 0.0f), huge(32, 3e38f);
  for (const bool symmetric : {true, false}) {
    const Observer observer = make_observer();
    REQUIRE(nvfp4cal_observer_set_symmetric(observer.get(), symmetric) == NVFP4CAL_OK);
    REQUIRE(collect(observer, zeros, {32}) == NVFP4CAL_OK);
    const Ranges r = result(observer);
    CHECK(r.scale == Floats{0x1p-23f});
    CHECK(r.zero_point == std::vector<int8_t>{0});
    REQUIRE(collect(observer, huge, {32}) == NVFP4CAL_OK);
    CHECK(std::isfinite(result(observer).max[0]));
  }
  Floats widest = {-3.4e38f, 3.4e38f};  // a range that is wider than float32
  const Observer asymmetric = make_observer();
  REQUIRE(nvfp4cal_observer_set_symmetric(asymmetric.get(), 0) == NVFP4CAL_OK);
  REQUIRE(collect(asymmetric, widest, {2}) == NVFP4CAL_OK);
  const Ranges wide = result(asymmetric);
  const double range = static_cast<double>(wide.max[0]) - static_cast<double>(wide.min[0]);
  CHECK(std::fabs(static_cast<double>(wide.scale[0]) * 255 / range - 1) < 1e-6);
  for (const bool optimize : {false, true}) {
    const Observer nvfp4 = make_nvfp4();
    REQUIRE(nvfp4cal_observer_set_optimize_global_scale(nvfp4.get(), optimize) == NVFP4CAL_OK);
    REQUIRE(collect(nvfp4, zeros, {2, 16}) == NVFP4CAL_OK);
    CHECK(global_scale(nvfp4) == 1.0f);
    CHECK(result(nvfp4).scale == Floats{0.125f, 0.125f});
  }
}

TEST_CASE("expanded ranges end where float32 does, and their state comes back", "[api][observer]") {
  Floats x = {-3e38f, 3e38f, 1e38f, 2e37f};
  for (const bool symmetric : {true, false}) {
    const Observer observer = make_observer(), copy = make_observer();
    REQUIRE(nvfp4cal_observer_set_symmetric(observer.get(), symmetric) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_observer_set_expand(observer.get(), 50.0) == NVFP4CAL_OK);
    REQUIRE(collect(observer, x, {4}) == NVFP4CAL_OK);
    const Ranges r = result(observer);
    CHECK(std::isfinite(r.min[0]));
    CHECK(std::isfinite(r.max[0]));
    CHECK(std::isfinite(r.scale[0]));
    CHECK(r.scale[0] > 1e36f);
    REQUIRE(import_bytes(copy, exported(observer)) == NVFP4CAL_OK);
    CHECK(same(result(copy), r));
  }
}

TEST_CASE("a range of zeros holds +0, wherever -0 stands", "[api][observer]") {
  for (const size_t at : {size_t{0}, size_t{5}, size_t{39}}) {
    Floats x(40, 0.0f);
    x[at] = -0.0f;
    const Observer observer = make_observer(NVFP4CAL_OBSERVER_STATIC_MINMAX);
    REQUIRE(collect(observer, x, {40}) == NVFP4CAL_OK);
    CHECK(same_bits(result(observer).min, Floats{0.0f}));
    CHECK(same_bits(result(observer).max, Floats{0.0f}));
  }
}

TEST_CASE("fused observers share the global scale of the widest", "[api][observer]") {
  Floats a(32, 1.0f), b(16, 4.0f);
  const Observer q = make_nvfp4(NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX), k = make_nvfp4(NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX);
  REQUIRE(collect(q, a, {2, 16}) == NVFP4CAL_OK);
  nvfp4cal_observer* handles[] = {q.get(), k.get()};
  CHECK(nvfp4cal_observer_fuse(handles, 2) == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect(k, b, {1, 16}) == NVFP4CAL_OK);
  CHECK(global_scale(q) == 2688.0f);
  CHECK(nvfp4cal_observer_fuse(handles, 2) == NVFP4CAL_OK);
  CHECK(global_scale(q) == 672.0f);
  CHECK(global_scale(k) == 672.0f);
  CHECK(result(q).scale == Floats{112.0f, 112.0f});
  REQUIRE(collect(q, a, {2, 16}) == NVFP4CAL_OK);
  CHECK(global_scale(q) == 2688.0f);  // until the next collect
  CHECK(nvfp4cal_observer_fuse(handles, 0) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_observer_fuse(nullptr, 1) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  handles[1] = nullptr;
  CHECK(nvfp4cal_observer_fuse(handles, 2) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "handles[1] is NULL");
}

TEST_CASE("state rules: no data, options after data, other shapes, NaN, reset", "[api][observer]") {
  const Observer observer = make_observer(NVFP4CAL_OBSERVER_MINMAX, NVFP4CAL_OBSERVER_FORMAT_INT8, NVFP4CAL_OBSERVER_STRATEGY_CHANNEL);
  nvfp4cal_observer* h = observer.get();
  nvfp4cal_tensor out = question();
  CHECK(result(observer).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_observer_compute_scale(h, &out, nullptr) == NVFP4CAL_ERROR_NO_DATA);
  Floats x = random_values(64, 5), y = x;
  y[33] = std::numeric_limits<float>::quiet_NaN();
  CHECK(collect(observer, y, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[33] is NaN");
  CHECK(result(observer).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect(observer, x, {4, 16}) == NVFP4CAL_OK);
  CHECK(nvfp4cal_observer_compute_global_scale(h, &out) == NVFP4CAL_ERROR_UNSUPPORTED);
  const Ranges before = result(observer);
  CHECK(collect(observer, y, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(collect(observer, x, {2, 32}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "[2, 1]"));
  CHECK(same(result(observer), before));
  CHECK(nvfp4cal_observer_set_norm(h, 2.0) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "set_norm"));
  CHECK(nvfp4cal_observer_reset(h) == NVFP4CAL_OK);
  CHECK(result(observer).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_observer_set_norm(h, 2.0) == NVFP4CAL_OK);
  REQUIRE(collect(observer, x, {4, 16}) == NVFP4CAL_OK);
  CHECK(same(result(observer), before));
}
