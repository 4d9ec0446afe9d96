#include "calib/mse.h"

#include <algorithm>
#include <cmath>

#include "calib/read_floats.h"
#include "calib/mse_multipliers.h"
#include "calib/request.h"
#include "calib/state_bytes.h"
#include "core/backends.h"

namespace nvfp4cal::calib {

namespace {

// Extents that are not 1: what tells where a channel's amax lies.
std::vector<int64_t> long_extents(const std::vector<int64_t>& shape) {
  std::vector<int64_t> out;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(out), [](int64_t extent) { return extent != 1; });
  return out;
}

void require_scalar(double value) {
  if (!std::isfinite(value)) fail(Status::kNotFinite, "the error function gave %g", value);
}

}  // namespace

void Mse::require_no_data(const char* option) const {
  if (has_data_) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void Mse::require_data() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
}

void Mse::set_axes(const int32_t* axes, int n) {
  require_no_data("set_axes");
  if (n < 0 || n > kMaxNdim) fail(Status::kInvalidArgument, "%d axes, expected 0 to %d", n, kMaxNdim);
  for (int i = 0; i < n; ++i) {
    if (axes[i] < -kMaxNdim || axes[i] >= kMaxNdim)
      fail(Status::kInvalidArgument, "axis %d is not in [-%d, %d)", axes[i], kMaxNdim, kMaxNdim);
    if (std::find(axes, axes + i, axes[i]) != axes + i) fail(Status::kInvalidArgument, "axis %d is given twice", axes[i]);
  }
  options_.axes.assign(axes, axes + n);
}

void Mse::set_multipliers(double start, double stop, double step) {
  require_no_data("set_multipliers");
  const double largest = 1e6;
  if (!(start > 0 && start <= stop && stop <= largest && step > 0 && std::isfinite(step)))
    fail(Status::kInvalidArgument, "multipliers %g to %g by %g, expected 0 < start <= stop <= %g and a positive step", start, stop, step,
         largest);
  const double n = multiplier_count(start, stop, step);
  if (n > kLargestMultipliers) fail(Status::kInvalidArgument, "%g multipliers, expected %g at most", n, kLargestMultipliers);
  if (static_cast<float>(start) == 0.0f) fail(Status::kInvalidArgument, "multiplier %g is zero in float32", start);
  options_.start = start;
  options_.stop = stop;
  options_.step = step;
}

void Mse::set_int_quantizer(int bits, IntRange range) {
  require_no_data("set_int_quantizer");
  if (bits < 2 || bits > 8) fail(Status::kInvalidArgument, "%d bits, expected 2 to 8", bits);
  if (range < IntRange::kSymmetric || range > IntRange::kUnsigned)
    fail(Status::kInvalidArgument, "integer range %d, expected 0 to 2", static_cast<int>(range));
  options_.source = Source::kInt;
  options_.bits = bits;
  options_.range = range;
}

void Mse::set_float_quantizer(FloatFormat format) {
  require_no_data("set_float_quantizer");
  if (format < FloatFormat::kE4m3 || format > FloatFormat::kE2m1)
    fail(Status::kInvalidArgument, "float format %d, expected 0 to 2", static_cast<int>(format));
  options_.source = Source::kFloat;
  options_.format = format;
}

void Mse::set_nvfp4_quantizer(float global_amax) {
  require_no_data("set_nvfp4_quantizer");
  if (!(global_amax > 0.0f) || !std::isfinite(global_amax))
    fail(Status::kInvalidArgument, "global amax %g, expected a positive finite value", static_cast<double>(global_amax));
  options_.source = Source::kNvfp4;
  options_.global_amax = global_amax;
}

void Mse::set_quantize_function(QuantizeFunction function) {
  require_no_data("set_quantize_callback");
  options_.source = Source::kFunction;
  quantize_ = std::move(function);
}

void Mse::set_squared_error() {
  require_no_data("set_squared_error");
  options_.error = Error::kSquared;
}

