// nvfp4cal_mse over several handles: merging, the state array, exported states, threads.
#include "mse.h"

using namespace api_test;

TEST_CASE("mse: merging any split in any order is one search over all", "[api][mse]") {
  const Mse whole = make_rows_mse();
  for (uint32_t part = 0; part < 5; ++part) REQUIRE(collect_part(whole, part) == NVFP4CAL_OK);
  for (int split = 0; split < 32; ++split) {
    for (const bool swapped : {false, true}) {
      CAPTURE(split, swapped);
      const Mse a = make_rows_mse(), b = make_rows_mse();
      for (uint32_t part = 0; part < 5; ++part) REQUIRE(collect_part(split >> part & 1 ? a : b, part) == NVFP4CAL_OK);
      const Mse &into = swapped ? b : a, &from = swapped ? a : b;
      const Bytes other = exported(from);
      CHECK(nvfp4cal_mse_merge(into.get(), from.get()) == NVFP4CAL_OK);
      CHECK(close(losses(into), losses(whole)));
      CHECK(same(amax(into), amax(whole)));
      CHECK(exported(from) == other);
    }
  }
}

TEST_CASE("mse: a handle without an initial amax takes over the other's", "[api][mse]") {
  const Mse from = make_rows_mse(), into = make_mse();
  REQUIRE(nvfp4cal_mse_set_int_quantizer(into.get(), 4, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK);
  REQUIRE(set_axes(into, {0}) == NVFP4CAL_OK);
  CHECK(nvfp4cal_mse_merge(into.get(), from.get()) == NVFP4CAL_OK);  // nothing there
  CHECK(amax(into).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect_part(from, 0) == NVFP4CAL_OK);
  CHECK(nvfp4cal_mse_merge(into.get(), from.get()) == NVFP4CAL_OK);
  CHECK(exported(into) == exported(from));
}

TEST_CASE("mse: other options and other amaxes cannot be merged", "[api][mse]") {
  const Mse into = make_rows_mse();
  REQUIRE(collect_part(into, 0) == NVFP4CAL_OK);
  const Bytes before = exported(into);
  for (int option = 0; option < 5; ++option) {
    const Mse from = make_rows_mse();
    const nvfp4cal_status status = option == 0   ? nvfp4cal_mse_set_int_quantizer(from.get(), 5, 0)
                                   : option == 1 ? nvfp4cal_mse_set_multipliers(from.get(), 0.25, 4, 0.2)
                                   : option == 2 ? nvfp4cal_mse_set_absolute_error(from.get())
                                   : option == 3 ? nvfp4cal_mse_set_float_quantizer(from.get(), NVFP4CAL_FLOAT_E4M3)
                                                 : set_amax(from, Floats(6, 1.0f), {6, 1});
    REQUIRE(status == NVFP4CAL_OK);
    REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
    CHECK(nvfp4cal_mse_merge(into.get(), from.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(exported(into) == before);
  }
  CHECK(nvfp4cal_mse_merge(into.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
}

TEST_CASE("mse: the losses can be reduced in place by sums", "[api][mse]") {
  const Mse a = make_rows_mse(), b = make_rows_mse(), both = make_rows_mse();
  REQUIRE(collect_part(a, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(b, 1) == NVFP4CAL_OK);
  REQUIRE(collect_part(both, 0) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_mse_merge(both.get(), b.get()) == NVFP4CAL_OK);
  nvfp4cal_tensor mine = question();
  int32_t reduce = -1;
  REQUIRE(nvfp4cal_mse_state_tensor(a.get(), 0, &mine, &reduce) == NVFP4CAL_OK);
  CHECK(reduce == NVFP4CAL_REDUCE_SUM);
  CHECK(mine.dtype == NVFP4CAL_DTYPE_F64);
  CHECK(shape_of(mine) == Shape{39, 6});
  const std::vector<double> theirs = losses(b);
  for (size_t i = 0; i < theirs.size(); ++i) static_cast<double*>(mine.data)[i] += theirs[i];
  CHECK(same(amax(a), amax(both)));
  CHECK(nvfp4cal_mse_state_tensor(a.get(), 1, &mine, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_mse_state_tensor(make_mse().get(), 0, &mine, &reduce) == NVFP4CAL_ERROR_NO_DATA);
}

TEST_CASE("mse: a state brings back options, amax and losses, and collecting goes on", "[api][mse]") {
  const Mse from = make_rows_mse(), to = make_mse(), fresh = make_mse();
  REQUIRE(nvfp4cal_mse_set_power_error(from.get(), 2.4) == NVFP4CAL_OK);
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(exported(to) == exported(from));
  REQUIRE(collect_part(from, 0) == NVFP4CAL_OK);
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(same(amax(to), amax(from)));
  REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
  REQUIRE(collect_part(to, 1) == NVFP4CAL_OK);
  CHECK(exported(to) == exported(from));
  REQUIRE(import_bytes(to, exported(fresh)) == NVFP4CAL_OK);
  CHECK(amax(to).status == NVFP4CAL_ERROR_NO_DATA);
  for (const bool nvfp4 : {false, true}) {
    const Mse other = make_mse();
    REQUIRE((nvfp4 ? nvfp4cal_mse_set_nvfp4_quantizer(other.get(), 3.0f)
                   : nvfp4cal_mse_set_float_quantizer(other.get(), NVFP4CAL_FLOAT_E5M2)) == NVFP4CAL_OK);
    REQUIRE(set_amax(other, {1.0f}, {}) == NVFP4CAL_OK);
    REQUIRE(collect_part(other, 2) == NVFP4CAL_OK);
    REQUIRE(import_bytes(to, exported(other)) == NVFP4CAL_OK);
    CHECK(exported(to) == exported(other));
  }
}

TEST_CASE("mse: truncated, damaged and foreign states are refused and change nothing", "[api][mse]") {
  const Mse source = make_rows_mse(), target = make_rows_mse();
  REQUIRE(nvfp4cal_mse_set_multipliers(source.get(), 0.5, 1, 0.25) == NVFP4CAL_OK);
  REQUIRE(collect_part(source, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(target, 1) == NVFP4CAL_OK);
  const Bytes state = exported(source), before = exported(target);
  for (size_t n = 0; n < state.size(); ++n) {
    Bytes cut(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(n)), damaged = state;
    damaged[n] ^= 0x40;
    CHECK(import_bytes(target, cut) == NVFP4CAL_ERROR_CORRUPT);
    CHECK(import_bytes(target, damaged) == NVFP4CAL_ERROR_CORRUPT);
  }
  CHECK(import_bytes(target, calls::exported(calls::filled_max())) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(contains(last_error(), "type"));
  CHECK(exported(target) == before);
}

TEST_CASE("mse: a search has the same bits for any number of threads", "[api][mse]") {
  for (const std::vector<int32_t>& axes : {std::vector<int32_t>{}, {0}, {1}}) {
    Bytes expected;
    for (const int32_t threads : {1, 2, 7}) {
      const Context context = make_context();
      REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
      const Mse mse = make_mse();
      REQUIRE(nvfp4cal_mse_set_context(mse.get(), context.get()) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_mse_set_int_quantizer(mse.get(), 8, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK);
      REQUIRE(set_axes(mse, axes) == NVFP4CAL_OK);
      const int64_t channels = axes.empty() ? 1 : axes[0] == 0 ? 300 : 700;
      REQUIRE(set_amax(mse, Floats(static_cast<size_t>(channels), 1.0f), {channels}) == NVFP4CAL_OK);
      Floats x = random_values(300 * 700, 130);
      REQUIRE(collect(mse, x, {300, 700}) == NVFP4CAL_OK);
      if (expected.empty()) expected = exported(mse);
      CHECK(exported(mse) == expected);
    }
  }
}
