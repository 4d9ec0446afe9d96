#include "calib/max.h"

#include <algorithm>

#include "calib/state_bytes.h"
#include "core/backends.h"
#include "num/bits.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "max ";
constexpr uint32_t kVersion = 1;

}  // namespace

void Max::require_no_data(const char* option) const {
  if (has_data_) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void Max::set_axes(const int32_t* axes, int n) {
  require_no_data("set_axes");
  if (n < 0 || n > kMaxNdim) fail(Status::kInvalidArgument, "%d axes, expected 0 to %d", n, kMaxNdim);
  if (n > 0 && block_ != 0) fail(Status::kInvalidArgument, "axes and block size %d exclude each other", block_);
  for (int i = 0; i < n; ++i) {
    if (axes[i] < -kMaxNdim || axes[i] >= kMaxNdim)
      fail(Status::kInvalidArgument, "axis %d is not in [-%d, %d)", axes[i], kMaxNdim, kMaxNdim);
    if (std::find(axes, axes + i, axes[i]) != axes + i) fail(Status::kInvalidArgument, "axis %d is given twice", axes[i]);
  }
  axes_.assign(axes, axes + n);
}

void Max::set_block_size(int block) {
  require_no_data("set_block_size");
  if (block != 0 && block != 16 && block != 32) fail(Status::kInvalidArgument, "block size %d, expected 16, 32 or 0", block);
  if (block != 0 && !axes_.empty()) fail(Status::kInvalidArgument, "block size %d and axes exclude each other", block);
  block_ = block;
}

Max::Groups Max::groups_of(const TensorView& x) const {
  Groups groups;
  if (block_ != 0) {
    if (x.ndim == 0 || x.last() % block_ != 0) {
      fail(Status::kInvalidArgument, "cols %lld is not a multiple of %d", static_cast<long long>(x.last()), block_);
    }
    groups.shape.assign(x.shape, x.shape + x.ndim);
    groups.shape.back() /= block_;
    groups.count = x.elements() / block_;
    return groups;
  }
  if (axes_.empty()) return groups;
  groups.shape.assign(static_cast<size_t>(x.ndim), 1);
  for (const int32_t axis : axes_) {
    const int d = axis < 0 ? axis + x.ndim : axis;
    if (d < 0 || d >= x.ndim) fail(Status::kInvalidArgument, "axis %d for a tensor of %d dimensions", axis, x.ndim);
    // a repeated axis (1 and -1) keeps the same extent
    groups.shape[static_cast<size_t>(d)] = x.shape[d];
  }
  for (int d = x.ndim - 1; d >= 0; --d) {
    const int64_t extent = groups.shape[static_cast<size_t>(d)];
    groups.strides[d] = extent > 1 ? groups.count : 0;
    groups.count *= extent;
  }
  return groups;
}

void Max::collect(const TensorView& x, CUstream_st* stream) {
  const Groups groups = groups_of(x);
  if (has_data_ && groups.shape != shape_) {
    fail(Status::kInvalidArgument, "x gives maxima of shape %s, earlier ones have %s", shape_text(groups.shape).c_str(),
         shape_text(shape_).c_str());
  }
  if (x.on_device()) return collect_on_device(device_of(x, "x", execution_, stream), x, groups);
  if (x.elements() == 0) return;
  std::vector<float> amax = has_data_ ? amax_ : std::vector<float>(static_cast<size_t>(groups.count));
  AmaxArgs args{&x, {}, groups.count, block_, amax.data()};
  std::copy(groups.strides, groups.strides + kMaxNdim, args.group_strides);
  call(ops_for(x).amax, execution_, args);
  amax_.swap(amax);
  shape_ = groups.shape;
  has_data_ = true;
}

const std::vector<int64_t>& Max::shape() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
  return shape_;
}

const std::vector<float>& Max::amax() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
  return amax_;
}

std::vector<float>& Max::mutable_amax() {
  amax();
  return amax_;
}

