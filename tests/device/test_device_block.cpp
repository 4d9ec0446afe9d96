// Single-level blocks on a device: the host's scales, levels, values and errors, bit for bit.
#include "device.h"

using namespace device_test;

namespace {

struct Case {
  const char* name;
  Shape shape;
  int32_t dim;
};

const Case kCases[] = {{"rows", {37, 16}, -1}, {"columns", {32, 50}, 0}, {"in the middle", {3, 16, 7}, 1}, {"a vector", {32}, 0}};

Shape without(const Case& one) {
  Shape shape = one.shape;
  shape.erase(shape.begin() + (one.dim < 0 ? static_cast<std::ptrdiff_t>(shape.size()) - 1 : one.dim));
  return shape;
}

// Blocks of noise, zeros, ties and large values among others.
Floats values_of(const Case& one, uint64_t seed) {
  Floats values = random_values(static_cast<size_t>(count_of(one.shape)), seed);
  for (size_t i = 0; i < values.size(); i += 5) values[i] *= 1e-4f;
  for (size_t i = 3; i < values.size(); i += 11) values[i] = i % 2 ? -0.75f : 2700.0f;
  if (values.size() > 200) std::fill(values.begin() + 50, values.begin() + 120, -0.0f);
  return values;
}

// A function's outputs on one side.
struct Found {
  Floats scales, quants, dequant;
  bool operator==(const Found& other) const {
    return same_bits(scales, other.scales) && same_bits(quants, other.quants) && same_bits(dequant, other.dequant);
  }
};

nvfp4cal_status search(int which, const nvfp4cal_tensor& w, int32_t dim, nvfp4cal_tensor& scales, nvfp4cal_tensor& quants,
                       nvfp4cal_tensor* dequant) {
  nvfp4cal_block_options noise = {};
  noise.struct_size = sizeof noise;
  noise.flags = NVFP4CAL_BLOCK_SEARCH_NOISE;
  if (which == 0) return nvfp4cal_block_naive(nullptr, &w, dim, &scales, &quants, dequant, nullptr);
  return nvfp4cal_block_optimal(nullptr, &w, dim, which == 1 ? nullptr : &noise, &scales, &quants, dequant, nullptr);
}

}  // namespace

TEST_CASE("block searches on a device find the host's scales") {
  for (const Case& one : kCases) {
    for (const Dtyped& type : kFloatDtypes) {
      for (int which = 0; which < 3; ++which) {
        INFO(one.name << ", " << type.name << ", method " << which);
        Bytes bytes = as_bytes(values_of(one, 31), type.dtype);
        const size_t n = static_cast<size_t>(count_of(one.shape)), blocks = static_cast<size_t>(count_of(without(one)));
        const nvfp4cal_tensor w = view(bytes.data(), type.dtype, one.shape);
        Found want{Floats(blocks), Floats(n), Floats(n)};
        nvfp4cal_tensor scales = view(want.scales, without(one)), quants = view(want.quants, one.shape),
                        dequant = view(want.dequant, one.shape);
        REQUIRE(search(which, w, one.dim, scales, quants, &dequant) == NVFP4CAL_OK);
        const Memory memory(bytes.data(), bytes.size());
        const OnDevice<float> a(Floats(blocks, -1.0f)), b(Floats(n, -1.0f)), c(Floats(n, -1.0f));
        const nvfp4cal_tensor there = moved(w, memory.data());
        nvfp4cal_tensor scales_there = moved(scales, a.data()), quants_there = moved(quants, b.data()),
                        dequant_there = moved(dequant, c.data());
        const nvfp4cal_status status = search(which, there, one.dim, scales_there, quants_there, which == 1 ? nullptr : &dequant_there);
        INFO(last_error());
        REQUIRE(status == NVFP4CAL_OK);
        if (which == 1) want.dequant.assign(n, -1.0f);  // not asked for
        CHECK(Found{a.read(), b.read(), c.read()} == want);
      }
    }
  }
}

