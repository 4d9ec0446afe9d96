// One-call functions in CUDA graphs: captured once, launched again over new contents, with the results of those.
#include "one_calls.h"

using namespace device_test;

namespace {

// Every output of one_calls.h's functions.
struct Results {
  Floats amaxes, decoded;
  Bytes packed, scales, tiles;

  explicit Results(const Layer& layer)
      : amaxes(layer.amaxes.read()),
        decoded(layer.decoded.read()),
        packed(layer.packed.read()),
        scales(layer.scales.read()),
        tiles(layer.tiles.read()) {}
  bool operator==(const Results& other) const {
    return same_bits(amaxes, other.amaxes) && same_bits(decoded, other.decoded) && same_bits(packed, other.packed) &&
           same_bits(scales, other.scales) && same_bits(tiles, other.tiles);
  }
};

}  // namespace

TEST_CASE("captured calls compute what a launch finds") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  const int32_t live = live_allocations();
  for (int which = 0; which <= kOneCalls; ++which) {
    INFO("function " << which);
    Layer layer, plain;
    const StatusContext context;
    begin_capture(stream);
    const nvfp4cal_status status = layer.one_call(which, context.handle, stream);
    INFO(last_error());
    FakeGraph* const graph = end_capture(stream);
    REQUIRE(status == NVFP4CAL_OK);
    REQUIRE(graph != nullptr);
    CHECK(graph_size(graph) > 1);
    CHECK(pending() == 0);
    CHECK(Results(layer) == Results(plain));  // nothing has been computed
    for (uint64_t seed : {11, 12, 13}) {
      const Floats values = random_values(64 * 64, seed), amaxes = random_values(256, seed + 50);
      for (const Layer* one : {&layer, &plain}) {
        one->x.write(values);
        Floats positive = amaxes;
        for (float& value : positive) value = std::fabs(value);
        one->amaxes.write(positive);
        Bytes bytes(64 * 32), codes(512);
        for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(seed * 31 + i * 7);
        for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(1 + (seed + i) % 126);
        one->packed.write(bytes);
        one->scales.write(codes);
      }
      launch_graph(graph, stream);
      REQUIRE(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_OK);
      REQUIRE(plain.one_call(which, nullptr, nullptr) == NVFP4CAL_OK);
      CHECK(Results(layer) == Results(plain));
    }
    destroy_graph(graph);
  }
  CHECK(live_allocations() == live);
  destroy_stream(stream);
}

TEST_CASE("a launch that finds something wrong says so in the status and leaves outputs alone") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  Layer layer;
  const StatusContext context;
  begin_capture(stream);
  REQUIRE(layer.one_call(0, context.handle, stream) == NVFP4CAL_OK);
  REQUIRE(layer.one_call(1, context.handle, stream) == NVFP4CAL_OK);
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(graph != nullptr);
  const Results before(layer);
  Floats values = layer.values;
  values[77] = NAN;
  layer.x.write(values);
  launch_graph(graph, stream);
  wait_for(stream);
  values[77] = 0.0f;
  values[78] = HUGE_VALF;
  layer.x.write(values);
  launch_graph(graph, stream);
  CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[77] is NaN");  // the first one
  CHECK(Results(layer) == before);
  CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_OK);  // it was taken
  values[78] = 0.0f;
  layer.x.write(values);
  Floats weights(64, 2.0f);
  weights[3] = -1.0f;
  layer.weights.write(weights);  // of the second call
  launch_graph(graph, stream);
  launch_graph(graph, stream);
  const std::vector<int64_t> words = (wait_for(stream), context.words.read());
  CHECK(words[0] == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(words[1] == 3);
  CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "weights[3] is -1, expected a positive finite value");
  destroy_graph(graph);
  destroy_stream(stream);
}

