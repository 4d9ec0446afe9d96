// GPTQ on a device where something is wrong: the host's statuses and texts, nothing written, nothing leaked.
#include "gptq_calls.h"

using namespace device_test;

namespace {

constexpr int64_t kRows = 70, kCols = 144;

// A handle with a Hessian, weights and outputs.
struct Call {
  Floats h = gram(kCols, 41), values = random_values(kRows * kCols, 42);
  Wanted wanted{{kRows, kCols}};
  OnDevice<float> memory{values};
  nvfp4cal_tensor x = memory.view(NVFP4CAL_DTYPE_F32, wanted.shape);
  DeviceOutputs out{wanted};
  Gptq gptq;

  explicit Call(int32_t effort = NVFP4CAL_GPTQ_MAX) : gptq(make_gptq(effort)) {
    REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  }
  nvfp4cal_status quantize() { return out.quantize(gptq.get(), x, wanted); }
  bool refused(nvfp4cal_status expected, const char* text) {
    const nvfp4cal_status status = quantize();
    INFO(last_error());
    CHECK(last_error() == text);
    return status == expected && last_error() == text && out.untouched();
  }
};

// Gives memory of the module, but no more than so many bytes at a time.
struct Sparing {
  int64_t most = 0;
  int refused = 0;
  int live[2] = {};  // of each device

  static int32_t allocate(void* user, int64_t bytes, int32_t device, nvfp4cal_stream stream, void** out) {
    Sparing& self = *static_cast<Sparing*>(user);
    char message[nvfp4cal::kMessageSize];
    if (bytes > self.most) return ++self.refused;
    ++self.live[device];
    return module().ops->allocate({device, stream}, bytes, out, message) == nvfp4cal::Status::kOk ? 0 : 1;
  }
  static void release(void* user, void* memory, int64_t, int32_t device, nvfp4cal_stream stream) {
    --static_cast<Sparing*>(user)->live[device];
    char message[nvfp4cal::kMessageSize];
    module().ops->release({device, stream}, memory, message);
  }
};

// Calls in which no allocation from number 0, 1, .. on succeeds, until one needs none of those; returns how many failed. A failed one has waited for what it
// enqueued. (The workspace is asked for again, for fewer rows.)
int32_t fail_each_allocation(Call& call) {
  int32_t failures = 0;
  while (true) {
    fail_call("cudaMallocAsync", kOutOfMemory, failures, true);
    const nvfp4cal_status status = call.quantize();
    heal();
    if (status == NVFP4CAL_OK) return failures;
    INFO("allocation " << failures);
    REQUIRE(status == NVFP4CAL_ERROR_OUT_OF_MEMORY);
    CHECK(contains(last_error(), "out of device memory"));
    if (call.wanted.stream) CHECK(pending() == 0);
    ++failures;
  }
}

}  // namespace

TEST_CASE("GPTQ on a device names what is wrong with weights and global amaxes, and writes nothing") {
  Call call(NVFP4CAL_GPTQ_DEFAULT);
  Floats values = call.values;
  values[145] = NAN;
  call.memory.write(values);
  CHECK(call.refused(NVFP4CAL_ERROR_NOT_FINITE, "x[145] is NaN"));
  values[145] = -HUGE_VALF;
  call.memory.write(values);
  CHECK(call.refused(NVFP4CAL_ERROR_NOT_FINITE, "x[145] is -infinite"));
  call.memory.write(call.values);
  Floats zero = {0.0f}, negative = {-1.0f}, many = {1.0f, 2.0f};
  const OnDevice<float> zero_there(zero), negative_there(negative), many_there(many);
  const nvfp4cal_tensor a = zero_there.view(NVFP4CAL_DTYPE_F32, {}), b = negative_there.view(NVFP4CAL_DTYPE_F32, {}),
                        c = many_there.view(NVFP4CAL_DTYPE_F32, {2});
  call.wanted.global_amax = &a;
  CHECK(call.quantize() == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "global_amax[0] is 0 but the weights have magnitudes up to"));
  call.wanted.global_amax = &b;
  CHECK(call.refused(NVFP4CAL_ERROR_INVALID_ARGUMENT, "global_amax[0] is -1, expected 0 or more"));
  call.wanted.global_amax = &c;
  CHECK(call.refused(NVFP4CAL_ERROR_INVALID_ARGUMENT, "global_amax has 2 elements, expected 1 or 1"));
  CHECK(call.out.untouched());
  call.wanted.global_amax = nullptr;
  CHECK(call.quantize() == NVFP4CAL_OK);
}

