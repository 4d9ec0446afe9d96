#include "calib/sweep.h"

#include "calib/device_call.h"
#include "calib/read_floats.h"
#include "calib/state_bytes.h"
#include "calib/sweep_reference.h"
#include "core/backends.h"
#include "num/bits.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "swep";
constexpr uint32_t kVersion = 3;  // 1 had no Hessian, 2 no functions and no initial amax

}  // namespace

void Sweep::require_no_data(const char* option) const {
  if (has_data_) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void Sweep::set_block_size(int block) {
  require_no_data("set_block_size");
  check_block_size(block);
  options_.block = block;
}

void Sweep::set_normalization(int normalization) {
  require_no_data("set_normalization");
  check_normalization(normalization);
  options_.normalization = normalization;
}

void Sweep::set_window(int lo, int hi) {
  require_no_data("set_code_window");
  check_window(lo, hi);
  options_.has_window = lo > -126 || hi < 126;
  options_.window_lo = lo;
  options_.window_hi = hi;
}

void Sweep::set_global_amax(std::vector<float> global_amax) {
  require_no_data("set_global_amax");
  global_amax_ = std::move(global_amax);
}

void Sweep::set_weights(const TensorView* weights) {
  require_no_data("set_weights");
  std::vector<float> values;
  std::vector<int64_t> shape;
  if (weights && !hessian_.empty()) fail(Status::kInvalidArgument, "weights and a Hessian exclude each other");
  if (weights) {
    values = read_floats(*weights, "weights");
    if (values.empty()) fail(Status::kInvalidArgument, "weights of shape %s has no elements", weights->shape_text().c_str());
    for (size_t i = 0; i < values.size(); ++i) {
      if (!(values[i] > 0.0f) || !num::is_finite(values[i])) {
        fail(Status::kInvalidArgument, "weights[%zu] is %g, expected a positive finite value", i, static_cast<double>(values[i]));
      }
    }
    shape.assign(weights->shape, weights->shape + weights->ndim);
  }
  weights_.swap(values);
  weights_shape_.swap(shape);
}

void Sweep::set_hessian(const TensorView* hessian) {
  require_no_data("set_hessian");
  if (hessian && !weights_.empty()) fail(Status::kInvalidArgument, "weights and a Hessian exclude each other");
  hessian_ = hessian ? read_hessian(*hessian) : BlockHessian();
}

void Sweep::set_initial_amax(const TensorView* amax) {
  require_no_data("set_initial_amax");
  std::vector<float> values;
  std::vector<int64_t> shape;
  if (amax) {
    values = read_floats(*amax, "amax");
    check_amaxes(values, "amax");
    shape.assign(amax->shape, amax->shape + amax->ndim);
  }
  has_initial_amax_ = amax != nullptr;
  initial_amax_.swap(values);
  initial_amax_shape_.swap(shape);
}

void Sweep::set_quantize_function(QuantizeFunction function) {
  require_no_data("set_quantize_callback");
  uses_quantize_ = function != nullptr;
  quantize_ = std::move(function);
}

void Sweep::set_error_function(ErrorFunction function, ErrorValues values) {
  require_no_data("set_error_callback");
  if (values == ErrorValues::kScalar) fail(Status::kUnsupported, "error values 1, one for all of x, cannot tell blocks apart: expected 0");
  if (values != ErrorValues::kElements) fail(Status::kInvalidArgument, "error values %d, expected 0", static_cast<int>(values));
  uses_error_ = function != nullptr;
  error_ = std::move(function);
}

void Sweep::require_ready() const {
  if (has_data_) fail(Status::kWrongState, "a second collect: this search takes one tensor between resets");
  if (global_amax_.empty()) fail(Status::kWrongState, "no global amax has been set");
  if (uses_quantize_ && !quantize_) fail(Status::kWrongState, "the imported state had a quantize callback: none has been set here");
  if (uses_error_ && !error_) fail(Status::kWrongState, "the imported state had an error callback: none has been set here");
}

void Sweep::collect(const TensorView& x, CUstream_st* stream) {
  require_ready();
  if (x.on_device()) return collect_on_device(device_of(x, "x", execution_, stream), x);
  const TensorView weights = make_view(weights_.data(), Dtype::kF32, static_cast<int>(weights_shape_.size()), weights_shape_.data());
  const SweepRequest request(execution_, x, global_amax_, weights_.empty() ? nullptr : &weights, options_);
  std::vector<int64_t> shape = result_shape(x);
  std::vector<uint8_t> codes(static_cast<size_t>(request.blocks()));
  search(request, shape, codes.data());
  codes_.swap(codes);
  shape_.swap(shape);
  has_data_ = true;
}

// Of a tensor of whole blocks.
std::vector<int64_t> Sweep::result_shape(const TensorView& x) const {
  if (!has_initial_amax_) return block_shape(x, options_.block);
  const int64_t blocks = x.elements() / options_.block;
  if (initial_amax_.size() != static_cast<size_t>(blocks)) {
    fail(Status::kInvalidArgument, "the initial amax of shape %s has %zu elements for the %lld blocks of x",
         shape_text(initial_amax_shape_).c_str(), initial_amax_.size(), static_cast<long long>(blocks));
  }
  return initial_amax_shape_;
}

// Waits: codes are of use to the host.
void Sweep::collect_on_device(const Device& device, const TensorView& x) {
  if (uses_quantize_ || (uses_error_ && hessian_.empty()))
    fail(Status::kUnsupported, "x lies on CUDA device %d: searches with callbacks compute on host tensors", x.device_id);
  device.refuse_capture("collect");
  check_blocks(x, options_.block);
  std::vector<int64_t> shape = result_shape(x);
  std::vector<uint8_t> codes(static_cast<size_t>(x.elements() / options_.block));
  DeviceRequest request(device, x, {global_amax_, nullptr}, options_);
  DeviceArray<float> copy;
  TensorView weights = make_view(DeviceFloats{weights_, nullptr}.on(device, copy), Dtype::kF32, static_cast<int>(weights_shape_.size()),
                                 weights_shape_.data());
  weights.device_type = x.device_type;
  weights.device_id = x.device_id;
  request.prepare_search(weights_.empty() ? nullptr : &weights);
  if (!hessian_.empty()) request.set_hessian(hessian_);
  request.sweep_codes(codes.data());
  codes_.swap(codes);
  shape_.swap(shape);
  has_data_ = true;
}

void Sweep::search(const SweepRequest& request, const std::vector<int64_t>& shape, uint8_t* codes) const {
  const bool has_hessian = !hessian_.empty();
  const bool weighs_errors = uses_error_ && !has_hessian;  // a Hessian wins over an error function [ModelOpt]
  if (uses_quantize_ || weighs_errors) {
    return reference_sweep(
        execution_, request,
        {uses_quantize_ ? &quantize_ : nullptr, weighs_errors ? &error_ : nullptr, has_hessian ? &hessian_ : nullptr, shape}, codes);
  }
  if (has_hessian) return sweep_hessian(execution_, request, hessian_, codes);
  SweepArgs args = request.args;
  args.codes = codes;
  call(ops_for(*args.x).sweep, execution_, args);
}

const std::vector<float>& Sweep::initial_amax() const {
  if (!has_initial_amax_) fail(Status::kNoData, "no initial amax has been set");
  return initial_amax_;
}

const std::vector<int64_t>& Sweep::initial_amax_shape() const {
  initial_amax();
  return initial_amax_shape_;
}

const std::vector<int64_t>& Sweep::shape() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
  return shape_;
}

