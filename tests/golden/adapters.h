// A family's calls of the C interface: case in, named outputs out. README.md says the same in words.
#pragma once

#include "golden/case.h"

namespace nvfp4cal::test {

Outputs call_casts(const Case& one, const nvfp4cal_context* context);
Outputs call_nvfp4_mse(const Case& one, const nvfp4cal_context* context);
Outputs call_nvfp4_hessian(const Case& one, const nvfp4cal_context* context);
Outputs call_mse_calibrator(const Case& one, const nvfp4cal_context* context);
Outputs call_act_max(const Case& one, const nvfp4cal_context* context);
Outputs call_observers(const Case& one, const nvfp4cal_context* context);
Outputs call_qwantize(const Case& one, const nvfp4cal_context* context);
Outputs call_pack(const Case& one, const nvfp4cal_context* context);

// By the family's name; throws std::runtime_error for one that is not known.
using Adapter = Outputs (*)(const Case&, const nvfp4cal_context*);
Adapter adapter_of(const std::string& family);

}  // namespace nvfp4cal::test
