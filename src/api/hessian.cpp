#include "api/hessian.h"

#include <cstring>

#include "api/context.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

static_assert(static_cast<int32_t>(HessianLayout::kBlocks) == NVFP4CAL_HESSIAN_BLOCKS);
static_assert(static_cast<int32_t>(HessianLayout::kFull) == NVFP4CAL_HESSIAN_FULL);
static_assert(static_cast<int32_t>(HessianLayout::kDiagonal) == NVFP4CAL_HESSIAN_DIAGONAL);

nvfp4cal_status nvfp4cal_hessian_create(nvfp4cal_hessian** out) { return create(out); }

nvfp4cal_status nvfp4cal_hessian_set_context(nvfp4cal_hessian* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_hessian_set_layout(nvfp4cal_hessian* handle, int32_t layout) {
  return handle_barrier(handle, [&] { handle->calibrator.set_layout(layout); });
}

nvfp4cal_status nvfp4cal_hessian_set_block_size(nvfp4cal_hessian* handle, int32_t block_size) {
  return handle_barrier(handle, [&] { handle->calibrator.set_block_size(block_size); });
}

nvfp4cal_status nvfp4cal_hessian_set_normalize(nvfp4cal_hessian* handle, int32_t enable) {
  return handle_barrier(handle, [&] { handle->calibrator.set_normalize(enable); });
}

nvfp4cal_status nvfp4cal_hessian_set_damping(nvfp4cal_hessian* handle, double fraction) {
  return handle_barrier(handle, [&] { handle->calibrator.set_damping(fraction); });
}

nvfp4cal_status nvfp4cal_hessian_collect(nvfp4cal_hessian* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] { handle->calibrator.collect(input_anywhere(x, "x"), stream); });
}

nvfp4cal_status nvfp4cal_hessian_rows(const nvfp4cal_hessian* handle, int64_t* out) {
  return handle_barrier(handle, [&] {
    require(out, "out");
    *out = settled(handle).rows();
  });
}

nvfp4cal_status nvfp4cal_hessian_compute_hessian(nvfp4cal_hessian* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const std::vector<int64_t> shape = settled(handle).shape();
    if (answer_query(out, {Dtype::kF32, shape}, "out")) return;
    std::vector<float> values(static_cast<size_t>(output(out).elements()));  // out is written only when all of it is good, at any alignment
    handle->calibrator.compute(values.data());
    std::memcpy(out->data, values.data(), values.size() * sizeof(float));
  });
}

nvfp4cal_status nvfp4cal_hessian_merge(nvfp4cal_hessian* handle, const nvfp4cal_hessian* other) {
  return handle_barrier(handle, [&] {
    require(other, "other");
    settled(handle).merge(settled(other));
  });
}

nvfp4cal_status nvfp4cal_hessian_export_state(const nvfp4cal_hessian* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(settled(handle).export_state(), out); });
}

nvfp4cal_status nvfp4cal_hessian_import_state(nvfp4cal_hessian* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_hessian_state_tensor(nvfp4cal_hessian* handle, int32_t index, nvfp4cal_tensor* view, int32_t* reduce) {
  return handle_barrier(handle, [&] {
    require(view, "view");
    require(reduce, "reduce");
    if (index != 0 && index != 1) fail(Status::kInvalidArgument, "state tensor %d, this calibrator has 2", index);
    calib::Hessian& hessian = settled(handle);
    std::vector<double>& values = index == 0 ? hessian.mutable_sums() : hessian.mutable_rows();
    const std::vector<int64_t> shape = index == 0 ? hessian.sums_shape() : std::vector<int64_t>{1};
    *view = tensor_of(make_view(values.data(), Dtype::kF64, static_cast<int>(shape.size()), shape.data()));
    *reduce = NVFP4CAL_REDUCE_SUM;
  });
}

nvfp4cal_status nvfp4cal_hessian_reset(nvfp4cal_hessian* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_hessian_last_error(const nvfp4cal_hessian* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_hessian_destroy(nvfp4cal_hessian* handle) { delete handle; }
