// Searches with Hessians on device tensors: the host's codes, and the host's words for Hessians that it refuses, without a wait and in CUDA graphs.
#include "one_calls.h"

using namespace device_test;

namespace {

// A search of x over Hessians [2, 16, 16], with all that it needs on the device.
struct Search {
  Floats x_values = random_values(40 * 32, 51), h_values = hessians(52);
  OnDevice<float> x{x_values}, h{h_values}, out{Floats(80, -1.0f)};
  nvfp4cal_tensor view_x = x.view(NVFP4CAL_DTYPE_F32, {40, 32}), view_h = h.view(NVFP4CAL_DTYPE_F32, {2, 16, 16}),
                  view_out = out.view(NVFP4CAL_DTYPE_F32, {80});

  static Floats hessians(uint64_t seed) {
    const Floats rows = random_values(2 * 16 * 20, seed);
    Floats all;
    for (size_t i = 0; i < 512; ++i) {
      double sum = 0.0;
      for (size_t k = 0; k < 20; ++k)
        sum +=
            static_cast<double>(rows[(i / 256 * 20 + k) * 16 + i / 16 % 16]) * static_cast<double>(rows[(i / 256 * 20 + k) * 16 + i % 16]);
      all.push_back(static_cast<float>(sum));
    }
    return all;
  }

  nvfp4cal_status run(const nvfp4cal_context* context = nullptr, CUstream_st* stream = nullptr) {
    return nvfp4cal_scale_sweep_hessian(context, &view_x, nullptr, &view_h, nullptr, &view_out, stream);
  }
};

// What the host makes of the same call: the result, or the text of what it refuses.
struct Wanted {
  Floats amaxes = Floats(80);
  nvfp4cal_status status;
  std::string text;

  Wanted(Floats x, Floats h) {
    const nvfp4cal_tensor view_x = view(x, {40, 32}), view_h = view(h, {2, 16, 16});
    nvfp4cal_tensor out = view(amaxes);
    status = nvfp4cal_scale_sweep_hessian(nullptr, &view_x, nullptr, &view_h, nullptr, &out, nullptr);
    if (status != NVFP4CAL_OK) text = last_error();
  }
};

struct Flaw {
  const char* name;
  size_t at;
  float value;
};
constexpr Flaw kFlaws[] = {{"NaN", 300, NAN},
                           {"infinite", 511, HUGE_VALF},
                           {"asymmetric", 256 + 15 * 16 + 3, 77.0f},
                           {"asymmetric at the first place", 16, -50.0f},
                           {"asymmetric above the diagonal", 14 * 16 + 15, 60.0f}};

}  // namespace

