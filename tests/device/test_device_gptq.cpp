// GPTQ on a device: the host's codes, scales and values bit for bit, its objectives to 1e-12.
#include "gptq_calls.h"

using namespace device_test;

namespace {

// Weights in host memory, and a copy on a device.
struct Weights {
  Wanted wanted;
  Bytes bytes;
  Memory memory;
  nvfp4cal_tensor here, there;

  Weights(const Floats& values, const Shape& shape, int32_t dtype = NVFP4CAL_DTYPE_F32, int32_t device = 0)
      : wanted{shape},
        bytes(as_bytes(values, dtype)),
        memory(bytes.data(), bytes.size(), device),
        here(view(bytes.data(), dtype, shape)),
        there(moved(here, memory.data(), device)) {}
  Weights(const Shape& shape, uint32_t seed) : Weights(random_values(static_cast<size_t>(count_of(shape)), seed), shape) {}
};

void check_same(nvfp4cal_gptq* gptq, const nvfp4cal_tensor& here, const nvfp4cal_tensor& there, const Wanted& wanted) {
  const Quantized want = quantize_on_host(gptq, here, wanted), have = quantize_on_device(gptq, there, wanted);
  CHECK(have.packed == want.packed);
  CHECK(have.scales == want.scales);
  CHECK(have == want);
  CHECK(close(have, want));
}

void check_same(const Gptq& gptq, const Weights& weights) { check_same(gptq.get(), weights.here, weights.there, weights.wanted); }

}  // namespace

TEST_CASE("GPTQ on a device: every dtype and effort gives the host's bits") {
  constexpr int64_t kCols = 208;  // neither whole panels nor whole groups
  Floats h = gram(kCols, 1);
  const Shape shape = {70, kCols};
  for (const int32_t effort : kEfforts) {
    const Gptq gptq = make_gptq(effort);
    REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
    for (const Dtyped& type : kFloatDtypes) {
      INFO(type.name << ", effort " << effort);
      Weights weights(random_values(static_cast<size_t>(count_of(shape)), 2), shape, type.dtype);
      weights.wanted.decoded = type.dtype;
      check_same(gptq, weights);
    }
  }
}

TEST_CASE("GPTQ on a device: any number of rows and columns") {
  for (const int64_t cols : {16, 48, 64, 128, 144, 400}) {
    Floats h = gram(cols, static_cast<uint32_t>(cols));
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
    REQUIRE(set_hessian(gptq, h, {cols, cols}) == NVFP4CAL_OK);
    for (const int64_t rows : {1, 63, 64, 130}) {
      INFO(rows << " rows, " << cols << " columns");
      check_same(gptq, Weights({rows, cols}, 3));
    }
    check_same(gptq, Weights({0, cols}, 3));
  }
}

// Columns that are nearly one another, and weights near 1 and -1: in some neighbourhood of blocks that do not follow each other more than a quarter of the chunk's
// elements change, so that a product adds them.
TEST_CASE("GPTQ on a device: neighbourhoods that change much") {
  constexpr int64_t kRows = 64, kCols = 48;
  Floats h(static_cast<size_t>(kCols * kCols));
  for (int64_t i = 0; i < kCols; ++i) {
    for (int64_t j = 0; j < kCols; ++j)
      h[static_cast<size_t>(i * kCols + j)] = i == j ? 1.0001f : std::pow(0.999f, static_cast<float>(std::abs(i - j)));
  }
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  Floats values = random_values(static_cast<size_t>(kRows * kCols), 5);
  for (float& value : values) value = (value > 0.0f ? 1.0f : -1.0f) + 0.3f * value;
  check_same(gptq, Weights(values, {kRows, kCols}));
}