const std::vector<uint8_t>& Sweep::codes() const {
  shape();
  return codes_;
}

void Sweep::write_amax(float* out) const {
  const std::vector<uint8_t>& all = codes();
  amax_of_codes(execution_, all.data(), static_cast<int64_t>(all.size()), global_amax_, static_cast<float>(options_.normalization), out);
}

std::vector<uint8_t> Sweep::export_state() const {
  StateWriter writer(kType, kVersion);
  writer.put(static_cast<int32_t>(options_.block));
  writer.put(static_cast<int32_t>(options_.normalization));
  writer.put(static_cast<int32_t>(options_.window_lo));
  writer.put(static_cast<int32_t>(options_.window_hi));
  writer.put_array(global_amax_);
  writer.put_array(weights_shape_);
  writer.put_array(weights_);
  writer.put(static_cast<int32_t>(hessian_.block));
  writer.put_array(hessian_.values);
  writer.put(static_cast<uint8_t>(uses_quantize_));
  writer.put(static_cast<uint8_t>(uses_error_));
  writer.put(static_cast<uint8_t>(has_initial_amax_));
  writer.put_array(initial_amax_shape_);
  writer.put_array(initial_amax_);
  writer.put(static_cast<uint8_t>(has_data_));
  writer.put_array(shape_);
  writer.put_array(codes_);
  return writer.finish();
}

