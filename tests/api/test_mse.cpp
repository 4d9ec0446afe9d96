// nvfp4cal_mse: results, shapes, options, what is refused, callbacks.
#include "mse.h"

#include <cmath>
#include <limits>
#include <thread>

using namespace api_test;

namespace {

// What the callbacks of a test saw, and when they fail.
struct Calls {
  int count = 0, fail_at = -1;
  bool wrong_thread = false, nan = false;
  std::thread::id thread = std::this_thread::get_id();
  Shape amax_shape;

  int32_t next() {
    wrong_thread = wrong_thread || std::this_thread::get_id() != thread;
    return count++ == fail_at ? 5 : 0;
  }
};

// INT4 by hand, one amax a row; x is contiguous float32.
int32_t quantize_rows(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* amax, nvfp4cal_tensor* out) {
  Calls& calls = *static_cast<Calls*>(user);
  calls.amax_shape = shape_of(*amax);
  const int64_t cols = x->shape[x->ndim - 1], n = count_of(shape_of(*x));
  for (int64_t i = 0; i < n; ++i) {
    const float a = static_cast<const float*>(amax->data)[i / cols], s = 7.0f / a;
    const float q = std::nearbyint(static_cast<const float*>(x->data)[i] * s);
    static_cast<float*>(out->data)[i] = a <= 0x1p-24f ? 0.0f : std::fmin(std::fmax(q, -7.0f), 7.0f) / s;
  }
  if (calls.nan) static_cast<float*>(out->data)[7] = std::numeric_limits<float>::quiet_NaN();
  return calls.next();
}

int32_t element_errors(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  for (int64_t i = 0; i < count_of(shape_of(*x)); ++i) {
    static_cast<float*>(out->data)[i] = std::fabs(static_cast<const float*>(x->data)[i] - static_cast<const float*>(xq->data)[i]);
  }
  if (static_cast<Calls*>(user)->nan) static_cast<float*>(out->data)[3] = std::numeric_limits<float>::infinity();
  return static_cast<Calls*>(user)->next();
}

int32_t scalar_error(void* user, const nvfp4cal_tensor* x, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) {
  double sum = 0;
  for (int64_t i = 0; i < count_of(shape_of(*x)); ++i) {
    const double d =
        static_cast<double>(static_cast<const float*>(x->data)[i]) - static_cast<double>(static_cast<const float*>(xq->data)[i]);
    sum += d * d;
  }
  if (out->ndim != 0 || out->dtype != NVFP4CAL_DTYPE_F64) return 9;
  *static_cast<double*>(out->data) = static_cast<Calls*>(user)->nan ? std::nan("") : sum;
  return static_cast<Calls*>(user)->next();
}

}  // namespace

TEST_CASE("mse: per tensor: exact integers choose the multiplier that fits", "[api][mse]") {
  const Mse mse = make_mse();
  REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 4, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_mse_set_multipliers(mse.get(), 0.25, 1.0, 0.25) == NVFP4CAL_OK);
  REQUIRE(set_amax(mse, {28.0f}, {1}) == NVFP4CAL_OK);
  Floats x = {7.0f, -7.0f, 3.0f, 1.0f, 0.0f};
  REQUIRE(collect(mse, x, {5}) == NVFP4CAL_OK);
  CHECK(same(amax(mse), Result{0, {1}, {7.0f}}));
  CHECK(same(multipliers(mse), Result{0, {1}, {0.25f}}));
  CHECK(losses(mse).size() == 4);
  CHECK(losses(mse)[0] == 0.0);
  CHECK(losses(mse)[3] == 1.0 + 1.0 + 1.0 + 1.0);  // steps of 4: 8, -8, 4, 0, 0
}

TEST_CASE("mse: the first multiplier wins ties and amaxes of zero stay", "[api][mse]") {
  const Mse mse = make_rows_mse();
  Floats x(6 * 50, 0.0f);
  REQUIRE(collect(mse, x, {6, 50}) == NVFP4CAL_OK);
  CHECK(multipliers(mse).values == Floats(6, 0.25f));
  CHECK(amax(mse).shape == Shape{6, 1});
  CHECK(amax(mse).values[4] == 0.0f);
}