TEST_CASE("GPTQ on a device: strides") {
  constexpr int64_t kRows = 20, kCols = 80;
  Floats h = gram(kCols, 5);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  const Shape shape = {kRows, kCols}, strides[] = {{1, kRows}, {kCols + 7, 1}, {-2 * kCols, 2}, {0, 1}};
  for (const Dtyped& type : kFloatDtypes) {
    for (const Shape& steps : strides) {
      INFO(type.name << ", strides " << steps[0] << ", " << steps[1]);
      Bytes bytes = as_bytes(random_values(4000, 6), type.dtype);
      const Memory memory(bytes.data(), bytes.size());
      const size_t skip = (steps[0] < 0 ? 3600 : 40) * dtype_size(type.dtype);
      const nvfp4cal_tensor here = strided(bytes.data() + skip, type.dtype, shape, steps);
      const nvfp4cal_tensor there = moved(here, static_cast<char*>(memory.data()) + skip);
      check_same(gptq.get(), here, there, {shape});
    }
  }
}

TEST_CASE("GPTQ on a device: stacks with one Hessian or their own, and slices of zeros") {
  constexpr int64_t kSlices = 3, kRows = 67, kCols = 144;
  Floats h = gram(kCols, 7), all;
  for (uint32_t s = 0; s < kSlices; ++s) {
    const Floats one = s == 1 ? Floats(static_cast<size_t>(kCols * kCols)) : gram(kCols, 8 + s);
    all.insert(all.end(), one.begin(), one.end());
  }
  for (const bool own : {false, true}) {
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
    REQUIRE(set_hessian(gptq, own ? all : h, own ? Shape{kSlices, kCols, kCols} : Shape{kCols, kCols}) == NVFP4CAL_OK);
    Floats values = random_values(static_cast<size_t>(kSlices * kRows * kCols), 9);
    for (size_t i = 0; i < static_cast<size_t>(kRows * kCols); ++i) values[i] *= 1e20f;
    Weights weights(values, {kSlices, kRows, kCols});
    check_same(gptq, weights);
    std::fill(values.begin() + kRows * kCols, values.begin() + 2 * kRows * kCols, 0.0f);
    Weights some(values, {kSlices, kRows, kCols});
    check_same(gptq, some);
    Floats amaxes = {3e20f, 2.0f, 5.0f};
    const nvfp4cal_tensor given = view(amaxes);
    some.wanted.global_amax = &given;
    check_same(gptq, some);
    check_same(gptq, Weights(Floats(values.size()), {kSlices, kRows, kCols}));
    if (!own) check_same(gptq, Weights({0, kRows, kCols}, 1));
  }
}

// A column twice, and the least damping with which the whole can be factored: in another order of columns rounding makes the smallest pivot a little less, so that some
// neighbourhoods cannot be, and are left out. That Hessian has fewer than the first of the stack.
TEST_CASE("GPTQ on a device: Hessians that have fewer neighbourhoods than others") {
  constexpr int64_t kCols = 96;
  const Floats all_of_them = gram(kCols, 30);
  for (uint32_t seed = 31; seed < 37; ++seed) {
    Floats h = gram(kCols, seed);
    const auto at = [&](int64_t i, int64_t j) -> float& { return h[static_cast<size_t>(i * kCols + j)]; };
    for (int64_t i = 0; i < kCols; ++i) at(50, i) = at(3, i);
    for (int64_t i = 0; i < kCols; ++i) at(i, 50) = at(i, 3);
    double least = 1e-9, too_little = 0.0;
    for (int step = 0; step < 40; ++step) {
      const double damping = (least + too_little) / 2;
      const Gptq one = make_gptq(NVFP4CAL_GPTQ_FAST);
      REQUIRE(nvfp4cal_gptq_set_damping(one.get(), damping) == NVFP4CAL_OK);
      (set_hessian(one, h, {kCols, kCols}) == NVFP4CAL_OK ? least : too_little) = damping;
    }
    Floats both = all_of_them;
    both.insert(both.end(), h.begin(), h.end());
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
    REQUIRE(nvfp4cal_gptq_set_damping(gptq.get(), least) == NVFP4CAL_OK);
    REQUIRE(set_hessian(gptq, both, {2, kCols, kCols}) == NVFP4CAL_OK);
    check_same(gptq, Weights({2, 65, kCols}, seed));
  }
}

