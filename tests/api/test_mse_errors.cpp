// nvfp4cal_mse: what is refused, with which status and words, and that the handle is as before.
#include <functional>

#include "mse_callbacks.h"

using namespace api_test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Refusal {
  std::function<nvfp4cal_status(nvfp4cal_mse*)> call;
  nvfp4cal_status status;
  std::string message;
};

void check_refused(const Mse& mse, const Refusal& refusal) {
  INFO(refusal.message);
  const Bytes before = exported(mse);
  CHECK(refusal.call(mse.get()) == refusal.status);
  CHECK(last_error() == refusal.message);
  CHECK(nvfp4cal_mse_last_error(mse.get()) == refusal.message);
  CHECK(same_bits(exported(mse), before));
}

Refusal collecting(nvfp4cal_tensor x, nvfp4cal_status status, const std::string& message) {
  return {[x](nvfp4cal_mse* h) { return nvfp4cal_mse_collect(h, &x, nullptr); }, status, message};
}

Refusal amax_of_values(const std::vector<double>& values, const Shape& shape, nvfp4cal_status status, const std::string& message) {
  return {[=](nvfp4cal_mse* h) {
            std::vector<double> copy = values;
            const nvfp4cal_tensor amax = view(copy, shape);
            return nvfp4cal_mse_set_initial_amax(h, &amax);
          },
          status, message};
}

}  // namespace

TEST_CASE("mse: options outside their ranges are named", "[api][mse]") {
  constexpr nvfp4cal_status kInvalid = NVFP4CAL_ERROR_INVALID_ARGUMENT;
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const auto multipliers = [](double start, double stop, double step, const std::string& message) {
    return Refusal{[=](nvfp4cal_mse* h) { return nvfp4cal_mse_set_multipliers(h, start, stop, step); }, kInvalid, message};
  };
  const auto axes = [](std::vector<int32_t> list, int32_t n, const std::string& message) {
    return Refusal{[=](nvfp4cal_mse* h) { return nvfp4cal_mse_set_axes(h, list.data(), n); }, kInvalid, message};
  };
  const std::string range = ", expected 0 < start <= stop <= 1e+06 and a positive step";
  const std::vector<Refusal> refusals = {
      multipliers(0, 1, 0.1, "multipliers 0 to 1 by 0.1" + range),
      multipliers(-1, 1, 0.1, "multipliers -1 to 1 by 0.1" + range),
      multipliers(2, 1, 0.1, "multipliers 2 to 1 by 0.1" + range),
      multipliers(1, 2, 0, "multipliers 1 to 2 by 0" + range),
      multipliers(1, 2, -1, "multipliers 1 to 2 by -1" + range),
      multipliers(nan, 1, 1, "multipliers nan to 1 by 1" + range),
      multipliers(1, inf, 1, "multipliers 1 to inf by 1" + range),
      multipliers(1, 2, nan, "multipliers 1 to 2 by nan" + range),
      multipliers(1, 2, inf, "multipliers 1 to 2 by inf" + range),
      multipliers(1, 2, 1e-9, "1e+09 multipliers, expected 65536 at most"),
      multipliers(1e-60, 1, 1, "multiplier 1e-60 is zero in float32"),
      axes({0, 0}, 2, "axis 0 is given twice"),
      axes({8}, 1, "axis 8 is not in [-8, 8)"),
      axes({-9}, 1, "axis -9 is not in [-8, 8)"),
      axes(std::vector<int32_t>(9, 0), 9, "9 axes, expected 0 to 8"),
      axes({0}, -1, "-1 axes, expected 0 to 8"),
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_int_quantizer(h, 1, 0); }, kInvalid, "1 bits, expected 2 to 8"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_int_quantizer(h, 9, 0); }, kInvalid, "9 bits, expected 2 to 8"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_int_quantizer(h, 8, 3); }, kInvalid, "integer range 3, expected 0 to 2"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_int_quantizer(h, 8, -1); }, kInvalid, "integer range -1, expected 0 to 2"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_float_quantizer(h, 3); }, kInvalid, "float format 3, expected 0 to 2"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_float_quantizer(h, -1); }, kInvalid, "float format -1, expected 0 to 2"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_nvfp4_quantizer(h, 0); }, kInvalid, "global amax 0, expected a positive finite value"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_nvfp4_quantizer(h, -2); }, kInvalid,
       "global amax -2, expected a positive finite value"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_nvfp4_quantizer(h, kInfinity); }, kInvalid,
       "global amax inf, expected a positive finite value"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_power_error(h, 0); }, kInvalid, "power 0 is not in (0, 64]"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_power_error(h, 65); }, kInvalid, "power 65 is not in (0, 64]"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_power_error(h, std::nan("")); }, kInvalid, "power nan is not in (0, 64]"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_error_callback(h, scalar_error, 2, nullptr); }, kInvalid,
       "error values 2, expected 0 or 1"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_error_callback(h, nullptr, 0, nullptr); }, kInvalid, "callback is NULL"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_quantize_callback(h, nullptr, nullptr); }, kInvalid, "callback is NULL"},
      amax_of_values({}, {0}, kInvalid, "amax of shape [0] has no elements"),
      amax_of_values({1.0, -2.0}, {2}, kInvalid, "amax[1] is -2, expected 0 or more"),
      amax_of_values({-0.5}, {}, kInvalid, "amax[0] is -0.5, expected 0 or more"),
      amax_of_values({1.0, 1.0, nan}, {3}, NVFP4CAL_ERROR_NOT_FINITE, "amax[2] is nan"),
      amax_of_values({1e39}, {1}, NVFP4CAL_ERROR_NOT_FINITE, "amax[0] is inf")};
  const Mse mse = make_mse();
  for (const Refusal& refusal : refusals) check_refused(mse, refusal);
  Bytes bytes(4, 1);
  const nvfp4cal_tensor wrong = view(bytes);
  check_refused(mse, {[&](nvfp4cal_mse* h) { return nvfp4cal_mse_set_initial_amax(h, &wrong); }, NVFP4CAL_ERROR_UNSUPPORTED,
                      "amax is uint8, expected float32, bfloat16, float16 or float64"});
}