TEST_CASE("mse: amaxes of every accepted shape", "[api][mse]") {
  Floats x = random_values(4 * 6 * 10, 100);
  const struct {
    std::vector<int32_t> axes;
    Shape amax, losses;
  } good[] = {{{}, {}, {39}},
              {{}, {1}, {39}},
              {{}, {1, 1, 1}, {39}},
              {{}, {10}, {39}},
              {{}, {4, 1, 1}, {39}},
              {{}, {6, 10}, {39}},
              {{0}, {4}, {39, 4}},
              {{0}, {4, 1, 1}, {39, 4}},
              {{-2}, {6, 1}, {39, 6}},
              {{-1, 0}, {4, 1, 10}, {39, 4, 10}},
              {{0, 1, 2}, {4, 6, 10}, {39, 4, 6, 10}}};
  for (const auto& one : good) {
    CAPTURE(one.axes, one.amax);
    const Mse mse = make_mse();
    REQUIRE(nvfp4cal_mse_set_float_quantizer(mse.get(), NVFP4CAL_FLOAT_E4M3) == NVFP4CAL_OK);
    REQUIRE(set_axes(mse, one.axes) == NVFP4CAL_OK);
    REQUIRE(set_amax(mse, Floats(static_cast<size_t>(count_of(one.amax)), 1.0f), one.amax) == NVFP4CAL_OK);
    REQUIRE(collect(mse, x, {4, 6, 10}) == NVFP4CAL_OK);
    CHECK(amax(mse).shape == one.amax);
    nvfp4cal_tensor out = question();
    CHECK(nvfp4cal_mse_losses(mse.get(), &out) == NVFP4CAL_OK);
    CHECK(shape_of(out) == one.losses);
    CHECK(out.dtype == NVFP4CAL_DTYPE_F64);
  }
  const struct {
    std::vector<int32_t> axes;
    Shape amax;
  } bad[] = {{{}, {6}}, {{}, {2, 4, 6, 10}}, {{0}, {6}}, {{0}, {1}}, {{0, 2}, {10, 4}}, {{3}, {4}}, {{-4}, {4}}};
  for (const auto& one : bad) {
    CAPTURE(one.axes, one.amax);
    const Mse mse = make_mse();
    REQUIRE(nvfp4cal_mse_set_float_quantizer(mse.get(), NVFP4CAL_FLOAT_E4M3) == NVFP4CAL_OK);
    REQUIRE(set_axes(mse, one.axes) == NVFP4CAL_OK);
    REQUIRE(set_amax(mse, Floats(static_cast<size_t>(count_of(one.amax)), 1.0f), one.amax) == NVFP4CAL_OK);
    CHECK(collect(mse, x, {4, 6, 10}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(amax(mse).status == NVFP4CAL_ERROR_NO_DATA);
  }
}

TEST_CASE("mse: kept extents stay, reduced ones may change", "[api][mse]") {
  const Mse mse = make_rows_mse();
  Floats x = random_values(600, 101);
  REQUIRE(collect(mse, x, {6, 50}) == NVFP4CAL_OK);
  REQUIRE(collect(mse, x, {6, 100}) == NVFP4CAL_OK);
  const Bytes before = exported(mse);
  CHECK(collect(mse, x, {12, 50}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "[12]"));
  CHECK(exported(mse) == before);
}

TEST_CASE("mse: collect needs an initial amax and a quantizer; reset drops the amax", "[api][mse]") {
  const Mse mse = make_mse();
  Floats x(300, 1.0f);
  CHECK(collect(mse, x, {6, 50}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(last_error() == "no quantizer has been set");
  REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK);
  CHECK(collect(mse, x, {6, 50}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(last_error() == "no initial amax has been set");
  CHECK(amax(mse).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(losses(mse).empty());
  REQUIRE(set_amax(mse, {1.0f}, {}) == NVFP4CAL_OK);
  Floats none;
  CHECK(collect(mse, none, {0, 50}) == NVFP4CAL_OK);
  CHECK(amax(mse).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect(mse, x, {6, 50}) == NVFP4CAL_OK);
  const Result first = amax(mse);
  CHECK(set_amax(mse, {1.0f}, {}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_int_quantizer(mse.get(), 4, 0) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_float_quantizer(mse.get(), 0) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_nvfp4_quantizer(mse.get(), 1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_multipliers(mse.get(), 1, 2, 1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_squared_error(mse.get()) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_absolute_error(mse.get()) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_set_power_error(mse.get(), 2) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(set_axes(mse, {0}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_mse_reset(mse.get()) == NVFP4CAL_OK);
  CHECK(amax(mse).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(collect(mse, x, {6, 50}) == NVFP4CAL_ERROR_WRONG_STATE);
  REQUIRE(set_amax(mse, {1.0f}, {}) == NVFP4CAL_OK);
  REQUIRE(collect(mse, x, {6, 50}) == NVFP4CAL_OK);  // the quantizer was kept
  CHECK(same(amax(mse), first));
}

TEST_CASE("mse: options outside their ranges are named", "[api][mse]") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const Mse mse = make_mse();
  const Bytes before = exported(mse);
  const double ranges[][3] = {{0, 1, 0.1}, {-1, 1, 0.1}, {2, 1, 0.1}, {1, 2, 0},    {1, 2, -1},
                              {nan, 1, 1}, {1, inf, 1},  {1, 2, nan}, {1, 2, 1e-9}, {1e-60, 1, 1}};
  for (const auto& r : ranges) CHECK(nvfp4cal_mse_set_multipliers(mse.get(), r[0], r[1], r[2]) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const int32_t bits : {1, 9, -4}) CHECK(nvfp4cal_mse_set_int_quantizer(mse.get(), bits, 0) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "-4 bits, expected 2 to 8");
  for (const int32_t wrong : {-1, 3}) {
    CHECK(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, wrong) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(nvfp4cal_mse_set_float_quantizer(mse.get(), wrong) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(nvfp4cal_mse_set_error_callback(mse.get(), scalar_error, wrong, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  for (const float g : {0.0f, -1.0f, std::numeric_limits<float>::infinity()})
    CHECK(nvfp4cal_mse_set_nvfp4_quantizer(mse.get(), g) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const double p : {0.0, -1.0, 65.0, nan}) CHECK(nvfp4cal_mse_set_power_error(mse.get(), p) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_axes(mse, {0, 0}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_axes(mse, {8}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_amax(mse, {}, {0}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_amax(mse, {1.0f, -2.0f}, {2}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "amax[1] is -2, expected 0 or more");
  CHECK(set_amax(mse, {std::numeric_limits<float>::infinity()}, {1}) == NVFP4CAL_ERROR_NOT_FINITE);
  Bytes bytes(4, 1);
  const nvfp4cal_tensor wrong = view(bytes);
  CHECK(nvfp4cal_mse_set_initial_amax(mse.get(), &wrong) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(exported(mse) == before);
  REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, 0) == NVFP4CAL_OK);
  REQUIRE(set_amax(mse, {2e38f}, {1}) == NVFP4CAL_OK);
  Floats x(4, 1.0f);
  CHECK(collect(mse, x, {4}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "2e+38"));
}

TEST_CASE("mse: tensors that are not finite, or of no float dtype, leave the handle as it was", "[api][mse]") {
  const Mse mse = make_rows_mse();
  REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
  const Bytes before = exported(mse);
  Floats x = random_values(300, 105);
  x[123] = std::numeric_limits<float>::quiet_NaN();
  CHECK(collect(mse, x, {6, 50}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[123] is NaN");
  Bytes bytes(300, 1);
  const nvfp4cal_tensor tensor = view(bytes.data(), NVFP4CAL_DTYPE_E4M3, {6, 50});
  CHECK(nvfp4cal_mse_collect(mse.get(), &tensor, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(exported(mse) == before);
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

TEST_CASE("mse: a quantize callback equals the built-in quantizer that it repeats", "[api][mse]") {
  Calls calls;
  const Mse mse = make_rows_mse(), built_in = make_rows_mse();
  REQUIRE(nvfp4cal_mse_set_quantize_callback(mse.get(), quantize_rows, &calls) == NVFP4CAL_OK);
  REQUIRE(collect_part(mse, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(built_in, 0) == NVFP4CAL_OK);
  CHECK(calls.count == 39);
  CHECK(calls.amax_shape == Shape{6, 1});
  CHECK(!calls.wrong_thread);
  CHECK(close(losses(mse), losses(built_in)));
  CHECK(same(amax(mse), amax(built_in)));
}

TEST_CASE("mse: error callbacks equal the built-in errors that they repeat", "[api][mse]") {
  Calls calls;
  const Mse mse = make_rows_mse(), built_in = make_rows_mse();
  REQUIRE(nvfp4cal_mse_set_error_callback(mse.get(), element_errors, NVFP4CAL_ERRORS_ELEMENTS, &calls) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_mse_set_absolute_error(built_in.get()) == NVFP4CAL_OK);
  for (uint32_t part = 0; part < 2; ++part) {
    REQUIRE(collect_part(mse, part) == NVFP4CAL_OK);
    REQUIRE(collect_part(built_in, part) == NVFP4CAL_OK);
  }
  CHECK(calls.count == 2 * 39);
  CHECK(same(amax(mse), amax(built_in)));

  const Mse one = make_mse(), one_built_in = make_mse(), rows = make_rows_mse();
  Floats x = random_values(300, 106);
  for (const Mse* mine : {&one, &one_built_in}) {
    REQUIRE(nvfp4cal_mse_set_float_quantizer(mine->get(), NVFP4CAL_FLOAT_E2M1) == NVFP4CAL_OK);
    REQUIRE(set_amax(*mine, {1.0f}, {}) == NVFP4CAL_OK);
  }
  REQUIRE(nvfp4cal_mse_set_error_callback(one.get(), scalar_error, NVFP4CAL_ERRORS_SCALAR, &calls) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_mse_set_error_callback(rows.get(), scalar_error, NVFP4CAL_ERRORS_SCALAR, &calls) == NVFP4CAL_OK);
  REQUIRE(collect(one, x, {6, 50}) == NVFP4CAL_OK);
  REQUIRE(collect(one_built_in, x, {6, 50}) == NVFP4CAL_OK);
  CHECK(close(losses(one), losses(one_built_in)));
  REQUIRE(collect(rows, x, {6, 50}) == NVFP4CAL_OK);  // one value for all channels
  for (size_t c = 1; c < 6; ++c) CHECK(losses(rows)[c] == losses(rows)[0]);
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
      if (!nan) CHECK(contains(last_error(), "callback returned 5"));
      CHECK(exported(mse) == before);
      calls = Calls();
      CHECK(collect_part(mse, 1) == NVFP4CAL_OK);
    }
  }
}
