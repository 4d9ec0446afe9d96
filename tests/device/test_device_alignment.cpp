// Tensors that begin at any of their elements: a device reads and writes 16 bytes at a time only where they lie at multiples of that.
#include "gptq_calls.h"

using namespace device_test;

namespace {

// A tensor whose memory begins `lead` elements after an aligned address; on the host, and the same bytes on a device.
struct Shifted {
  Bytes bytes;
  Memory memory;
  nvfp4cal_tensor here, there;

  Shifted(Bytes content, int32_t dtype, const Shape& shape, size_t lead)
      : bytes(with_lead(std::move(content), lead * dtype_size(dtype))),
        memory(bytes.data(), bytes.size()),
        here(view(bytes.data() + lead * dtype_size(dtype), dtype, shape)),
        there(moved(here, static_cast<uint8_t*>(memory.data()) + lead * dtype_size(dtype))) {}
  static Bytes with_lead(Bytes content, size_t bytes) {
    content.insert(content.begin(), bytes, 0xA5);
    return content;
  }
  // After a call on each side.
  bool same() const { return memory.read<uint8_t>() == bytes; }
};

constexpr int64_t kRows = 24, kCols = 64;
const Shape kShape = {kRows, kCols};

Shifted values(int32_t dtype, size_t lead, uint32_t seed = 7) {
  return {as_bytes(random_values(kRows * kCols, seed), dtype), dtype, kShape, lead};
}
Shifted bytes(int64_t columns, size_t lead, uint8_t value = 0) {
  return {Bytes(static_cast<size_t>(kRows * columns), value), NVFP4CAL_DTYPE_U8, {kRows, columns}, lead};
}
Shifted amaxes(size_t lead) { return {Bytes(static_cast<size_t>(kRows * kCols / 16 * 4)), NVFP4CAL_DTYPE_F32, {kRows, kCols / 16}, lead}; }
Shifted positive(const Shape& shape, size_t lead) {
  Floats all = random_values(static_cast<size_t>(count_of(shape)), 9);
  for (float& value : all) value = std::fabs(value) + 0.1f;
  return {as_bytes(all, NVFP4CAL_DTYPE_F32), NVFP4CAL_DTYPE_F32, shape, lead};
}

// call(on_device) on both sides; the outputs are the same afterwards.
template <class Call>
void check_both(Call&& call, const Shifted& out) {
  REQUIRE(call(false) == NVFP4CAL_OK);
  const nvfp4cal_status status = call(true);
  INFO(last_error());
  REQUIRE(status == NVFP4CAL_OK);
  CHECK(out.same());
}

}  // namespace

TEST_CASE("device tensors begin at any element: quantizing") {
  for (const Dtyped& type : kFloatDtypes) {
    for (const size_t lead : {0, 1, 2, 4}) {
      INFO(type.name << " from element " << lead);
      Shifted x = values(type.dtype, lead), decoded = values(type.dtype, lead + 1), scales = bytes(kCols / 16, lead);
      for (const size_t packed_lead : {0, 4, 8}) {
        Shifted packed = bytes(kCols / 2, packed_lead);
        check_both(
            [&](bool there) {
              return nvfp4cal_quantize(nullptr, there ? &x.there : &x.here, nullptr, nullptr, nullptr, there ? &packed.there : &packed.here,
                                       there ? &scales.there : &scales.here, nullptr, nullptr);
            },
            packed);
        CHECK(scales.same());
      }
      check_both(
          [&](bool there) {
            return nvfp4cal_fake_quantize(nullptr, there ? &x.there : &x.here, nullptr, nullptr, nullptr,
                                          there ? &decoded.there : &decoded.here, nullptr);
          },
          decoded);
    }
  }
}

TEST_CASE("device tensors begin at any element: nibbles are written at multiples of 4 bytes") {
  const Shifted x = values(NVFP4CAL_DTYPE_F32, 0);
  for (const size_t lead : {1, 2, 3}) {
    Shifted packed = bytes(kCols / 2, lead), scales = bytes(kCols / 16, 0);
    CHECK(nvfp4cal_quantize(nullptr, &x.there, nullptr, nullptr, nullptr, &packed.there, &scales.there, nullptr, nullptr) ==
          NVFP4CAL_ERROR_UNSUPPORTED);
  }
}