TEST_CASE("GPTQ on a device: dead channels, zero rows and blocks, tiny and huge weights") {
  constexpr int64_t kRows = 40, kCols = 176;
  Floats h = gram(kCols, 11, 16, 50), zeros(h.size());
  for (Floats* one : {&h, &zeros}) {
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
    REQUIRE(set_hessian(gptq, *one, {kCols, kCols}) == NVFP4CAL_OK);
    for (const float unit : {1.0f, 1e-30f, 1e30f}) {
      INFO("weights times " << unit);
      Floats values = random_values(kRows * kCols, 12);
      for (float& value : values) value *= unit;
      std::fill(values.begin() + 2 * kCols, values.begin() + 3 * kCols, 0.0f);
      std::fill(values.begin() + 5 * kCols + 32, values.begin() + 5 * kCols + 64, -0.0f);
      check_same(gptq, Weights(values, {kRows, kCols}));
    }
  }
}

TEST_CASE("GPTQ on a device: cross terms, from either side") {
  constexpr int64_t kSlices = 2, kRows = 66, kCols = 144;
  Floats h, cross;
  for (uint32_t s = 0; s < kSlices; ++s) {
    const Floats one = gram(kCols, 14 + s);
    h.insert(h.end(), one.begin(), one.end());
  }
  cross = h;
  const Floats noise = random_values(h.size(), 16);
  for (size_t i = 0; i < cross.size(); ++i) cross[i] = 0.9f * cross[i] + 0.5f * noise[i];
  const Shape shape = {kSlices, kCols, kCols};
  const OnDevice<float> h_there(h), cross_there(cross);
  const nvfp4cal_tensor hessians[] = {view(h, shape), h_there.view(NVFP4CAL_DTYPE_F32, shape)},
                        crosses[] = {view(cross, shape), cross_there.view(NVFP4CAL_DTYPE_F32, shape)};
  const Weights weights({kSlices, kRows, kCols}, 17);
  const Gptq plain = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(nvfp4cal_gptq_set_hessian_tensor(plain.get(), &hessians[0], &crosses[0]) == NVFP4CAL_OK);
  const Quantized want = quantize_on_host(plain.get(), weights.here, weights.wanted);
  for (const nvfp4cal_tensor& hessian : hessians) {
    for (const nvfp4cal_tensor& one : crosses) {
      const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
      REQUIRE(nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &hessian, &one) == NVFP4CAL_OK);
      const Quantized have = quantize_on_device(gptq.get(), weights.there, weights.wanted);
      CHECK(have == want);
      CHECK(close(have, want));
    }
  }
}

TEST_CASE("GPTQ on a device: a Hessian's sums that lie there") {
  constexpr int64_t kCols = 96;
  const Floats x = random_values(300 * kCols, 18);
  const OnDevice<float> rows(x);
  const nvfp4cal_tensor there = rows.view(NVFP4CAL_DTYPE_F32, {300, kCols});
  nvfp4cal_hessian* hessian = nullptr;
  REQUIRE(nvfp4cal_hessian_create(&hessian) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_set_layout(hessian, NVFP4CAL_HESSIAN_FULL) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_collect(hessian, &there, nullptr) == NVFP4CAL_OK);
  Floats c = gram(kCols, 19);
  const OnDevice<float> cross(c);
  const nvfp4cal_tensor cross_there = cross.view(NVFP4CAL_DTYPE_F32, {kCols, kCols});
  for (const nvfp4cal_tensor* one : {static_cast<const nvfp4cal_tensor*>(nullptr), &cross_there}) {
    const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
    REQUIRE(nvfp4cal_gptq_set_hessian(gptq.get(), hessian, one) == NVFP4CAL_OK);
    check_same(gptq, Weights({10, kCols}, 20));
  }
  nvfp4cal_hessian_destroy(hessian);
}

