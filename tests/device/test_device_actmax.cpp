// Histograms of block amaxes of device tensors: the host's counts and largest magnitudes.
#include "device.h"

using namespace device_test;

namespace {

struct DestroyActMax {
  void operator()(nvfp4cal_actmax* handle) const { nvfp4cal_actmax_destroy(handle); }
};
using ActMax = std::unique_ptr<nvfp4cal_actmax, DestroyActMax>;

ActMax make(int32_t bins, int32_t block) {
  nvfp4cal_actmax* handle = nullptr;
  REQUIRE(nvfp4cal_actmax_create(&handle) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_bins(handle, bins, -30, 20) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_block_size(handle, block) == NVFP4CAL_OK);
  return ActMax(handle);
}

// The exported state has all counts and the largest magnitude.
Bytes state_of(nvfp4cal_actmax* handle) {
  nvfp4cal_tensor ask = question();
  REQUIRE(nvfp4cal_actmax_export_state(handle, &ask) == NVFP4CAL_OK);
  Bytes bytes(static_cast<size_t>(ask.shape[0]));
  nvfp4cal_tensor out = view(bytes);
  REQUIRE(nvfp4cal_actmax_export_state(handle, &out) == NVFP4CAL_OK);
  return bytes;
}

}  // namespace

TEST_CASE("histograms of device tensors are those of the host") {
  const Shape shapes[] = {{64, 96}, {10000}, {37, 41}, {5, 7, 3}, {0, 32}, {257, 256}};
  for (const Shape& shape : shapes) {
    for (const Dtyped& type : kFloatDtypes) {
      for (const int32_t bins : {1, 2, 512, 9000}) {
        for (const int32_t block : {16, 32}) {
          INFO("[" << shape[0] << ", ..] " << type.name << ", " << bins << " bins, blocks of " << block);
          Floats values = random_values(static_cast<size_t>(count_of(shape)), 51);
          for (size_t i = 0; i < values.size(); ++i) values[i] *= i / 64 % 3 == 0 ? 0.0f : i / 64 % 3 == 1 ? 1e-4f : 3.0f;
          // the last bin, too, which float16 does not reach
          for (size_t i = 5; i < values.size() && type.dtype != NVFP4CAL_DTYPE_F16; i += 401) values[i] *= 1e7f;
          Bytes bytes = as_bytes(values, type.dtype);
          const Memory memory(bytes.data(), bytes.size());
          const nvfp4cal_tensor x = view(bytes.data(), type.dtype, shape), y = moved(x, memory.data());
          const ActMax want = make(bins, block), have = make(bins, block);
          for (int call = 0; call < 2; ++call) {
            REQUIRE(nvfp4cal_actmax_collect(want.get(), &x, nullptr) == NVFP4CAL_OK);
            REQUIRE(nvfp4cal_actmax_collect(have.get(), &y, nullptr) == NVFP4CAL_OK);
          }
          CHECK(same_bits(state_of(want.get()), state_of(have.get())));
        }
      }
    }
  }
}

TEST_CASE("a histogram takes over a device call's counts only if the call was clean") {
  Floats values = random_values(1600, 52), bad = values;
  bad[1599] = -HUGE_VALF;
  const OnDevice<float> a(values), b(bad);
  const nvfp4cal_tensor host = view(values), x = a.view(NVFP4CAL_DTYPE_F32, {1600}), y = b.view(NVFP4CAL_DTYPE_F32, {1600});
  const ActMax want = make(64, 16), have = make(64, 16);
  REQUIRE(nvfp4cal_actmax_collect(want.get(), &host, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_collect(have.get(), &host, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_collect(have.get(), &x, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_collect(have.get(), &y, nullptr) == NVFP4CAL_OK);
  nvfp4cal_tensor ask = question();
  CHECK(nvfp4cal_actmax_export_state(have.get(), &ask) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "collect 2: x[1599] is -infinite");
  REQUIRE(nvfp4cal_actmax_reset(have.get()) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_collect(have.get(), &x, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(state_of(want.get()), state_of(have.get())));
}
