// nvfp4cal_observer over several handles and processes: merging, state arrays, exported states.
#include "observer.h"

using namespace api_test;

namespace {

// An observer with running ranges of groups of activations.
Observer make_running() {
  return make_observer(NVFP4CAL_OBSERVER_STATIC_MINMAX, NVFP4CAL_OBSERVER_FORMAT_INT8, NVFP4CAL_OBSERVER_STRATEGY_GROUP,
                       NVFP4CAL_OBSERVED_ACTIVATION);
}

// What ranks do between collect and compute: every array of every handle becomes the reduction over all.
void all_reduce(const std::vector<Observer>& handles) {
  for (int32_t index = 0; index < 2; ++index) {
    std::vector<nvfp4cal_tensor> views(handles.size());
    for (size_t i = 0; i < handles.size(); ++i) {
      int32_t reduce = -1;
      REQUIRE(nvfp4cal_observer_state_tensor(handles[i].get(), index, &views[i], &reduce) == NVFP4CAL_OK);
      REQUIRE(reduce == (index == 0 ? NVFP4CAL_REDUCE_MIN : NVFP4CAL_REDUCE_MAX));
      REQUIRE(views[i].dtype == NVFP4CAL_DTYPE_F32);
      REQUIRE(views[i].flags == 0);
      REQUIRE(shape_of(views[i]) == shape_of(views[0]));
    }
    for (int64_t e = 0; e < count_of(shape_of(views[0])); ++e) {
      float value = static_cast<float*>(views[0].data)[e];
      for (const nvfp4cal_tensor& view : views) {
        const float other = static_cast<float*>(view.data)[e];
        value = index == 0 ? std::min(value, other) : std::max(value, other);
      }
      for (const nvfp4cal_tensor& view : views) static_cast<float*>(view.data)[e] = value;
    }
  }
}

// The state with a byte changed and the checksum (64 bits of FNV-1a, at the end) of what it says now.
Bytes forged(Bytes state, size_t at, uint8_t value) {
  state[at] = value;
  uint64_t hash = 0xCBF29CE484222325ull;
  for (size_t i = 0; i + 8 < state.size(); ++i) hash = (hash ^ state[i]) * 0x100000001B3ull;
  std::memcpy(state.data() + state.size() - 8, &hash, 8);
  return state;
}

}  // namespace

TEST_CASE("observer: options that an import lets through are options that work", "[api][observer]") {
  // Damage that a checksum cannot show: whatever is imported has to collect or say why not.
  Floats x = random_values(8 * 8, 33);
  int imported = 0;
  for (const int32_t strategy : {NVFP4CAL_OBSERVER_STRATEGY_TENSOR, NVFP4CAL_OBSERVER_STRATEGY_GROUP, NVFP4CAL_OBSERVER_STRATEGY_BLOCK}) {
    const Observer from = make_observer();
    REQUIRE(nvfp4cal_observer_set_strategy(from.get(), strategy) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_observer_set_group_size(from.get(), 4) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_observer_set_block_structure(from.get(), 4, 8) == NVFP4CAL_OK);
    const Bytes state = exported(from);
    REQUIRE(import_bytes(from, forged(state, 0, state[0])) == NVFP4CAL_OK);  // the checksum is the library's
    for (size_t at = 0; at + 8 < state.size(); ++at) {
      for (const int value : {0, 1, 2, 3, 4, 5, 127, 128, 255}) {
        const Observer to = make_observer();
        if (import_bytes(to, forged(state, at, static_cast<uint8_t>(value))) != NVFP4CAL_OK) continue;
        ++imported;
        const nvfp4cal_status status = collect(to, x, {8, 8});
        CAPTURE(strategy, at, value, status, last_error());
        CHECK((status == NVFP4CAL_OK || status == NVFP4CAL_ERROR_INVALID_ARGUMENT || status == NVFP4CAL_ERROR_UNSUPPORTED ||
               status == NVFP4CAL_ERROR_WRONG_STATE));
      }
    }
  }
  CHECK(imported > 300);
}