TEST_CASE("mse: options and an amax after data are refused by name", "[api][mse]") {
  const Mse mse = make_rows_mse();
  REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
  const int32_t axis = 0;
  float one = 1.0f;
  const nvfp4cal_tensor amax = scalar(one);
  const std::pair<std::function<nvfp4cal_status(nvfp4cal_mse*)>, const char*> setters[] = {
      {[&](nvfp4cal_mse* h) { return nvfp4cal_mse_set_initial_amax(h, &amax); }, "set_initial_amax"},
      {[&](nvfp4cal_mse* h) { return nvfp4cal_mse_set_axes(h, &axis, 1); }, "set_axes"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_multipliers(h, 1, 2, 1); }, "set_multipliers"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_int_quantizer(h, 4, 0); }, "set_int_quantizer"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_float_quantizer(h, 0); }, "set_float_quantizer"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_nvfp4_quantizer(h, 1); }, "set_nvfp4_quantizer"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_quantize_callback(h, quantize_rows, nullptr); }, "set_quantize_callback"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_squared_error(h); }, "set_squared_error"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_absolute_error(h); }, "set_absolute_error"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_power_error(h, 2); }, "set_power_error"},
      {[](nvfp4cal_mse* h) { return nvfp4cal_mse_set_error_callback(h, scalar_error, 1, nullptr); }, "set_error_callback"}};
  for (const auto& [call, name] : setters)
    check_refused(mse, {call, NVFP4CAL_ERROR_WRONG_STATE, std::string(name) + " after data was collected: reset first"});
}

