// The search with functions of the caller's: all of x is quantized with each of the 126 codes in turn [ModelOpt's reference sweep].
#pragma once

#include <cstdint>
#include <vector>

#include "calib/block_hessian.h"
#include "calib/functions.h"

namespace nvfp4cal::calib {

struct ReferenceSearch {
  const QuantizeFunction* quantize = nullptr;  // NULL: E2M1 times the scale of the search
  const ErrorFunction* error = nullptr;        // NULL: squared errors, or r' H r; not given together with a Hessian
  const BlockHessian* hessian = nullptr;       // NULL: none
  std::vector<int64_t> amax_shape;             // of the amaxes that quantize is given, one a block
};

// Functions see a finite x. Blocks of slices whose global amax is 0 get code 1.0, and what functions make of them is not looked at.
void reference_sweep(const Execution& execution, const SweepRequest& request, const ReferenceSearch& how, uint8_t* codes);

}  // namespace nvfp4cal::calib