TEST_CASE("GPTQ on a device: a cross term that moves weights out of float32") {
  Floats h = gram(32, 43), values = random_values(4 * 32, 44);
  std::vector<double> huge(32 * 32);
  for (size_t i = 0; i < 32; ++i) huge[i * 33] = 1e308;
  const nvfp4cal_tensor cross = view(huge, {32, 32});
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_FAST);
  REQUIRE(set_hessian(gptq, h, {32, 32}, &cross) == NVFP4CAL_OK);
  const OnDevice<float> memory(values);
  const Wanted wanted{{4, 32}};
  DeviceOutputs out(wanted);
  CHECK(out.quantize(gptq.get(), memory.view(NVFP4CAL_DTYPE_F32, {4, 32}), wanted) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(last_error(), "moved by the cross term, x["));
  CHECK(out.untouched());
}

TEST_CASE("GPTQ: bad Hessians that lie on a device") {
  Floats good = gram(32, 45), negative = good, nan = good;
  negative[3 * 33] = -1.0f;
  nan[40] = NAN;
  const OnDevice<float> a(good), b(negative), c(nan);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
  const auto set = [&](const nvfp4cal_tensor& hessian, const nvfp4cal_tensor* cross = nullptr) {
    return nvfp4cal_gptq_set_hessian_tensor(gptq.get(), &hessian, cross);
  };
  const Shape shape = {32, 32};
  CHECK(set(b.view(NVFP4CAL_DTYPE_F32, shape)) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "hessian[3, 3] is -1, expected 0 or more");
  CHECK(set(c.view(NVFP4CAL_DTYPE_F32, shape)) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "hessian[1, 8] is nan");
  nvfp4cal_tensor turned = strided(a.data(), NVFP4CAL_DTYPE_F32, shape, {1, 32});
  turned.device_type = 2;
  CHECK(set(turned) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "hessian has strides: on a device it is contiguous");
  const nvfp4cal_tensor fine = a.view(NVFP4CAL_DTYPE_F32, shape), bad = c.view(NVFP4CAL_DTYPE_F32, shape);
  CHECK(set(fine, &turned) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "cross has strides: on a device it is contiguous");
  CHECK(set(fine, &bad) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "cross[1, 8] is nan");
  CHECK(set(fine) == NVFP4CAL_OK);
}

TEST_CASE("GPTQ on a device: outputs lie beside the weights") {
  Call call(NVFP4CAL_GPTQ_FAST);
  Floats host(kRows * kCols);
  call.out.decoded = view(host, {kRows, kCols});
  CHECK(call.quantize() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "dequantized lies in host memory, expected on CUDA device 0");
  Call other(NVFP4CAL_GPTQ_FAST);
  other.out.s2 = view(host, {});
  CHECK(other.quantize() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "global_scale lies in host memory, expected on CUDA device 0");
  Call inside(NVFP4CAL_GPTQ_FAST);
  inside.out.packed.data = inside.memory.data();
  CHECK(inside.quantize() == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "packed overlaps the input's memory, which is read while it is written");
}

TEST_CASE("GPTQ on a device: any allocation may fail, and the next call is as if nothing had been") {
  NEEDS_EMULATION();
  const int32_t before = live_allocations();
  {
    Call call;
    const Quantized want = quantize_on_host(call.gptq.get(), view(call.values, call.wanted.shape), call.wanted);
    const int32_t outputs = live_allocations();
    CHECK(fail_each_allocation(call) > 6);
    CHECK(call.out.read() == want);
    CHECK(live_allocations() == outputs + 4);  // the Hessian stays
    REQUIRE(nvfp4cal_gptq_reset(call.gptq.get()) == NVFP4CAL_OK);
    char message[nvfp4cal::kMessageSize];
    REQUIRE(module().ops->synchronize({0, nullptr}, message) == nvfp4cal::Status::kOk);
    CHECK(live_allocations() == outputs);
  }
  CHECK(live_allocations() == before);
}

// What is enqueued on a stream of the caller's reads the copies of Hessians, which are the default stream's, and writes the outputs.
TEST_CASE("GPTQ on a device: a call that fails half-way has waited for what it began") {
  NEEDS_EMULATION();
  CUstream_st* const stream = make_stream(0);
  Call call;
  call.wanted.stream = stream;
  const Quantized want = quantize_on_host(call.gptq.get(), view(call.values, call.wanted.shape), call.wanted);
  REQUIRE(call.quantize() == NVFP4CAL_OK);
  CHECK(fail_each_allocation(call) > 3);
  CHECK(call.out.read() == want);
  destroy_stream(stream);
}