void Max::merge(const Max& other) {
  if (axes_ != other.axes_ || block_ != other.block_) fail(Status::kInvalidArgument, "the calibrators' axes or block sizes differ");
  if (!other.has_data_) return;
  if (has_data_ && shape_ != other.shape_) {
    fail(Status::kInvalidArgument, "maxima of shape %s and %s cannot be merged", shape_text(shape_).c_str(),
         shape_text(other.shape_).c_str());
  }
  if (!has_data_) {
    std::vector<float> amax = other.amax_;
    shape_ = other.shape_;
    amax_.swap(amax);
    has_data_ = true;
    return;
  }
  for (size_t i = 0; i < amax_.size(); ++i) amax_[i] = std::max(amax_[i], other.amax_[i]);
}

std::vector<uint8_t> Max::export_state() const {
  StateWriter writer(kType, kVersion);
  writer.put_array(axes_);
  writer.put(static_cast<int32_t>(block_));
  writer.put(static_cast<uint8_t>(has_data_));
  writer.put_array(shape_);
  writer.put_array(amax_);
  return writer.finish();
}

// Throws kCorrupt unless maxima of this shape can be those of a tensor with these options.
void Max::check_shape() const {
  const int ndim = static_cast<int>(shape_.size());
  bool fits = block_ == 0 || ndim > 0;
  if (block_ == 0) {
    std::vector<bool> kept(shape_.size());
    for (const int32_t axis : axes_) {
      const int d = axis < 0 ? axis + ndim : axis;
      fits = fits && d >= 0 && d < ndim;
      if (fits) kept[static_cast<size_t>(d)] = true;
    }
    for (size_t d = 0; d < shape_.size(); ++d) fits = fits && (kept[d] || (shape_[d] == 1 && !axes_.empty()));
  }
  if (!fits)
    fail(Status::kCorrupt, "the state holds maxima of shape %s, which its axes or block size do not give", shape_text(shape_).c_str());
}

void Max::import_state(const uint8_t* bytes, size_t n) {
  Max fresh;
  reading_state([&] {
    StateReader reader(kType, kVersion, bytes, n);
    const std::vector<int32_t> axes = reader.get_array<int32_t>();
    fresh.set_axes(axes.data(), static_cast<int>(axes.size()));
    fresh.set_block_size(reader.get<int32_t>());
    fresh.has_data_ = reader.get_flag();
    fresh.shape_ = reader.get_array<int64_t>();
    fresh.amax_ = reader.get_array<float>();
    reader.finish();
    check_state_shape(fresh.shape_, fresh.amax_.size(), fresh.has_data_);
    if (fresh.has_data_) fresh.check_shape();
    for (const float value : fresh.amax_) {
      if (!(value >= 0.0f) || value - value != 0.0f) fail(Status::kCorrupt, "the state holds an amax of %g", static_cast<double>(value));
    }
  });
  fresh.execution_ = execution_;
  *this = std::move(fresh);
}

void Max::collect_on_device(const Device& device, const TensorView& x, const Groups& groups) {
  if (x.elements() == 0) return;
  if (!device_.takes(device)) settle();
  const DeviceChecker check(device);
  const DeviceArray<uint32_t> mine(device, groups.count);
  mine.clear();
  DeviceAmaxArgs args{&x, {}, groups.count, block_, mine.data(), check.get()};
  std::copy(groups.strides, groups.strides + kMaxNdim, args.group_strides);
  device.run(&DeviceOps::amax, args);
  device_.add(device, x, DeviceMerge::kMaxBits, mine.data(), groups.count, check);
  if (!has_data_) amax_.assign(static_cast<size_t>(groups.count), 0.0f);
  shape_ = groups.shape;
  has_data_ = true;
}

void Max::settle() {
  device_.require_clean();
  if (!device_.active()) return;
  std::vector<uint32_t> bits(amax_.size());
  device_.take(bits.data(), static_cast<int64_t>(bits.size() * sizeof(uint32_t)));
  for (size_t i = 0; i < bits.size(); ++i) amax_[i] = std::max(amax_[i], num::from_bits(bits[i]));
}

void Max::reset() {
  device_.drop();
  has_data_ = false;
  shape_.clear();
  amax_.clear();
}

}  // namespace nvfp4cal::calib