void Mse::set_absolute_error() {
  require_no_data("set_absolute_error");
  options_.error = Error::kAbsolute;
}

void Mse::set_power_error(double power) {
  require_no_data("set_power_error");
  if (!(power > 0.0 && power <= 64.0)) fail(Status::kInvalidArgument, "power %g is not in (0, 64]", power);
  options_.error = Error::kPower;
  options_.power = power;
}

void Mse::set_error_function(ErrorFunction function, ErrorValues values) {
  require_no_data("set_error_callback");
  if (values != ErrorValues::kElements && values != ErrorValues::kScalar)
    fail(Status::kInvalidArgument, "error values %d, expected 0 or 1", static_cast<int>(values));
  options_.error = values == ErrorValues::kScalar ? Error::kScalar : Error::kElements;
  error_ = std::move(function);
}

void Mse::set_initial_amax(const TensorView& amax) {
  require_no_data("set_initial_amax");
  std::vector<float> values = read_floats(amax, "amax");
  if (values.empty()) fail(Status::kInvalidArgument, "amax of shape %s has no elements", amax.shape_text().c_str());
  check_amaxes(values, "amax");
  amax_shape_.assign(amax.shape, amax.shape + amax.ndim);
  amax_.swap(values);
}

std::vector<float> Mse::candidates() const { return multipliers_of(options_.start, options_.stop, options_.step); }

void Mse::keep_axes(const TensorView& x, Layout& layout) const {
  bool kept[kMaxNdim] = {};
  for (const int32_t axis : options_.axes) {
    const int d = axis < 0 ? axis + x.ndim : axis;
    if (d < 0 || d >= x.ndim) fail(Status::kInvalidArgument, "axis %d for a tensor of %d dimensions", axis, x.ndim);
    kept[d] = true;  // a repeated axis (1 and -1) is one
  }
  for (int d = x.ndim - 1; d >= 0; --d) {
    if (!kept[d]) continue;
    layout.channel_shape.insert(layout.channel_shape.begin(), x.shape[d]);
    layout.channel_strides[d] = x.shape[d] > 1 ? layout.channels : 0;
    layout.channels *= x.shape[d];
  }
}

// Without axes: the amax's dimensions are x's last ones, equal or 1.
void Mse::broadcast_amax(const TensorView& x, Layout& layout) const {
  if (amax_.size() == 1) return;
  const int n = static_cast<int>(amax_shape_.size()), shift = x.ndim - n;
  bool fits = shift >= 0;
  int64_t step = 1;
  for (int d = n - 1; fits && d >= 0; --d) {
    const int64_t extent = amax_shape_[static_cast<size_t>(d)];
    fits = extent == 1 || extent == x.shape[d + shift];
    layout.amax_strides[d + shift] = extent > 1 ? step : 0;
    step *= extent;
  }
  if (!fits) {
    fail(Status::kInvalidArgument, "amax of shape %s does not broadcast to x of shape %s", shape_text(amax_shape_).c_str(),
         x.shape_text().c_str());
  }
}

Mse::Layout Mse::layout_of(const TensorView& x) const {
  Layout layout;
  if (options_.axes.empty()) {
    broadcast_amax(x, layout);
    return layout;
  }
  keep_axes(x, layout);
  if (long_extents(layout.channel_shape) != long_extents(amax_shape_)) {
    fail(Status::kInvalidArgument, "amax of shape %s for x of shape %s with kept extents %s, expected one value a channel",
         shape_text(amax_shape_).c_str(), x.shape_text().c_str(), shape_text(layout.channel_shape).c_str());
  }
  std::copy(layout.channel_strides, layout.channel_strides + kMaxNdim, layout.amax_strides);
  return layout;
}

