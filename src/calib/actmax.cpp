#include "calib/actmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "calib/log2_edges.h"
#include "calib/state_bytes.h"
#include "core/backends.h"
#include "num/bits.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "actm";
constexpr uint32_t kVersion = 1;
constexpr double kRhoEnd = 28672.0;     // 64 * 448: beyond it B_min leaves the range of normal FP8 scales
constexpr double kHeadroomRatio = 1e6;  // the newer form's B_min ignores blocks this far below B_max
constexpr double kLargestLog2 = 16384.0;
constexpr int kLargestBins = 65536;

void check_percentile(double p, const char* name) {
  if (!(p >= 0.0 && p <= 100.0)) fail(Status::kInvalidArgument, "%s %g, expected 0 to 100", name, p);
}

// sums += more; throws, possibly half way, where int64 cannot count them all.
void add_counts(const std::vector<int64_t>& more, std::vector<int64_t>& sums) {
  int64_t total = 0;
  for (size_t b = 0; b < sums.size(); ++b) {
    const bool fits =
        !__builtin_add_overflow(sums[b], more[b], &sums[b]) && sums[b] >= 0 && !__builtin_add_overflow(total, sums[b], &total);
    if (!fits) fail(Status::kInvalidArgument, "the histograms hold more than 2^63 blocks together");
  }
}

}  // namespace

void ActMax::require_no_data(const char* option) const {
  if (has_data_) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void ActMax::require_data() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
}

void ActMax::set_rho(double rho) {
  require_no_data("set_rho");
  if (!(rho > 0.0 && rho < kRhoEnd)) fail(Status::kInvalidArgument, "rho %g is not in (0, %g)", rho, kRhoEnd);
  options_.rho = rho;
}

void ActMax::set_percentiles(double b_min, double b_max) {
  require_no_data("set_percentiles");
  check_percentile(b_min, "b_min_percentile");
  check_percentile(b_max, "b_max_percentile");
  options_.b_min_percentile = b_min;
  options_.b_max_percentile = b_max;
}

void ActMax::set_margin(double margin) {
  require_no_data("set_margin");
  if (!(margin >= 0.0 && std::isfinite(margin))) fail(Status::kInvalidArgument, "margin %g, expected a finite value of 0 or more", margin);
  options_.margin = margin;
}

void ActMax::set_bins(int bins, double log2_min, double log2_max) {
  require_no_data("set_bins");
  if (bins < 1 || bins > kLargestBins) fail(Status::kInvalidArgument, "%d bins, expected 1 to %d", bins, kLargestBins);
  if (!(log2_min >= -kLargestLog2 && log2_max <= kLargestLog2 && log2_max - log2_min >= 0x1p-20)) {
    fail(Status::kInvalidArgument, "log2 range [%g, %g], expected -%g <= log2_min < log2_max <= %g, at least 2^-20 apart", log2_min,
         log2_max, kLargestLog2, kLargestLog2);
  }
  options_.bins = bins;
  options_.log2_min = log2_min;
  options_.log2_max = log2_max;
  edges_.clear();
}

void ActMax::set_block_size(int block) {
  require_no_data("set_block_size");
  if (block != 16 && block != 32) fail(Status::kInvalidArgument, "block size %d, expected 16 or 32", block);
  options_.block = block;
}

void ActMax::set_headroom(bool headroom) {
  require_no_data("set_headroom");
  options_.headroom = headroom;
}

void ActMax::collect(const TensorView& x, CUstream_st* stream) {
  if (x.elements() == 0) return;
  if (edges_.empty()) edges_ = log2_edges(options_.log2_min, options_.log2_max, options_.bins);
  if (x.on_device()) return collect_on_device(device_of(x, "x", execution_, stream), x);
  std::vector<int64_t> counts(static_cast<size_t>(options_.bins));
  float literal_max = literal_max_;
  const Log2HistogramArgs args{&x, options_.block, edges_.data(), options_.bins, counts.data(), &literal_max};
  call(ops_for(x).log2_histogram, execution_, args);
  if (has_data_) add_counts(counts_, counts);
  counts_.swap(counts);
  literal_max_ = literal_max;
  has_data_ = true;
}