TEST_CASE("mse: tensors that do not fit, are not finite or of no float dtype leave the handle as it was", "[api][mse]") {
  for (const bool with_data : {false, true}) {
    const Mse mse = make_rows_mse();
    if (with_data) REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
    const std::pair<float, const char*> values[] = {
        {std::nanf(""), "x[123] is NaN"}, {kInfinity, "x[123] is infinite"}, {-kInfinity, "x[123] is -infinite"}};
    for (const auto& [value, message] : values) {
      Floats x = random_values(300, 105);
      x[123] = x[299] = value;
      check_refused(mse, collecting(view(x, {6, 50}), NVFP4CAL_ERROR_NOT_FINITE, message));
    }
    Bytes bytes(8 * 300, 1);
    const std::pair<int32_t, const char*> dtypes[] = {
        {NVFP4CAL_DTYPE_U8, "uint8"}, {NVFP4CAL_DTYPE_I8, "int8"}, {NVFP4CAL_DTYPE_E4M3, "float8_e4m3"}, {NVFP4CAL_DTYPE_I64, "int64"}};
    for (const auto& [dtype, name] : dtypes) {
      check_refused(mse, collecting(view(bytes.data(), dtype, {6, 50}), NVFP4CAL_ERROR_UNSUPPORTED,
                                    std::string("x is ") + name + ", expected float32, bfloat16, float16 or float64"));
    }
    Floats x(300, 1.0f);
    const std::string rows = "amax of shape [6, 1] for x of shape ";
    check_refused(mse, collecting(view(x, {5, 60}), NVFP4CAL_ERROR_INVALID_ARGUMENT,
                                  rows + "[5, 60] with kept extents [5], expected one value a channel"));
    check_refused(mse, collecting(view(x, {}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "axis 0 for a tensor of 0 dimensions"));
  }
  const Mse tensor = make_mse();
  REQUIRE(nvfp4cal_mse_set_int_quantizer(tensor.get(), 8, 0) == NVFP4CAL_OK);
  REQUIRE(set_amax(tensor, Floats(3, 1.0f), {3}) == NVFP4CAL_OK);
  Floats x(12, 1.0f);
  check_refused(tensor,
                collecting(view(x, {3, 4}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "amax of shape [3] does not broadcast to x of shape [3, 4]"));
  REQUIRE(set_amax(tensor, {2e38f}, {1}) == NVFP4CAL_OK);
  check_refused(
      tensor, collecting(view(x, {3, 4}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "amax[0] is 2e+38: times 4 it is beyond the range of float32"));
}

TEST_CASE("mse: kept extents that change are named", "[api][mse]") {
  const Mse mse = make_mse();
  REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, 0) == NVFP4CAL_OK);
  REQUIRE(set_axes(mse, {0, 1}) == NVFP4CAL_OK);
  REQUIRE(set_amax(mse, Floats(6, 1.0f), {1, 6}) == NVFP4CAL_OK);
  Floats x = random_values(60, 107);
  REQUIRE(collect(mse, x, {1, 6, 10}) == NVFP4CAL_OK);
  check_refused(
      mse, collecting(view(x, {6, 1, 10}), NVFP4CAL_ERROR_INVALID_ARGUMENT, "x gives channels of shape [6, 1], earlier ones have [1, 6]"));
}

TEST_CASE("mse: outputs of other dtypes, sizes and strides are refused", "[api][mse]") {
  const Mse mse = make_rows_mse();
  REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
  Floats values(39 * 6, -7.0f);
  const nvfp4cal_tensor small = view(values, {5}), bytes = view(values.data(), NVFP4CAL_DTYPE_U8, {6}), singles = view(values, {39, 6}),
                        apart = strided(values.data(), NVFP4CAL_DTYPE_F32, {6}, {2});
  const auto refusal = [](nvfp4cal_status (*get)(nvfp4cal_mse*, nvfp4cal_tensor*), nvfp4cal_tensor out, nvfp4cal_status status,
                          const char* message) {
    return Refusal{[=](nvfp4cal_mse* h) {
                     nvfp4cal_tensor copy = out;
                     return get(h, &copy);
                   },
                   status, message};
  };
  for (const auto get : {nvfp4cal_mse_compute_amax, nvfp4cal_mse_compute_multipliers}) {
    check_refused(mse, refusal(get, small, NVFP4CAL_ERROR_INVALID_ARGUMENT, "out of shape [5] has 5 elements, expected 6 of shape [6, 1]"));
    check_refused(mse, refusal(get, bytes, NVFP4CAL_ERROR_UNSUPPORTED, "out is uint8, expected float32"));
    check_refused(mse, refusal(get, apart, NVFP4CAL_ERROR_UNSUPPORTED, "out has strides: outputs are contiguous"));
  }
  check_refused(mse, refusal(nvfp4cal_mse_losses, singles, NVFP4CAL_ERROR_UNSUPPORTED, "out is float32, expected float64"));
  CHECK(values == Floats(39 * 6, -7.0f));
}

TEST_CASE("mse: a failing runner leaves the losses as they were", "[api][mse]") {
  const Context broken = make_context();
  REQUIRE(nvfp4cal_context_set_threads(broken.get(), 4) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_context_set_runner(
              broken.get(), [](void*, void* job, nvfp4cal_task task, int64_t n) { return task(job, n - 1), int32_t{1}; }, nullptr) ==
          NVFP4CAL_OK);
  Floats x = random_values(600 * 500, 108);
  for (const std::vector<int32_t>& axes : {std::vector<int32_t>{}, {0}, {1}}) {
    const Mse mse = make_mse();
    const int64_t channels = axes.empty() ? 1 : axes[0] == 0 ? 600 : 500;
    REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, 0) == NVFP4CAL_OK);
    REQUIRE(set_axes(mse, axes) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_mse_set_multipliers(mse.get(), 0.5, 1, 0.5) == NVFP4CAL_OK);
    REQUIRE(set_amax(mse, Floats(static_cast<size_t>(channels), 1.0f), {channels}) == NVFP4CAL_OK);
    for (const bool with_data : {false, true}) {
      if (with_data) REQUIRE(collect(mse, x, {600, 500}) == NVFP4CAL_OK);
      const Bytes before = exported(mse);
      REQUIRE(nvfp4cal_mse_set_context(mse.get(), broken.get()) == NVFP4CAL_OK);
      CHECK(collect(mse, x, {600, 500}) == NVFP4CAL_ERROR_CALLBACK);
      CHECK(contains(last_error(), "runner"));
      CHECK(same_bits(exported(mse), before));
      REQUIRE(nvfp4cal_mse_set_context(mse.get(), nullptr) == NVFP4CAL_OK);
    }
  }
}