void Mse::require_ready() const {
  if (options_.source == Source::kNone || (options_.source == Source::kFunction && !quantize_))
    fail(Status::kWrongState, "no quantizer has been set");
  if (options_.error >= Error::kElements && !error_) fail(Status::kWrongState, "no error function has been set");
  if (amax_.empty()) fail(Status::kWrongState, "no initial amax has been set");
  for (size_t i = 0; i < amax_.size(); ++i) {
    if (!std::isfinite(amax_[i] * static_cast<float>(options_.stop))) {
      fail(Status::kInvalidArgument, "amax[%zu] is %g: times %g it is beyond the range of float32", i, static_cast<double>(amax_[i]),
           options_.stop);
    }
  }
}

// Where sums are infinite no multiplier is better than another.
void Mse::check_losses(const std::vector<double>& losses) const {
  const std::vector<float> multipliers = candidates();
  const size_t channels = losses.size() / multipliers.size();
  for (size_t i = 0; i < losses.size(); ++i) {
    if (std::isfinite(losses[i])) continue;
    fail(Status::kNotFinite, "the loss of multiplier %g in channel %zu is beyond float64", static_cast<double>(multipliers[i / channels]),
         i % channels);
  }
}

void Mse::collect(const TensorView& x, CUstream_st* stream) {
  require_ready();
  const Layout layout = layout_of(x);
  if (has_data_ && layout.channel_shape != channel_shape_) {
    fail(Status::kInvalidArgument, "x gives channels of shape %s, earlier ones have %s", shape_text(layout.channel_shape).c_str(),
         shape_text(channel_shape_).c_str());
  }
  if (x.elements() == 0) return;
  if (x.on_device()) return collect_on_device(device_of(x, "x", execution_, stream), x, layout);
  const size_t count = candidates().size() * static_cast<size_t>(layout.channels);
  std::vector<double> losses = has_data_ ? losses_ : std::vector<double>(count);
  if (options_.source != Source::kFunction && options_.error < Error::kElements) {
    add_built_in(x, layout, losses);
  } else {
    add_one_by_one(x, layout, losses);
  }
  check_losses(losses);
  losses_.swap(losses);
  channel_shape_ = layout.channel_shape;
  has_data_ = true;
}

AmaxQuantizer Mse::quantizer() const {
  switch (options_.source) {
    case Source::kInt: {
      const bool is_unsigned = options_.range == IntRange::kUnsigned;
      const float hi = static_cast<float>((1 << (options_.bits - (is_unsigned ? 0 : 1))) - 1);
      const float lo = is_unsigned ? 0.0f : options_.range == IntRange::kFull ? -hi - 1.0f : -hi;
      return {AmaxFormat::kInt, lo, hi, 0.0f};
    }
    case Source::kFloat: {
      const AmaxFormat formats[] = {AmaxFormat::kE4m3, AmaxFormat::kE5m2, AmaxFormat::kE2m1};
      return {formats[static_cast<int>(options_.format)], 0.0f, 0.0f, 0.0f};
    }
    default: return {AmaxFormat::kNvfp4, 0.0f, 0.0f, options_.global_amax};
  }
}

MultiplierLossesArgs Mse::built_in_args(const TensorView& x, const Layout& layout, const AmaxQuantizer& built_in) const {
  MultiplierLossesArgs args{};
  args.x = &x;
  args.name = "x";
  args.quantizer = &built_in;
  args.amax.count = static_cast<int64_t>(amax_.size());
  std::copy(layout.amax_strides, layout.amax_strides + kMaxNdim, args.amax.strides);
  args.multiplier_count = static_cast<int64_t>(candidates().size());
  std::copy(layout.channel_strides, layout.channel_strides + kMaxNdim, args.channel_strides);
  args.channels = layout.channels;
  args.error = static_cast<ErrorKind>(options_.error);
  args.power = options_.power;
  return args;
}

void Mse::add_built_in(const TensorView& x, const Layout& layout, std::vector<double>& losses) const {
  const std::vector<float> multipliers = candidates();
  const AmaxQuantizer built_in = quantizer();
  MultiplierLossesArgs args = built_in_args(x, layout, built_in);
  args.amax.amax = amax_.data();
  args.multipliers = multipliers.data();
  args.losses = losses.data();
  call(ops_for(x).multiplier_losses, execution_, args);
}

