// The exact search on device tensors: the host's codes, through every function that searches.
#include "device.h"

using namespace device_test;

namespace {

struct Case {
  const char* name;
  Shape shape;
  int64_t slices;  // 0: the amax is found
  int weights;     // 0: none, 1: a row, 2: all
  nvfp4cal_options options;
};

std::vector<Case> cases() {
  const nvfp4cal_options plain = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
  nvfp4cal_options wide = options_of(NVFP4CAL_METHOD_MSE, 32, 256), window = plain;
  window.flags = NVFP4CAL_OPTION_CODE_WINDOW;
  window.code_lo = -4;
  window.code_hi = 3;
  return {{"plain", {65, 96}, 0, 0, plain},   {"wide", {33, 64}, 1, 0, wide},         {"slices", {4, 9, 64}, 4, 0, plain},
          {"window", {33, 64}, 0, 0, window}, {"row weights", {33, 64}, 0, 1, plain}, {"all weights in slices", {2, 17, 64}, 2, 2, wide},
          {"large", {300, 512}, 0, 0, plain}};
}

Floats values_of(const Case& one) {
  Floats values = random_values(static_cast<size_t>(count_of(one.shape)), 41);
  std::fill(values.begin() + 32, values.begin() + 64, 0.0f);
  if (one.slices > 1) std::fill(values.end() - static_cast<std::ptrdiff_t>(values.size()) / one.slices, values.end(), 0.0f);
  return values;
}

constexpr Dtyped kSearched[] = {kFloatDtypes[0], kFloatDtypes[1], kFloatDtypes[2]};

}  // namespace

TEST_CASE("searches on a device find the host's scales") {
  for (int32_t device = 0; device < (module().emulated ? 2 : 1); ++device) {
    for (Case one : cases()) {
      for (const Dtyped& type : kSearched) {
        INFO(one.name << ", " << type.name << ", device " << device);
        const Floats values = values_of(one);
        Bytes bytes = as_bytes(values, type.dtype);
        nvfp4cal_tensor x = view(bytes.data(), type.dtype, one.shape);
        Floats amaxes(static_cast<size_t>(one.slices), 1.0f);
        if (one.slices > 1) amaxes.back() = 0.0f;
        Floats weights(one.weights == 1 ? static_cast<size_t>(one.shape.back()) : one.weights == 2 ? values.size() : 0);
        for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.5f + static_cast<float>(i % 17);
        const nvfp4cal_tensor amax = view(amaxes), weight = view(weights, one.weights == 1 ? Shape{one.shape.back()} : one.shape);
        if (one.weights) one.options.weights = &weight;
        const size_t blocks = values.size() / static_cast<size_t>(one.options.block_size);
        Floats want(blocks);
        nvfp4cal_tensor out = view(want);
        REQUIRE(nvfp4cal_scale_sweep(nullptr, &x, one.slices ? &amax : nullptr, &one.options, &out, nullptr) == NVFP4CAL_OK);

        const Memory memory(bytes.data(), bytes.size(), device);
        const OnDevice<float> weights_there(weights, device), have(Floats(blocks, -1.0f), device);
        const nvfp4cal_tensor y = moved(x, memory.data(), device), weight_there = moved(weight, weights_there.data(), device);
        if (one.weights) one.options.weights = &weight_there;
        nvfp4cal_tensor out_there = moved(out, have.data(), device);
        const nvfp4cal_status status = nvfp4cal_scale_sweep(nullptr, &y, one.slices ? &amax : nullptr, &one.options, &out_there, nullptr);
        INFO(last_error());
        REQUIRE(status == NVFP4CAL_OK);
        CHECK(same_bits(have.read(), want));

        Bytes want_packed(values.size() / 2), want_scales(blocks);
        nvfp4cal_tensor packed = view(want_packed), scales = view(want_scales);
        if (one.weights) one.options.weights = &weight;
        REQUIRE(nvfp4cal_quantize(nullptr, &x, one.slices ? &amax : nullptr, nullptr, &one.options, &packed, &scales, nullptr, nullptr) ==
                NVFP4CAL_OK);
        const OnDevice<uint8_t> have_packed(Bytes(want_packed.size()), device), have_scales(Bytes(want_scales.size()), device);
        nvfp4cal_tensor packed_there = moved(packed, have_packed.data(), device), scales_there = moved(scales, have_scales.data(), device);
        if (one.weights) one.options.weights = &weight_there;
        REQUIRE(nvfp4cal_quantize(nullptr, &y, one.slices ? &amax : nullptr, nullptr, &one.options, &packed_there, &scales_there, nullptr,
                                  nullptr) == NVFP4CAL_OK);
        CHECK(same_bits(have_packed.read(), want_packed));
        CHECK(same_bits(have_scales.read(), want_scales));
      }
    }
  }
}