TEST_CASE("searches with Hessians on a device find the host's scales") {
  for (const int32_t block : {16, 32}) {
    for (const Dtyped& type : kFloatDtypes) {
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

TEST_CASE("Hessians on a device are refused in the host's words") {
  for (const Flaw& flaw : kFlaws) {
    INFO(flaw.name);
    Search search;
    Floats bad = search.h_values;
    bad[flaw.at] = flaw.value;
    search.h.write(bad);
    const Wanted want(search.x_values, bad);
    REQUIRE(want.status != NVFP4CAL_OK);
    CHECK(search.run() == want.status);
    CHECK(last_error() == want.text);
    CHECK(search.out.read() == Floats(80, -1.0f));
    if (!module().emulated) continue;
    CUstream_st* const stream = make_stream(0);
    const StatusContext context;
    CHECK(search.run(context.handle, stream) == NVFP4CAL_OK);
    CHECK(pending() > 0);  // no wait
    CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == want.status);
    CHECK(last_error() == want.text);
    CHECK(search.out.read() == Floats(80, -1.0f));
    destroy_stream(stream);
  }
}

TEST_CASE("Hessians on a device may have strides, and shapes and places are checked") {
  Search search;
  const Wanted want(search.x_values, search.h_values);
  // each matrix transposed, the same but for nothing: it is symmetric
  search.view_h.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  search.view_h.strides[0] = 256;
  search.view_h.strides[1] = 1;
  search.view_h.strides[2] = 16;
  REQUIRE(search.run() == NVFP4CAL_OK);
  CHECK(same_bits(search.out.read(), want.amaxes));
  search.view_h = search.h.view(NVFP4CAL_DTYPE_F32, {1, 16, 16});
  CHECK(search.run() == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "1 Hessians of 16 columns for x of shape [40, 32]");
  search.view_h = search.h.view(NVFP4CAL_DTYPE_BF16, {2, 16, 16});
  CHECK(search.run() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "hessian is bfloat16, expected float32");
  if (!module().emulated) return;
  const OnDevice<float> far(search.h_values, 1);
  search.view_h = far.view(NVFP4CAL_DTYPE_F32, {2, 16, 16});
  CHECK(search.run() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "hessian lies on CUDA device 1, expected on CUDA device 0");
}

TEST_CASE("searches with Hessians are captured, and read x and Hessians at each launch") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  Search search;
  const StatusContext context;
  begin_capture(stream);
  const nvfp4cal_status status = search.run(context.handle, stream);
  INFO(last_error());
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(status == NVFP4CAL_OK);
  REQUIRE(graph != nullptr);
  for (const uint64_t seed : {60, 61, 62}) {
    const Floats x = random_values(40 * 32, seed);
    Floats h = Search::hessians(seed + 10);
    const bool is_bad = seed == 61;
    if (is_bad) h[17 * 5] = NAN;
    search.x.write(x);
    search.h.write(h);
    const Floats before = search.out.read();
    launch_graph(graph, stream);
    const Wanted want(x, h);
    CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == want.status);
    if (is_bad) CHECK(last_error() == want.text);
    CHECK(same_bits(search.out.read(), is_bad ? before : want.amaxes));
  }
  destroy_graph(graph);
  destroy_stream(stream);
}

TEST_CASE("blocks with Hessians are captured, and few values of the host travel with the graph") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  for (const int64_t columns : {8, 9}) {  // float64: 4096 words and more
    const size_t count = static_cast<size_t>(columns * 16);
    Floats w = random_values(count, 71), h(static_cast<size_t>(columns * 256)), scales(count / 16), quants(count);
    for (size_t i = 0; i < h.size(); ++i) h[i] = i / 16 % 16 == i % 16 ? 1.0f + static_cast<float>(i % 7) : 0.0f;
    const nvfp4cal_tensor host_w = view(w, {columns, 16}), host_h = view(h, {columns, 16, 16});
    nvfp4cal_tensor host_scales = view(scales), host_quants = view(quants, {columns, 16});
    const OnDevice<float> dw(w), ds{Floats(scales.size())}, dq{Floats(count)};
    const nvfp4cal_tensor view_w = moved(host_w, dw.data());
    nvfp4cal_tensor view_s = moved(host_scales, ds.data()), view_q = moved(host_quants, dq.data());
    const StatusContext context;
    begin_capture(stream);
    const nvfp4cal_status status =
        nvfp4cal_block_admm(context.handle, &view_w, -1, &host_h, nullptr, nullptr, &view_s, &view_q, nullptr, stream);
    const std::string text = last_error();
    FakeGraph* const graph = end_capture(stream);
    REQUIRE(graph != nullptr);
    if (columns == 9) {
      CHECK(status == NVFP4CAL_ERROR_UNSUPPORTED);
      CHECK(text == "a call with more than 4096 values in host memory cannot be captured in a CUDA graph");
    } else {
      REQUIRE(status == NVFP4CAL_OK);
      const Floats other = random_values(count, 72);
      std::copy(other.begin(), other.end(), w.begin());
      dw.write(w);
      launch_graph(graph, stream);
      REQUIRE(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_block_admm(nullptr, &host_w, -1, &host_h, nullptr, nullptr, &host_scales, &host_quants, nullptr, nullptr) ==
              NVFP4CAL_OK);
      CHECK(same_bits(ds.read(), scales));
      CHECK(same_bits(dq.read(), quants));
    }
    destroy_graph(graph);
  }
  destroy_stream(stream);
}