TEST_CASE("observer: the arrays of k handles, reduced by hand, are those of one handle", "[api][observer]") {
  for (const bool nvfp4 : {false, true}) {
    for (const size_t k : {1, 2, 5}) {
      CAPTURE(nvfp4, k);
      const auto make = [&] {
        Observer observer = nvfp4 ? make_nvfp4(NVFP4CAL_OBSERVER_STATIC_MINMAX) : make_running();
        REQUIRE(nvfp4cal_observer_set_optimize_global_scale(observer.get(), nvfp4) == NVFP4CAL_OK);
        return observer;
      };
      const Observer whole = make();
      std::vector<Observer> parts;
      for (size_t i = 0; i < k; ++i) parts.push_back(make());
      for (uint32_t part = 0; part < 7; ++part) {
        Floats x = random_values(3 * 32, 40 + part);
        REQUIRE(collect(whole, x, {3, 32}) == NVFP4CAL_OK);
        REQUIRE(collect(part < k ? parts[part] : parts[0], x, {3, 32}) == NVFP4CAL_OK);
      }
      all_reduce(parts);
      for (const Observer& part : parts) {
        CHECK(same(result(part), result(whole)));
        CHECK(exported(part) == exported(whole));
        if (nvfp4) CHECK(global_scale(part) == global_scale(whole));
      }
    }
  }
}