void ActMax::collect_on_device(const Device& device, const TensorView& x) {
  if (!is_float_input(x.dtype)) fail(Status::kUnsupported, "x is %s, expected float32, bfloat16, float16 or float64", dtype_name(x.dtype));
  if (!device_.takes(device)) settle();
  const int64_t bins = options_.bins, count_bytes = bins * static_cast<int64_t>(sizeof(int64_t));
  const DeviceChecker check(device);
  const DeviceArray<uint32_t> edges(device, bins - 1), largest(device, 1);
  const DeviceArray<int64_t> counts(device, bins);
  edges.set(edges_.data());
  counts.clear();
  largest.clear();
  device.run(&DeviceOps::log2_histogram,
             DeviceHistogramArgs{&x, options_.block, edges.data(), bins, counts.data(), largest.data(), check.get()});
  device_.begin(device, count_bytes + static_cast<int64_t>(sizeof(uint32_t)));
  device_.close(device, x, check);
  uint8_t* const state = static_cast<uint8_t*>(device_.data());
  device.run(&DeviceOps::merge, DeviceMergeArgs{DeviceMerge::kAddInt64, state, counts.data(), bins, check.get()});
  device.run(&DeviceOps::merge, DeviceMergeArgs{DeviceMerge::kMaxBits, state + count_bytes, largest.data(), 1, check.get()});
  device_.end(device);
  if (!has_data_) counts_.assign(static_cast<size_t>(bins), 0);
  has_data_ = true;
}

void ActMax::settle() {
  device_.require_clean();
  if (!device_.active()) return;
  const size_t count_bytes = counts_.size() * sizeof(int64_t);
  std::vector<uint8_t> state(count_bytes + sizeof(uint32_t));
  device_.take(state.data(), static_cast<int64_t>(state.size()));
  std::vector<int64_t> counts(counts_.size());
  uint32_t largest = 0;
  std::memcpy(counts.data(), state.data(), count_bytes);
  std::memcpy(&largest, state.data() + count_bytes, sizeof largest);
  add_counts(counts_, counts);
  counts_.swap(counts);
  literal_max_ = std::max(literal_max_, num::from_bits(largest));
}

// The centre of the first bin from first_bin on whose cumulative count reaches p percent of the blocks there; 0 without any.
double ActMax::percentile(double p, size_t first_bin) const {
  double total = 0;
  for (size_t b = first_bin; b < counts_.size(); ++b) total += static_cast<double>(counts_[b]);
  if (total == 0) return 0.0;
  const double wanted = p / 100.0 * total;
  double sum = 0;
  size_t bin = first_bin;
  for (; bin + 1 < counts_.size(); ++bin) {
    sum += static_cast<double>(counts_[bin]);
    if (sum >= wanted) break;
  }
  const long double range = static_cast<long double>(options_.log2_max) - options_.log2_min;
  const long double centre = options_.log2_min + (static_cast<long double>(bin) + 0.5L) / options_.bins * range;
  return static_cast<double>(std::exp2(centre));  // rounded once, so that C libraries do not differ
}

size_t ActMax::bin_of(double value) const {
  const double at = (std::log2(value) - options_.log2_min) / (options_.log2_max - options_.log2_min) * options_.bins;
  return static_cast<size_t>(std::clamp(std::floor(at), 0.0, static_cast<double>(options_.bins - 1)));
}