TEST_CASE("blocks with given scales on a device give the host's levels, values and errors") {
  const Case cases[] = {kCases[0], kCases[1], kCases[2], {"any extent", {5, 50}, -1}};
  for (const Case& one : cases) {
    for (const bool single : {false, true}) {
      for (const bool scales_on_host : {false, true}) {
        INFO(one.name << (single ? ", one scale" : "") << (scales_on_host ? ", from the host" : ""));
        const Floats values = values_of(one, 33);
        const size_t n = values.size(), blocks = static_cast<size_t>(count_of(without(one)));
        Floats scales(single ? 1 : blocks);
        for (size_t i = 0; i < scales.size(); ++i) scales[i] = i % 6 == 5 ? -0.0f : 0.01f + 0.3f * static_cast<float>(i);
        const nvfp4cal_tensor x = view(const_cast<float*>(values.data()), NVFP4CAL_DTYPE_F32, one.shape), s = view(scales);
        Floats quants(n), dequant(n), narrow(blocks);
        std::vector<double> wide(blocks);
        nvfp4cal_tensor q = view(quants, one.shape), d = view(dequant, one.shape), e = view(narrow), f = view(wide);
        REQUIRE(nvfp4cal_block_quantize(nullptr, &x, &s, one.dim, &q, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_dequantize(nullptr, &q, &s, one.dim, &d, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_sse(nullptr, &x, &s, one.dim, &e, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_sse(nullptr, &x, &s, one.dim, &f, nullptr) == NVFP4CAL_OK);
        const OnDevice<float> vx(values), vs(scales), vq(Floats(n, 0.0f)), vd(Floats(n, 0.0f)), ve(Floats(blocks, 0.0f));
        const OnDevice<double> vf(std::vector<double>(blocks, 0.0));
        const nvfp4cal_tensor y = moved(x, vx.data()), t = scales_on_host ? s : moved(s, vs.data());
        nvfp4cal_tensor q2 = moved(q, vq.data()), d2 = moved(d, vd.data()), e2 = moved(e, ve.data()), f2 = moved(f, vf.data());
        REQUIRE(nvfp4cal_block_quantize(nullptr, &y, &t, one.dim, &q2, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_dequantize(nullptr, &q2, &t, one.dim, &d2, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_sse(nullptr, &y, &t, one.dim, &e2, nullptr) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_block_sse(nullptr, &y, &t, one.dim, &f2, nullptr) == NVFP4CAL_OK);
        CHECK(same_bits(vq.read(), quants));
        CHECK(same_bits(vd.read(), dequant));
        CHECK(same_bits(ve.read(), narrow));
        CHECK(same_bits(vf.read(), wide));
      }
    }
  }
}

TEST_CASE("blocks on a device name what is wrong and write nothing") {
  Floats good(64, 1.0f), nan = good;
  nan[17] = NAN;
  const OnDevice<float> a(good), b(nan), out(Floats(64, -1.0f)), errors(Floats(4, -1.0f)), negative({1.0f, 1.0f, -2.0f, 1.0f}),
      infinite({1.0f, HUGE_VALF, 1.0f, 1.0f}), three({1.0f, 1.0f, 1.0f});
  const Shape shape = {4, 16};
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, shape), bad = b.view(NVFP4CAL_DTYPE_F32, shape);
  nvfp4cal_tensor result = out.view(NVFP4CAL_DTYPE_F32, shape), scales = errors.view(NVFP4CAL_DTYPE_F32, {4});
  const auto apply = [&](const nvfp4cal_tensor& in, const nvfp4cal_tensor& s) {
    return nvfp4cal_block_quantize(nullptr, &in, &s, -1, &result, nullptr);
  };
  CHECK(apply(bad, a.view(NVFP4CAL_DTYPE_F32, {4})) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[17] is NaN");
  CHECK(apply(x, negative.view(NVFP4CAL_DTYPE_F32, {4})) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "scales[2] is -2, expected 0 or more");
  CHECK(apply(x, infinite.view(NVFP4CAL_DTYPE_F32, {4})) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "scales[1] is inf");
  CHECK(apply(x, three.view(NVFP4CAL_DTYPE_F32, {3})) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "scales has 3 elements, expected 4 or 1");
  CHECK(nvfp4cal_block_naive(nullptr, &bad, -1, &scales, &result, nullptr, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "w[17] is NaN");
  CHECK(out.read() == Floats(64, -1.0f));
  CHECK(errors.read() == Floats(4, -1.0f));
}
