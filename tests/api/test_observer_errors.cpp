// nvfp4cal_observer: what is refused, with which status and words, and that the handle is as before.
#include "observer.h"

#include <cmath>
#include <functional>
#include <limits>

using namespace api_test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// An observer that has seen something, if it can, to be compared with what it is after a refusal.
void check_refused(const Observer& observer, const nvfp4cal_tensor& x, nvfp4cal_status status, const std::string& message) {
  INFO(message);
  const Bytes before = exported(observer);
  CHECK(nvfp4cal_observer_collect(observer.get(), &x, nullptr) == status);
  CHECK(last_error() == message);
  CHECK(nvfp4cal_observer_last_error(observer.get()) == message);
  CHECK(same_bits(exported(observer), before));
}

}  // namespace

TEST_CASE("options out of range are named and change nothing", "[api][observer]") {
  const Observer observer = make_observer();
  nvfp4cal_observer* h = observer.get();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Bytes before = exported(observer);
  const std::pair<std::function<nvfp4cal_status()>, const char*> wrong[] = {
      {[&] { return nvfp4cal_observer_set_kind(h, 5); }, "kind 5"},
      {[&] { return nvfp4cal_observer_set_observed(h, -1); }, "-1"},
      {[&] { return nvfp4cal_observer_set_format(h, 4); }, "format 4"},
      {[&] { return nvfp4cal_observer_set_strategy(h, 6); }, "strategy 6"},
      {[&] { return nvfp4cal_observer_set_group_size(h, 0); }, "group size 0, expected 1 or more"},
      {[&] { return nvfp4cal_observer_set_group_size(h, -7); }, "group size -7, expected 1 or more"},
      {[&] { return nvfp4cal_observer_set_block_structure(h, 0, 4); }, "block structure [0, 4], expected 1 or more"},
      {[&] { return nvfp4cal_observer_set_block_structure(h, 3, -2); }, "block structure [3, -2], expected 1 or more"},
      {[&] { return nvfp4cal_observer_set_g_idx(h, nullptr, -3); }, "g_idx has -3 elements"},
      {[&] { return nvfp4cal_observer_set_maxshrink(h, 1.5); }, "maxshrink is 1.5"},
      {[&] { return nvfp4cal_observer_set_maxshrink(h, nan); }, "maxshrink is nan"},
      {[&] { return nvfp4cal_observer_set_patience(h, 0); }, "patience is 0"},
      {[&] { return nvfp4cal_observer_set_grid(h, 0); }, "grid is 0"},
      {[&] { return nvfp4cal_observer_set_norm(h, 0); }, "norm is 0"},
      {[&] { return nvfp4cal_observer_set_expand(h, -1); }, "expand is -1"},
      {[&] { return nvfp4cal_observer_set_averaging_constant(h, 2); }, "averaging constant is 2"},
      {[&] { return nvfp4cal_observer_set_global_scale(h, -2.0f); }, "global scale is -2"},
      {[&] { return nvfp4cal_observer_set_global_scale(h, std::numeric_limits<float>::infinity()); }, "global scale is inf"}};
  for (const auto& [call, text] : wrong) {
    CAPTURE(text);
    CHECK(call() == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(nvfp4cal_observer_last_error(h), text));
  }
  CHECK(same_bits(exported(observer), before));
}