TEST_CASE("GPTQ on a device writes packed codes in words") {
  Call call(NVFP4CAL_GPTQ_FAST);
  OnDevice<uint8_t> bytes(std::vector<uint8_t>(kRows * kCols / 2 + 4));
  call.out.packed = bytes.view(NVFP4CAL_DTYPE_U8, {kRows, kCols / 2});
  call.out.packed.data = static_cast<char*>(call.out.packed.data) + 2;
  CHECK(call.quantize() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), ", not aligned to 4 bytes as kernels write it"));
}

TEST_CASE("GPTQ on a device: with little memory the work is done part by part") {
  NEEDS_EMULATION();
  Floats h = gram(kCols, 46), values = random_values(3 * 200 * kCols, 47);
  const Shape shape = {3, 200, kCols};
  const OnDevice<float> memory(values);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}, nullptr) == NVFP4CAL_OK);
  const Quantized want = quantize_on_host(gptq.get(), view(values, shape), {shape});
  Sparing sparing;
  const Context context = make_context();
  REQUIRE(nvfp4cal_context_set_device_allocator(context.get(), Sparing::allocate, Sparing::release, &sparing) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_gptq_set_context(gptq.get(), context.get()) == NVFP4CAL_OK);
  for (const int64_t most : {int64_t{1} << 30, int64_t{1000000}, int64_t{400000}}) {  // a chunk of 64 rows takes a quarter of a million
    INFO(most << " bytes");
    sparing.most = most;
    sparing.refused = 0;
    const Quantized have = quantize_on_device(gptq.get(), memory.view(NVFP4CAL_DTYPE_F32, shape), {shape});
    CHECK(have == want);
    CHECK(close(have, want));
    CHECK((sparing.refused > 0) == (most < 1 << 30));
  }
  sparing.most = 100000;
  DeviceOutputs out({shape});
  CHECK(out.quantize(gptq.get(), memory.view(NVFP4CAL_DTYPE_F32, shape), {shape}) == NVFP4CAL_ERROR_OUT_OF_MEMORY);
  CHECK(out.untouched());
}

TEST_CASE("GPTQ on a device: what was made of Hessians lies on the device of the last call, until reset") {
  NEEDS_EMULATION();
  Sparing sparing{1 << 30};
  const Context context = make_context();
  REQUIRE(nvfp4cal_context_set_device_allocator(context.get(), Sparing::allocate, Sparing::release, &sparing) == NVFP4CAL_OK);
  Floats h = gram(32, 48), values = random_values(4 * 32, 49);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_MAX);
  REQUIRE(nvfp4cal_gptq_set_context(gptq.get(), context.get()) == NVFP4CAL_OK);
  REQUIRE(set_hessian(gptq, h, {32, 32}) == NVFP4CAL_OK);
  for (const int32_t device : {0, 1, 0}) {
    const OnDevice<float> memory(values, device);
    quantize_on_device(gptq.get(), memory.view(NVFP4CAL_DTYPE_F32, {4, 32}), {{4, 32}});
    CHECK(sparing.live[device] == 4);
    CHECK(sparing.live[1 - device] == 0);
  }
  REQUIRE(nvfp4cal_gptq_reset(gptq.get()) == NVFP4CAL_OK);
  CHECK(sparing.live[0] == 0);
}

TEST_CASE("GPTQ on a device: errors of the device come through, and the handle can be destroyed") {
  NEEDS_EMULATION();
  for (const char* function : {"cudaMemsetAsync", "cudaMemcpyAsync", "cudaStreamSynchronize"}) {
    INFO(function);
    Call call(NVFP4CAL_GPTQ_DEFAULT);
    fail_call(function, kIllegalAddress, 0, true);
    const nvfp4cal_status status = call.quantize();
    const std::string text = last_error();
    call.gptq.reset();
    heal();
    CHECK(status == NVFP4CAL_ERROR_CUDA);
    CHECK(contains(text, "an illegal memory access was encountered (cudaErrorIllegalAddress)"));
  }
}

TEST_CASE("GPTQ on a device cannot be captured, and leaves the capture whole") {
  NEEDS_EMULATION();
  Call call(NVFP4CAL_GPTQ_FAST);
  CUstream_st* const stream = make_stream(0);
  begin_capture(stream);
  call.wanted.stream = stream;
  CHECK(call.quantize() == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "GPTQ cannot be captured in a CUDA graph");
  call.wanted.stream = nullptr;  // the default stream would wait for the one that is captured
  CHECK(call.quantize() == NVFP4CAL_ERROR_CUDA);
  CHECK(contains(last_error(), "cudaErrorStreamCaptureImplicit"));
  FakeGraph* const graph = end_capture(stream);
  CHECK(graph != nullptr);
  CHECK(graph_size(graph) == 0);
  destroy_graph(graph);
  CHECK(call.out.untouched());
  CHECK(call.quantize() == NVFP4CAL_OK);
  destroy_stream(stream);
}
