// export_state and import_state of both calibrators: round trips, and everything that is not a state.
#include "calls.h"
#include "handles.h"

using namespace api_test;
using api_test::calls::exported;

namespace {

Sweep rich_sweep() {
  Sweep sweep = make_sweep();
  Floats weights(32, 1.0f), x = random_values(4 * 32, 80);
  weights[3] = 7.0f;
  const nvfp4cal_tensor tensor = view(weights);
  const bool good = nvfp4cal_sweep_set_block_size(sweep.get(), 32) == NVFP4CAL_OK &&
                    nvfp4cal_sweep_set_normalization(sweep.get(), 256) == NVFP4CAL_OK &&
                    nvfp4cal_sweep_set_weights(sweep.get(), &tensor) == NVFP4CAL_OK &&
                    nvfp4cal_sweep_set_code_window(sweep.get(), -5, 9) == NVFP4CAL_OK &&
                    set_global(sweep, {1.0f, 2.0f, 3.0f, 4.0f}) == NVFP4CAL_OK && collect(sweep, x, {4, 32}) == NVFP4CAL_OK;
  return good ? std::move(sweep) : nullptr;
}

// A state of the right kind that must not be taken over.
template <class Handle>
void check_refused(const Handle& handle, const Bytes& wrong, const Bytes& before) {
  CHECK(import_bytes(handle, wrong) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(!last_error().empty());
  CHECK(exported(handle) == before);
}

template <class Handle>
void check_damage(const Handle& handle, const Bytes& state) {
  const Bytes before = exported(handle);
  for (size_t n = 0; n < state.size(); ++n) {
    CAPTURE(n);
    check_refused(handle, Bytes(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(n)), before);
  }
  for (size_t i = 0; i < state.size(); ++i) {
    for (const uint8_t mask : {uint8_t{1}, uint8_t{0x80}, uint8_t{0xFF}}) {
      CAPTURE(i, static_cast<int>(mask));
      Bytes damaged = state;
      damaged[i] = static_cast<uint8_t>(damaged[i] ^ mask);
      check_refused(handle, damaged, before);
    }
  }
  Bytes longer = state;
  longer.push_back(0);
  check_refused(handle, longer, before);
  check_refused(handle, Bytes(200, 0), before);
}

}  // namespace

TEST_CASE("a max state brings back options and data", "[api][state]") {
  const Max empty = make_max();
  REQUIRE(set_axes(empty, {0, -1}) == NVFP4CAL_OK);
  const Max full = calls::filled_max();
  for (const Max* from : {&empty, &full}) {
    const Max to = make_max();
    Floats x = {5.0f};
    REQUIRE(collect(to, x, {1}) == NVFP4CAL_OK);  // replaced
    const Bytes state = exported(*from);
    REQUIRE(!state.empty());
    CHECK(import_bytes(to, state) == NVFP4CAL_OK);
    CHECK(same(amax(to), amax(*from)));
    CHECK(exported(to) == state);
    CHECK(nvfp4cal_max_merge(to.get(), from->get()) == NVFP4CAL_OK);  // equal options
  }
}

TEST_CASE("an imported max goes on collecting", "[api][state]") {
  const Max whole = make_max(), first = make_max(), second = make_max();
  REQUIRE(set_axes(whole, {0}) == NVFP4CAL_OK);
  REQUIRE(set_axes(first, {0}) == NVFP4CAL_OK);
  Floats a = random_values(64, 81), b = random_values(64, 82);
  REQUIRE(collect(whole, a, {8, 8}) == NVFP4CAL_OK);
  REQUIRE(collect(whole, b, {8, 8}) == NVFP4CAL_OK);
  REQUIRE(collect(first, a, {8, 8}) == NVFP4CAL_OK);
  REQUIRE(import_bytes(second, exported(first)) == NVFP4CAL_OK);
  CHECK(set_axes(second, {1}) == NVFP4CAL_ERROR_WRONG_STATE);
  REQUIRE(collect(second, b, {8, 8}) == NVFP4CAL_OK);
  CHECK(same(amax(second), amax(whole)));
}

TEST_CASE("a sweep state brings back options, weights, global amax and result", "[api][state]") {
  const Sweep from = rich_sweep(), to = make_sweep();
  REQUIRE(from != nullptr);
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(same(amax(to), amax(from)));
  CHECK(codes(to) == codes(from));
  CHECK(exported(to) == exported(from));
  CHECK(nvfp4cal_sweep_set_block_size(to.get(), 16) == NVFP4CAL_ERROR_WRONG_STATE);
  // after reset it searches another tensor just as the first one would
  CHECK(nvfp4cal_sweep_reset(to.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_reset(from.get()) == NVFP4CAL_OK);
  Floats x = random_values(4 * 32, 83);
  REQUIRE(collect(to, x, {4, 32}) == NVFP4CAL_OK);
  REQUIRE(collect(from, x, {4, 32}) == NVFP4CAL_OK);
  CHECK(same(amax(to), amax(from)));
  CHECK(amax(to).shape == Shape{4, 1});
}

TEST_CASE("a sweep without data or global amax has a state too", "[api][state]") {
  const Sweep from = make_sweep(), to = rich_sweep();
  REQUIRE(import_bytes(to, exported(from)) == NVFP4CAL_OK);
  CHECK(amax(to).status == NVFP4CAL_ERROR_NO_DATA);
  Floats x(16, 1.0f);
  CHECK(collect(to, x, {16}) == NVFP4CAL_ERROR_WRONG_STATE);  // no global amax any more
}

TEST_CASE("a truncated or damaged state is refused and the handle is as before", "[api][state]") {
  const Max max = calls::filled_max();
  const Max small = make_max();
  Floats x = {1.0f, 2.0f};
  REQUIRE(set_axes(small, {0}) == NVFP4CAL_OK);
  REQUIRE(collect(small, x, {2}) == NVFP4CAL_OK);
  check_damage(max, exported(small));
  const Sweep target = calls::filled_sweep(), source = rich_sweep();
  check_damage(target, exported(source));
}

TEST_CASE("a state of the other type is refused by name", "[api][state]") {
  const Max max = calls::filled_max();
  const Sweep sweep = calls::filled_sweep();
  const Bytes max_state = exported(max), sweep_state = exported(sweep);
  CHECK(import_bytes(max, sweep_state) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(contains(nvfp4cal_max_last_error(max.get()), "type"));
  CHECK(import_bytes(sweep, max_state) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(contains(nvfp4cal_sweep_last_error(sweep.get()), "type"));
  CHECK(exported(max) == max_state);
  CHECK(exported(sweep) == sweep_state);
}

TEST_CASE("strided bytes and other dtypes are not states", "[api][state]") {
  const Max max = calls::filled_max();
  Bytes state = exported(max);
  const int64_t n = static_cast<int64_t>(state.size());
  const nvfp4cal_tensor every_second = strided(state.data(), NVFP4CAL_DTYPE_U8, {n / 2}, {2}),
                        e4m3 = view(state.data(), NVFP4CAL_DTYPE_E4M3, {n});
  CHECK(nvfp4cal_max_import_state(max.get(), &every_second) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(nvfp4cal_max_import_state(max.get(), &e4m3) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(exported(max) == state);
}
