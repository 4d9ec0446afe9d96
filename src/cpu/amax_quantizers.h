// Which of the fake quantizers of num/amax_quantizers.h is meant, and loops over amaxes.
#pragma once

#include "core/ops.h"
#include "num/amax_quantizers.h"

namespace nvfp4cal::cpu {

using num::AmaxScale;
using num::clamped;
using num::FloatQuantizer;
using num::IntQuantizer;
using num::Nvfp4Quantizer;

// body(quantizer) with the one that is meant.
template <class Body>
void with_quantizer(const AmaxQuantizer& quantizer, Body&& body) {
  switch (quantizer.format) {
    case AmaxFormat::kInt: return body(IntQuantizer{quantizer.lo, quantizer.hi});
    case AmaxFormat::kE4m3: return body(FloatQuantizer<num::e4m3_round>{num::kE4m3Max});
    case AmaxFormat::kE5m2: return body(FloatQuantizer<num::e5m2_round>{num::kE5m2Max});
    case AmaxFormat::kE2m1: return body(FloatQuantizer<num::e2m1_round_signed>{6.0f});
    case AmaxFormat::kNvfp4: return body(Nvfp4Quantizer{quantizer.global_amax});
  }
}

// in[i], out[i] = the scale of amax[i].
template <class Quantizer>
inline void set_scales(const Quantizer& quantizer, const float* amax, int64_t n, float* __restrict in, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) {
    const AmaxScale scale = quantizer.scale(amax[i]);
    in[i] = scale.in;
    out[i] = scale.out;
  }
}

}  // namespace nvfp4cal::cpu
