#include "cpu/ops.h"

#include <cstdio>
#include <new>

#include "core/backends.h"
#include "core/float_env.h"

namespace nvfp4cal {

namespace {

template <auto op, class Args>
Status guarded(const Execution& execution, const Args& args, char* message) {
  const FloatEnvironment environment;
  try {
    op(execution, args);
    return Status::kOk;
  } catch (const Error& error) {
    std::snprintf(message, kMessageSize, "%s", error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    std::snprintf(message, kMessageSize, "out of memory");
    return Status::kOutOfMemory;
  } catch (const std::exception& error) {
    std::snprintf(message, kMessageSize, "%s", error.what());
    return Status::kInternal;
  }
}

}  // namespace

const Ops& cpu_ops() {
  static const Ops ops = {sizeof(Ops),
                          kOpsAbi,
                          guarded<cpu::amax, AmaxArgs>,
                          guarded<cpu::sweep, SweepArgs>,
                          guarded<cpu::quantize, QuantizeArgs>,
                          guarded<cpu::dequantize, DequantizeArgs>,
                          guarded<cpu::swizzle, SwizzleArgs>,
                          guarded<cpu::block_search, BlockSearchArgs>,
                          guarded<cpu::block_apply, BlockApplyArgs>,
                          guarded<cpu::log2_histogram, Log2HistogramArgs>,
                          guarded<cpu::hessian, HessianArgs>,
                          guarded<cpu::group_range, GroupRangeArgs>,
                          guarded<cpu::group_search, GroupSearchArgs>,
                          guarded<cpu::hessian_sweep, HessianSweepArgs>,
                          guarded<cpu::multiplier_losses, MultiplierLossesArgs>,
                          guarded<cpu::amax_quantize, AmaxQuantizeArgs>,
                          guarded<cpu::code_quantize, CodeQuantizeArgs>,
                          guarded<cpu::code_errors, CodeErrorsArgs>,
                          guarded<cpu::gptq_prepare, GptqPrepareArgs>,
                          guarded<cpu::gptq_shift, GptqShiftArgs>,
                          guarded<cpu::gptq, GptqArgs>,
                          guarded<cpu::code_amaxes, CodeAmaxArgs>};
  return ops;
}

}  // namespace nvfp4cal
