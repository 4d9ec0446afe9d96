// Observers on device tensors: every range and state of the host, bit for bit.
#include "api/observer.h"
#include "device.h"

using namespace device_test;

namespace {

struct Case {
  const char* name;
  int32_t strategy, observed, format;
  Shape shape;
};

// Rows that are one part, many parts, short last ones; groups of one run, of rows side by side and of rows far apart; padded blocks.
const Case kCases[] = {
    {"tensor", 0, 0, 0, {6, 32}},
    {"long tensor", 0, 0, 2, {70, 1000}},
    {"vector", 0, 1, 0, {193}},
    {"channels", 1, 0, 1, {6, 333}},
    {"groups", 2, 0, 2, {9, 64}},
    {"groups of activations", 2, 1, 2, {2, 700, 64}},
    {"blocks", 3, 0, 0, {5, 30}},
    {"NVFP4", 4, 0, 3, {17, 64}},
    {"NVFP4 of a stack", 4, 0, 3, {2, 2, 3, 32}},
    {"NVFP4 of activations", 4, 1, 3, {300, 32}},
    {"tokens", 5, 1, 0, {3, 5, 32}},
};

Observer make(const Case& one, int32_t kind) { return make_observer(kind, one.format, one.strategy, one.observed); }

// Both observers see the same tensors, one of them on a device.
void compare(const Observer& want, const Observer& have, const Shape& shape, int32_t dtype, CUstream_st* stream = nullptr) {
  for (uint64_t call = 0; call < 2; ++call) {
    Floats values = random_values(static_cast<size_t>(count_of(shape)), 80 + call);
    if (values.size() > 40) std::fill(values.begin() + 16, values.begin() + 32, -0.0f);
    if (call == 1) values.back() = -7.5f;  // an extreme at the end of the last run
    Bytes bytes = as_bytes(values, dtype);
    const Memory memory(bytes.data(), bytes.size());
    const nvfp4cal_tensor x = view(bytes.data(), dtype, shape), y = moved(x, memory.data());
    REQUIRE(nvfp4cal_observer_collect(want.get(), &x, nullptr) == NVFP4CAL_OK);
    const nvfp4cal_status status = nvfp4cal_observer_collect(have.get(), &y, stream);
    INFO(last_error());
    REQUIRE(status == NVFP4CAL_OK);
    CHECK(same(result(have), result(want)));
    CHECK(same_bits(exported(have), exported(want)));
  }
}

}  // namespace

TEST_CASE("observers of all kinds and strategies find the host's ranges on a device") {
  for (const Case& one : kCases) {
    for (int32_t kind = NVFP4CAL_OBSERVER_MEMORYLESS_MSE; kind <= NVFP4CAL_OBSERVER_STATIC_MINMAX; ++kind) {
      INFO(one.name << ", kind " << kind);
      compare(make(one, kind), make(one, kind), one.shape, NVFP4CAL_DTYPE_F32);
    }
  }
}

