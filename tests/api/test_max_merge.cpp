// nvfp4cal_max over several handles: merging, and the state array that processes reduce in place.
#include <algorithm>

#include "calls.h"
#include "handles.h"

using namespace api_test;

namespace {

enum class Kind { kTensor, kAxis, kAxes, kBlock };
constexpr Kind kKinds[] = {Kind::kTensor, Kind::kAxis, Kind::kAxes, Kind::kBlock};

Max make(Kind kind) {
  Max max = make_max();
  nvfp4cal_status status = NVFP4CAL_OK;
  if (kind == Kind::kAxis) status = set_axes(max, {-1});
  if (kind == Kind::kAxes) status = set_axes(max, {0, 1});
  if (kind == Kind::kBlock) status = nvfp4cal_max_set_block_size(max.get(), 16);
  return status == NVFP4CAL_OK ? std::move(max) : nullptr;
}

nvfp4cal_status collect_part(const Max& max, uint32_t part) {
  Floats x = random_values(3 * 5 * 32, 70 + part);
  return collect(max, x, {3, 5, 32});
}

}  // namespace

TEST_CASE("merging any split in any order is one handle that saw all, bit for bit", "[api][merge]") {
  for (const Kind kind : kKinds) {
    const Max whole = make(kind);
    for (uint32_t part = 0; part < 6; ++part) REQUIRE(collect_part(whole, part) == NVFP4CAL_OK);
    const Result expected = amax(whole);
    REQUIRE(expected.status == NVFP4CAL_OK);
    for (int split = 0; split < 64; split += 7) {  // bit p: which of two handles sees part p
      for (const bool swapped : {false, true}) {
        CAPTURE(static_cast<int>(kind), split, swapped);
        const Max a = make(kind), b = make(kind);
        for (uint32_t part = 0; part < 6; ++part) collect_part(split >> part & 1 ? a : b, part);
        const Max& into = swapped ? b : a;
        const Max& from = swapped ? a : b;
        const Result other = amax(from);
        CHECK(nvfp4cal_max_merge(into.get(), from.get()) == NVFP4CAL_OK);
        CHECK(same(amax(into), expected));
        CHECK(same(amax(from), other));
      }
    }
  }
}

TEST_CASE("merging an empty handle changes nothing, merging into an empty one copies", "[api][merge]") {
  for (const Kind kind : kKinds) {
    const Max full = make(kind), empty = make(kind);
    REQUIRE(collect_part(full, 0) == NVFP4CAL_OK);
    const Result before = amax(full);
    CHECK(nvfp4cal_max_merge(full.get(), empty.get()) == NVFP4CAL_OK);
    CHECK(same(amax(full), before));
    CHECK(amax(empty).status == NVFP4CAL_ERROR_NO_DATA);
    CHECK(nvfp4cal_max_merge(empty.get(), full.get()) == NVFP4CAL_OK);
    CHECK(same(amax(empty), before));
    CHECK(nvfp4cal_max_merge(full.get(), full.get()) == NVFP4CAL_OK);
    CHECK(same(amax(full), before));
  }
}

TEST_CASE("handles with other options or shapes cannot be merged", "[api][merge]") {
  for (const Kind a : kKinds) {
    for (const Kind b : kKinds) {
      if (a == b) continue;
      const Max into = make(a), from = make(b);
      REQUIRE(collect_part(into, 0) == NVFP4CAL_OK);
      REQUIRE(collect_part(from, 1) == NVFP4CAL_OK);
      const Result before = amax(into);
      CHECK(nvfp4cal_max_merge(into.get(), from.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(same(amax(into), before));
    }
  }
  const Max into = make(Kind::kBlock), from = make(Kind::kBlock);
  REQUIRE(collect_part(into, 0) == NVFP4CAL_OK);
  Floats x(64, 9.0f);
  REQUIRE(collect(from, x, {2, 32}) == NVFP4CAL_OK);
  const Result before = amax(into);
  CHECK(nvfp4cal_max_merge(into.get(), from.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "[3, 5, 2]"));
  CHECK(contains(last_error(), "[2, 2]"));
  CHECK(same(amax(into), before));
  CHECK(nvfp4cal_max_merge(into.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "other is NULL");
}

TEST_CASE("the state tensor is the handle's memory, to be reduced in place by maximum", "[api][merge]") {
  for (const Kind kind : kKinds) {
    const Max max = make(kind), other = make(kind);
    REQUIRE(collect_part(max, 0) == NVFP4CAL_OK);
    REQUIRE(collect_part(other, 1) == NVFP4CAL_OK);
    const Result mine = amax(max), theirs = amax(other);
    nvfp4cal_tensor state = question();
    int32_t reduce = -1;
    REQUIRE(nvfp4cal_max_state_tensor(max.get(), 0, &state, &reduce) == NVFP4CAL_OK);
    CHECK(reduce == NVFP4CAL_REDUCE_MAX);
    CHECK(state.dtype == NVFP4CAL_DTYPE_F32);
    CHECK(state.device_type <= 1);
    CHECK(shape_of(state) == mine.shape);
    REQUIRE(state.data != nullptr);
    float* values = static_cast<float*>(state.data);
    CHECK(std::equal(mine.values.begin(), mine.values.end(), values));
    for (size_t i = 0; i < theirs.values.size(); ++i) values[i] = std::max(values[i], theirs.values[i]);
    REQUIRE(nvfp4cal_max_merge(other.get(), make(kind).get()) == NVFP4CAL_OK);
    const Max both = make(kind);
    REQUIRE(collect_part(both, 0) == NVFP4CAL_OK);
    REQUIRE(collect_part(both, 1) == NVFP4CAL_OK);
    CHECK(same(amax(max), amax(both)));
  }
}

TEST_CASE("there is one state tensor", "[api][merge]") {
  const Max max = make(Kind::kTensor);
  REQUIRE(collect_part(max, 0) == NVFP4CAL_OK);
  nvfp4cal_tensor state = question();
  int32_t reduce = 77;
  for (const int32_t index : {-1, 1, 100}) {
    CHECK(nvfp4cal_max_state_tensor(max.get(), index, &state, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(index)));
  }
  CHECK(nvfp4cal_max_state_tensor(max.get(), 0, nullptr, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "view is NULL");
  CHECK(nvfp4cal_max_state_tensor(max.get(), 0, &state, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "reduce is NULL");
  CHECK(state.data == nullptr);
  CHECK(reduce == 77);
}