TEST_CASE("with a status, calls outside of graphs do not wait either") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  Layer layer, plain;
  const StatusContext context;
  REQUIRE(layer.one_call(0, context.handle, stream) == NVFP4CAL_OK);
  CHECK(pending() > 0);
  REQUIRE(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_OK);
  CHECK(pending() == 0);
  REQUIRE(plain.one_call(0, nullptr, nullptr) == NVFP4CAL_OK);
  CHECK(Results(layer) == Results(plain));
  REQUIRE(nvfp4cal_context_set_device_status(context.handle, nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(last_error() == "the context has no device status");
  destroy_stream(stream);
}

TEST_CASE("many global amaxes of the host travel with the graph") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  for (const int64_t slices : {int64_t{600}, int64_t{5000}}) {
    const Shape shape = {slices, 1, 16};
    const Floats values = random_values(static_cast<size_t>(slices * 16), 3);
    const OnDevice<float> x(values), out(Floats(static_cast<size_t>(slices)));
    Floats amaxes(static_cast<size_t>(slices)), want(amaxes.size());
    for (size_t i = 0; i < amaxes.size(); ++i) amaxes[i] = 1.0f + static_cast<float>(i % 7);
    const nvfp4cal_tensor view_x = x.view(NVFP4CAL_DTYPE_F32, shape),
                          host_x = view(const_cast<float*>(values.data()), NVFP4CAL_DTYPE_F32, shape);
    nvfp4cal_tensor view_out = out.view(NVFP4CAL_DTYPE_F32, {slices}), host_out = view(want);
    const nvfp4cal_tensor host_amax = view(amaxes);
    REQUIRE(nvfp4cal_scale_sweep(nullptr, &host_x, &host_amax, nullptr, &host_out, nullptr) == NVFP4CAL_OK);
    const StatusContext context;
    begin_capture(stream);
    {
      Floats gone = amaxes;
      const nvfp4cal_tensor amax = view(gone);
      const nvfp4cal_status status = nvfp4cal_scale_sweep(context.handle, &view_x, &amax, nullptr, &view_out, stream);
      std::fill(gone.begin(), gone.end(), 9.0f);
      if (slices > 4096) {
        CHECK(status == NVFP4CAL_ERROR_UNSUPPORTED);
        CHECK(last_error() == "a call with more than 4096 values in host memory cannot be captured in a CUDA graph");
      } else {
        REQUIRE(status == NVFP4CAL_OK);
      }
    }
    FakeGraph* const graph = end_capture(stream);
    REQUIRE(graph != nullptr);
    if (slices <= 4096) {
      launch_graph(graph, stream);
      REQUIRE(nvfp4cal_context_check_device_status(context.handle, stream) == NVFP4CAL_OK);
    } else {  // outside of a graph any number does
      REQUIRE(nvfp4cal_scale_sweep(nullptr, &view_x, &host_amax, nullptr, &view_out, nullptr) == NVFP4CAL_OK);
    }
    CHECK(same_bits(out.read(), want));
    destroy_graph(graph);
  }
  destroy_stream(stream);
}

TEST_CASE("what cannot be captured says so and spoils no graph") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  Layer layer;
  const StatusContext context;
  const auto refused = [&](nvfp4cal_status status, nvfp4cal_status want, const char* text) {
    INFO(text);
    CHECK(status == want);
    CHECK(last_error() == text);
  };
  begin_capture(stream);
  refused(layer.one_call(0, nullptr, stream), NVFP4CAL_ERROR_WRONG_STATE,
          "the stream is being captured in a CUDA graph: that needs a context with a device status");
  refused(nvfp4cal_context_check_device_status(context.handle, stream), NVFP4CAL_ERROR_UNSUPPORTED,
          "waiting for a device status cannot be captured in a CUDA graph");
  const Max max = make_max();
  refused(nvfp4cal_max_collect(max.get(), &layer.view_x, stream), NVFP4CAL_ERROR_UNSUPPORTED, "collect cannot be captured in a CUDA graph");
  const Sweep sweep = make_sweep();
  float one = 1.0f;
  const nvfp4cal_tensor g = scalar(one);
  REQUIRE(nvfp4cal_sweep_set_global_amax(sweep.get(), &g) == NVFP4CAL_OK);
  refused(nvfp4cal_sweep_collect(sweep.get(), &layer.view_x, stream), NVFP4CAL_ERROR_UNSUPPORTED,
          "collect cannot be captured in a CUDA graph");
  // the default stream would wait for the one that is captured
  CHECK(layer.one_call(0, nullptr, nullptr) == NVFP4CAL_ERROR_CUDA);
  CHECK(contains(last_error(), "cudaErrorStreamCaptureImplicit"));
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(graph != nullptr);
  CHECK(graph_size(graph) == 0);
  destroy_graph(graph);
  destroy_stream(stream);
}

