// Packing against pack: ModelOpt's and compressed-tensors' bytes of real layers.
#include <algorithm>
#include <cmath>

#include "golden/run.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

// What nvfp4cal_quantize writes for the weights of a case.
struct Quantized {
  std::vector<uint8_t> packed, scales;
  std::vector<float> global_scale{-1.0f};
};

Quantized quantize(const nvfp4cal_context* context, const GoldenTensor& w, const GoldenTensor* block_amax, const nvfp4cal_options& options,
                   size_t scale_bytes) {
  Quantized out;
  out.packed.assign(static_cast<size_t>(w.elements()) / 2, 0xEE);
  out.scales.assign(scale_bytes, 0xEE);
  const nvfp4cal_tensor x = tensor_of(w), amax = block_amax ? tensor_of(*block_amax) : nvfp4cal_tensor{};
  nvfp4cal_tensor packed = output_of(out.packed, NVFP4CAL_DTYPE_U8), scales = output_of(out.scales, NVFP4CAL_DTYPE_E4M3),
                  global = output_of(out.global_scale, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(nvfp4cal_quantize(context, &x, nullptr, block_amax ? &amax : nullptr, &options, &packed, &scales, &global, nullptr));
  return out;
}

// Decoded by the rule in float32, element by element.
std::vector<float> decoded(const std::vector<uint8_t>& packed, const std::vector<uint8_t>& scales, float global, bool divide) {
  std::vector<float> out;
  for (size_t i = 0; i < packed.size() * 2; ++i) {
    const int code = packed[i / 2] >> (i % 2 * 4) & 15;
    const float level = static_cast<float>(code & 8 ? -kLevels[code & 7] : kLevels[code & 7]);
    const float value = static_cast<float>(e4m3_value_of(scales[i / 16]));
    const float scale = divide ? value / global : value * global;
    out.push_back(level * scale);
  }
  return out;
}

void check_decode(const nvfp4cal_context* context, const GoldenTensor& packed, const GoldenTensor& scales, const GoldenTensor& global,
                  int32_t order) {
  const nvfp4cal_tensor packed_view = tensor_of(packed), scales_view = tensor_of(scales), global_view = tensor_of(global);
  std::vector<float> got(packed.bytes.size() * 2, -1.0f);
  nvfp4cal_tensor out = output_of(got, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(nvfp4cal_dequantize(context, &packed_view, &scales_view, &global_view, order, &out, nullptr));
  const std::vector<float> wanted =
      decoded(packed.as<uint8_t>(), scales.as<uint8_t>(), global.floats().at(0), order == NVFP4CAL_DECODE_COMPRESSED_TENSORS);
  CHECK(std::memcmp(got.data(), wanted.data(), got.size() * 4) == 0);
}

}  // namespace

TEST_CASE("golden pack: ModelOpt's bytes, every target and thread count", "[golden]") {
  const GoldenFamily family("pack");
  REQUIRE(family.cases().size() >= 4);
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    REQUIRE(one.at("rule") == "exact");
    const GoldenTensor &w = family.input(one, "w"), &scale = family.expected(one, "scale"), &tiled = family.expected(one, "scale_tiled");
    for_each_context([&](const nvfp4cal_context* context) {
      nvfp4cal_options options = default_options();
      const Quantized dynamic = quantize(context, w, nullptr, options, scale.bytes.size());
      CHECK(equal_bits(dynamic.packed, family.expected(one, "packed")));
      CHECK(equal_bits(dynamic.scales, scale));
      CHECK(equal_bits(dynamic.global_scale, family.expected(one, "weight_scale_2")));
      options.scale_layout = NVFP4CAL_SCALES_SWIZZLED;
      CHECK(equal_bits(quantize(context, w, nullptr, options, tiled.bytes.size()).scales, tiled));
      options.scale_layout = NVFP4CAL_SCALES_LINEAR;
      const Quantized fixed = quantize(context, w, &family.expected(one, "sweep_amax"), options, scale.bytes.size());
      CHECK(equal_bits(fixed.packed, family.expected(one, "sweep_packed")));
      CHECK(equal_bits(fixed.scales, family.expected(one, "sweep_scale")));
      CHECK(equal_bits(fixed.global_scale, family.expected(one, "weight_scale_2")));
    });
  }
}

TEST_CASE("golden pack: the search on the fly gives the scales of the calibrated amaxes", "[golden]") {
  const GoldenFamily family("pack");
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    nvfp4cal_options options = default_options();
    options.method = NVFP4CAL_METHOD_MSE;
    const GoldenTensor &w = family.input(one, "w"), &wanted = family.expected(one, "sweep_scale");
    const Quantized found = quantize(nullptr, w, nullptr, options, wanted.bytes.size());
    // ModelOpt's sweep has other last bits, and an all-zero block another code: where the codes differ, the errors must not
    const std::vector<float> x = w.floats();
    const std::vector<uint8_t> peer = wanted.as<uint8_t>();
    float amax = 0.0f;
    for (const float value : x) amax = std::max(amax, std::fabs(value));
    const Oracle oracle(Setting{amax});
    int worse = 0;
    for (size_t b = 0; b < peer.size(); ++b) {
      const float* const block = x.data() + b * 16;
      const int theirs = std::clamp<int>(peer[b], 1, kCodes);
      worse += !oracle.accepts(block, nullptr, found.scales[b], theirs, oracle.error(block, nullptr, theirs));
    }
    CHECK(worse == 0);
  }
}

TEST_CASE("golden pack: tiles and back", "[golden]") {
  const GoldenFamily family("pack");
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    const GoldenTensor &scale = family.expected(one, "scale"), &tiled = family.expected(one, "scale_tiled");
    for_each_context([&](const nvfp4cal_context* context) {
      const nvfp4cal_tensor linear = tensor_of(scale), tiles = tensor_of(tiled);
      std::vector<uint8_t> to(tiled.bytes.size(), 0xEE), back(scale.bytes.size(), 0xEE);
      nvfp4cal_tensor to_view = output_of(to, NVFP4CAL_DTYPE_U8), back_view = tensor_of(scale);
      back_view.data = back.data();
      REQUIRE_OK(nvfp4cal_swizzle_scales(context, &linear, &to_view, nullptr));
      CHECK(equal_bits(to, tiled));
      REQUIRE_OK(nvfp4cal_unswizzle_scales(context, &tiles, &back_view, nullptr));
      CHECK(equal_bits(back, scale));
    });
  }
}

TEST_CASE("golden pack: both decode orders of the tools' own bytes", "[golden]") {
  const GoldenFamily family("pack");
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    for_each_context([&](const nvfp4cal_context* context) {
      check_decode(context, family.expected(one, "packed"), family.expected(one, "scale"), family.expected(one, "weight_scale_2"),
                   NVFP4CAL_DECODE_MODELOPT);
      check_decode(context, family.expected(one, "ct_packed"), family.expected(one, "ct_scale"), family.expected(one, "ct_global_scale"),
                   NVFP4CAL_DECODE_COMPRESSED_TENSORS);
    });
  }
}

TEST_CASE("golden pack: compressed-tensors' global scale follows from G", "[golden]") {
  const GoldenFamily family("pack");
  for (const auto& one : family.cases()) {
    INFO(one.at("name"));
    float amax = 0.0f;
    for (const float value : family.input(one, "w").floats()) amax = std::max(amax, std::fabs(value));
    const float reciprocal = 1.0f / amax;
    CHECK(family.expected(one, "ct_global_scale").floats().at(0) == 2688.0f * reciprocal);
    CHECK(family.expected(one, "weight_scale_2").floats().at(0) == amax / 2688.0f);
  }
}
