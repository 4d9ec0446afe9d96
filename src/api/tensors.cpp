#include "api/tensors.h"

#include <cstddef>

#include "api/barrier.h"
#include "core/device.h"

namespace nvfp4cal::api {

static_assert(kMaxNdim == NVFP4CAL_MAX_NDIM);
static_assert(static_cast<int32_t>(Dtype::kI8) == NVFP4CAL_DTYPE_I8);
static_assert(static_cast<int32_t>(Dtype::kU8) == NVFP4CAL_DTYPE_U8);
static_assert(static_cast<int32_t>(Dtype::kF16) == NVFP4CAL_DTYPE_F16);
static_assert(static_cast<int32_t>(Dtype::kF32) == NVFP4CAL_DTYPE_F32);
static_assert(static_cast<int32_t>(Dtype::kF64) == NVFP4CAL_DTYPE_F64);
static_assert(static_cast<int32_t>(Dtype::kBf16) == NVFP4CAL_DTYPE_BF16);
static_assert(static_cast<int32_t>(Dtype::kE4m3) == NVFP4CAL_DTYPE_E4M3);
static_assert(static_cast<int32_t>(Dtype::kI64) == NVFP4CAL_DTYPE_I64);

namespace {

// The size of the first release's struct: every later one begins with the same fields.
constexpr uint32_t kFirstSize = offsetof(nvfp4cal_tensor, strides) + sizeof(int64_t) * NVFP4CAL_MAX_NDIM;
constexpr int32_t kDlpackCpu = 1;
// More than any address space holds, and small enough that sizes of outputs and of padded tiles do not overflow.
constexpr int64_t kMostBytes = int64_t{1} << 52;

void check_struct(const nvfp4cal_tensor* tensor, const char* name) {
  require(tensor, name);
  if (tensor->struct_size < kFirstSize) {
    fail(Status::kInvalidArgument, "%s.struct_size is %u, expected %zu", name, tensor->struct_size, sizeof(nvfp4cal_tensor));
  }
  if (tensor->flags & ~NVFP4CAL_TENSOR_HAS_STRIDES) fail(Status::kInvalidArgument, "%s.flags has unknown bits: 0x%x", name, tensor->flags);
}

// Whether strides describe row-major order; extents of 1 have no say.
bool is_contiguous(const TensorView& view) {
  int64_t step = 1;
  for (int d = view.ndim - 1; d >= 0; --d) {
    if (view.shape[d] > 1 && view.strides[d] != step) return false;
    step *= view.shape[d];
  }
  return true;
}

TensorView view_of(const nvfp4cal_tensor* tensor, const char* name) {
  TensorView view;
  view.data = tensor->data;
  view.dtype = dtype_of(tensor, name);
  view.device_type = tensor->device_type == kDlpackCpu ? 0 : tensor->device_type;
  view.device_id = tensor->device_id;
  if (tensor->ndim < 0 || tensor->ndim > kMaxNdim)
    fail(Status::kInvalidArgument, "%s.ndim is %d, expected 0 to %d", name, tensor->ndim, kMaxNdim);
  view.ndim = tensor->ndim;
  int64_t bytes = static_cast<int64_t>(dtype_size(view.dtype));
  bool empty = false, overflow = false;
  // Extents beside a zero count too: products of them are formed everywhere.
  for (int d = 0; d < view.ndim; ++d) {
    view.shape[d] = tensor->shape[d];
    if (view.shape[d] < 0) fail(Status::kInvalidArgument, "%s.shape[%d] is %lld", name, d, static_cast<long long>(view.shape[d]));
    empty = empty || view.shape[d] == 0;
    if (view.shape[d] != 0) overflow = overflow || __builtin_mul_overflow(bytes, view.shape[d], &bytes) || bytes > kMostBytes;
  }
  if (overflow) fail(Status::kInvalidArgument, "%s of shape %s has more bytes than memory can have", name, view.shape_text().c_str());
  set_contiguous_strides(view);
  if (tensor->flags & NVFP4CAL_TENSOR_HAS_STRIDES) {
    for (int d = 0; d < view.ndim; ++d) view.strides[d] = tensor->strides[d];
    view.contiguous = empty || is_contiguous(view);
    if (view.contiguous) set_contiguous_strides(view);
  }
  return view;
}

TensorView view_wanted(const Wanted& wanted) {
  return make_view(nullptr, wanted.dtype, static_cast<int>(wanted.shape.size()), wanted.shape.data());
}

// That the device exists, and that its kernels can read the elements.
void check_device(const TensorView& view, const char* name) {
  device_of(view, name, Execution::process_default(), nullptr);
  if (reinterpret_cast<uintptr_t>(view.data) % dtype_size(view.dtype) != 0)
    fail(Status::kUnsupported, "%s.data is %p, not aligned to elements of %zu bytes as device memory has to be", name, view.data,
         dtype_size(view.dtype));
}

void check_place(const TensorView& out, const TensorView& beside, const char* name) {
  if (out.on_device()) check_device(out, name);
  if (same_place(out, beside)) return;
  fail(Status::kUnsupported, "%s lies %s, expected %s", name, place_text(out).c_str(), place_text(beside).c_str());
}

void check_overlap(const TensorView& out, const TensorView& input, bool may_be_input, const char* name) {
  if (may_be_input && out.data == input.data && out.dtype == input.dtype && input.contiguous) return;
  if (!overlap(out, input)) return;
  fail(Status::kInvalidArgument, "%s overlaps the input's memory%s", name,
       may_be_input ? " in part: it is the same tensor, or memory of its own" : ", which is read while it is written");
}

void check_apart(const TensorView& out, const Neighbour& other, const char* name) {
  if (!other.view || !same_place(out, *other.view) || !overlap(out, *other.view)) return;
  fail(Status::kInvalidArgument, "%s overlaps the memory of %s", name, other.name);
}

void check_output(const Output& out) {
  const char* name = out.name;
  check_struct(out.tensor, name);
  if (!out.tensor->data) return;
  const TensorView view = view_of(out.tensor, name), want = view_wanted(out.wanted);
  if (view.dtype != out.wanted.dtype && view.dtype != out.wanted.also) {
    fail(Status::kUnsupported, "%s is %s, expected %s", name, dtype_name(view.dtype), dtype_name(out.wanted.dtype));
  }
  check_place(view, out.beside ? *out.beside : want, name);
  if (!view.contiguous) fail(Status::kUnsupported, "%s has strides: outputs are contiguous", name);
  if (view.elements() != want.elements()) {
    fail(Status::kInvalidArgument, "%s of shape %s has %lld elements, expected %lld of shape %s", name, view.shape_text().c_str(),
         static_cast<long long>(view.elements()), static_cast<long long>(want.elements()), want.shape_text().c_str());
  }
  if (out.beside) check_overlap(view, *out.beside, out.may_be_beside, name);
  check_apart(view, out.apart, name);
}

void fill(const Output& out) {
  nvfp4cal_tensor& tensor = *out.tensor;
  if (tensor.dtype != static_cast<int32_t>(out.wanted.also)) tensor.dtype = static_cast<int32_t>(out.wanted.dtype);
  tensor.flags &= ~NVFP4CAL_TENSOR_HAS_STRIDES;
  tensor.ndim = static_cast<int32_t>(out.wanted.shape.size());
  const TensorView want = view_wanted(out.wanted);
  for (int d = 0; d < kMaxNdim; ++d) tensor.shape[d] = want.shape[d];
}

}  // namespace

Dtype dtype_of(const nvfp4cal_tensor* tensor, const char* name) {
  switch (tensor->dtype) {
    case NVFP4CAL_DTYPE_I8:
    case NVFP4CAL_DTYPE_U8:
    case NVFP4CAL_DTYPE_F16:
    case NVFP4CAL_DTYPE_F32:
    case NVFP4CAL_DTYPE_F64:
    case NVFP4CAL_DTYPE_BF16:
    case NVFP4CAL_DTYPE_I64:
    case NVFP4CAL_DTYPE_E4M3: return static_cast<Dtype>(tensor->dtype);
    default: fail(Status::kUnsupported, "%s has dtype 0x%x, which is not known", name, static_cast<unsigned>(tensor->dtype));
  }
}

TensorView input(const nvfp4cal_tensor* tensor, const char* name) {
  check_struct(tensor, name);
  const TensorView view = view_of(tensor, name);
  if (view.on_device()) check_device(view, name);
  if (view.on_device())
    fail(Status::kUnsupported, "%s lies on CUDA device %d: this function computes on host tensors", name, view.device_id);
  if (!view.data && view.elements() > 0) fail(Status::kInvalidArgument, "%s.data is NULL", name);
  return view;
}

TensorView input_anywhere(const nvfp4cal_tensor* tensor, const char* name) {
  check_struct(tensor, name);
  const TensorView view = view_of(tensor, name);
  if (!view.on_device()) return input(tensor, name);
  check_device(view, name);
  if (!view.data && view.elements() > 0) fail(Status::kInvalidArgument, "%s.data is NULL", name);
  return view;
}

bool answer_queries(const std::vector<Output>& outputs) {
  for (const Output& out : outputs) check_output(out);
  for (auto out = outputs.begin(); out != outputs.end(); ++out) {
    if (!out->tensor->data) continue;
    const TensorView view = view_of(out->tensor, out->name);
    for (auto earlier = outputs.begin(); earlier != out; ++earlier) {
      if (earlier->tensor->data) check_apart(view_of(earlier->tensor, earlier->name), {&view, out->name}, earlier->name);
    }
  }
  bool question = false;
  for (const Output& out : outputs) {
    if (out.tensor->data) continue;
    fill(out);
    // an output without elements needs no memory: it is no question
    question = question || view_wanted(out.wanted).elements() > 0;
  }
  return question;
}

TensorView output(const nvfp4cal_tensor* tensor) { return view_of(tensor, "out"); }

nvfp4cal_tensor tensor_of(const TensorView& view) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = view.data;
  tensor.dtype = static_cast<int32_t>(view.dtype);
  tensor.ndim = view.ndim;
  for (int d = 0; d < view.ndim; ++d) {
    tensor.shape[d] = view.shape[d];
    if (!view.contiguous) tensor.strides[d] = view.strides[d];
  }
  if (!view.contiguous) tensor.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  return tensor;
}

}  // namespace nvfp4cal::api
