#include "calib/observer.h"

#include <cstring>

#include "api/context.h"
#include "api/state.h"

using namespace nvfp4cal;
using namespace nvfp4cal::api;

struct nvfp4cal_observer {
  calib::Observer calibrator;
  mutable ErrorText error;
};

namespace {

using Options = calib::ObserverOptions;

template <class Change>
nvfp4cal_status set(nvfp4cal_observer* handle, const char* name, Change&& change) {
  return handle_barrier(handle, [&] { handle->calibrator.set_option(name, change); });
}

void copy(const std::vector<float>& values, nvfp4cal_tensor* out) {
  if (!values.empty()) std::memcpy(out->data, values.data(), values.size() * sizeof(float));
}

void write_ranges(const calib::Ranges& ranges, const std::vector<int64_t>& shape, nvfp4cal_tensor* min, nvfp4cal_tensor* max) {
  if (answer_queries({{min, {Dtype::kF32, shape}, "min"}, {max, {Dtype::kF32, shape}, "max"}})) return;
  copy(ranges.min, min);
  copy(ranges.max, max);
}

}  // namespace

nvfp4cal_status nvfp4cal_observer_create(nvfp4cal_observer** out) { return create(out); }

nvfp4cal_status nvfp4cal_observer_set_context(nvfp4cal_observer* handle, const nvfp4cal_context* context) {
  return handle_barrier(handle, [&] { handle->calibrator.set_execution(execution_of(context)); });
}

nvfp4cal_status nvfp4cal_observer_set_kind(nvfp4cal_observer* handle, int32_t kind) {
  return set(handle, "set_kind", [&](Options& o) { o.kind = static_cast<calib::ObserverKind>(kind); });
}

nvfp4cal_status nvfp4cal_observer_set_observed(nvfp4cal_observer* handle, int32_t observed) {
  return set(handle, "set_observed", [&](Options& o) { o.observed = static_cast<calib::Observed>(observed); });
}

nvfp4cal_status nvfp4cal_observer_set_format(nvfp4cal_observer* handle, int32_t format) {
  return set(handle, "set_format", [&](Options& o) { o.format = static_cast<FakeFormat>(format); });
}

nvfp4cal_status nvfp4cal_observer_set_symmetric(nvfp4cal_observer* handle, int32_t enable) {
  return set(handle, "set_symmetric", [&](Options& o) { o.symmetric = enable != 0; });
}

nvfp4cal_status nvfp4cal_observer_set_strategy(nvfp4cal_observer* handle, int32_t strategy) {
  return set(handle, "set_strategy", [&](Options& o) { o.strategy = static_cast<calib::Strategy>(strategy); });
}

nvfp4cal_status nvfp4cal_observer_set_group_size(nvfp4cal_observer* handle, int32_t group_size) {
  return set(handle, "set_group_size", [&](Options& o) {
    if (group_size < 1) fail(Status::kInvalidArgument, "group size %d, expected 1 or more", group_size);
    o.group_size = group_size;
  });
}

nvfp4cal_status nvfp4cal_observer_set_block_structure(nvfp4cal_observer* handle, int32_t height, int32_t width) {
  return set(handle, "set_block_structure", [&](Options& o) {
    if (height < 1 || width < 1) fail(Status::kInvalidArgument, "block structure [%d, %d], expected 1 or more", height, width);
    o.block_height = height;
    o.block_width = width;
  });
}

nvfp4cal_status nvfp4cal_observer_set_g_idx(nvfp4cal_observer* handle, const int32_t* g_idx, int64_t n) {
  return set(handle, "set_g_idx", [&](Options& o) {
    if (n < 0) fail(Status::kInvalidArgument, "g_idx has %lld elements", static_cast<long long>(n));
    if (n > 0) require(g_idx, "g_idx");
    o.g_idx.assign(g_idx, g_idx + n);
  });
}

nvfp4cal_status nvfp4cal_observer_set_maxshrink(nvfp4cal_observer* handle, double maxshrink) {
  return set(handle, "set_maxshrink", [&](Options& o) { o.maxshrink = maxshrink; });
}

nvfp4cal_status nvfp4cal_observer_set_patience(nvfp4cal_observer* handle, int32_t patience) {
  return set(handle, "set_patience", [&](Options& o) { o.patience = patience; });
}

nvfp4cal_status nvfp4cal_observer_set_grid(nvfp4cal_observer* handle, double grid) {
  return set(handle, "set_grid", [&](Options& o) { o.grid = grid; });
}

nvfp4cal_status nvfp4cal_observer_set_norm(nvfp4cal_observer* handle, double norm) {
  return set(handle, "set_norm", [&](Options& o) { o.norm = norm; });
}

nvfp4cal_status nvfp4cal_observer_set_expand(nvfp4cal_observer* handle, double expand) {
  return set(handle, "set_expand", [&](Options& o) { o.expand = expand; });
}

nvfp4cal_status nvfp4cal_observer_set_averaging_constant(nvfp4cal_observer* handle, double constant) {
  return set(handle, "set_averaging_constant", [&](Options& o) { o.averaging_constant = constant; });
}

