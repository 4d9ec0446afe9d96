// nvfp4cal_hessian over several handles: merging, states, and the arrays that processes reduce.
#include "hessian_calls.h"

using namespace api_test;

namespace {

constexpr int32_t kLayouts[] = {NVFP4CAL_HESSIAN_BLOCKS, NVFP4CAL_HESSIAN_FULL, NVFP4CAL_HESSIAN_DIAGONAL};
constexpr int64_t kCols = 144;

nvfp4cal_status collect_part(const Hessian& hessian, uint32_t part) {
  Floats x = random_values(static_cast<size_t>((20 + part) * kCols), 30 + part);
  return collect(hessian, x, {20 + static_cast<int64_t>(part), kCols});
}

std::vector<double> sums(const Hessian& hessian, int32_t index = 0) {
  nvfp4cal_tensor state = question();
  int32_t reduce = -1;
  if (nvfp4cal_hessian_state_tensor(hessian.get(), index, &state, &reduce) != NVFP4CAL_OK || reduce != NVFP4CAL_REDUCE_SUM) return {};
  const double* const values = static_cast<const double*>(state.data);
  return {values, values + count_of(shape_of(state))};
}

// Relative to the diagonal's size: off it, terms cancel.
bool close(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::fabs(value));
  bool good = a.size() == b.size();
  for (size_t i = 0; good && i < a.size(); ++i) good = std::fabs(a[i] - b[i]) <= 1e-12 * largest;
  return good;
}

}  // namespace

TEST_CASE("Hessian: merging any split in any order is one handle that saw all", "[api][hessian][merge]") {
  for (const int32_t layout : kLayouts) {
    const Hessian whole = make_hessian(layout);
    for (uint32_t part = 0; part < 6; ++part) REQUIRE(collect_part(whole, part) == NVFP4CAL_OK);
    for (int split = 0; split < 64; split += 5) {
      for (const bool swapped : {false, true}) {
        CAPTURE(layout, split, swapped);
        const Hessian a = make_hessian(layout), b = make_hessian(layout);
        for (uint32_t part = 0; part < 6; ++part) collect_part(split >> part & 1 ? a : b, part);
        const Hessian& into = swapped ? b : a;
        const Hessian& from = swapped ? a : b;
        const Bytes other = exported(from);
        CHECK(nvfp4cal_hessian_merge(into.get(), from.get()) == NVFP4CAL_OK);
        CHECK(close(sums(into), sums(whole)));
        CHECK(rows(into) == rows(whole));
        CHECK(exported(from) == other);
      }
    }
  }
}

