#include "api/max.h"

#include <cstring>

#include "api/context.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

nvfp4cal_status nvfp4cal_max_create(nvfp4cal_max** out) { return create(out); }

nvfp4cal_status nvfp4cal_max_set_context(nvfp4cal_max* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_max_set_axes(nvfp4cal_max* handle, const int32_t* axes, int32_t n) {
  return handle_barrier(handle, [&] {
    if (n != 0) require(axes, "axes");
    handle->calibrator.set_axes(axes, n);
  });
}

nvfp4cal_status nvfp4cal_max_set_block_size(nvfp4cal_max* handle, int32_t block_size) {
  return handle_barrier(handle, [&] { handle->calibrator.set_block_size(block_size); });
}

nvfp4cal_status nvfp4cal_max_collect(nvfp4cal_max* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input_anywhere(x, "x");
    if (!is_float_input(view.dtype))
      fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(view.dtype));
    handle->calibrator.collect(view, stream);
  });
}

nvfp4cal_status nvfp4cal_max_compute_amax(nvfp4cal_max* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const calib::Max& max = settled(handle);
    if (answer_query(out, {Dtype::kF32, max.shape()}, "out")) return;
    std::memcpy(out->data, max.amax().data(), max.amax().size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_max_merge(nvfp4cal_max* handle, const nvfp4cal_max* other) {
  return handle_barrier(handle, [&] {
    require(other, "other");
    settled(handle).merge(settled(other));
  });
}

nvfp4cal_status nvfp4cal_max_export_state(const nvfp4cal_max* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(settled(handle).export_state(), out); });
}

nvfp4cal_status nvfp4cal_max_import_state(nvfp4cal_max* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_max_state_tensor(nvfp4cal_max* handle, int32_t index, nvfp4cal_tensor* view, int32_t* reduce) {
  return handle_barrier(handle, [&] {
    require(view, "view");
    require(reduce, "reduce");
    if (index != 0) fail(Status::kInvalidArgument, "state tensor %d, this calibrator has 1", index);
    std::vector<float>& amax = settled(handle).mutable_amax();
    const std::vector<int64_t>& shape = handle->calibrator.shape();
    *view = tensor_of(make_view(amax.data(), Dtype::kF32, static_cast<int>(shape.size()), shape.data()));
    *reduce = NVFP4CAL_REDUCE_MAX;
  });
}

nvfp4cal_status nvfp4cal_max_reset(nvfp4cal_max* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_max_last_error(const nvfp4cal_max* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_max_destroy(nvfp4cal_max* handle) { delete handle; }