nvfp4cal_status nvfp4cal_observer_set_global_scale(nvfp4cal_observer* handle, float global_scale) {
  return set(handle, "set_global_scale", [&](Options& o) { o.global_scale = global_scale; });
}

nvfp4cal_status nvfp4cal_observer_set_optimize_global_scale(nvfp4cal_observer* handle, int32_t enable) {
  return set(handle, "set_optimize_global_scale", [&](Options& o) { o.optimize_global_scale = enable != 0; });
}

nvfp4cal_status nvfp4cal_observer_collect(nvfp4cal_observer* handle, const nvfp4cal_tensor* x, nvfp4cal_stream stream) {
  return handle_barrier(handle, [&] {
    const TensorView view = input_anywhere(x, "x");
    if (!is_float_input(view.dtype))
      fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(view.dtype));
    handle->calibrator.collect(view, stream);
  });
}

nvfp4cal_status nvfp4cal_observer_compute_range(nvfp4cal_observer* handle, nvfp4cal_tensor* min, nvfp4cal_tensor* max) {
  return handle_barrier(handle, [&] { write_ranges(handle->calibrator.ranges(), handle->calibrator.shape(), min, max); });
}

nvfp4cal_status nvfp4cal_observer_compute_scale(nvfp4cal_observer* handle, nvfp4cal_tensor* scale, nvfp4cal_tensor* zero_point) {
  return handle_barrier(handle, [&] {
    const calib::ObserverScales scales = handle->calibrator.scales();
    const std::vector<int64_t>& shape = handle->calibrator.shape();
    std::vector<Output> outputs = {{scale, {Dtype::kF32, shape}, "scale"}};
    if (zero_point) outputs.push_back({zero_point, {Dtype::kI8, shape}, "zero_point"});
    if (answer_queries(outputs)) return;
    copy(scales.scale, scale);
    if (!zero_point) return;
    const std::vector<int8_t> points(scales.zero_point.begin(), scales.zero_point.end());
    if (!points.empty()) std::memcpy(zero_point->data, points.data(), points.size());
  });
}

nvfp4cal_status nvfp4cal_observer_compute_global_scale(nvfp4cal_observer* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] {
    const float scale = handle->calibrator.global_scale();
    if (!answer_query(out, {Dtype::kF32, {1}}, "out")) std::memcpy(out->data, &scale, sizeof scale);
  });
}

nvfp4cal_status nvfp4cal_observer_compute_global_range(nvfp4cal_observer* handle, nvfp4cal_tensor* min, nvfp4cal_tensor* max) {
  return handle_barrier(handle, [&] { write_ranges(handle->calibrator.global_range(), {1}, min, max); });
}

nvfp4cal_status nvfp4cal_observer_fuse(nvfp4cal_observer* const* handles, int32_t n) {
  return barrier([&] {
    if (n < 1) fail(Status::kInvalidArgument, "%d observers to fuse", n);
    require(handles, "handles");
    std::vector<calib::Observer*> observers;
    for (int32_t i = 0; i < n; ++i) {
      if (!handles[i]) fail(Status::kInvalidArgument, "handles[%d] is NULL", i);
      observers.push_back(&handles[i]->calibrator);
    }
    calib::Observer::fuse(observers);
  });
}

nvfp4cal_status nvfp4cal_observer_merge(nvfp4cal_observer* handle, const nvfp4cal_observer* other) {
  return handle_barrier(handle, [&] {
    require(other, "other");
    handle->calibrator.merge(other->calibrator);
  });
}

nvfp4cal_status nvfp4cal_observer_export_state(const nvfp4cal_observer* handle, nvfp4cal_tensor* out) {
  return handle_barrier(handle, [&] { write_state(handle->calibrator.export_state(), out); });
}

nvfp4cal_status nvfp4cal_observer_import_state(nvfp4cal_observer* handle, const nvfp4cal_tensor* state) {
  return handle_barrier(handle,
                        [&] { read_state(state, [&](const uint8_t* bytes, size_t n) { handle->calibrator.import_state(bytes, n); }); });
}

nvfp4cal_status nvfp4cal_observer_state_tensor(nvfp4cal_observer* handle, int32_t index, nvfp4cal_tensor* view, int32_t* reduce) {
  return handle_barrier(handle, [&] {
    require(view, "view");
    require(reduce, "reduce");
    if (index < 0 || index > 1) fail(Status::kInvalidArgument, "state tensor %d, this observer has 2", index);
    calib::Ranges& ranges = handle->calibrator.running_ranges();
    const std::vector<int64_t>& shape = handle->calibrator.shape();
    const std::vector<float>& values = index == 0 ? ranges.min : ranges.max;
    *view = tensor_of(make_view(values.data(), Dtype::kF32, static_cast<int>(shape.size()), shape.data()));
    *reduce = index == 0 ? NVFP4CAL_REDUCE_MIN : NVFP4CAL_REDUCE_MAX;
  });
}

nvfp4cal_status nvfp4cal_observer_reset(nvfp4cal_observer* handle) {
  return handle_barrier(handle, [&] { handle->calibrator.reset(); });
}

const char* nvfp4cal_observer_last_error(const nvfp4cal_observer* handle) { return handle ? handle->error.text : ""; }

void nvfp4cal_observer_destroy(nvfp4cal_observer* handle) { delete handle; }
