// The C interface on golden tensors: views, outputs in the shape that the library answers, handles that free themselves. Failures throw.
#pragma once

#include <array>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "golden/case.h"

namespace nvfp4cal::test {

inline void ok(nvfp4cal_status status) {
  if (status != NVFP4CAL_OK) throw std::runtime_error(std::string(nvfp4cal_status_string(status)) + ": " + nvfp4cal_last_error());
}

inline nvfp4cal_tensor view_of(const GoldenTensor& golden) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = const_cast<char*>(golden.bytes.data());
  tensor.dtype = golden.dtype;
  if (golden.shape.size() > NVFP4CAL_MAX_NDIM) throw std::runtime_error("a tensor of more than 8 dimensions");
  tensor.ndim = static_cast<int32_t>(golden.shape.size());
  for (size_t d = 0; d < golden.shape.size(); ++d) tensor.shape[d] = golden.shape[d];
  return tensor;
}

inline int64_t count_of(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
}

// The same elements in another shape.
inline GoldenTensor reshaped(GoldenTensor tensor, std::vector<int64_t> shape) {
  if (count_of(shape) != tensor.elements()) throw std::runtime_error("elements do not fill the shape");
  tensor.shape = std::move(shape);
  return tensor;
}

// Memory to write to, filled with a pattern that no result has by chance.
inline GoldenTensor unwritten(int32_t dtype, std::vector<int64_t> shape) {
  const size_t size = static_cast<size_t>(count_of(shape)) * static_cast<size_t>(dtype >> 8 & 0xFF) / 8;
  return {dtype, std::move(shape), std::vector<char>(size, '\xA5')};
}

// What call(out, ...) writes: its first run is a question for dtype and shape, the second fills memory of that size.
template <size_t n, class Call>
std::array<GoldenTensor, n> answers(Call&& call) {
  std::array<nvfp4cal_tensor, n> views{};
  for (nvfp4cal_tensor& view : views) view.struct_size = sizeof view;
  ok(call(views.data()));
  std::array<GoldenTensor, n> outputs;
  for (size_t i = 0; i < n; ++i) {
    outputs[i] = unwritten(views[i].dtype, {views[i].shape, views[i].shape + views[i].ndim});
    views[i].data = outputs[i].bytes.data();
  }
  ok(call(views.data()));
  return outputs;
}

template <class Call>
GoldenTensor answer(Call&& call) {
  return answers<1>([&](nvfp4cal_tensor* out) { return call(out); })[0];
}

inline nvfp4cal_options options_of(const Case& one) {
  nvfp4cal_options options{};
  options.struct_size = sizeof options;
  options.block_size = one.param<int32_t>("block", 16);
  return options;
}

template <class T, void (*destroy)(T*)>
struct Destroyer {
  void operator()(T* handle) const { destroy(handle); }
};
template <class T, void (*destroy)(T*)>
using Owned = std::unique_ptr<T, Destroyer<T, destroy>>;

using Context = Owned<nvfp4cal_context, nvfp4cal_context_destroy>;
using SweepHandle = Owned<nvfp4cal_sweep, nvfp4cal_sweep_destroy>;
using HessianHandle = Owned<nvfp4cal_hessian, nvfp4cal_hessian_destroy>;
using MseHandle = Owned<nvfp4cal_mse, nvfp4cal_mse_destroy>;
using ActMaxHandle = Owned<nvfp4cal_actmax, nvfp4cal_actmax_destroy>;
using ObserverHandle = Owned<nvfp4cal_observer, nvfp4cal_observer_destroy>;

template <class T>
T* created(nvfp4cal_status (*create)(T**)) {
  T* handle = nullptr;
  ok(create(&handle));
  return handle;
}

}  // namespace nvfp4cal::test