TEST_CASE("combinations that mean nothing are refused at collect", "[api][observer]") {
  Floats values(6 * 40, 1.0f);
  const nvfp4cal_tensor x = view(values, {6, 40});
  check_refused(make_observer(0, 0, 5, 0), x, NVFP4CAL_ERROR_UNSUPPORTED, "strategy token is for activations");
  check_refused(make_observer(0, 0, 1, 1), x, NVFP4CAL_ERROR_UNSUPPORTED, "strategies channel and block are for weights");
  check_refused(make_observer(0, 0, 3, 1), x, NVFP4CAL_ERROR_UNSUPPORTED, "strategies channel and block are for weights");
  for (const int32_t format : {NVFP4CAL_OBSERVER_FORMAT_INT8, NVFP4CAL_OBSERVER_FORMAT_INT4, NVFP4CAL_OBSERVER_FORMAT_FP8})
    check_refused(make_observer(0, format, 4, 0), x, NVFP4CAL_ERROR_UNSUPPORTED, "strategy tensor_group is for FP4");
  for (const int32_t format : {NVFP4CAL_OBSERVER_FORMAT_FP8, NVFP4CAL_OBSERVER_FORMAT_FP4}) {
    const Observer asymmetric = make_observer(0, format);
    REQUIRE(nvfp4cal_observer_set_symmetric(asymmetric.get(), 0) == NVFP4CAL_OK);
    check_refused(asymmetric, x, NVFP4CAL_ERROR_UNSUPPORTED, "float formats are symmetric");
  }
  const Observer given = make_observer(), optimized = make_observer(), ordered = make_observer(0, 0, 1);
  REQUIRE(nvfp4cal_observer_set_global_scale(given.get(), 3.0f) == NVFP4CAL_OK);
  check_refused(given, x, NVFP4CAL_ERROR_UNSUPPORTED, "a global scale is for strategy tensor_group");
  REQUIRE(nvfp4cal_observer_set_optimize_global_scale(optimized.get(), 1) == NVFP4CAL_OK);
  check_refused(optimized, x, NVFP4CAL_ERROR_UNSUPPORTED, "a global scale is for strategy tensor_group");
  const std::vector<int32_t> g_idx(40, 0);
  REQUIRE(nvfp4cal_observer_set_g_idx(ordered.get(), g_idx.data(), 40) == NVFP4CAL_OK);
  check_refused(ordered, x, NVFP4CAL_ERROR_UNSUPPORTED, "g_idx is for groups of a weight");
  for (const int32_t strategy : {NVFP4CAL_OBSERVER_STRATEGY_GROUP, NVFP4CAL_OBSERVER_STRATEGY_BLOCK}) {
    nvfp4cal_observer* bare = nullptr;
    REQUIRE(nvfp4cal_observer_create(&bare) == NVFP4CAL_OK);
    const Observer observer(bare);
    REQUIRE(nvfp4cal_observer_set_strategy(bare, strategy) == NVFP4CAL_OK);
    check_refused(observer, x, NVFP4CAL_ERROR_WRONG_STATE,
                  strategy == NVFP4CAL_OBSERVER_STRATEGY_GROUP ? "no group size has been set" : "no block structure has been set");
  }
}

