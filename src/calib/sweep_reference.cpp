#include "calib/sweep_reference.h"

#include <algorithm>
#include <limits>

#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

class ReferenceSweep {
 public:
  ReferenceSweep(const Execution& execution, const SweepRequest& request, const ReferenceSearch& how, uint8_t* codes)
      : execution_(execution),
        request_(request),
        how_(how),
        x_(*request.args.x),
        quantized_(static_cast<size_t>(x_.elements())),
        errors_(how.error ? quantized_.size() : 0),
        amax_(how.quantize ? static_cast<size_t>(request.blocks()) : 0),
        best_(static_cast<size_t>(request.blocks()), std::numeric_limits<double>::infinity()),
        args_{} {
    args_.sweep = request.args;
    args_.sweep.codes = codes;
    args_.best = best_.data();
    args_.errors = how.error ? errors_.data() : nullptr;
    // the library's own values are finite: they are read for squared errors only
    args_.quantized = how.quantize || !how.error ? quantized_.data() : nullptr;
    if (!how.hessian) return;
    args_.hessian = how.hessian->values.data();
    args_.hessian_count = how.hessian->count();
  }

  void try_code(int code) {
    const TensorView out = make_view(quantized_.data(), Dtype::kF32, x_.ndim, x_.shape);
    quantize(code, out);
    if (how_.error) (*how_.error)(x_, out, make_view(errors_.data(), Dtype::kF32, x_.ndim, x_.shape));
    args_.code = code;
    call(ops_for(x_).code_errors, execution_, args_);
  }

 private:
  void quantize(int code, const TensorView& out) {
    if (!how_.quantize) {
      return call(ops_for(x_).code_quantize, execution_, CodeQuantizeArgs{request_.args, code, quantized_.data()});
    }
    const int64_t blocks = request_.blocks_per_slice();
    for (int64_t s = 0; s < request_.args.slices; ++s) {
      std::fill_n(amax_.begin() + s * blocks, blocks, num::block_amax(code, request_.args.global_amax[s], request_.args.normalization));
    }
    (*how_.quantize)(x_, make_view(amax_.data(), Dtype::kF32, static_cast<int>(how_.amax_shape.size()), how_.amax_shape.data()), out);
  }

  const Execution& execution_;
  const SweepRequest& request_;
  const ReferenceSearch& how_;
  const TensorView& x_;
  std::vector<float> quantized_, errors_, amax_;
  std::vector<double> best_;
  CodeErrorsArgs args_;
};

}  // namespace

void reference_sweep(const Execution& execution, const SweepRequest& request, const ReferenceSearch& how, uint8_t* codes) {
  const TensorView& x = *request.args.x;
  if (how.hessian) check_hessian(request, *how.hessian);
  std::fill_n(codes, request.blocks(), num::kE4m3One);
  float largest = 0.0f;
  call(ops_for(x).amax, execution, AmaxArgs{&x, {}, 1, 0, &largest});  // throws if x is not finite
  const auto searched = [](float global_amax) { return global_amax > 0.0f; };
  if (request.blocks() == 0 || std::none_of(request.global_amax().begin(), request.global_amax().end(), searched)) return;
  ReferenceSweep sweep(execution, request, how, codes);
  for (int code = 1; code <= num::kE4m3Count; ++code) sweep.try_code(code);
}

}  // namespace nvfp4cal::calib