ActMaxStats ActMax::stats() const {
  require_data();
  ActMaxStats stats;
  for (const int64_t count : counts_) stats.blocks += count;
  if (stats.blocks == 0) fail(Status::kNoData, "no data: every block that was collected is zero");
  stats.literal_max = literal_max_;
  stats.p1 = percentile(1.0, 0);
  stats.p99_99 = percentile(99.99, 0);
  stats.b_max = options_.b_max_percentile >= 100.0 ? static_cast<double>(literal_max_) : percentile(options_.b_max_percentile, 0);
  if (stats.b_max > 0) {
    const size_t first_bin = options_.headroom ? bin_of(stats.b_max / kHeadroomRatio) : 0;
    stats.b_min = percentile(options_.b_min_percentile, first_bin);
  }
  stats.result = literal_max_;
  if (!(stats.b_max > 0 && stats.b_min > 0)) return stats;
  const double margin = options_.headroom ? 1.0 : options_.margin;
  const double low = options_.rho * stats.b_min, high = margin > 0 ? margin * stats.b_max : 0.0;  // bins may lie where 2^x is infinite
  const double largest = static_cast<double>(std::numeric_limits<float>::max());
  const float result = static_cast<float>(std::min(std::max(low, high), largest));
  if (result == 0.0f) return stats;  // bins so low that float32 has no such value: collapsed as well
  stats.result = result;
  stats.term = low >= high ? ActMaxTerm::kBMin : ActMaxTerm::kBMax;
  return stats;
}

std::vector<int64_t>& ActMax::mutable_counts() {
  require_data();
  return counts_;
}

float& ActMax::mutable_literal_max() {
  require_data();
  return literal_max_;
}

void ActMax::merge(const ActMax& other) {
  if (!(options_ == other.options_)) fail(Status::kInvalidArgument, "the calibrators' options differ");
  if (!other.has_data_) return;
  std::vector<int64_t> counts = other.counts_;
  if (has_data_) add_counts(counts_, counts);
  literal_max_ = std::max(literal_max_, other.literal_max_);
  counts_.swap(counts);
  has_data_ = true;
}

std::vector<uint8_t> ActMax::export_state() const {
  StateWriter writer(kType, kVersion);
  for (const double value :
       {options_.rho, options_.b_min_percentile, options_.b_max_percentile, options_.margin, options_.log2_min, options_.log2_max}) {
    writer.put(value);
  }
  writer.put(options_.bins);
  writer.put(options_.block);
  writer.put(static_cast<uint8_t>(options_.headroom));
  writer.put(static_cast<uint8_t>(has_data_));
  writer.put(literal_max_);
  writer.put_array(counts_);
  return writer.finish();
}

void ActMax::import_state(const uint8_t* bytes, size_t n) {
  StateReader reader(kType, kVersion, bytes, n);
  ActMax fresh;
  reading_state([&] {
    fresh.set_rho(reader.get<double>());
    const double b_min = reader.get<double>();
    fresh.set_percentiles(b_min, reader.get<double>());
    fresh.set_margin(reader.get<double>());
    const double log2_min = reader.get<double>(), log2_max = reader.get<double>();
    fresh.set_bins(reader.get<int32_t>(), log2_min, log2_max);
    fresh.set_block_size(reader.get<int32_t>());
    fresh.set_headroom(reader.get_flag());
  });
  fresh.has_data_ = reader.get_flag();
  fresh.literal_max_ = reader.get<float>();
  fresh.counts_ = reader.get_array<int64_t>();
  reader.finish();
  if (fresh.counts_.size() != (fresh.has_data_ ? static_cast<size_t>(fresh.options_.bins) : 0)) {
    fail(Status::kCorrupt, "the state has %zu counts for %d bins", fresh.counts_.size(), fresh.options_.bins);
  }
  int64_t total = 0;
  for (const int64_t count : fresh.counts_) {
    if (count < 0 || __builtin_add_overflow(total, count, &total))
      fail(Status::kCorrupt, "the state holds a count of %lld", static_cast<long long>(count));
  }
  if (!(fresh.literal_max_ >= 0.0f) || !std::isfinite(fresh.literal_max_) || (fresh.literal_max_ > 0.0f) != (total > 0)) {
    fail(Status::kCorrupt, "the state holds a largest magnitude of %g for %lld blocks", static_cast<double>(fresh.literal_max_),
         static_cast<long long>(total));
  }
  fresh.execution_ = execution_;
  *this = std::move(fresh);
}

void ActMax::reset() {
  device_.drop();
  has_data_ = false;
  counts_.clear();
  literal_max_ = 0;
}

}  // namespace nvfp4cal::calib