void Sweep::read_hessian_state(StateReader& reader) {
  const int64_t block = reader.get<int32_t>();
  const std::vector<float> values = reader.get_array<float>();
  if (block == 0 && values.empty()) return;
  if ((block != 16 && block != 32) || values.size() % static_cast<size_t>(block * block) != 0) {
    fail(Status::kCorrupt, "the state has %zu Hessian values for blocks of %lld", values.size(), static_cast<long long>(block));
  }
  const int64_t shape[3] = {static_cast<int64_t>(values.size()) / (block * block), block, block};
  const TensorView view = make_view(values.data(), Dtype::kF32, 3, shape);
  set_hessian(&view);
}

void Sweep::read_weights_state(StateReader& reader) {
  const std::vector<int64_t> shape = reader.get_array<int64_t>();
  const std::vector<float> weights = reader.get_array<float>();
  check_state_shape(shape, weights.size(), !weights.empty());
  if (weights.empty()) return;
  const TensorView view = make_view(weights.data(), Dtype::kF32, static_cast<int>(shape.size()), shape.data());
  set_weights(&view);
}

void Sweep::read_functions_state(StateReader& reader) {
  uses_quantize_ = reader.get_flag();
  uses_error_ = reader.get_flag();
  const bool has_amax = reader.get_flag();
  const std::vector<int64_t> shape = reader.get_array<int64_t>();
  const std::vector<float> amax = reader.get_array<float>();
  check_state_shape(shape, amax.size(), has_amax);
  if (!has_amax) return;
  const TensorView view = make_view(amax.data(), Dtype::kF32, static_cast<int>(shape.size()), shape.data());
  set_initial_amax(&view);
}

void Sweep::read_result_state(StateReader& reader) {
  has_data_ = reader.get_flag();
  shape_ = reader.get_array<int64_t>();
  codes_ = reader.get_array<uint8_t>();
  reader.finish();
  check_state_shape(shape_, codes_.size(), has_data_);
  for (const uint8_t code : codes_) {
    if (code < 1 || code > 126) fail(Status::kCorrupt, "the state holds scale code %d", code);
  }
  const size_t slices = global_amax_.size();
  if (has_data_ && (slices == 0 || codes_.size() % slices != 0)) {
    fail(Status::kCorrupt, "the state has %zu codes for %zu global amaxes", codes_.size(), slices);
  }
  if (has_data_ && has_initial_amax_ && shape_ != initial_amax_shape_) {
    fail(Status::kCorrupt, "the state has a result of shape %s and an initial amax of shape %s", shape_text(shape_).c_str(),
         shape_text(initial_amax_shape_).c_str());
  }
}

void Sweep::import_state(const uint8_t* bytes, size_t n) {
  Sweep fresh;
  reading_state([&] {
    StateReader reader(kType, kVersion, bytes, n);
    fresh.set_block_size(reader.get<int32_t>());
    fresh.set_normalization(reader.get<int32_t>());
    const int32_t lo = reader.get<int32_t>();
    fresh.set_window(lo, reader.get<int32_t>());
    const std::vector<float> global_amax = reader.get_array<float>();
    if (!global_amax.empty()) {
      const int64_t count = static_cast<int64_t>(global_amax.size());
      fresh.global_amax_ = read_global_amax(make_view(global_amax.data(), Dtype::kF32, 1, &count));
    }
    fresh.read_weights_state(reader);
    if (reader.version() >= 2) fresh.read_hessian_state(reader);
    if (reader.version() >= 3) fresh.read_functions_state(reader);
    fresh.read_result_state(reader);
  });
  fresh.execution_ = execution_;
  // functions are no bytes: the handle keeps its own
  fresh.quantize_ = quantize_;
  fresh.error_ = error_;
  *this = std::move(fresh);
}

void Sweep::reset() {
  has_data_ = false;
  shape_.clear();
  codes_.clear();
}

}  // namespace nvfp4cal::calib
