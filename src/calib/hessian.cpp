#include "calib/hessian.h"

#include <algorithm>
#include <cmath>

#include "calib/request.h"
#include "calib/state_bytes.h"
#include "core/backends.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "hess";
constexpr uint32_t kVersion = 1;
constexpr double kMostRows = 0x1p53;  // float64 counts exactly up to here

// Throws kOutOfMemory where the sums could not be addressed.
size_t size_of(HessianLayout layout, int64_t cols, int block) {
  constexpr int64_t kMostColumns = int64_t{1} << 28;
  if (cols > kMostColumns) fail(Status::kOutOfMemory, "the sums of %lld columns do not fit into memory", ll(cols));
  return static_cast<size_t>(hessian_size(layout, cols, block));
}

float narrow(double value, int64_t index) {
  const float result = static_cast<float>(value);
  if (!std::isfinite(result)) fail(Status::kNotFinite, "hessian[%lld] is %g, beyond the range of float32", ll(index), value);
  return result;
}

}  // namespace

void Hessian::require_no_data(const char* option) const {
  if (cols_ > 0) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void Hessian::require_data() const {
  if (cols_ == 0) fail(Status::kNoData, "no data: nothing has been collected");
}

void Hessian::set_layout(int layout) {
  require_no_data("set_layout");
  if (layout < 0 || layout > static_cast<int>(HessianLayout::kDiagonal)) fail(Status::kInvalidArgument, "layout %d is not known", layout);
  layout_ = static_cast<HessianLayout>(layout);
}

void Hessian::set_block_size(int block) {
  require_no_data("set_block_size");
  check_block_size(block);
  block_ = block;
}

void Hessian::set_normalize(int enable) {
  require_no_data("set_normalize");
  if (enable != 0 && enable != 1) fail(Status::kInvalidArgument, "normalize %d, expected 0 or 1", enable);
  normalize_ = enable == 1;
}

void Hessian::set_damping(double fraction) {
  require_no_data("set_damping");
  if (!(fraction >= 0) || !std::isfinite(fraction)) fail(Status::kInvalidArgument, "damping %g, expected 0 or more", fraction);
  damping_ = fraction;
}

void Hessian::collect(const TensorView& x, CUstream_st* stream) {
  if (!is_float_input(x.dtype)) fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(x.dtype));
  if (x.ndim == 0) fail(Status::kInvalidArgument, "x has no dimensions, expected [..., cols]");
  const int64_t cols = x.last();
  if (layout_ == HessianLayout::kBlocks && cols % block_ != 0)
    fail(Status::kInvalidArgument, "cols %lld is not a multiple of %d", ll(cols), block_);
  if (cols_ > 0 && cols != cols_) fail(Status::kInvalidArgument, "x has %lld columns, earlier ones have %lld", ll(cols), ll(cols_));
  if (x.elements() == 0) return;
  const double rows = rows_[0] + static_cast<double>(x.elements() / cols);
  if (rows > kMostRows) fail(Status::kInvalidArgument, "more than %g rows cannot be counted", kMostRows);
  if (x.on_device()) {
    collect_on_device(device_of(x, "x", execution_, stream), x);
    cols_ = cols;
    rows_[0] = rows;
    return;
  }
  // A call has sums of its own, so that one that fails, in whatever way, leaves the handle as it was.
  std::vector<double> sums(size_of(layout_, cols, block_));
  const HessianArgs args{&x, layout_, block_, sums.data()};
  call(ops_for(x).hessian, execution_, args);
  if (cols_ == 0) {
    sums_.swap(sums);
  } else {
    for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += sums[i];
  }
  cols_ = cols;
  rows_[0] = rows;
}

void Hessian::collect_on_device(const Device& device, const TensorView& x) {
  if (!device_.takes(device)) settle();
  const int64_t size = static_cast<int64_t>(size_of(layout_, x.last(), block_));
  const DeviceChecker check(device);
  const DeviceArray<double> sums(device, size);
  DeviceHessianArgs args{&x, layout_, block_, sums.data(), nullptr, check.get()};
  const DeviceArray<double> workspace(device, device.ops().hessian_workspace(args));
  args.workspace = workspace.data();
  device.run(&DeviceOps::hessian, args);
  device_.add(device, x, DeviceMerge::kAddFloat64, sums.data(), size, check);
  if (cols_ == 0) sums_.assign(static_cast<size_t>(size), 0.0);
}

void Hessian::settle() {
  device_.require_clean();
  if (!device_.active()) return;
  std::vector<double> sums(sums_.size());
  device_.take(sums.data(), static_cast<int64_t>(sums.size() * sizeof(double)));
  for (size_t i = 0; i < sums.size(); ++i) sums_[i] += sums[i];
}

std::vector<int64_t> Hessian::shape() const {
  require_data();
  if (layout_ == HessianLayout::kBlocks) return {cols_ / block_, block_, block_};
  return layout_ == HessianLayout::kFull ? std::vector<int64_t>{cols_, cols_} : std::vector<int64_t>{cols_};
}

// Tile by tile, each also mirrored.
void Hessian::write_full(double divisor, double damp, float* out) const {
  for (int64_t up = 0; up < cols_; up += kHessianBand) {
    const double* const band = sums_.data() + hessian_band_offset(cols_, up);
    const int64_t width = cols_ - up, end = std::min(cols_, up + kHessianBand);
    for (int64_t across = up; across < cols_; across += kHessianBand) {
      const int64_t stop = std::min(cols_, across + kHessianBand);
      for (int64_t i = up; i < end; ++i) {
        for (int64_t j = std::max(i, across); j < stop; ++j) {
          const double sum = band[(i - up) * width + (j - up)] / divisor;
          out[i * cols_ + j] = out[j * cols_ + i] = narrow(i == j ? sum + damp : sum, i * cols_ + j);
        }
      }
    }
  }
}

