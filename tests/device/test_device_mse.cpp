// The multiplier search on device tensors: the host's losses to 1e-12, and so its multipliers.
#include <cmath>

#include "device.h"

using namespace device_test;

namespace {

struct DestroyMse {
  void operator()(nvfp4cal_mse* handle) const { nvfp4cal_mse_destroy(handle); }
};
using Mse = std::unique_ptr<nvfp4cal_mse, DestroyMse>;

struct Layout {
  const char* name;
  Shape shape, amax_shape;
  std::vector<int32_t> axes;
};

const Layout kLayouts[] = {{"tensor", {37, 200}, {}, {}},
                           {"long tensor", {150000}, {}, {}},
                           {"rows", {9, 700}, {9, 1}, {0}},
                           {"columns", {900, 24}, {24}, {1}},
                           {"ends", {5, 40, 6}, {5, 1, 6}, {0, 2}},
                           {"an amax for each column, one loss", {70, 24}, {24}, {}},
                           {"an amax for each row, one loss", {70, 24}, {70, 1}, {}}};

enum class Quantizer { kInt, kUnsigned, kE4m3, kE5m2, kE2m1, kNvfp4 };

Mse make(const Layout& layout, Quantizer quantizer, bool absolute) {
  nvfp4cal_mse* handle = nullptr;
  REQUIRE(nvfp4cal_mse_create(&handle) == NVFP4CAL_OK);
  Mse mse(handle);
  Floats amax(static_cast<size_t>(count_of(layout.amax_shape)));
  for (size_t i = 0; i < amax.size(); ++i) amax[i] = i % 7 == 3 ? 0.0f : 0.2f + 0.01f * static_cast<float>(i);
  const nvfp4cal_tensor initial = view(amax, layout.amax_shape);
  REQUIRE(nvfp4cal_mse_set_initial_amax(handle, &initial) == NVFP4CAL_OK);
  if (!layout.axes.empty())
    REQUIRE(nvfp4cal_mse_set_axes(handle, layout.axes.data(), static_cast<int32_t>(layout.axes.size())) == NVFP4CAL_OK);
  if (absolute) REQUIRE(nvfp4cal_mse_set_absolute_error(handle) == NVFP4CAL_OK);
  switch (quantizer) {
    case Quantizer::kInt: REQUIRE(nvfp4cal_mse_set_int_quantizer(handle, 8, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK); break;
    case Quantizer::kUnsigned: REQUIRE(nvfp4cal_mse_set_int_quantizer(handle, 4, NVFP4CAL_INT_UNSIGNED) == NVFP4CAL_OK); break;
    case Quantizer::kE4m3: REQUIRE(nvfp4cal_mse_set_float_quantizer(handle, NVFP4CAL_FLOAT_E4M3) == NVFP4CAL_OK); break;
    case Quantizer::kE5m2: REQUIRE(nvfp4cal_mse_set_float_quantizer(handle, NVFP4CAL_FLOAT_E5M2) == NVFP4CAL_OK); break;
    case Quantizer::kE2m1: REQUIRE(nvfp4cal_mse_set_float_quantizer(handle, NVFP4CAL_FLOAT_E2M1) == NVFP4CAL_OK); break;
    case Quantizer::kNvfp4: REQUIRE(nvfp4cal_mse_set_nvfp4_quantizer(handle, 1.5f) == NVFP4CAL_OK); break;
  }
  return mse;
}

std::vector<double> losses_of(nvfp4cal_mse* handle) {
  nvfp4cal_tensor ask = question();
  REQUIRE(nvfp4cal_mse_losses(handle, &ask) == NVFP4CAL_OK);
  std::vector<double> losses(static_cast<size_t>(count_of(shape_of(ask))));
  nvfp4cal_tensor out = view(losses);
  REQUIRE(nvfp4cal_mse_losses(handle, &out) == NVFP4CAL_OK);
  return losses;
}

void compare(const Layout& layout, Quantizer quantizer, bool absolute, int32_t dtype, double power = 0.0) {
  Bytes bytes = as_bytes(random_values(static_cast<size_t>(count_of(layout.shape)), 71), dtype);
  const Memory memory(bytes.data(), bytes.size());
  const nvfp4cal_tensor x = view(bytes.data(), dtype, layout.shape), y = moved(x, memory.data());
  const Mse want = make(layout, quantizer, absolute), have = make(layout, quantizer, absolute);
  for (nvfp4cal_mse* mse : {want.get(), have.get()}) {
    if (power > 0.0) REQUIRE(nvfp4cal_mse_set_power_error(mse, power) == NVFP4CAL_OK);
  }
  for (int call = 0; call < 2; ++call) {
    REQUIRE(nvfp4cal_mse_collect(want.get(), &x, nullptr) == NVFP4CAL_OK);
    const nvfp4cal_status status = nvfp4cal_mse_collect(have.get(), &y, nullptr);
    INFO(last_error());
    REQUIRE(status == NVFP4CAL_OK);
  }
  const std::vector<double> a = losses_of(want.get()), b = losses_of(have.get());
  REQUIRE(a.size() == b.size());
  double apart = 0.0;
  for (size_t i = 0; i < a.size(); ++i) apart = std::max(apart, std::fabs(a[i] - b[i]) / std::max(a[i], 1e-300));
  CHECK(apart <= 1e-12);
}

}  // namespace

TEST_CASE("losses of device tensors are those of the host, for all layouts and quantizers") {
  for (const Layout& layout : kLayouts) {
    for (const Quantizer quantizer :
         {Quantizer::kInt, Quantizer::kUnsigned, Quantizer::kE4m3, Quantizer::kE5m2, Quantizer::kE2m1, Quantizer::kNvfp4}) {
      if (count_of(layout.shape) > 100000 && quantizer != Quantizer::kE4m3) continue;
      INFO(layout.name << ", quantizer " << static_cast<int>(quantizer));
      compare(layout, quantizer, false, NVFP4CAL_DTYPE_F32);
    }
  }
  for (const Dtyped& type : kFloatDtypes) compare(kLayouts[0], Quantizer::kNvfp4, true, type.dtype);
  for (const double power : {0.5, 2.4, 3.0}) compare(kLayouts[0], Quantizer::kInt, false, NVFP4CAL_DTYPE_F32, power);
}

TEST_CASE("a bad element leaves a device's losses as they were") {
  const Layout& layout = kLayouts[3];
  Floats good = random_values(900 * 24, 72), bad = good;
  bad[555] = HUGE_VALF;
  const OnDevice<float> a(good), b(bad);
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, layout.shape), y = b.view(NVFP4CAL_DTYPE_F32, layout.shape);
  const Mse mse = make(layout, Quantizer::kE4m3, false);
  REQUIRE(nvfp4cal_mse_collect(mse.get(), &x, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_mse_collect(mse.get(), &y, nullptr) == NVFP4CAL_OK);
  nvfp4cal_tensor ask = question();
  CHECK(nvfp4cal_mse_losses(mse.get(), &ask) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "collect 2: x[555] is infinite");
}

TEST_CASE("what the multiplier search has no kernel for is refused on a device") {
  const Layout& layout = kLayouts[0];
  const OnDevice<float> memory(random_values(37 * 200, 73));
  const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, layout.shape);
  const Mse callback = make(layout, Quantizer::kInt, false);
  const auto refuse = [](void*, const nvfp4cal_tensor*, const nvfp4cal_tensor*, nvfp4cal_tensor*) -> int32_t { return 1; };
  REQUIRE(nvfp4cal_mse_set_quantize_callback(callback.get(), refuse, nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_mse_collect(callback.get(), &x, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "searches with callbacks compute on host tensors"));
}