TEST_CASE("observers on a device take all options, dtypes and orders of columns") {
  const Case& groups = kCases[7];
  for (const Dtyped& type : kFloatDtypes) {
    INFO(type.name);
    compare(make(groups, NVFP4CAL_OBSERVER_MSE), make(groups, NVFP4CAL_OBSERVER_MSE), groups.shape, type.dtype);
  }
  const auto twice = [](const Case& one, auto&& set) {
    const Observer want = make(one, NVFP4CAL_OBSERVER_MEMORYLESS_MSE), have = make(one, NVFP4CAL_OBSERVER_MEMORYLESS_MSE);
    for (const Observer* observer : {&want, &have}) REQUIRE(set(observer->get()) == NVFP4CAL_OK);
    compare(want, have, one.shape, NVFP4CAL_DTYPE_F32);
  };
  for (const double norm : {1.0, 2.0, 0.5}) twice(kCases[3], [&](auto* handle) { return nvfp4cal_observer_set_norm(handle, norm); });
  twice(kCases[6], [](auto* handle) { return nvfp4cal_observer_set_symmetric(handle, 0); });
  twice(kCases[0], [](auto* handle) { return nvfp4cal_observer_set_symmetric(handle, 0); });
  twice(groups, [](auto* handle) { return nvfp4cal_observer_set_optimize_global_scale(handle, 1); });
  twice(groups, [](auto* handle) { return nvfp4cal_observer_set_global_scale(handle, 123.0f); });
  twice(groups, [](auto* handle) { return nvfp4cal_observer_set_patience(handle, 30); });
  twice(kCases[1], [](auto* handle) { return nvfp4cal_observer_set_expand(handle, 1.8); });
  twice(kCases[1], [](auto* handle) { return nvfp4cal_observer_set_maxshrink(handle, 0.0); });
  std::vector<int32_t> g_idx(64);
  for (size_t c = 0; c < g_idx.size(); ++c) g_idx[c] = static_cast<int32_t>(c * 7 % 64 / 16);
  twice(groups, [&](auto* handle) { return nvfp4cal_observer_set_g_idx(handle, g_idx.data(), 64); });
}

TEST_CASE("observers on a device use the stream and the order of nothing else") {
  NEEDS_EMULATION();
  const int32_t live = live_allocations();
  CUstream_st* const stream = make_stream(0);
  for (const bool backwards : {false, true}) {
    set_backwards(backwards);
    compare(make(kCases[7], NVFP4CAL_OBSERVER_MSE), make(kCases[7], NVFP4CAL_OBSERVER_MSE), kCases[7].shape, NVFP4CAL_DTYPE_F32, stream);
    compare(make(kCases[5], NVFP4CAL_OBSERVER_MSE), make(kCases[5], NVFP4CAL_OBSERVER_MSE), kCases[5].shape, NVFP4CAL_DTYPE_F32, stream);
  }
  set_backwards(false);
  const OnDevice<float> memory(random_values(17 * 64, 1));
  const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {17, 64});
  const Observer observer = make(kCases[7], NVFP4CAL_OBSERVER_MSE);
  begin_capture(stream);
  CHECK(nvfp4cal_observer_collect(observer.get(), &x, stream) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "collect cannot be captured in a CUDA graph");
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(graph != nullptr);
  destroy_graph(graph);
  for (int32_t skip = 0; skip < 6; ++skip) {
    fail_call("cudaMallocAsync", kOutOfMemory, skip);
    CHECK(nvfp4cal_observer_collect(observer.get(), &x, stream) == NVFP4CAL_ERROR_OUT_OF_MEMORY);
    heal();
  }
  nvfp4cal_tensor min = question(), max = question();
  CHECK(nvfp4cal_observer_compute_range(observer.get(), &min, &max) == NVFP4CAL_ERROR_NO_DATA);
  destroy_stream(stream);
  char message[nvfp4cal::kMessageSize];
  REQUIRE(module().ops->synchronize({0, nullptr}, message) == nvfp4cal::Status::kOk);
  CHECK(live_allocations() == live + 1);  // the tensor
}

TEST_CASE("a bad element leaves an observer as it was") {
  Floats values = random_values(17 * 64, 90);
  const OnDevice<float> good(values);
  values[100] = -HUGE_VALF;
  values[900] = NAN;
  const OnDevice<float> bad(values);
  const nvfp4cal_tensor x = good.view(NVFP4CAL_DTYPE_F32, {17, 64}), y = bad.view(NVFP4CAL_DTYPE_F32, {17, 64});
  const Observer observer = make(kCases[7], NVFP4CAL_OBSERVER_MSE);
  REQUIRE(nvfp4cal_observer_collect(observer.get(), &x, nullptr) == NVFP4CAL_OK);
  const Bytes before = exported(observer);
  CHECK(nvfp4cal_observer_collect(observer.get(), &y, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[100] is -infinite");
  CHECK(same_bits(exported(observer), before));
}