TEST_CASE("GPTQ on a device: global amaxes of a fused group, from either side") {
  constexpr int64_t kCols = 64;
  Floats h = gram(kCols, 21), one = {2.5f}, two = {2.5f, 4.0f};
  const OnDevice<float> one_there(one), two_there(two);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  Weights weights({2, 9, kCols}, 22);
  const nvfp4cal_tensor given[] = {view(one), view(two)},
                        there[] = {one_there.view(NVFP4CAL_DTYPE_F32, {}), two_there.view(NVFP4CAL_DTYPE_F32, {2})};
  for (size_t i = 0; i < 2; ++i) {
    weights.wanted.global_amax = &given[i];
    const Quantized want = quantize_on_host(gptq.get(), weights.here, weights.wanted);
    CHECK(quantize_on_device(gptq.get(), weights.there, weights.wanted) == want);
    weights.wanted.global_amax = &there[i];
    CHECK(quantize_on_device(gptq.get(), weights.there, weights.wanted) == want);
  }
}

TEST_CASE("GPTQ on a device: the order of threads and blocks changes nothing") {
  NEEDS_EMULATION();
  constexpr int64_t kCols = 272;
  Floats h = gram(kCols, 23), cross = h;
  for (size_t i = 0; i < cross.size(); i += 3) cross[i] *= 1.1f;
  const nvfp4cal_tensor c = view(cross, {kCols, kCols});
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}, &c) == NVFP4CAL_OK);
  const Weights weights({2, 70, kCols}, 24);
  const Quantized forwards = quantize_on_device(gptq.get(), weights.there, weights.wanted);
  set_backwards(true);
  const Quantized backwards = quantize_on_device(gptq.get(), weights.there, weights.wanted);
  set_backwards(false);
  CHECK(backwards == forwards);
  CHECK(std::memcmp(&backwards.objectives, &forwards.objectives, sizeof forwards.objectives) == 0);
  CHECK(quantize_on_host(gptq.get(), weights.here, weights.wanted) == forwards);
}

TEST_CASE("GPTQ on a device: streams, devices, a reset and another effort, and decoding in place") {
  NEEDS_EMULATION();
  constexpr int64_t kCols = 48;
  Floats first = gram(kCols, 25), second = gram(kCols + 16, 26);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_FAST);
  REQUIRE(set_hessian(gptq, first, {kCols, kCols}) == NVFP4CAL_OK);
  CUstream_st* const stream = make_stream(0);
  Weights weights({30, kCols}, 27);
  for (CUstream_st* one : {static_cast<CUstream_st*>(nullptr), stream}) {
    weights.wanted.stream = one;
    check_same(gptq, weights);
  }
  destroy_stream(stream);
  const int32_t current = current_device();
  check_same(gptq, Weights(random_values(30 * kCols, 28), {30, kCols}, NVFP4CAL_DTYPE_F32, 1));
  CHECK(current_device() == current);
  weights.wanted.stream = nullptr;
  check_same(gptq, weights);
  REQUIRE(nvfp4cal_gptq_reset(gptq.get()) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_set_effort(gptq.get(), NVFP4CAL_GPTQ_MAX) == NVFP4CAL_OK);
  REQUIRE(set_hessian(gptq, second, {kCols + 16, kCols + 16}) == NVFP4CAL_OK);
  const Weights others({30, kCols + 16}, 29);
  check_same(gptq, others);
  const Quantized want = quantize_on_host(gptq.get(), others.here, others.wanted);
  DeviceOutputs out(others.wanted);
  out.decoded = others.there;
  REQUIRE(out.quantize(gptq.get(), others.there, others.wanted) == NVFP4CAL_OK);
  CHECK(others.memory.read<uint8_t>() == want.decoded);
}