void Mse::collect_on_device(const Device& device, const TensorView& x, const Layout& layout) {
  if (options_.source == Source::kFunction || options_.error >= Error::kElements)
    fail(Status::kUnsupported, "x lies on CUDA device %d: searches with callbacks compute on host tensors", x.device_id);
  if (!device_.takes(device)) settle();
  const std::vector<float> factors = candidates();
  const AmaxQuantizer built_in = quantizer();
  const int64_t count = static_cast<int64_t>(factors.size()) * layout.channels;
  const DeviceChecker check(device);
  const DeviceArray<float> amax(device, static_cast<int64_t>(amax_.size())), multipliers(device, static_cast<int64_t>(factors.size()));
  const DeviceArray<double> losses(device, count);
  amax.set(amax_.data());
  multipliers.set(factors.data());
  DeviceLossesArgs args{built_in_args(x, layout, built_in), nullptr, check.get()};
  args.losses.amax.amax = amax.data();
  args.losses.multipliers = multipliers.data();
  args.losses.losses = losses.data();
  const DeviceArray<double> workspace(device, device.ops().losses_workspace(args));
  args.workspace = workspace.data();
  device.run(&DeviceOps::multiplier_losses, args);
  device_.add(device, x, DeviceMerge::kAddFloat64, losses.data(), count, check);
  if (!has_data_) losses_.assign(static_cast<size_t>(count), 0.0);
  channel_shape_ = layout.channel_shape;
  has_data_ = true;
}

void Mse::settle() {
  device_.require_clean();
  if (!device_.active()) return;
  std::vector<double> losses(losses_.size());
  device_.take(losses.data(), static_cast<int64_t>(losses.size() * sizeof(double)));
  for (size_t i = 0; i < losses.size(); ++i) losses[i] += losses_[i];
  check_losses(losses);
  losses_.swap(losses);
}

// With a function of the caller's: the quantized tensor is made for each multiplier.
void Mse::add_one_by_one(const TensorView& x, const Layout& layout, std::vector<double>& losses) const {
  float largest = 0.0f;
  call(ops_for(x).amax, execution_, AmaxArgs{&x, {}, 1, 0, &largest});  // the caller's functions see finite tensors only
  std::vector<float> quantized(static_cast<size_t>(x.elements())), amax(amax_.size());
  const TensorView out = make_view(quantized.data(), Dtype::kF32, x.ndim, x.shape);
  double* row = losses.data();
  for (const float multiplier : candidates()) {
    std::transform(amax_.begin(), amax_.end(), amax.begin(), [&](float a) { return a * multiplier; });
    quantize(x, layout, amax, out);
    add_errors(x, out, layout, row);
    row += layout.channels;
  }
}

void Mse::quantize(const TensorView& x, const Layout& layout, const std::vector<float>& amax, const TensorView& out) const {
  if (options_.source == Source::kFunction) {
    const TensorView view = make_view(amax.data(), Dtype::kF32, static_cast<int>(amax_shape_.size()), amax_shape_.data());
    return quantize_(x, view, out);
  }
  const AmaxQuantizer built_in = quantizer();
  AmaxQuantizeArgs args{&x, &built_in, {amax.data(), static_cast<int64_t>(amax.size()), {}}, static_cast<float*>(out.data)};
  std::copy(layout.amax_strides, layout.amax_strides + kMaxNdim, args.amax.strides);
  call(ops_for(x).amax_quantize, execution_, args);
}

