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

}  // namespace

TEST_CASE("searches on a device find the host's scales") {
  for (int32_t device = 0; device < (module().emulated ? 2 : 1); ++device) {
    for (Case one : cases()) {
      for (const Dtyped& type : kFloatDtypes) {
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

TEST_CASE("searches on a device take any strides") {
  constexpr int64_t kRows = 21, kCols = 96;
  for (const Dtyped& type : kFloatDtypes) {
    for (const bool is_weighted : {false, true}) {
      INFO(type.name << (is_weighted ? ", weighted" : ""));
      const Floats values = random_values(kRows * kCols, 46);
      Floats weights(values.size());
      for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.25f + static_cast<float>(i * 7 % 31);
      Bytes bytes = as_bytes(values, type.dtype), weight_bytes = as_bytes(weights, type.dtype);
      // the transposed matrix: rows of x are columns in memory, from the last one back
      nvfp4cal_tensor x = view(bytes.data() + (kRows - 1) * static_cast<int64_t>(dtype_size(type.dtype)), type.dtype, {kRows, kCols});
      x.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
      x.strides[0] = -1;
      x.strides[1] = kRows;
      nvfp4cal_tensor weight = view(weight_bytes.data(), type.dtype, {kRows, kCols});
      weight.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
      weight.strides[0] = 1;
      weight.strides[1] = kRows;
      nvfp4cal_options wanted = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
      if (is_weighted) wanted.weights = &weight;
      Floats want(values.size() / 16), want_decoded(values.size());
      nvfp4cal_tensor out = view(want), decoded = view(want_decoded);
      REQUIRE(nvfp4cal_scale_sweep(nullptr, &x, nullptr, &wanted, &out, nullptr) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &x, nullptr, nullptr, &wanted, &decoded, nullptr) == NVFP4CAL_OK);
      const Memory memory(bytes.data(), bytes.size()), weight_memory(weight_bytes.data(), weight_bytes.size());
      const OnDevice<float> have(Floats(want.size())), have_decoded(Floats(values.size()));
      const nvfp4cal_tensor y = moved(x, static_cast<char*>(memory.data()) + (kRows - 1) * static_cast<int64_t>(dtype_size(type.dtype))),
                            weight_there = moved(weight, weight_memory.data());
      if (is_weighted) wanted.weights = &weight_there;
      nvfp4cal_tensor out_there = moved(out, have.data()), decoded_there = moved(decoded, have_decoded.data());
      REQUIRE(nvfp4cal_scale_sweep(nullptr, &y, nullptr, &wanted, &out_there, nullptr) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_fake_quantize(nullptr, &y, nullptr, nullptr, &wanted, &decoded_there, nullptr) == NVFP4CAL_OK);
      CHECK(same_bits(have.read(), want));
      CHECK(same_bits(have_decoded.read(), want_decoded));
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
  Floats host_weights(64, 1.0f);
  const nvfp4cal_tensor elsewhere = view(host_weights);
  weighted.weights = &elsewhere;
  CHECK(nvfp4cal_scale_sweep(nullptr, &x, nullptr, &weighted, &result, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "weights lies in host memory, expected on CUDA device 0");
  CHECK(out.read() == Floats(4, -1.0f));
}
