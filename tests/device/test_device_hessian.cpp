// X^T X of device tensors: the host's sums to 1e-12, the same ones every time.
#include <cmath>

#include "device.h"

using namespace device_test;

namespace {

struct DestroyHessian {
  void operator()(nvfp4cal_hessian* handle) const { nvfp4cal_hessian_destroy(handle); }
};
using Hessian = std::unique_ptr<nvfp4cal_hessian, DestroyHessian>;

Hessian make(int32_t layout, int32_t block) {
  nvfp4cal_hessian* handle = nullptr;
  REQUIRE(nvfp4cal_hessian_create(&handle) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_set_layout(handle, layout) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_set_block_size(handle, block) == NVFP4CAL_OK);
  return Hessian(handle);
}

std::vector<double> sums_of(nvfp4cal_hessian* handle) {
  nvfp4cal_tensor sums = question();
  int32_t reduce = 0;
  REQUIRE(nvfp4cal_hessian_state_tensor(handle, 0, &sums, &reduce) == NVFP4CAL_OK);
  const double* const data = static_cast<const double*>(sums.data);
  return {data, data + count_of(shape_of(sums))};
}

struct Case {
  Shape shape;
  int32_t layout, block;
};

const Case kCases[] = {{{700, 64}, NVFP4CAL_HESSIAN_BLOCKS, 16},  {{33, 96}, NVFP4CAL_HESSIAN_BLOCKS, 32},
                       {{5, 7, 48}, NVFP4CAL_HESSIAN_BLOCKS, 16}, {{600, 45}, NVFP4CAL_HESSIAN_DIAGONAL, 16},
                       {{40, 300}, NVFP4CAL_HESSIAN_FULL, 16},    {{1, 16}, NVFP4CAL_HESSIAN_FULL, 16}};

}  // namespace

TEST_CASE("sums of squares of device tensors are those of the host") {
  for (const Case& one : kCases) {
    for (const Dtyped& type : kFloatDtypes) {
      INFO("layout " << one.layout << ", " << one.shape.back() << " columns, " << type.name);
      Bytes bytes = as_bytes(random_values(static_cast<size_t>(count_of(one.shape)), 61), type.dtype);
      const Memory memory(bytes.data(), bytes.size());
      const nvfp4cal_tensor x = view(bytes.data(), type.dtype, one.shape), y = moved(x, memory.data());
      const Hessian want = make(one.layout, one.block), have = make(one.layout, one.block), again = make(one.layout, one.block);
      for (int call = 0; call < 2; ++call) {
        REQUIRE(nvfp4cal_hessian_collect(want.get(), &x, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_hessian_collect(have.get(), &y, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_hessian_collect(again.get(), &y, nullptr) == NVFP4CAL_OK);
      }
      const std::vector<double> a = sums_of(want.get()), b = sums_of(have.get());
      REQUIRE(a.size() == b.size());
      double largest = 0.0, apart = 0.0;
      for (size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::fabs(a[i]));
        apart = std::max(apart, std::fabs(a[i] - b[i]));
      }
      CHECK(apart <= 1e-12 * largest);
      CHECK(same_bits(b, sums_of(again.get())));
      int64_t rows = 0;
      CHECK(nvfp4cal_hessian_rows(have.get(), &rows) == NVFP4CAL_OK);
      CHECK(rows == 2 * count_of(one.shape) / one.shape.back());
    }
  }
}

TEST_CASE("integers have exact sums on a device, host and device calls add up, strides are followed") {
  Floats values(64 * 80);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(static_cast<int>(i * 7 % 23) - 11);
  const OnDevice<float> memory(values);
  const nvfp4cal_tensor layouts[] = {view(values, {64, 80}), strided(values.data(), NVFP4CAL_DTYPE_F32, {40, 48}, {1, 64})};
  for (const nvfp4cal_tensor& x : layouts) {
    const nvfp4cal_tensor y = moved(x, memory.data());
    const Hessian want = make(NVFP4CAL_HESSIAN_BLOCKS, 16), have = make(NVFP4CAL_HESSIAN_BLOCKS, 16);
    for (const nvfp4cal_tensor* tensor : {&x, &x, &x}) REQUIRE(nvfp4cal_hessian_collect(want.get(), tensor, nullptr) == NVFP4CAL_OK);
    for (const nvfp4cal_tensor* tensor : {&y, &x, &y}) REQUIRE(nvfp4cal_hessian_collect(have.get(), tensor, nullptr) == NVFP4CAL_OK);
    CHECK(same_bits(sums_of(want.get()), sums_of(have.get())));
  }
}

TEST_CASE("sums of squares name a device's bad element") {
  for (const Case& one : kCases) {
    Floats bad = random_values(static_cast<size_t>(count_of(one.shape)), 62);
    bad[bad.size() - 2] = NAN;
    const OnDevice<float> memory(bad);
    const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, one.shape);
    const Hessian hessian = make(one.layout, one.block);
    REQUIRE(nvfp4cal_hessian_collect(hessian.get(), &x, nullptr) == NVFP4CAL_OK);
    int64_t rows = -1;
    CHECK(nvfp4cal_hessian_rows(hessian.get(), &rows) == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(last_error() == "collect 1: x[" + std::to_string(bad.size() - 2) + "] is NaN");
  }
}