TEST_CASE("device tensors begin at any element: decoding") {
  float one = 1.0f;
  const nvfp4cal_tensor scale = scalar(one);
  for (const Dtyped& type : kFloatDtypes) {
    for (const size_t lead : {0, 1, 4, 8}) {
      INFO(type.name << " from element " << lead);
      const Shifted packed = bytes(kCols / 2, lead, 0x5C), scales = bytes(kCols / 16, lead, 0x31);
      Shifted out = values(type.dtype, lead);
      check_both(
          [&](bool there) {
            return nvfp4cal_dequantize(nullptr, there ? &packed.there : &packed.here, there ? &scales.there : &scales.here, &scale,
                                       NVFP4CAL_DECODE_MODELOPT, there ? &out.there : &out.here, nullptr);
          },
          out);
    }
  }
}

TEST_CASE("device tensors begin at any element: searches") {
  for (const Dtyped& type : kFloatDtypes) {
    for (const size_t lead : {1, 2, 4}) {
      INFO(type.name << " from element " << lead);
      const Shifted x = values(type.dtype, lead), weights = positive({kCols}, lead);
      Shifted out = amaxes(lead);
      for (const bool weighted : {false, true}) {
        check_both(
            [&](bool there) {
              nvfp4cal_options options = options_of(NVFP4CAL_METHOD_MSE, 16, 448);
              options.weights = weighted ? there ? &weights.there : &weights.here : nullptr;
              return nvfp4cal_scale_sweep(nullptr, there ? &x.there : &x.here, nullptr, &options, there ? &out.there : &out.here, nullptr);
            },
            out);
      }
      Floats symmetric(static_cast<size_t>(kCols * 16));
      for (size_t i = 0; i < symmetric.size(); ++i) symmetric[i] = i / 16 % 16 == i % 16 ? 2.0f : 0.5f;
      const Shifted h(as_bytes(symmetric, NVFP4CAL_DTYPE_F32), NVFP4CAL_DTYPE_F32, {kCols / 16, 16, 16}, lead);
      check_both(
          [&](bool there) {
            return nvfp4cal_scale_sweep_hessian(nullptr, there ? &x.there : &x.here, nullptr, there ? &h.there : &h.here, nullptr,
                                                there ? &out.there : &out.here, nullptr);
          },
          out);
    }
  }
}

TEST_CASE("device tensors begin at any element: calibrators") {
  for (const Dtyped& type : kFloatDtypes) {
    for (const size_t lead : {1, 2, 4}) {
      INFO(type.name << " from element " << lead);
      const Shifted x = values(type.dtype, lead);
      float found[2] = {};
      for (const bool there : {false, true}) {
        nvfp4cal_max* max = nullptr;
        REQUIRE(nvfp4cal_max_create(&max) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_max_collect(max, there ? &x.there : &x.here, nullptr) == NVFP4CAL_OK);
        nvfp4cal_tensor out = scalar(found[there]);
        REQUIRE(nvfp4cal_max_compute_amax(max, &out) == NVFP4CAL_OK);
        nvfp4cal_max_destroy(max);
      }
      CHECK(found[0] == found[1]);
    }
  }
}

TEST_CASE("device tensors begin at any element: GPTQ") {
  Floats h = gram(kCols, 1);
  const Gptq gptq = make_gptq(NVFP4CAL_GPTQ_DEFAULT);
  REQUIRE(set_hessian(gptq, h, {kCols, kCols}) == NVFP4CAL_OK);
  for (const size_t lead : {1, 2, 4}) {
    const Shifted x = values(NVFP4CAL_DTYPE_F32, lead);
    Shifted packed = bytes(kCols / 2, 4 * lead), scales = bytes(kCols / 16, lead);
    check_both(
        [&](bool there) {
          return nvfp4cal_gptq_quantize(gptq.get(), there ? &x.there : &x.here, nullptr, there ? &packed.there : &packed.here,
                                        there ? &scales.there : &scales.here, nullptr, nullptr, nullptr, nullptr);
        },
        packed);
    CHECK(scales.same());
  }
}
