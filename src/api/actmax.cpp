#include "calib/actmax.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "api/context.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

struct nvfp4cal_actmax {
  mutable calib::ActMax calibrator;
  mutable ErrorText error;
};

static_assert(static_cast<int32_t>(calib::ActMaxTerm::kBMin) == NVFP4CAL_ACTMAX_TERM_B_MIN);
static_assert(static_cast<int32_t>(calib::ActMaxTerm::kBMax) == NVFP4CAL_ACTMAX_TERM_B_MAX);
static_assert(static_cast<int32_t>(calib::ActMaxTerm::kLiteralMax) == NVFP4CAL_ACTMAX_TERM_LITERAL_MAX);

nvfp4cal_status nvfp4cal_actmax_create(nvfp4cal_actmax** out) { return create(out); }

nvfp4cal_status nvfp4cal_actmax_set_context(nvfp4cal_actmax* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_actmax_set_rho(nvfp4cal_actmax* handle, double rho) {
  return handle_barrier(handle, [&] { handle->calibrator.set_rho(rho); });
}

nvfp4cal_status nvfp4cal_actmax_set_percentiles(nvfp4cal_actmax* handle, double b_min_percentile, double b_max_percentile) {
  return handle_barrier(handle, [&] { handle->calibrator.set_percentiles(b_min_percentile, b_max_percentile); });
}

nvfp4cal_status nvfp4cal_actmax_set_margin(nvfp4cal_actmax* handle, double margin) {
  return handle_barrier(handle, [&] { handle->calibrator.set_margin(margin); });
}

nvfp4cal_status nvfp4cal_actmax_set_bins(nvfp4cal_actmax* handle, int32_t num_bins, double log2_min, double log2_max) {
  return handle_barrier(handle, [&] { handle->calibrator.set_bins(num_bins, log2_min, log2_max); });
}

nvfp4cal_status nvfp4cal_actmax_set_block_size(nvfp4cal_actmax* handle, int32_t block_size) {
  return handle_barrier(handle, [&] { handle->calibrator.set_block_size(block_size); });
}

nvfp4cal_status nvfp4cal_actmax_set_headroom(nvfp4cal_actmax* handle, int32_t enable) {
  return handle_barrier(handle, [&] {
    if (enable != 0 && enable != 1) fail(Status::kInvalidArgument, "enable is %d, expected 0 or 1", enable);
    handle->calibrator.set_headroom(enable == 1);
  });
}

nvfp4cal_status nvfp4cal_actmax_collect(nvfp4cal_actmax* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input_anywhere(x, "x");
    if (!is_float_input(view.dtype))
      fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(view.dtype));
    handle->calibrator.collect(view, stream);
  });
}

nvfp4cal_status nvfp4cal_actmax_compute_amax(nvfp4cal_actmax* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const float result = settled(handle).stats().result;
    if (answer_query(out, {Dtype::kF32, {}}, "out")) return;
    std::memcpy(out->data, &result, sizeof result);
  });
}

nvfp4cal_status nvfp4cal_actmax_compute_stats(nvfp4cal_actmax* handle, nvfp4cal_actmax_stats* out) {
  return handle_barrier(handle, [&] {
    constexpr size_t kFirstSize = offsetof(nvfp4cal_actmax_stats, result) + sizeof(float);
    require(out, "out");
    if (out->struct_size < kFirstSize)
      fail(Status::kInvalidArgument, "out.struct_size is %u, expected %zu", out->struct_size, sizeof(nvfp4cal_actmax_stats));
    const calib::ActMaxStats stats = settled(handle).stats();
    const nvfp4cal_actmax_stats filled = {out->struct_size, static_cast<int32_t>(stats.term),
                                          stats.blocks,     stats.p1,
                                          stats.p99_99,     stats.b_min,
                                          stats.b_max,      stats.literal_max,
                                          stats.result};
    std::memcpy(out, &filled, std::min<size_t>(out->struct_size, sizeof filled));
  });
}

nvfp4cal_status nvfp4cal_actmax_merge(nvfp4cal_actmax* handle, const nvfp4cal_actmax* other) {
  return handle_barrier(handle, [&] {
    require(other, "other");
    settled(handle).merge(settled(other));
  });
}

nvfp4cal_status nvfp4cal_actmax_export_state(const nvfp4cal_actmax* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(settled(handle).export_state(), out); });
}

nvfp4cal_status nvfp4cal_actmax_import_state(nvfp4cal_actmax* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_actmax_state_tensor(nvfp4cal_actmax* handle, int32_t index, nvfp4cal_tensor* view, int32_t* reduce) {
  return handle_barrier(handle, [&] {
    require(view, "view");
    require(reduce, "reduce");
    if (index != 0 && index != 1) fail(Status::kInvalidArgument, "state tensor %d, this calibrator has 2", index);
    std::vector<int64_t>& counts = settled(handle).mutable_counts();
    if (index == 0) {
      const int64_t bins = static_cast<int64_t>(counts.size());
      *view = tensor_of(make_view(counts.data(), Dtype::kI64, 1, &bins));
      *reduce = NVFP4CAL_REDUCE_SUM;
      return;
    }
    *view = tensor_of(make_view(&handle->calibrator.mutable_literal_max(), Dtype::kF32, 0, nullptr));
    *reduce = NVFP4CAL_REDUCE_MAX;
  });
}

nvfp4cal_status nvfp4cal_actmax_reset(nvfp4cal_actmax* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_actmax_last_error(const nvfp4cal_actmax* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_actmax_destroy(nvfp4cal_actmax* handle) { delete handle; }