TEST_CASE("observer: state arrays make a fused global scale stale and need data", "[api][observer]") {
  nvfp4cal_tensor array{};
  int32_t reduce = -1;
  const Observer a = make_nvfp4(NVFP4CAL_OBSERVER_STATIC_MINMAX), b = make_nvfp4(NVFP4CAL_OBSERVER_STATIC_MINMAX);
  CHECK(nvfp4cal_observer_state_tensor(a.get(), 0, &array, &reduce) == NVFP4CAL_ERROR_NO_DATA);
  Floats ones(32, 1.0f), fours(32, 4.0f);
  REQUIRE(collect(a, ones, {2, 16}) == NVFP4CAL_OK);
  REQUIRE(collect(b, fours, {2, 16}) == NVFP4CAL_OK);
  nvfp4cal_observer* handles[] = {a.get(), b.get()};
  REQUIRE(nvfp4cal_observer_fuse(handles, 2) == NVFP4CAL_OK);
  CHECK(global_scale(a) == 672.0f);
  for (const int32_t wrong : {-1, 2}) {
    CHECK(nvfp4cal_observer_state_tensor(a.get(), wrong, &array, &reduce) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(last_error() == "state tensor " + std::to_string(wrong) + ", this observer has 2");
  }
  CHECK(global_scale(a) == 672.0f);
  REQUIRE(nvfp4cal_observer_state_tensor(a.get(), 1, &array, &reduce) == NVFP4CAL_OK);
  CHECK(shape_of(array) == Shape{2, 1});
  CHECK(global_scale(a) == 2688.0f);
  static_cast<float*>(array.data)[1] = 2.0f;
  CHECK(global_scale(a) == 1344.0f);
}

TEST_CASE("observer: averages and last calls have no arrays to reduce", "[api][observer]") {
  Floats x = random_values(32, 47);
  for (const int32_t kind : {0, 1, 2, 3}) {
    const Observer observer = make_observer(kind);
    REQUIRE(collect(observer, x, {2, 16}) == NVFP4CAL_OK);
    nvfp4cal_tensor array{};
    int32_t reduce = -1;
    CHECK(nvfp4cal_observer_state_tensor(observer.get(), 0, &array, &reduce) == NVFP4CAL_ERROR_UNSUPPORTED);
    CHECK(last_error() == "state_tensor: only static min-max observers have data that add up");
    CHECK(reduce == -1);
  }
}

TEST_CASE("static ranges of any split in any order merge to those of one observer; others do not merge", "[api][observer]") {
  const Observer whole = make_running();
  std::vector<Observer> parts;
  for (uint32_t i = 0; i < 5; ++i) {
    Floats x = random_values(3 * 32, 10 + i);
    parts.push_back(make_running());
    REQUIRE(collect(whole, x, {3, 32}) == NVFP4CAL_OK);
    REQUIRE(collect(parts.back(), x, {3, 32}) == NVFP4CAL_OK);
  }
  for (const auto& order : {std::vector<size_t>{0, 1, 2, 3, 4}, {4, 2, 0, 3, 1}}) {
    const Observer merged = make_running();
    for (const size_t i : order) CHECK(nvfp4cal_observer_merge(merged.get(), parts[i].get()) == NVFP4CAL_OK);
    CHECK(same(result(merged), result(whole)));
    CHECK(exported(merged) == exported(whole));
  }
  const Observer other = make_running();
  REQUIRE(nvfp4cal_observer_set_group_size(other.get(), 8) == NVFP4CAL_OK);
  CHECK(nvfp4cal_observer_merge(other.get(), whole.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const int32_t kind : {0, 1, 2, 3}) {
    CHECK(nvfp4cal_observer_merge(make_observer(kind).get(), make_observer(kind).get()) == NVFP4CAL_ERROR_UNSUPPORTED);
  }
}

TEST_CASE("an observer's state comes back whole; damaged and foreign ones are refused", "[api][observer]") {
  Floats x = random_values(4 * 32, 20), y = random_values(4 * 32, 21);
  const std::vector<int32_t> g_idx(32, 1);
  const Observer from = make_nvfp4(NVFP4CAL_OBSERVER_MSE), to = make_observer();
  REQUIRE(nvfp4cal_observer_set_optimize_global_scale(from.get(), 1) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_observer_set_g_idx(from.get(), g_idx.data(), 32) == NVFP4CAL_OK);
  const Bytes empty = exported(from);
  REQUIRE(collect(from, x, {4, 32}) == NVFP4CAL_OK);
  const Bytes state = exported(from);
  REQUIRE(import_bytes(to, state) == NVFP4CAL_OK);
  CHECK(exported(to) == state);
  CHECK(same(result(to), result(from)));
  CHECK(global_scale(to) == global_scale(from));
  REQUIRE(collect(from, y, {4, 32}) == NVFP4CAL_OK);
  REQUIRE(collect(to, y, {4, 32}) == NVFP4CAL_OK);
  CHECK(same(result(to), result(from)));
  const Bytes before = exported(to);
  for (size_t n = 0; n < state.size(); n += 3) {
    CHECK(import_bytes(to, Bytes(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(n))) == NVFP4CAL_ERROR_CORRUPT);
  }
  for (size_t i = 0; i < state.size(); ++i) {
    Bytes damaged = state;
    damaged[i] = static_cast<uint8_t>(damaged[i] ^ 0x41);
    CHECK(import_bytes(to, damaged) == NVFP4CAL_ERROR_CORRUPT);
  }
  const Max max = make_max();
  nvfp4cal_tensor size = question();
  REQUIRE(nvfp4cal_max_export_state(max.get(), &size) == NVFP4CAL_OK);
  Bytes foreign(static_cast<size_t>(size.shape[0]));
  nvfp4cal_tensor out = view(foreign);
  REQUIRE(nvfp4cal_max_export_state(max.get(), &out) == NVFP4CAL_OK);
  CHECK(import_bytes(to, foreign) == NVFP4CAL_ERROR_CORRUPT);
  CHECK(contains(last_error(), "type"));
  CHECK(exported(to) == before);
  REQUIRE(import_bytes(to, empty) == NVFP4CAL_OK);
  CHECK(result(to).status == NVFP4CAL_ERROR_NO_DATA);
}
