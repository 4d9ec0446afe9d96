// Maxima of device tensors equal those of the host, whatever the layout; what a stream has not done yet is waited for.
#include "device.h"

using namespace device_test;

namespace {

struct Layout {
  const char* name;
  Shape shape;
  std::vector<int32_t> axes;
  int32_t block;
};

const Layout kLayouts[] = {
    {"tensor", {37, 1024}, {}, 0},
    {"odd tensor", {10007}, {}, 0},
    {"scalar", {}, {}, 0},
    {"rows", {9, 2048}, {0}, 0},
    {"short rows", {130, 48}, {0}, 0},
    {"columns", {130, 48}, {-1}, 0},
    {"middle", {5, 7, 64}, {1}, 0},
    {"outer two", {3, 4, 1024}, {0, 1}, 0},
    {"ends", {6, 70, 12}, {0, 2}, 0},
    {"long runs of odd length", {3, 1025}, {0}, 0},
    {"blocks of 16", {33, 80}, {}, 16},
    {"blocks of 32", {5, 3, 64}, {}, 32},
};

Floats compute(nvfp4cal_max* max) {
  nvfp4cal_tensor ask = question();
  REQUIRE(nvfp4cal_max_compute_amax(max, &ask) == NVFP4CAL_OK);
  Floats out(static_cast<size_t>(count_of(shape_of(ask))));
  nvfp4cal_tensor tensor = view(out);
  REQUIRE(nvfp4cal_max_compute_amax(max, &tensor) == NVFP4CAL_OK);
  return out;
}

Max make(const Layout& layout) {
  Max max = make_max();
  if (!layout.axes.empty())
    REQUIRE(nvfp4cal_max_set_axes(max.get(), layout.axes.data(), static_cast<int32_t>(layout.axes.size())) == NVFP4CAL_OK);
  if (layout.block != 0) REQUIRE(nvfp4cal_max_set_block_size(max.get(), layout.block) == NVFP4CAL_OK);
  return max;
}

void compare(const Layout& layout, int32_t dtype, const nvfp4cal_tensor& shape_and_strides, const Bytes& bytes) {
  const Memory memory(bytes.data(), bytes.size());
  nvfp4cal_tensor host = shape_and_strides;
  host.dtype = dtype;
  host.data = const_cast<uint8_t*>(bytes.data());
  const nvfp4cal_tensor device = moved(host, memory.data());
  const Max want = make(layout), have = make(layout);
  REQUIRE(nvfp4cal_max_collect(want.get(), &host, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_max_collect(have.get(), &device, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(compute(want.get()), compute(have.get())));
}

}  // namespace

TEST_CASE("maxima of device tensors are those of the host") {
  for (const Layout& layout : kLayouts) {
    for (const Dtyped& type : kFloatDtypes) {
      INFO(layout.name << ", " << type.name);
      const Floats values = random_values(static_cast<size_t>(count_of(layout.shape)), 7);
      compare(layout, type.dtype, view(nullptr, type.dtype, layout.shape), as_bytes(values, type.dtype));
    }
  }
}

TEST_CASE("maxima of strided and unaligned device tensors are those of the host") {
  for (const Dtyped& type : kFloatDtypes) {
    INFO(type.name);
    const Bytes bytes = as_bytes(random_values(64 * 200, 8), type.dtype);
    for (const Layout& layout : kLayouts) {
      if (layout.shape != Shape{130, 48}) continue;
      compare(layout, type.dtype, strided(nullptr, type.dtype, layout.shape, {64, 1}), bytes);
      compare(layout, type.dtype, strided(nullptr, type.dtype, layout.shape, {1, 160}), bytes);
    }
    const Memory memory(bytes.data(), bytes.size());
    const Floats values = random_values(64 * 200, 8);
    const Layout tensor{"tensor", {4800}, {}, 0};
    const Max want = make(tensor), have = make(tensor);
    nvfp4cal_tensor host = view(const_cast<uint8_t*>(bytes.data()) + dtype_size(type.dtype), type.dtype, tensor.shape);
    const nvfp4cal_tensor device = moved(host, static_cast<uint8_t*>(memory.data()) + dtype_size(type.dtype));
    REQUIRE(nvfp4cal_max_collect(want.get(), &host, nullptr) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_max_collect(have.get(), &device, nullptr) == NVFP4CAL_OK);
    CHECK(same_bits(compute(want.get()), compute(have.get())));
  }
}

TEST_CASE("host and device tensors, of several devices, add to one state") {
  NEEDS_EMULATION();
  const Max max = make_max();
  Floats values(64, 1.0f);
  const OnDevice<float> first(Floats(64, 2.0f), 0), second(Floats(64, 5.0f), 1);
  const nvfp4cal_tensor host = view(values), a = first.view(NVFP4CAL_DTYPE_F32, {64}), b = second.view(NVFP4CAL_DTYPE_F32, {64});
  for (const nvfp4cal_tensor* x : {&host, &a, &b, &a, &host}) REQUIRE(nvfp4cal_max_collect(max.get(), x, nullptr) == NVFP4CAL_OK);
  CHECK(compute(max.get()) == Floats{5.0f});
  values[3] = 9.0f;
  REQUIRE(nvfp4cal_max_collect(max.get(), &host, nullptr) == NVFP4CAL_OK);
  CHECK(compute(max.get()) == Floats{9.0f});
}

TEST_CASE("collects only enqueue, in the order of their calls over streams; results wait") {
  NEEDS_EMULATION();
  const Max max = make(kLayouts[3]);
  const Floats values = random_values(9 * 2048, 11), more = random_values(9 * 2048, 12);
  const OnDevice<float> a(values), b(more);
  CUstream_st* const streams[2] = {make_stream(0), make_stream(0)};
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, {9, 2048}), y = b.view(NVFP4CAL_DTYPE_F32, {9, 2048});
  REQUIRE(nvfp4cal_max_collect(max.get(), &x, streams[0]) == NVFP4CAL_OK);
  CHECK(pending() > 0);
  REQUIRE(nvfp4cal_max_collect(max.get(), &y, streams[1]) == NVFP4CAL_OK);
  const Floats have = compute(max.get());
  // The streams may be gone before the handle.
  destroy_stream(streams[0]);
  destroy_stream(streams[1]);
  for (size_t row = 0; row < 9; ++row) {
    float want = 0.0f;
    for (size_t i = 0; i < 2048; ++i) want = std::max({want, std::fabs(values[row * 2048 + i]), std::fabs(more[row * 2048 + i])});
    CHECK(have[row] == want);
  }
}

TEST_CASE("every element of a device tensor counts, wherever it lies") {
  constexpr size_t kCount = 5 * 8192 + 21;
  std::vector<size_t> places;
  for (size_t i = 0; i < 40; ++i) places.push_back(i);
  for (size_t edge = 2048; edge < kCount; edge += 2048) {
    for (const size_t place : {edge - 1, edge, edge + 7, edge + 8}) places.push_back(place);
  }
  for (size_t i = 1; i < 40; ++i) places.push_back(kCount - i);
  for (const Dtyped& type : kFloatDtypes) {
    Floats values(kCount, 0.5f);
    for (const size_t place : places) {
      INFO(type.name << ", element " << place);
      values[place] = -3.0f;
      Bytes bytes = as_bytes(values, type.dtype);
      const Memory memory(bytes.data(), bytes.size());
      const nvfp4cal_tensor x = moved(view(bytes.data(), type.dtype, {static_cast<int64_t>(kCount)}), memory.data());
      const Max max = make_max();
      REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
      CHECK(compute(max.get()) == Floats{3.0f});
      values[place] = place % 2 ? NAN : HUGE_VALF;
      bytes = as_bytes(values, type.dtype);
      memory.write(bytes.data());
      REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
      float out = 0.0f;
      nvfp4cal_tensor result = scalar(out);
      CHECK(nvfp4cal_max_compute_amax(max.get(), &result) == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(last_error() == "collect 1: x[" + std::to_string(place) + (place % 2 ? "] is NaN" : "] is infinite"));
      values[place] = 0.5f;
    }
  }
}

TEST_CASE("what lies beyond a device tensor's end does not count") {
  for (const int64_t count : {1, 8, 20, 2047, 8184, 8185, 8191, 16383, 24576}) {
    Floats values(static_cast<size_t>(count) + 64, 1e9f);
    std::fill(values.begin(), values.begin() + count, 0.5f);
    for (const Dtyped& type : kFloatDtypes) {
      if (type.dtype == NVFP4CAL_DTYPE_F16) continue;  // has no 1e9
      INFO(type.name << ", " << count << " elements");
      const Bytes bytes = as_bytes(values, type.dtype);
      const Memory memory(bytes.data(), bytes.size());
      nvfp4cal_tensor x = view(values, {count});
      x.dtype = type.dtype;
      x = moved(x, memory.data());
      const Max max = make_max();
      REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
      CHECK(compute(max.get()) == Floats{0.5f});
    }
  }
}

TEST_CASE("a bad element on a device is reported with its collect and index, until reset, and changes nothing") {
  const Max max = make_max();
  Floats good(3000, 1.0f), bad = good;
  bad[2999] = HUGE_VALF;
  bad[1234] = NAN;
  const OnDevice<float> a(good), b(bad);
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F32, {3000}), y = b.view(NVFP4CAL_DTYPE_F32, {3000});
  for (const nvfp4cal_tensor* tensor : {&x, &y, &x, &y}) REQUIRE(nvfp4cal_max_collect(max.get(), tensor, nullptr) == NVFP4CAL_OK);
  float out = -1.0f;
  nvfp4cal_tensor result = scalar(out);
  for (int i = 0; i < 2; ++i) {
    CHECK(nvfp4cal_max_compute_amax(max.get(), &result) == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(last_error() == "collect 2: x[1234] is NaN");
    CHECK(out == -1.0f);
  }
  nvfp4cal_tensor state = question();
  CHECK(nvfp4cal_max_export_state(max.get(), &state) == NVFP4CAL_ERROR_NOT_FINITE);
  REQUIRE(nvfp4cal_max_reset(max.get()) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
  CHECK(compute(max.get()) == Floats{1.0f});
}

TEST_CASE("float64 beyond float32's range is named on a device too") {
  const Max max = make_max();
  std::vector<double> values(40, 1.0);
  values[17] = -1e300;
  const OnDevice<double> a(values);
  const nvfp4cal_tensor x = a.view(NVFP4CAL_DTYPE_F64, {40});
  REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
  float out;
  nvfp4cal_tensor result = scalar(out);
  CHECK(nvfp4cal_max_compute_amax(max.get(), &result) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "collect 1: x[17] is -1e+300, beyond the range of float32");
}

TEST_CASE("the order of blocks and threads does not matter") {
  NEEDS_EMULATION();
  for (const Layout& layout : kLayouts) {
    INFO(layout.name);
    const Floats values = random_values(static_cast<size_t>(count_of(layout.shape)), 13);
    const OnDevice<float> memory(values);
    const nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, layout.shape);
    Floats results[2];
    for (int i = 0; i < 2; ++i) {
      set_backwards(i == 1);
      const Max max = make(layout);
      REQUIRE(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
      results[i] = compute(max.get());
    }
    set_backwards(false);
    CHECK(same_bits(results[0], results[1]));
  }
}