TEST_CASE("Hessian: merging an empty handle changes nothing, other options or columns are refused", "[api][hessian][merge]") {
  const Hessian full = make_hessian(), empty = make_hessian();
  REQUIRE(collect_part(full, 0) == NVFP4CAL_OK);
  const Bytes before = exported(full);
  CHECK(nvfp4cal_hessian_merge(full.get(), empty.get()) == NVFP4CAL_OK);
  CHECK(exported(full) == before);
  CHECK(nvfp4cal_hessian_merge(empty.get(), full.get()) == NVFP4CAL_OK);
  CHECK(exported(empty) == before);
  const Hessian normalized = make_hessian(), damped = make_hessian(), other_block = make_hessian(0, 32), other_layout = make_hessian(1);
  REQUIRE(nvfp4cal_hessian_set_normalize(normalized.get(), 1) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_set_damping(damped.get(), 0.5) == NVFP4CAL_OK);
  for (const Hessian* from : {&normalized, &damped, &other_layout}) {
    REQUIRE(collect_part(*from, 1) == NVFP4CAL_OK);
    CHECK(nvfp4cal_hessian_merge(full.get(), from->get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  CHECK(nvfp4cal_hessian_merge(full.get(), other_block.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  const Hessian narrow = make_hessian();
  Floats x(32, 1.0f);
  REQUIRE(collect(narrow, x, {32}) == NVFP4CAL_OK);
  CHECK(nvfp4cal_hessian_merge(full.get(), narrow.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "sums over 144 and 32 columns cannot be merged");
  CHECK(nvfp4cal_hessian_merge(full.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(exported(full) == before);
}

TEST_CASE("Hessian: the state arrays are the handle's memory, to be added up", "[api][hessian][merge]") {
  for (const int32_t layout : kLayouts) {
    const Hessian mine = make_hessian(layout), theirs = make_hessian(layout), merged = make_hessian(layout);
    REQUIRE(collect_part(mine, 0) == NVFP4CAL_OK);
    REQUIRE(collect_part(theirs, 1) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_hessian_merge(merged.get(), mine.get()) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_hessian_merge(merged.get(), theirs.get()) == NVFP4CAL_OK);
    for (const int32_t index : {0, 1}) {
      nvfp4cal_tensor state = question();
      int32_t reduce = -1;
      const std::vector<double> added = sums(theirs, index);
      REQUIRE(nvfp4cal_hessian_state_tensor(mine.get(), index, &state, &reduce) == NVFP4CAL_OK);
      CHECK(state.dtype == NVFP4CAL_DTYPE_F64);
      REQUIRE(count_of(shape_of(state)) == static_cast<int64_t>(added.size()));
      double* const values = static_cast<double*>(state.data);
      for (size_t i = 0; i < added.size(); ++i) values[i] += added[i];
    }
    CHECK(exported(mine) == exported(merged));
    CHECK(rows(mine) == 41);
  }
  const Hessian hessian = make_hessian();
  nvfp4cal_tensor state = question();
  int32_t reduce = 77;
  CHECK(nvfp4cal_hessian_state_tensor(hessian.get(), 0, &state, &reduce) == NVFP4CAL_ERROR_NO_DATA);
  for (const int32_t index : {-1, 2}) {
    CHECK(nvfp4cal_hessian_state_tensor(hessian.get(), index, &state, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(index)));
  }
  CHECK(reduce == 77);
}

TEST_CASE("a Hessian's state brings back options and sums, and goes on", "[api][hessian][state]") {
  for (const int32_t layout : kLayouts) {
    const Hessian from = make_hessian(layout), to = make_hessian(NVFP4CAL_HESSIAN_FULL, 32);
    REQUIRE(nvfp4cal_hessian_set_normalize(from.get(), 1) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_hessian_set_damping(from.get(), 0.25) == NVFP4CAL_OK);
    REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);  // without data too
    CHECK(result(to).status == NVFP4CAL_ERROR_NO_DATA);
    REQUIRE(collect_part(from, 0) == NVFP4CAL_OK);
    const Bytes state = exported(from);
    REQUIRE(import_bytes(to, state) == NVFP4CAL_OK);
    CHECK(exported(to) == state);
    CHECK(same(result(to), result(from)));
    REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
    REQUIRE(collect_part(to, 1) == NVFP4CAL_OK);
    CHECK(exported(to) == exported(from));
  }
}

TEST_CASE("Hessian: damaged, truncated and foreign states are refused, the handle is as before", "[api][hessian][state]") {
  const Hessian target = make_hessian(), source = make_hessian(NVFP4CAL_HESSIAN_DIAGONAL);
  REQUIRE(collect_part(target, 0) == NVFP4CAL_OK);
  Floats x = {1.0f, 2.0f, 3.0f};
  REQUIRE(collect(source, x, {3}) == NVFP4CAL_OK);
  const Bytes before = exported(target), state = exported(source);
  const auto refused = [&](const Bytes& wrong) {
    return import_bytes(target, wrong) == NVFP4CAL_ERROR_CORRUPT && exported(target) == before;
  };
  for (size_t n = 0; n < state.size(); ++n) CHECK(refused(Bytes(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(n))));
  for (size_t i = 0; i < state.size(); ++i) {
    Bytes damaged = state;
    damaged[i] = static_cast<uint8_t>(damaged[i] ^ 0x40);
    CHECK(refused(damaged));
  }
  const Max max = make_max();
  nvfp4cal_tensor out = question();
  REQUIRE(nvfp4cal_max_export_state(max.get(), &out) == NVFP4CAL_OK);
  Bytes foreign(static_cast<size_t>(out.shape[0]));
  out.data = foreign.data();
  REQUIRE(nvfp4cal_max_export_state(max.get(), &out) == NVFP4CAL_OK);
  CHECK(refused(foreign));
  CHECK(contains(nvfp4cal_hessian_last_error(target.get()), "type"));
}