void Mse::add_errors(const TensorView& x, const TensorView& quantized, const Layout& layout, double* losses) const {
  MultiplierLossesArgs args{};
  args.x = &x;
  args.name = "x";
  args.quantized = static_cast<const float*>(quantized.data);
  args.multiplier_count = 1;
  std::copy(layout.channel_strides, layout.channel_strides + kMaxNdim, args.channel_strides);
  args.channels = layout.channels;
  args.error = static_cast<ErrorKind>(options_.error);
  args.power = options_.power;
  args.losses = losses;
  if (options_.error == Error::kScalar) {
    double value = 0.0;
    error_(x, quantized, make_view(&value, Dtype::kF64, 0, nullptr));
    require_scalar(value);
    std::for_each(losses, losses + layout.channels, [&](double& loss) { loss += value; });
    return;
  }
  std::vector<float> errors;
  TensorView view;
  if (options_.error == Error::kElements) {
    errors.resize(static_cast<size_t>(x.elements()));
    view = make_view(errors.data(), Dtype::kF32, x.ndim, x.shape);
    error_(x, quantized, view);
    args.x = &view;
    args.name = "error";
    args.quantized = nullptr;
    args.error = ErrorKind::kPlain;
  }
  call(ops_for(x).multiplier_losses, execution_, args);
}

const std::vector<int64_t>& Mse::amax_shape() const {
  require_data();
  return amax_shape_;
}

std::vector<int64_t> Mse::losses_shape() const {
  require_data();
  const int64_t multipliers = static_cast<int64_t>(candidates().size());
  std::vector<int64_t> shape = {multipliers};
  if (channel_shape_.size() >= static_cast<size_t>(kMaxNdim)) return {multipliers, static_cast<int64_t>(losses_.size()) / multipliers};
  shape.insert(shape.end(), channel_shape_.begin(), channel_shape_.end());
  return shape;
}

std::vector<double>& Mse::losses() {
  require_data();
  return losses_;
}

// The first multiplier of the least loss, for each amax; times the amax.
std::vector<float> Mse::best(bool times_amax) const {
  require_data();
  const std::vector<float> multipliers = candidates();
  const size_t channels = losses_.size() / multipliers.size();
  std::vector<size_t> winner(channels);
  for (size_t m = 1; m < multipliers.size(); ++m) {
    for (size_t c = 0; c < channels; ++c) {
      if (losses_[m * channels + c] < losses_[winner[c] * channels + c]) winner[c] = m;
    }
  }
  std::vector<float> out(amax_.size());
  for (size_t a = 0; a < out.size(); ++a) {
    const float multiplier = multipliers[winner[channels == 1 ? 0 : a]];
    out[a] = times_amax ? amax_[a] * multiplier : multiplier;
  }
  return out;
}

void Mse::merge(const Mse& other) {
  if (!(options_ == other.options_)) fail(Status::kInvalidArgument, "the calibrators' options differ");
  if (!other.has_data_) return;
  if (!amax_.empty() && (amax_shape_ != other.amax_shape_ || amax_ != other.amax_)) {
    fail(Status::kInvalidArgument, "the calibrators' initial amaxes, of shapes %s and %s, differ", shape_text(amax_shape_).c_str(),
         shape_text(other.amax_shape_).c_str());
  }
  if (has_data_ && channel_shape_ != other.channel_shape_) {
    fail(Status::kInvalidArgument, "losses of channels of shape %s and %s cannot be merged", shape_text(channel_shape_).c_str(),
         shape_text(other.channel_shape_).c_str());
  }
  std::vector<double> losses = other.losses_;
  for (size_t i = 0; has_data_ && i < losses.size(); ++i) losses[i] += losses_[i];
  check_losses(losses);
  std::vector<float> amax = other.amax_;
  std::vector<int64_t> amax_shape = other.amax_shape_, channel_shape = other.channel_shape_;
  losses_.swap(losses);
  amax_.swap(amax);
  amax_shape_.swap(amax_shape);
  channel_shape_.swap(channel_shape);
  has_data_ = true;
}

void Mse::reset() {
  device_.drop();
  has_data_ = false;
  losses_.clear();
  channel_shape_.clear();
  amax_.clear();
  amax_shape_.clear();
}

}  // namespace nvfp4cal::calib