TEST_CASE("mse: a callback that fails stops the collect and leaves the handle usable", "[api][mse]") {
  for (const int kind : {0, 1, 2}) {
    for (const bool nan : {false, true}) {
      CAPTURE(kind, nan);
      Calls calls;
      const Mse mse = make_rows_mse();
      if (kind == 0) REQUIRE(nvfp4cal_mse_set_quantize_callback(mse.get(), quantize_rows, &calls) == NVFP4CAL_OK);
      if (kind == 1) REQUIRE(nvfp4cal_mse_set_error_callback(mse.get(), element_errors, NVFP4CAL_ERRORS_ELEMENTS, &calls) == NVFP4CAL_OK);
      if (kind == 2) REQUIRE(nvfp4cal_mse_set_error_callback(mse.get(), scalar_error, NVFP4CAL_ERRORS_SCALAR, &calls) == NVFP4CAL_OK);
      REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
      const Bytes before = exported(mse);
      calls.nan = nan;
      if (!nan) calls.fail_at = calls.count + 20;
      CHECK(collect_part(mse, 1) == (nan ? NVFP4CAL_ERROR_NOT_FINITE : NVFP4CAL_ERROR_CALLBACK));
      const std::string names[] = {"quantize", "error", "error"};
      const std::string not_finite[] = {"quantized x[7] is NaN", "error[3] is infinite", "the error function gave nan"};
      CHECK(last_error() == (nan ? not_finite[kind] : "the " + names[kind] + " callback returned 5"));
      CHECK(same_bits(exported(mse), before));
      calls = Calls();
      CHECK(collect_part(mse, 1) == NVFP4CAL_OK);
    }
  }
}
TEST_CASE("mse: losses beyond float64 are refused and leave the handle as it was", "[api][mse]") {
  const Mse mse = make_mse(), half = make_mse();
  for (const Mse* one : {&mse, &half}) {
    REQUIRE(nvfp4cal_mse_set_int_quantizer(one->get(), 8, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_mse_set_power_error(one->get(), 8.0) == NVFP4CAL_OK);
    REQUIRE(set_amax(*one, {1.0f}, {}) == NVFP4CAL_OK);
  }
  Floats large(4, 3e38f);  // 4 * 3e38^8 is 2.6e308
  CHECK(collect(mse, large, {4}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "the loss of multiplier 0.25 in channel 0 is beyond float64");
  Floats some(2, 3e38f);
  REQUIRE(collect(mse, some, {2}) == NVFP4CAL_OK);
  REQUIRE(collect(half, some, {2}) == NVFP4CAL_OK);
  const Bytes before = exported(mse);
  CHECK(nvfp4cal_mse_merge(mse.get(), half.get()) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(collect(mse, some, {2}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(exported(mse) == before);
}