void Hessian::compute(float* out) const {
  require_data();
  const double divisor = normalize_ ? rows_[0] : 1.0;
  double trace = 0.0;
  for (int64_t c = 0; c < cols_; ++c) trace += sums_[static_cast<size_t>(hessian_diagonal(layout_, cols_, block_, c))];
  const double damp = damping_ * (trace / static_cast<double>(cols_) / divisor);
  if (layout_ == HessianLayout::kFull) return write_full(divisor, damp, out);
  const int64_t n = static_cast<int64_t>(sums_.size());
  const bool blocks = layout_ == HessianLayout::kBlocks;
  for (int64_t i = 0; i < n; ++i) {
    const bool on_diagonal = !blocks || i / block_ % block_ == i % block_;
    const double value = sums_[static_cast<size_t>(i)] / divisor;
    out[i] = narrow(on_diagonal ? value + damp : value, i);
  }
}

std::vector<double>& Hessian::mutable_sums() {
  require_data();
  return sums_;
}

std::vector<double>& Hessian::mutable_rows() {
  require_data();
  return rows_;
}

std::vector<int64_t> Hessian::sums_shape() const {
  return layout_ == HessianLayout::kFull ? std::vector<int64_t>{static_cast<int64_t>(sums_.size())} : shape();
}

namespace {

void require_full(HessianLayout layout) {
  if (layout != HessianLayout::kFull)
    fail(Status::kInvalidArgument, "hessian has layout %d, expected %d (full)", static_cast<int>(layout),
         static_cast<int>(HessianLayout::kFull));
}

}  // namespace

const double* Hessian::full_sums() const {
  require_full(layout_);
  require_data();
  return sums_.data();
}

void Hessian::merge(const Hessian& other) {
  if (layout_ != other.layout_ || block_ != other.block_ || normalize_ != other.normalize_ || damping_ != other.damping_)
    fail(Status::kInvalidArgument, "the calibrators' layouts, block sizes, normalizations or dampings differ");
  if (other.cols_ == 0) return;
  if (cols_ != 0 && cols_ != other.cols_) {
    fail(Status::kInvalidArgument, "sums over %lld and %lld columns cannot be merged", ll(cols_), ll(other.cols_));
  }
  if (rows_[0] + other.rows_[0] > kMostRows) fail(Status::kInvalidArgument, "more than %g rows cannot be counted", kMostRows);
  if (cols_ == 0) {
    std::vector<double> sums = other.sums_;
    sums_.swap(sums);
  } else {
    for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  }
  rows_[0] += other.rows_[0];
  cols_ = other.cols_;
}

std::vector<uint8_t> Hessian::export_state() const {
  StateWriter writer(kType, kVersion);
  writer.put(static_cast<int32_t>(layout_));
  writer.put(static_cast<int32_t>(block_));
  writer.put(static_cast<int32_t>(normalize_));
  writer.put(damping_);
  writer.put(cols_);
  writer.put(rows());
  writer.put_array(sums_);
  return writer.finish();
}

void Hessian::import_state(const uint8_t* bytes, size_t n) {
  Hessian fresh;
  reading_state([&] {
    StateReader reader(kType, kVersion, bytes, n);
    fresh.set_layout(reader.get<int32_t>());
    fresh.set_block_size(reader.get<int32_t>());
    fresh.set_normalize(reader.get<int32_t>());
    fresh.set_damping(reader.get<double>());
    const int64_t cols = reader.get<int64_t>();
    const int64_t rows = reader.get<int64_t>();
    fresh.sums_ = reader.get_array<double>();
    reader.finish();
    const bool blocks_fit = fresh.layout_ != HessianLayout::kBlocks || cols % fresh.block_ == 0;
    const bool counts_fit = cols >= 0 && rows >= 0 && (cols == 0) == (rows == 0) && static_cast<double>(rows) <= kMostRows;
    if (!blocks_fit || !counts_fit || size_of(fresh.layout_, cols, fresh.block_) != fresh.sums_.size()) {
      fail(Status::kCorrupt, "the state has %zu sums for %lld columns and %lld rows", fresh.sums_.size(), ll(cols), ll(rows));
    }
    // Products of float32 values are below 2^256: with this, sums of states stay finite.
    for (const double sum : fresh.sums_) {
      if (!(std::fabs(sum) <= 0x1p256 * static_cast<double>(rows)))
        fail(Status::kCorrupt, "the state holds a sum of %g over %lld rows", sum, ll(rows));
    }
    fresh.cols_ = cols;
    fresh.rows_[0] = static_cast<double>(rows);
  });
  fresh.execution_ = execution_;
  *this = std::move(fresh);
}

int64_t Hessian::full_columns(const uint8_t* head, size_t n) {
  Hessian found;
  reading_state([&] {
    StateReader reader = StateReader::of_head(kType, kVersion, head, n);
    found.set_layout(reader.get<int32_t>());
    found.set_block_size(reader.get<int32_t>());
    found.set_normalize(reader.get<int32_t>());
    found.set_damping(reader.get<double>());
    found.cols_ = reader.get<int64_t>();
    if (found.cols_ < 0) fail(Status::kCorrupt, "the state has %lld columns", ll(found.cols_));
  });
  require_full(found.layout_);
  found.require_data();
  return found.cols_;
}

void Hessian::reset() {
  device_.drop();
  cols_ = 0;
  rows_[0] = 0;
  sums_.clear();
  sums_.shrink_to_fit();
}

}  // namespace nvfp4cal::calib
