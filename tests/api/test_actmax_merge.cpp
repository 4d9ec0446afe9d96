// nvfp4cal_actmax over several handles: merging, state arrays, exported states.
#include "actmax.h"

using namespace api_test;

namespace {

nvfp4cal_status collect_part(const ActMax& actmax, uint32_t part) {
  Floats x = random_values(5 * 41, 90 + part);
  for (float& value : x) value *= part % 2 ? 1e-3f : 1e3f;
  return collect(actmax, x, {5, 41});
}

}  // namespace

TEST_CASE("actmax: merging any split in any order is one histogram, bit for bit", "[api][actmax]") {
  const ActMax whole = make_actmax();
  for (uint32_t part = 0; part < 5; ++part) REQUIRE(collect_part(whole, part) == NVFP4CAL_OK);
  const Bytes expected = exported(whole);
  for (int split = 0; split < 32; ++split) {
    for (const bool swapped : {false, true}) {
      CAPTURE(split, swapped);
      const ActMax a = make_actmax(), b = make_actmax();
      for (uint32_t part = 5; part-- > 0;) REQUIRE(collect_part(split >> part & 1 ? a : b, part) == NVFP4CAL_OK);
      const ActMax &into = swapped ? b : a, &from = swapped ? a : b;
      const Bytes other = exported(from);
      CHECK(nvfp4cal_actmax_merge(into.get(), from.get()) == NVFP4CAL_OK);
      CHECK(exported(into) == expected);
      CHECK(exported(from) == other);
    }
  }
}

TEST_CASE("actmax: other options cannot be merged", "[api][actmax]") {
  const ActMax into = make_actmax();
  REQUIRE(collect_part(into, 0) == NVFP4CAL_OK);
  const Bytes before = exported(into);
  for (int option = 0; option < 6; ++option) {
    const ActMax from = make_actmax();
    const nvfp4cal_status status = option == 0   ? nvfp4cal_actmax_set_rho(from.get(), 3)
                                   : option == 1 ? nvfp4cal_actmax_set_percentiles(from.get(), 2, 99.99)
                                   : option == 2 ? nvfp4cal_actmax_set_margin(from.get(), 2)
                                   : option == 3 ? nvfp4cal_actmax_set_bins(from.get(), 512, -40, 41)
                                   : option == 4 ? nvfp4cal_actmax_set_block_size(from.get(), 32)
                                                 : nvfp4cal_actmax_set_headroom(from.get(), 1);
    REQUIRE(status == NVFP4CAL_OK);
    REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
    CHECK(nvfp4cal_actmax_merge(into.get(), from.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(exported(into) == before);
  }
  CHECK(nvfp4cal_actmax_merge(into.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "other is NULL");
}

TEST_CASE("actmax: the state arrays are the handle's memory, to be reduced in place", "[api][actmax]") {
  const ActMax a = make_actmax(), b = make_actmax(), both = make_actmax();
  REQUIRE(collect_part(a, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(b, 1) == NVFP4CAL_OK);
  REQUIRE(collect_part(both, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(both, 1) == NVFP4CAL_OK);
  nvfp4cal_tensor mine = question(), theirs = question();
  int32_t reduce = -1;
  REQUIRE(nvfp4cal_actmax_state_tensor(a.get(), 0, &mine, &reduce) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_state_tensor(b.get(), 0, &theirs, &reduce) == NVFP4CAL_OK);
  CHECK(reduce == NVFP4CAL_REDUCE_SUM);
  CHECK(mine.dtype == NVFP4CAL_DTYPE_I64);
  CHECK(shape_of(mine) == Shape{512});
  for (int64_t i = 0; i < 512; ++i) static_cast<int64_t*>(mine.data)[i] += static_cast<const int64_t*>(theirs.data)[i];
  REQUIRE(nvfp4cal_actmax_state_tensor(a.get(), 1, &mine, &reduce) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_state_tensor(b.get(), 1, &theirs, &reduce) == NVFP4CAL_OK);
  CHECK(reduce == NVFP4CAL_REDUCE_MAX);
  CHECK(mine.dtype == NVFP4CAL_DTYPE_F32);
  CHECK(shape_of(mine).empty());
  *static_cast<float*>(mine.data) = std::max(*static_cast<float*>(mine.data), *static_cast<const float*>(theirs.data));
  CHECK(exported(a) == exported(both));
  for (const int32_t index : {-1, 2}) {
    CHECK(nvfp4cal_actmax_state_tensor(a.get(), index, &mine, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(index)));
  }
}

TEST_CASE("actmax: a state brings back options and data, and collecting goes on", "[api][actmax]") {
  const ActMax from = make_actmax(), to = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_rho(from.get(), 7) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_bins(from.get(), 100, -30.5, 31) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_headroom(from.get(), 1) == NVFP4CAL_OK);
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(exported(to) == exported(from));
  REQUIRE(collect_part(from, 0) == NVFP4CAL_OK);
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(same(amax(to), amax(from)));
  REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
  REQUIRE(collect_part(to, 1) == NVFP4CAL_OK);
  CHECK(exported(to) == exported(from));
  CHECK(nvfp4cal_actmax_set_rho(to.get(), 8) == NVFP4CAL_ERROR_WRONG_STATE);
}

TEST_CASE("actmax: truncated, damaged and foreign states are refused and change nothing", "[api][actmax]") {
  const ActMax source = make_actmax(), target = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_bins(source.get(), 6, -4, 4) == NVFP4CAL_OK);
  REQUIRE(collect_part(source, 0) == NVFP4CAL_OK);
  REQUIRE(collect_part(target, 1) == NVFP4CAL_OK);
  const Bytes state = exported(source), before = exported(target);
  for (size_t n = 0; n < state.size(); ++n) {
    Bytes cut(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(n)), damaged = state;
    damaged[n] ^= 0x20;
    CHECK(import_bytes(target, cut) == NVFP4CAL_ERROR_CORRUPT);
    CHECK(import_bytes(target, damaged) == NVFP4CAL_ERROR_CORRUPT);
  }
  CHECK(import_bytes(target, calls::exported(calls::filled_max())) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(contains(last_error(), "type"));
  CHECK(exported(target) == before);
}

TEST_CASE("actmax: the same bits for any number of threads and any CPU target", "[api][actmax]") {
  Bytes expected;
  const std::string targets = nvfp4cal_cpu_targets();
  for (size_t begin = 0; begin < targets.size();
       begin = targets.find(',', begin) == std::string::npos ? targets.size() : targets.find(',', begin) + 1) {
    for (const int32_t threads : {1, 2, 7}) {
      const Context context = make_context();
      REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), targets.substr(begin, targets.find(',', begin) - begin).c_str()) ==
              NVFP4CAL_OK);
      const ActMax actmax = make_actmax();
      REQUIRE(nvfp4cal_actmax_set_context(actmax.get(), context.get()) == NVFP4CAL_OK);
      Floats x = random_values(700 * 2001, 99);
      REQUIRE(collect(actmax, x, {700, 2001}) == NVFP4CAL_OK);
      if (expected.empty()) expected = exported(actmax);
      CHECK(exported(actmax) == expected);
    }
  }
}
