// The operations of the CPU backend behind core/ops.h: one file a family, exceptions inside, statuses outside.
#pragma once

#include "core/ops.h"

namespace nvfp4cal::cpu {

void amax(const Execution& execution, const AmaxArgs& args);
void sweep(const Execution& execution, const SweepArgs& args);
void quantize(const Execution& execution, const QuantizeArgs& args);
void dequantize(const Execution& execution, const DequantizeArgs& args);
void swizzle(const Execution& execution, const SwizzleArgs& args);
void block_search(const Execution& execution, const BlockSearchArgs& args);
void block_apply(const Execution& execution, const BlockApplyArgs& args);
void log2_histogram(const Execution& execution, const Log2HistogramArgs& args);
void hessian(const Execution& execution, const HessianArgs& args);
void group_range(const Execution& execution, const GroupRangeArgs& args);
void group_search(const Execution& execution, const GroupSearchArgs& args);
void hessian_sweep(const Execution& execution, const HessianSweepArgs& args);
void multiplier_losses(const Execution& execution, const MultiplierLossesArgs& args);
void amax_quantize(const Execution& execution, const AmaxQuantizeArgs& args);
void code_quantize(const Execution& execution, const CodeQuantizeArgs& args);
void code_errors(const Execution& execution, const CodeErrorsArgs& args);
void gptq_prepare(const Execution& execution, const GptqPrepareArgs& args);
void gptq_shift(const Execution& execution, const GptqShiftArgs& args);
void gptq(const Execution& execution, const GptqArgs& args);
void code_amaxes(const Execution& execution, const CodeAmaxArgs& args);

}  // namespace nvfp4cal::cpu
