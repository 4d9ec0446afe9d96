// The calls of calls.h for actmax, hessian, observer and mse. Each keeps its handle for itself.
#pragma once

#include "calls.h"

namespace api_test {
namespace calls {

template <class Handle>
using Shared = std::shared_ptr<Handle>;

template <class Handle>
Shared<Handle> shared(nvfp4cal_status (*create)(Handle**), void (*destroy)(Handle*)) {
  Handle* handle = nullptr;
  return create(&handle) == NVFP4CAL_OK ? Shared<Handle>(handle, destroy) : nullptr;
}

// A function of a handle and one tensor.
template <class Handle, class Tensor>
Call on_handle(const char* name, Shared<Handle> handle, nvfp4cal_status (*function)(Handle*, Tensor*)) {
  return {name, {}, [=](Call& c) { return function(handle.get(), c[0]); }, {}, {}};
}

template <class Handle>
Call collect_call(const char* name, Shared<Handle> handle, nvfp4cal_status (*collect)(Handle*, const nvfp4cal_tensor*, nvfp4cal_stream)) {
  Call call{name, {}, [=](Call& c) { return collect(handle.get(), c[0], nullptr); }, {}, {}};
  call.input("x", x(), {4, 32});
  return call;
}

// One output.
template <class Handle>
Call compute_call(const char* name, Shared<Handle> handle, nvfp4cal_status (*compute)(Handle*, nvfp4cal_tensor*), int32_t dtype,
                  const Shape& shape) {
  Call call = on_handle(name, handle, compute);
  call.output("out", dtype, shape);
  return call;
}

// Two outputs; the second may be one that can be left out.
template <class Handle>
Call compute_two_call(const char* name, Shared<Handle> handle, nvfp4cal_status (*compute)(Handle*, nvfp4cal_tensor*, nvfp4cal_tensor*)) {
  return {name, {}, [=](Call& c) { return compute(handle.get(), c[0], c[1]); }, {}, {}};
}

template <class Handle>
Call export_call(const char* name, Shared<Handle> handle, nvfp4cal_status (*export_state)(const Handle*, nvfp4cal_tensor*)) {
  Call call{name, {}, [=](Call& c) { return export_state(handle.get(), c[0]); }, {}, {}};
  call.output("out", NVFP4CAL_DTYPE_U8, {static_cast<int64_t>(exported<Handle>(handle.get(), export_state).size())});
  return call;
}

template <class Handle>
Call import_call(const char* name, Shared<Handle> handle, nvfp4cal_status (*export_state)(const Handle*, nvfp4cal_tensor*),
                 nvfp4cal_status (*import_state)(Handle*, const nvfp4cal_tensor*)) {
  Call call = on_handle(name, handle, import_state);
  const Bytes state = exported<Handle>(handle.get(), export_state);
  call.input("state", state, {static_cast<int64_t>(state.size())});
  return call;
}

template <class Handle>
Shared<Handle> filled(Shared<Handle> handle, nvfp4cal_status (*collect)(Handle*, const nvfp4cal_tensor*, nvfp4cal_stream)) {
  Floats values = x();
  const nvfp4cal_tensor tensor = view(values, {4, 32});
  return collect(handle.get(), &tensor, nullptr) == NVFP4CAL_OK ? handle : nullptr;
}

// ---- actmax ----

inline Shared<nvfp4cal_actmax> new_actmax() { return shared(nvfp4cal_actmax_create, nvfp4cal_actmax_destroy); }
inline Shared<nvfp4cal_actmax> filled_actmax() { return filled(new_actmax(), nvfp4cal_actmax_collect); }

inline Call actmax_collect() { return collect_call("actmax_collect", new_actmax(), nvfp4cal_actmax_collect); }
inline Call actmax_compute_amax() {
  return compute_call("actmax_compute_amax", filled_actmax(), nvfp4cal_actmax_compute_amax, NVFP4CAL_DTYPE_F32, {});
}
inline Call actmax_export_state() { return export_call("actmax_export_state", filled_actmax(), nvfp4cal_actmax_export_state); }
inline Call actmax_import_state() {
  return import_call("actmax_import_state", filled_actmax(), nvfp4cal_actmax_export_state, nvfp4cal_actmax_import_state);
}

// ---- hessian ----

inline Shared<nvfp4cal_hessian> new_hessian() { return shared(nvfp4cal_hessian_create, nvfp4cal_hessian_destroy); }
inline Shared<nvfp4cal_hessian> filled_hessian() { return filled(new_hessian(), nvfp4cal_hessian_collect); }

inline Call hessian_collect() { return collect_call("hessian_collect", new_hessian(), nvfp4cal_hessian_collect); }
inline Call hessian_compute_hessian() {
  return compute_call("hessian_compute_hessian", filled_hessian(), nvfp4cal_hessian_compute_hessian, NVFP4CAL_DTYPE_F32, {2, 16, 16});
}
inline Call hessian_export_state() { return export_call("hessian_export_state", filled_hessian(), nvfp4cal_hessian_export_state); }
inline Call hessian_import_state() {
  return import_call("hessian_import_state", filled_hessian(), nvfp4cal_hessian_export_state, nvfp4cal_hessian_import_state);
}

// ---- observer: NVFP4 groups, which have all results ----

inline Shared<nvfp4cal_observer> new_observer() {
  const Shared<nvfp4cal_observer> observer = shared(nvfp4cal_observer_create, nvfp4cal_observer_destroy);
  const bool good = nvfp4cal_observer_set_format(observer.get(), NVFP4CAL_OBSERVER_FORMAT_FP4) == NVFP4CAL_OK &&
                    nvfp4cal_observer_set_strategy(observer.get(), NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP) == NVFP4CAL_OK &&
                    nvfp4cal_observer_set_group_size(observer.get(), 16) == NVFP4CAL_OK;
  return good ? observer : nullptr;
}
inline Shared<nvfp4cal_observer> filled_observer() { return filled(new_observer(), nvfp4cal_observer_collect); }

inline Call observer_collect() { return collect_call("observer_collect", new_observer(), nvfp4cal_observer_collect); }
inline Call observer_compute_range() {
  Call call = compute_two_call("observer_compute_range", filled_observer(), nvfp4cal_observer_compute_range);
  call.output("min", NVFP4CAL_DTYPE_F32, {4, 2});
  call.output("max", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}
inline Call observer_compute_scale() {
  Call call = compute_two_call("observer_compute_scale", filled_observer(), nvfp4cal_observer_compute_scale);
  call.output("scale", NVFP4CAL_DTYPE_F32, {4, 2});
  call.output("zero_point", NVFP4CAL_DTYPE_I8, {4, 2}, Argument::kOptionalOutput);
  return call;
}
inline Call observer_compute_global_scale() {
  return compute_call("observer_compute_global_scale", filled_observer(), nvfp4cal_observer_compute_global_scale, NVFP4CAL_DTYPE_F32, {1});
}
inline Call observer_compute_global_range() {
  Call call = compute_two_call("observer_compute_global_range", filled_observer(), nvfp4cal_observer_compute_global_range);
  call.output("min", NVFP4CAL_DTYPE_F32, {1});
  call.output("max", NVFP4CAL_DTYPE_F32, {1});
  return call;
}
inline Call observer_export_state() { return export_call("observer_export_state", filled_observer(), nvfp4cal_observer_export_state); }
inline Call observer_import_state() {
  return import_call("observer_import_state", filled_observer(), nvfp4cal_observer_export_state, nvfp4cal_observer_import_state);
}

// ---- mse: INT4 per row ----

inline Shared<nvfp4cal_mse> new_mse() {
  const Shared<nvfp4cal_mse> mse = shared(nvfp4cal_mse_create, nvfp4cal_mse_destroy);
  const int32_t rows = 0;
  Floats values(4, 1.0f);
  const nvfp4cal_tensor amax = view(values, {4, 1});
  const bool good = nvfp4cal_mse_set_axes(mse.get(), &rows, 1) == NVFP4CAL_OK &&
                    nvfp4cal_mse_set_int_quantizer(mse.get(), 4, NVFP4CAL_INT_SYMMETRIC) == NVFP4CAL_OK &&
                    nvfp4cal_mse_set_initial_amax(mse.get(), &amax) == NVFP4CAL_OK;
  return good ? mse : nullptr;
}
inline Shared<nvfp4cal_mse> filled_mse() { return filled(new_mse(), nvfp4cal_mse_collect); }

inline Call mse_set_initial_amax() {
  Call call = on_handle("mse_set_initial_amax", new_mse(), nvfp4cal_mse_set_initial_amax);
  call.input("amax", Floats(4, 2.0f), {4, 1});
  return call;
}
inline Call mse_candidates() {
  const Shared<nvfp4cal_mse> mse = new_mse();
  Call call{"mse_candidates", {}, [=](Call& c) { return nvfp4cal_mse_candidates(mse.get(), c[0]); }, {}, {}};
  call.output("out", NVFP4CAL_DTYPE_F32, {39});
  return call;
}
inline Call mse_collect() { return collect_call("mse_collect", new_mse(), nvfp4cal_mse_collect); }
inline Call mse_compute_amax() {
  return compute_call("mse_compute_amax", filled_mse(), nvfp4cal_mse_compute_amax, NVFP4CAL_DTYPE_F32, {4, 1});
}
inline Call mse_compute_multipliers() {
  return compute_call("mse_compute_multipliers", filled_mse(), nvfp4cal_mse_compute_multipliers, NVFP4CAL_DTYPE_F32, {4, 1});
}
inline Call mse_losses() { return compute_call("mse_losses", filled_mse(), nvfp4cal_mse_losses, NVFP4CAL_DTYPE_F64, {39, 4}); }
inline Call mse_export_state() { return export_call("mse_export_state", filled_mse(), nvfp4cal_mse_export_state); }
inline Call mse_import_state() {
  return import_call("mse_import_state", filled_mse(), nvfp4cal_mse_export_state, nvfp4cal_mse_import_state);
}

inline constexpr Maker kCalibrators[] = {
    actmax_collect,         actmax_compute_amax,     actmax_export_state,
    actmax_import_state,    hessian_collect,         hessian_compute_hessian,
    hessian_export_state,   hessian_import_state,    observer_collect,
    observer_compute_range, observer_compute_scale,  observer_compute_global_scale,
    observer_export_state,  observer_import_state,   observer_compute_global_range,
    mse_set_initial_amax,   mse_candidates,          mse_collect,
    mse_compute_amax,       mse_compute_multipliers, mse_losses,
    mse_export_state,       mse_import_state,
};

}  // namespace calls
}  // namespace api_test
