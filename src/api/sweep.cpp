#include "calib/sweep.h"

#include <cstring>

#include "api/callbacks.h"
#include "api/context.h"
#include "api/max.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

struct nvfp4cal_sweep {
  calib::Sweep calibrator;
  mutable ErrorText error;
};

nvfp4cal_status nvfp4cal_sweep_create(nvfp4cal_sweep** out) { return create(out); }

nvfp4cal_status nvfp4cal_sweep_set_context(nvfp4cal_sweep* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_sweep_set_block_size(nvfp4cal_sweep* handle, int32_t block_size) {
  return handle_barrier(handle, [&] { handle->calibrator.set_block_size(block_size); });
}

nvfp4cal_status nvfp4cal_sweep_set_normalization(nvfp4cal_sweep* handle, int32_t normalization) {
  return handle_barrier(handle, [&] { handle->calibrator.set_normalization(normalization); });
}

nvfp4cal_status nvfp4cal_sweep_set_global_amax(nvfp4cal_sweep* handle, const nvfp4cal_tensor* global_amax) {
  return handle_barrier(handle, [&] { handle->calibrator.set_global_amax(calib::read_global_amax(input(global_amax, "global_amax"))); });
}

nvfp4cal_status nvfp4cal_sweep_set_global_amax_from(nvfp4cal_sweep* handle, const nvfp4cal_max* max) {
  return handle_barrier(handle, [&] {
    require(max, "max");
    const std::vector<int64_t>& shape = settled(max).shape();
    for (size_t d = 1; d < shape.size(); ++d) {
      if (shape[d] != 1)
        fail(Status::kInvalidArgument, "the maxima are kept along axis %zu: a global amax is one value, or one along axis 0", d);
    }
    handle->calibrator.set_global_amax(settled(max).amax());
  });
}

nvfp4cal_status nvfp4cal_sweep_set_weights(nvfp4cal_sweep* handle, const nvfp4cal_tensor* weights) {
  return handle_barrier(handle, [&] {
    if (!weights) return handle->calibrator.set_weights(nullptr);
    const TensorView view = input(weights, "weights");
    handle->calibrator.set_weights(&view);
  });
}

nvfp4cal_status nvfp4cal_sweep_set_hessian(nvfp4cal_sweep* handle, const nvfp4cal_tensor* hessian) {
  return handle_barrier(handle, [&] {
    if (!hessian) return handle->calibrator.set_hessian(nullptr);
    const TensorView view = input(hessian, "hessian");
    handle->calibrator.set_hessian(&view);
  });
}

nvfp4cal_status nvfp4cal_sweep_set_initial_amax(nvfp4cal_sweep* handle, const nvfp4cal_tensor* amax) {
  return handle_barrier(handle, [&] {
    if (!amax) return handle->calibrator.set_initial_amax(nullptr);
    const TensorView view = input(amax, "amax");
    handle->calibrator.set_initial_amax(&view);
  });
}

nvfp4cal_status nvfp4cal_sweep_initial_amax(const nvfp4cal_sweep* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const std::vector<float>& amax = handle->calibrator.initial_amax();
    if (answer_query(out, {Dtype::kF32, handle->calibrator.initial_amax_shape()}, "out")) return;
    if (!amax.empty()) std::memcpy(out->data, amax.data(), amax.size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_sweep_set_quantize_callback(nvfp4cal_sweep* handle, nvfp4cal_quantize_callback callback, void* user) {
  return handle_barrier(handle, [&] {
    handle->calibrator.set_quantize_function(callback ? function_of(callback, user, "quantize") : calib::QuantizeFunction());
  });
}

nvfp4cal_status nvfp4cal_sweep_set_error_callback(nvfp4cal_sweep* handle, nvfp4cal_error_callback callback, int32_t values, void* user) {
  return handle_barrier(handle, [&] {
    handle->calibrator.set_error_function(callback ? function_of(callback, user, "error") : calib::ErrorFunction(),
                                          static_cast<calib::ErrorValues>(values));
  });
}

nvfp4cal_status nvfp4cal_sweep_set_code_window(nvfp4cal_sweep* handle, int32_t lo, int32_t hi) {
  return handle_barrier(handle, [&] { handle->calibrator.set_window(lo, hi); });
}

nvfp4cal_status nvfp4cal_sweep_collect(nvfp4cal_sweep* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] { handle->calibrator.collect(input_anywhere(x, "x"), stream); });
}

nvfp4cal_status nvfp4cal_sweep_compute_amax(nvfp4cal_sweep* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    if (answer_query(out, {Dtype::kF32, handle->calibrator.shape()}, "out")) return;
    std::vector<float> amax(handle->calibrator.codes().size());
    handle->calibrator.write_amax(amax.data());
    if (!amax.empty()) std::memcpy(out->data, amax.data(), amax.size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_sweep_compute_codes(nvfp4cal_sweep* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    if (answer_query(out, {Dtype::kE4m3, handle->calibrator.shape(), Dtype::kU8}, "out")) return;
    const std::vector<uint8_t>& codes = handle->calibrator.codes();
    if (!codes.empty()) std::memcpy(out->data, codes.data(), codes.size());
  });
}

nvfp4cal_status nvfp4cal_sweep_merge(nvfp4cal_sweep* handle, const nvfp4cal_sweep*) {
  return handle_barrier(handle, [&] { fail(Status::kUnsupported, "a one-shot search cannot be merged"); });
}

nvfp4cal_status nvfp4cal_sweep_export_state(const nvfp4cal_sweep* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(handle->calibrator.export_state(), out); });
}

nvfp4cal_status nvfp4cal_sweep_import_state(nvfp4cal_sweep* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_sweep_reset(nvfp4cal_sweep* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_sweep_last_error(const nvfp4cal_sweep* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_sweep_destroy(nvfp4cal_sweep* handle) { delete handle; }
