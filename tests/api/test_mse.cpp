// nvfp4cal_mse: results, shapes, callbacks.
#include "mse_callbacks.h"

using namespace api_test;

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