TEST_CASE("calibrators elsewhere leave a capture whole, and go on after it") {
  NEEDS_EMULATION();
  CUstream_st *const stream = make_stream(0), *const other = make_stream(0);
  Layer layer;
  const Max fresh = make_max(), begun = make_max();
  REQUIRE(nvfp4cal_max_collect(begun.get(), &layer.view_x, other) == NVFP4CAL_OK);
  float amax = 0.0f;
  nvfp4cal_tensor out = scalar(amax);
  begin_capture(stream);
  CHECK(nvfp4cal_max_collect(begun.get(), &layer.view_x, other) == NVFP4CAL_OK);
  // these need the default stream
  CHECK(nvfp4cal_max_collect(fresh.get(), &layer.view_x, other) == NVFP4CAL_ERROR_CUDA);
  CHECK(contains(last_error(), "cudaErrorStreamCaptureImplicit"));
  CHECK(nvfp4cal_max_compute_amax(begun.get(), &out) == NVFP4CAL_ERROR_CUDA);
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(graph != nullptr);
  destroy_graph(graph);
  for (nvfp4cal_max* max : {fresh.get(), begun.get()}) {
    REQUIRE(nvfp4cal_max_collect(max, &layer.view_x, other) == NVFP4CAL_OK);
    amax = 0.0f;
    REQUIRE(nvfp4cal_max_compute_amax(max, &out) == NVFP4CAL_OK);
    CHECK(amax == amax_of(layer.values));
  }
  destroy_stream(stream);
  destroy_stream(other);
}

TEST_CASE("a device without memory pools captures with the caller's memory alone") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(1);
  const OnDevice<float> x(random_values(64, 2), 1), out(Floats(4), 1);
  const OnDevice<int64_t> words(std::vector<int64_t>(4), 1);
  const nvfp4cal_tensor view_x = x.view(NVFP4CAL_DTYPE_F32, {64}), status = words.view(NVFP4CAL_DTYPE_I64, {4});
  nvfp4cal_tensor view_out = out.view(NVFP4CAL_DTYPE_F32, {4});
  const StatusContext context;
  begin_capture(stream);
  CHECK(nvfp4cal_scale_sweep(context.handle, &view_x, nullptr, nullptr, &view_out, stream) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "the device status lies on CUDA device 0, x on 1");
  REQUIRE(nvfp4cal_context_set_device_status(context.handle, &status) == NVFP4CAL_OK);
  CHECK(nvfp4cal_scale_sweep(context.handle, &view_x, nullptr, nullptr, &view_out, stream) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "device 1 has no memory pools: a call that is captured in a graph needs a device allocator");
  FakeGraph* const graph = end_capture(stream);
  REQUIRE(graph != nullptr);
  destroy_graph(graph);
  destroy_stream(stream);
}

TEST_CASE("a device status is int64 [4] on a device") {
  nvfp4cal_context* context = nullptr;
  REQUIRE(nvfp4cal_context_create(&context) == NVFP4CAL_OK);
  const OnDevice<int64_t> words(std::vector<int64_t>(4));
  nvfp4cal_tensor status = words.view(NVFP4CAL_DTYPE_I64, {3});
  CHECK(nvfp4cal_context_set_device_status(context, &status) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "status has 3 elements, expected 4");
  status = words.view(NVFP4CAL_DTYPE_F64, {4});
  CHECK(nvfp4cal_context_set_device_status(context, &status) == NVFP4CAL_ERROR_UNSUPPORTED);
  std::vector<int64_t> host(4);
  status = view(host.data(), NVFP4CAL_DTYPE_I64, {4});
  CHECK(nvfp4cal_context_set_device_status(context, &status) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(nvfp4cal_context_check_device_status(nullptr, nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  nvfp4cal_context_destroy(context);
}
