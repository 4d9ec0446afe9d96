#include "calib/device_call.h"

namespace nvfp4cal::calib {

namespace {

// x, or a contiguous copy that the search can read.
TensorView searchable(const Device& device, const TensorView& x, DeviceArray<float>& copy) {
  if (x.contiguous && x.dtype != Dtype::kF64) return x;
  copy = DeviceArray<float>(device, x.elements());
  TensorView view = x;
  view.data = copy.data();
  view.dtype = Dtype::kF32;
  view.contiguous = true;
  set_contiguous_strides(view);
  if (x.elements() > 0) device.run(&DeviceOps::convert, DeviceConvertArgs{&x, copy.data()});
  return view;
}

void enqueue_swizzle(const Device& device, const TensorView& linear, uint8_t* tiles, bool to_tiles, const DeviceChecker& check) {
  if (linear.elements() == 0) return;
  const TensorView stack = as_stack(linear);
  device.run(&DeviceOps::swizzle, DeviceSwizzleArgs{{&stack, tiles, to_tiles}, check.get()});
}

}  // namespace

const float* DeviceFloats::on(const Device& to, DeviceArray<float>& copy) const {
  if (device) return static_cast<const float*>(device->data);
  if (host.empty()) return nullptr;
  copy = DeviceArray<float>(to, count());
  copy.set(host.data());
  return copy.data();
}

void check_device_floats(const TensorView& view, const TensorView& x, const char* name) {
  if (!same_place(view, x)) fail(Status::kUnsupported, "%s lies %s, expected %s", name, place_text(view).c_str(), place_text(x).c_str());
  if (view.dtype != Dtype::kF32) fail(Status::kUnsupported, "%s is %s, expected float32", name, dtype_name(view.dtype));
  if (!view.contiguous) fail(Status::kUnsupported, "%s has strides: on a device it is contiguous", name);
}

DeviceRequest::DeviceRequest(const Device& device, const TensorView& x, const DeviceFloats& global_amax, const SweepOptions& options)
    : device_(device),
      x_(x),
      options_(options),
      amax_is_given_(global_amax.given()),
      slices_(amax_is_given_ ? global_amax.count() : 1),
      check_(device),
      amax_(device, slices_),
      scale_(device, slices_),
      maxima_(device, slices_),
      given_(global_amax.on(device, given_copy_)) {
  check_slices();
}

void DeviceRequest::check_slices() const {
  if (slices_ == 1) return;
  if (x_.ndim == 0 || x_.shape[0] != slices_) {
    fail(Status::kInvalidArgument, "global_amax has %lld elements, expected 1 or the first extent of x, whose shape is %s", ll(slices_),
         x_.shape_text().c_str());
  }
  if (x_.elements() / slices_ % options_.block != 0) {
    fail(Status::kInvalidArgument, "a slice of x has %lld elements, not a multiple of the block size %d", ll(x_.elements() / slices_),
         options_.block);
  }
}

void DeviceRequest::prepare(bool needs_scale, float* global_scale) {
  maxima_.clear();
  DeviceAmaxArgs amax{&x_, {}, slices_, 0, maxima_.data(), check_.get()};
  if (slices_ > 1) amax.group_strides[0] = 1;
  device_.run(&DeviceOps::amax, amax);
  device_.run(&DeviceOps::slices, DeviceSlicesArgs{&x_, given_, maxima_.data(), slices_, static_cast<float>(options_.normalization),
                                                   needs_scale, amax_.data(), scale_.data(), global_scale, check_.get()});
}

void DeviceRequest::prepare_search(const TensorView* weights) {
  has_weights_ = weights != nullptr;
  if (weights) check_weights_shape(x_, *weights, options_.block);
  searched_ = searchable(device_, x_, x_copy_);
  if (weights) weights_ = searchable(device_, *weights, weights_copy_);
}

void DeviceRequest::make_hessian_workspace(int hessian_block, int64_t count) {
  if (has_weights_) fail(Status::kInvalidArgument, "weights and a Hessian exclude each other");
  check_hessian(x_, options_.block, blocks() / slices_, hessian_block, count);
  columns_ = count;
  workspace_ = DeviceArray<uint8_t>(device_, device_.ops().hessian_sweep_workspace(columns_));
}

void DeviceRequest::set_hessian(const BlockHessian& hessian) {
  make_hessian_workspace(hessian.block, hessian.count());
  hessian_copy_ = DeviceArray<float>(device_, static_cast<int64_t>(hessian.values.size()));
  hessian_copy_.set(hessian.values.data());
  hessian_ = hessian_copy_.data();
}

void DeviceRequest::set_hessian(const TensorView& hessian) {
  if (!same_place(hessian, x_))
    fail(Status::kUnsupported, "hessian lies %s, expected %s", place_text(hessian).c_str(), place_text(x_).c_str());
  check_hessian_view(hessian);
  make_hessian_workspace(static_cast<int>(hessian.last()), hessian.shape[0]);
  device_.run(&DeviceOps::check_hessians, DeviceHessianCheckArgs{&hessian, HessianUse::kSearch, nullptr, check_.get()});
  hessian_ = static_cast<const float*>(searchable(device_, hessian, hessian_copy_).data);
}

DeviceArray<uint8_t> DeviceRequest::search() {
  DeviceArray<uint8_t> codes(device_, blocks());
  findings_ = DeviceArray<uint64_t>(device_, 2);
  DeviceSweepArgs args{};
  args.x = &searched_;
  args.block = options_.block;
  args.normalization = static_cast<float>(options_.normalization);
  args.slices = slices_;
  args.amax = amax_.data();
  args.weights = has_weights_ ? &weights_ : nullptr;
  args.hessian = hessian_;
  args.columns = columns_;
  args.workspace = workspace_.data();
  args.has_window = options_.has_window;
  args.window_lo = options_.window_lo;
  args.window_hi = options_.window_hi;
  args.codes = codes.data();
  args.findings = findings_.data();
  args.check = check_.get();
  device_.run(&DeviceOps::sweep, args);
  return codes;
}

void DeviceRequest::sweep(float* out) {
  prepare(false, nullptr);
  const DeviceArray<uint8_t> codes = search();
  const DeviceCodeAmaxArgs args{codes.data(), blocks(), slices_,     static_cast<float>(options_.normalization),
                                amax_.data(), out,      check_.get()};
  device_.run(&DeviceOps::code_amax, args);
  check_.finish("x");
}

void DeviceRequest::sweep_codes(uint8_t* codes) {
  prepare(false, nullptr);
  const DeviceArray<uint8_t> found = search();
  check_.wait("x");
  if (blocks() > 0) device_.to_host(codes, found.data(), blocks());
}

void DeviceRequest::quantize(Method method, const DeviceFloats& block_amax, ScaleLayout layout, const QuantizeOutputs& outputs) {
  if (block_amax.given() && block_amax.count() != blocks())
    fail(Status::kInvalidArgument, "block_amax has %lld elements, expected %lld", ll(block_amax.count()), ll(blocks()));
  DeviceArray<float> block_copy;
  const float* const given_blocks = block_amax.on(device_, block_copy);
  const bool swizzled = layout == ScaleLayout::kSwizzled;
  const DeviceArray<uint8_t> linear(device_, swizzled ? blocks() : 0);
  if (given_blocks) device_.run(&DeviceOps::check_amaxes, DeviceAmaxCheckArgs{given_blocks, blocks(), false, check_.get()});
  prepare(true, outputs.global_scale);
  DeviceArray<uint8_t> codes;
  if (!given_blocks && method == Method::kMse) codes = search();
  DeviceQuantizeArgs args{};
  args.x = &x_;
  args.block = options_.block;
  args.normalization = static_cast<float>(options_.normalization);
  args.slices = slices_;
  args.amax = amax_.data();
  args.scale = scale_.data();
  args.block_amax = given_blocks;
  args.codes = codes.data();
  args.packed = outputs.packed;
  args.scales = swizzled ? linear.data() : outputs.scales;
  args.decoded = outputs.decoded;
  args.check = check_.get();
  device_.run(&DeviceOps::quantize, args);
  if (swizzled) {
    TensorView matrix = make_view(linear.data(), Dtype::kU8, x_.ndim, x_.shape);
    matrix.shape[x_.ndim - 1] /= options_.block;
    set_contiguous_strides(matrix);
    enqueue_swizzle(device_, matrix, outputs.scales, true, check_);
  }
  check_.finish("x");
}

void dequantize_on_device(const Device& device, const Encoded& encoded, const DeviceFloats& global_scale, DecodeOrder order,
                          const TensorView& out) {
  const int64_t slices = global_scale.count();
  if (slices != 1 && (encoded.packed.ndim < 2 || encoded.packed.shape[0] != slices)) {
    fail(Status::kInvalidArgument, "global_scale has %lld elements, expected 1 or the first extent of packed, whose shape is %s",
         ll(slices), encoded.packed.shape_text().c_str());
  }
  DeviceArray<float> copy;
  const float* const scales = global_scale.on(device, copy);
  const DeviceChecker check(device);
  device.run(&DeviceOps::dequantize,
             DeviceDequantizeArgs{&encoded.packed, &encoded.scales, encoded.block, scales, slices, order, &out, check.get()});
  check.finish("packed");
}

void swizzle_on_device(const Device& device, const TensorView& linear, uint8_t* tiles, bool to_tiles) {
  const DeviceChecker check(device);
  enqueue_swizzle(device, linear, tiles, to_tiles, check);
}

}  // namespace nvfp4cal::calib