TEST_CASE("the sweep calibrator takes device tensors") {
  const Case one = cases()[4];
  Floats values = values_of(one), weights(64, 2.0f);
  weights[5] = 0.25f;
  const OnDevice<float> memory(values);
  const nvfp4cal_tensor x = view(values, one.shape), y = moved(x, memory.data()), w = view(weights);
  float amax = amax_of(values);
  const nvfp4cal_tensor g = scalar(amax);
  Bytes codes[2];
  for (int i = 0; i < 2; ++i) {
    const Sweep sweep = make_sweep();
    REQUIRE(nvfp4cal_sweep_set_global_amax(sweep.get(), &g) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_sweep_set_weights(sweep.get(), &w) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_sweep_collect(sweep.get(), i == 0 ? &x : &y, nullptr) == NVFP4CAL_OK);
    codes[i].resize(values.size() / 16);
    nvfp4cal_tensor out = view(codes[i]);
    REQUIRE(nvfp4cal_sweep_compute_codes(sweep.get(), &out) == NVFP4CAL_OK);
  }
  CHECK(same_bits(codes[0], codes[1]));
}

TEST_CASE("searches with Hessians on a device find the host's scales") {
  for (const int32_t block : {16, 32}) {
    for (const Dtyped& type : kSearched) {
      INFO(type.name << ", blocks of " << block);
      const int64_t columns = 4;
      const Shape shape = {2, 21, columns * block};
      const Floats values = random_values(static_cast<size_t>(count_of(shape)), 43),
                   rows = random_values(static_cast<size_t>(columns * block * 40), 44);
      Floats hessian(static_cast<size_t>(columns * block * block));
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t i = 0; i < block * block; ++i) {
          double sum = i / block == i % block ? 0.1 : 0.0;
          for (int64_t k = 0; k < 40; ++k)
            sum += static_cast<double>(rows[static_cast<size_t>((c * 40 + k) * block + i / block)]) *
                   rows[static_cast<size_t>((c * 40 + k) * block + i % block)];
          hessian[static_cast<size_t>(c * block * block + i)] = static_cast<float>(sum);
        }
      }
      Bytes bytes = as_bytes(values, type.dtype);
      nvfp4cal_options wanted = options();
      wanted.block_size = block;
      const nvfp4cal_tensor x = view(bytes.data(), type.dtype, shape), h = view(hessian, {columns, block, block});
      Floats want(values.size() / static_cast<size_t>(block));
      nvfp4cal_tensor out = view(want);
      REQUIRE(nvfp4cal_scale_sweep_hessian(nullptr, &x, nullptr, &h, &wanted, &out, nullptr) == NVFP4CAL_OK);
      const Memory memory(bytes.data(), bytes.size());
      const OnDevice<float> hessian_there(hessian), have(Floats(want.size()));
      const nvfp4cal_tensor y = moved(x, memory.data()), h_there = moved(h, hessian_there.data());
      nvfp4cal_tensor out_there = moved(out, have.data());
      for (const nvfp4cal_tensor* given : {&h, &h_there}) {
        REQUIRE(nvfp4cal_scale_sweep_hessian(nullptr, &y, nullptr, given, &wanted, &out_there, nullptr) == NVFP4CAL_OK);
        CHECK(same_bits(have.read(), want));
      }
    }
  }
}

TEST_CASE("searches on a device name what is wrong") {
  const Floats good(64, 1.0f);
  Floats bad_weights = good, nan = good;
  bad_weights[33] = -1.0f;
  nan[7] = NAN;
  const OnDevice<float> a(good), b(nan), w(bad_weights), out(Floats(4, -1.0f));
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, {64}), y = b.view(NVFP4CAL_DTYPE_F32, {64}),
                        weights = w.view(NVFP4CAL_DTYPE_F32, {64});
  nvfp4cal_tensor result = out.view(NVFP4CAL_DTYPE_F32, {4});
  nvfp4cal_options weighted = options();
  weighted.weights = &weights;
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, &weighted, &result, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "weights[33] is -1, expected a positive finite value");
  CHECK(nvfp4cal_scale_sweep(nullptr, &y, nullptr, nullptr, &result, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[7] is NaN");
  nvfp4cal_tensor strided_x = x;
  strided_x.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  strided_x.shape[0] = 32;
  strided_x.strides[0] = 2;
  nvfp4cal_tensor half = out.view(NVFP4CAL_DTYPE_F32, {2});
  CHECK(nvfp4cal_scale_sweep(nullptr, &strided_x, nullptr, nullptr, &half, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "x is strided float32: the search on a device takes contiguous float32, bfloat16 and float16"));
  Floats host_weights(64, 1.0f);
  const nvfp4cal_tensor elsewhere = view(host_weights);
  weighted.weights = &elsewhere;
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, &weighted, &result, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "weights lies in host memory, expected on CUDA device 0");
  CHECK(out.read() == Floats(4, -1.0f));
}
