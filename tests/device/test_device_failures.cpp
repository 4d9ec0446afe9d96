// What goes wrong with modules and devices: statuses, texts, nothing leaked, handles that stay usable.
#include "device.h"

using namespace device_test;

namespace {

Floats ones(size_t n) { return Floats(n, 1.0f); }

nvfp4cal_status collect(nvfp4cal_max* max, const nvfp4cal_tensor& x) { return nvfp4cal_max_collect(max, &x, nullptr); }

}  // namespace

TEST_CASE("running out of device memory is -6, and the handle is as before") {
  NEEDS_EMULATION();
  const int32_t before = live_allocations();
  {
    const OnDevice<float> memory(ones(256));
    const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {256});
    const Max max = make_max();
    for (int32_t skip = 0; skip < 4; ++skip) {
      fail_call("cudaMallocAsync", kOutOfMemory, skip);
      CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_OUT_OF_MEMORY);
      CHECK(contains(last_error(), "out of device memory"));
      nvfp4cal_tensor ask = question();
      CHECK(nvfp4cal_max_compute_amax(max.get(), &ask) == NVFP4CAL_ERROR_NO_DATA);
      heal();
    }
    REQUIRE(collect(max.get(), x) == NVFP4CAL_OK);
    fail_call("cudaMallocAsync", kOutOfMemory);
    CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_OUT_OF_MEMORY);
    heal();
    float out = 0.0f;
    nvfp4cal_tensor result = scalar(out);
    CHECK(nvfp4cal_max_compute_amax(max.get(), &result) == NVFP4CAL_OK);
    CHECK(out == 1.0f);
  }
  CHECK(live_allocations() == before);
}

TEST_CASE("an error of the device is -11 with CUDA's text; the handle can be destroyed") {
  NEEDS_EMULATION();
  const OnDevice<float> memory(ones(256));
  const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {256});
  for (const char* function : {"cudaMemsetAsync", "cudaEventRecord", "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaEventSynchronize"}) {
    INFO(function);
    Max max = make_max();
    fail_call(function, kIllegalAddress, 0, true);
    float out = 0.0f;
    nvfp4cal_tensor result = scalar(out);
    nvfp4cal_status status = collect(max.get(), x);
    if (status == NVFP4CAL_OK) status = nvfp4cal_max_compute_amax(max.get(), &result);
    CHECK(status == NVFP4CAL_ERROR_CUDA);
    CHECK(contains(last_error(), "an illegal memory access was encountered (cudaErrorIllegalAddress)"));
    max.reset();
    heal();
  }
}

TEST_CASE("the caller's current device is restored") {
  NEEDS_EMULATION();
  const OnDevice<float> memory(ones(256), 1);
  const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {256});
  const Max max = make_max();
  REQUIRE(collect(max.get(), x) == NVFP4CAL_OK);
  CHECK(current_device() == 0);
  set_current_device(1);
  const OnDevice<float> other(ones(256), 0);
  const nvfp4cal_tensor y = other.view(NVFP4CAL_DTYPE_F32, {256});
  REQUIRE(collect(max.get(), y) == NVFP4CAL_OK);
  CHECK(current_device() == 1);
  set_current_device(0);
}

TEST_CASE("devices that are not there, and tensors that kernels cannot read, are refused") {
  const OnDevice<float> memory(ones(256));
  const Max max = make_max();
  nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {256});
  x.device_id = 99;
  CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "x lies on CUDA device 99"));
  x.device_id = -1;
  CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  x = memory.view(NVFP4CAL_DTYPE_F32, {64});
  x.data = static_cast<char*>(x.data) + 2;
  CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "not aligned to elements of 4 bytes"));
  x = memory.view(NVFP4CAL_DTYPE_F32, {256});
  x.device_type = 10;
  CHECK(collect(max.get(), x) == NVFP4CAL_ERROR_CUDA_UNAVAILABLE);
  CHECK(contains(last_error(), "device type 10"));
}

TEST_CASE("functions without a device path say so, and outputs lie where they belong") {
  const OnDevice<float> memory(ones(256)), out_memory(ones(16));
  const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, {256});
  nvfp4cal_mse* mse = nullptr;
  REQUIRE(nvfp4cal_mse_create(&mse) == NVFP4CAL_OK);
  CHECK(nvfp4cal_mse_set_initial_amax(mse, &x) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "amax lies on CUDA device 0: this function computes on host tensors"));
  nvfp4cal_mse_destroy(mse);
  Floats host(256, 1.0f);
  const nvfp4cal_tensor host_x = view(host);
  nvfp4cal_tensor device_out = out_memory.view(NVFP4CAL_DTYPE_F32, {16});
  CHECK(nvfp4cal_scale_sweep(nullptr, &host_x, nullptr, nullptr, &device_out, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "out lies on CUDA device 0, expected in host memory");
}