TEST_CASE("shapes that do not fit a strategy are named", "[api][observer]") {
  Floats values(240, 1.0f);
  const struct {
    int32_t strategy, observed;
    Shape shape;
    const char* message;
  } wrong[] = {{2, 0, {6, 40}, "x has 40 columns, not a multiple of the group size 16"},
               {2, 1, {2, 3, 40}, "x has 40 columns, not a multiple of the group size 16"},
               {2, 0, {}, "x is a scalar, expected columns for groups"},
               {1, 0, {}, "x is a scalar, expected rows for channels"},
               {3, 0, {240}, "x of shape [240], expected a matrix for blocks"},
               {3, 0, {2, 3, 40}, "x of shape [2, 3, 40], expected a matrix for blocks"},
               {5, 1, {240}, "x of shape [240], expected [.., tokens, hidden]"}};
  for (const auto& one : wrong)
    check_refused(make_observer(0, 0, one.strategy, one.observed), view(values, one.shape), NVFP4CAL_ERROR_INVALID_ARGUMENT, one.message);
  const Observer ordered = make_nvfp4();
  const std::vector<int32_t> g_idx(31, 0);
  REQUIRE(nvfp4cal_observer_set_g_idx(ordered.get(), g_idx.data(), 31) == NVFP4CAL_OK);
  check_refused(ordered, view(values, {2, 32}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "g_idx has 31 elements, x has 32 columns");
  for (const int32_t kind : {NVFP4CAL_OBSERVER_MSE, NVFP4CAL_OBSERVER_MINMAX, NVFP4CAL_OBSERVER_STATIC_MINMAX}) {
    const Observer observer = make_observer(kind, 0, NVFP4CAL_OBSERVER_STRATEGY_CHANNEL);
    REQUIRE(collect(observer, values, {6, 40}) == NVFP4CAL_OK);
    check_refused(observer, view(values, {3, 80}), NVFP4CAL_ERROR_INVALID_ARGUMENT,
                  "x gives ranges of shape [3, 1], earlier ones have [6, 1]");
    check_refused(observer, view(values, {6, 1, 40}), NVFP4CAL_ERROR_INVALID_ARGUMENT,
                  "x gives ranges of shape [6, 1, 1], earlier ones have [6, 1]");
  }
}

TEST_CASE("dtypes that are no floats, and values that are not finite, are named", "[api][observer]") {
  for (const int32_t strategy : {0, 1, 2, 3}) {
    const Observer observer = make_observer(NVFP4CAL_OBSERVER_STATIC_MINMAX, NVFP4CAL_OBSERVER_FORMAT_INT8, strategy);
    Floats good = random_values(6 * 48, 50);
    REQUIRE(collect(observer, good, {6, 48}) == NVFP4CAL_OK);
    Bytes bytes(8 * 6 * 48, 1);
    const std::pair<int32_t, const char*> dtypes[] = {
        {NVFP4CAL_DTYPE_U8, "uint8"}, {NVFP4CAL_DTYPE_I8, "int8"}, {NVFP4CAL_DTYPE_E4M3, "float8_e4m3"}, {NVFP4CAL_DTYPE_I64, "int64"}};
    for (const auto& [dtype, name] : dtypes) {
      check_refused(observer, view(bytes.data(), dtype, {6, 48}), NVFP4CAL_ERROR_UNSUPPORTED,
                    std::string("x is ") + name + ", expected float32, bfloat16, float16 or float64");
    }
    const std::pair<float, const char*> values[] = {
        {std::nanf(""), "x[201] is NaN"}, {kInfinity, "x[201] is infinite"}, {-kInfinity, "x[201] is -infinite"}};
    for (const auto& [value, message] : values) {
      Floats x = good;
      x[201] = x[287] = value;
      check_refused(observer, view(x, {6, 48}), NVFP4CAL_ERROR_NOT_FINITE, message);
    }
    std::vector<double> wide(good.begin(), good.end());
    wide[7] = 1e39;
    check_refused(observer, view(wide, {6, 48}), NVFP4CAL_ERROR_NOT_FINITE, "x[7] is 1e+39, beyond the range of float32");
  }
}

TEST_CASE("outputs of other dtypes, sizes and strides are refused", "[api][observer]") {
  const Observer observer = make_nvfp4();
  nvfp4cal_observer* h = observer.get();
  Floats x = random_values(4 * 32, 51), min(8, -7.0f), max(8, -7.0f);
  REQUIRE(collect(observer, x, {4, 32}) == NVFP4CAL_OK);
  nvfp4cal_tensor good = view(min), small = view(max, {7}), bytes = view(max.data(), NVFP4CAL_DTYPE_U8, {8});
  nvfp4cal_tensor apart = strided(max.data(), NVFP4CAL_DTYPE_F32, {4}, {2});
  CHECK(nvfp4cal_observer_compute_range(h, &good, &small) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "max of shape [7] has 7 elements, expected 8 of shape [4, 2]");
  CHECK(nvfp4cal_observer_compute_range(h, &bytes, &good) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "min is uint8, expected float32");
  CHECK(nvfp4cal_observer_compute_scale(h, &apart, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "scale has strides: outputs are contiguous");
  CHECK(nvfp4cal_observer_compute_scale(h, &good, &bytes) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "zero_point is uint8, expected int8");
  CHECK(nvfp4cal_observer_compute_global_scale(h, &good) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "out of shape [8] has 8 elements, expected 1 of shape [1]");
  CHECK(min == Floats(8, -7.0f));
  CHECK(max == Floats(8, -7.0f));
}

TEST_CASE("a failing runner leaves an observer as it was", "[api][observer]") {
  Floats x = random_values(200 * 1024, 30);
  const Observer observer = make_observer();
  const Context broken = make_context();
  REQUIRE(nvfp4cal_context_set_threads(broken.get(), 4) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_context_set_runner(
              broken.get(), [](void*, void*, nvfp4cal_task, int64_t) { return int32_t{1}; }, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_context(observer.get(), broken.get()) == NVFP4CAL_OK);
  CHECK(collect(observer, x, {200, 1024}) == NVFP4CAL_ERROR_CALLBACK);
  CHECK(contains(last_error(), "runner"));
  CHECK(result(observer).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(nvfp4cal_observer_set_context(observer.get(), nullptr) == NVFP4CAL_OK);
  CHECK(collect(observer, x, {200, 1024}) == NVFP4CAL_OK);
}
