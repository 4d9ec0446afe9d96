#include "calib/observer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "calib/state_bytes.h"
#include "num/scale.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "obsv";
constexpr uint32_t kVersion = 1;

bool is_range(float lo, float hi) { return lo <= hi && lo - lo == 0.0f && hi - hi == 0.0f; }

// past (1 - c) + now c, in the framework's order of float32 operations.
float average(float past, float now, double c) { return past * static_cast<float>(1.0 - c) + now * static_cast<float>(c); }

void put_ranges(StateWriter& writer, const Ranges& ranges) {
  writer.put_array(ranges.min);
  writer.put_array(ranges.max);
}

Ranges get_ranges(StateReader& reader) {
  Ranges ranges{reader.get_array<float>(), {}};
  ranges.max = reader.get_array<float>();
  if (ranges.min.size() != ranges.max.size())
    fail(Status::kCorrupt, "the state holds %zu minima and %zu maxima", ranges.min.size(), ranges.max.size());
  for (size_t g = 0; g < ranges.min.size(); ++g) {
    if (is_range(ranges.min[g], ranges.max[g])) continue;
    fail(Status::kCorrupt, "the state holds a range of %g to %g", static_cast<double>(ranges.min[g]), static_cast<double>(ranges.max[g]));
  }
  return ranges;
}

}  // namespace

void Observer::require_no_data(const char* option) const {
  if (has_data_) fail(Status::kWrongState, "%s after data was collected: reset first", option);
}

void Observer::require_data() const {
  if (!has_data_) fail(Status::kNoData, "no data: nothing has been collected");
}

void Observer::require_two_level() const {
  if (!options_.two_level()) fail(Status::kUnsupported, "a global scale is for strategy tensor_group");
}

void Observer::require_running(const char* what) const {
  if (options_.kind != ObserverKind::kStaticMinMax)
    fail(Status::kUnsupported, "%s: only static min-max observers have data that add up", what);
}

// What this kind of observer makes of the ranges so far and those of one call.
Ranges Observer::folded(const Ranges& past, const Ranges& now) const {
  const bool averages = options_.kind == ObserverKind::kMse || options_.kind == ObserverKind::kMinMax;
  if (!has_data_ || (averages && options_.averaging_constant == 1.0)) return now;
  Ranges out = now;
  for (size_t g = 0; g < now.min.size(); ++g) {
    if (averages) {
      out.min[g] = average(past.min[g], now.min[g], options_.averaging_constant);
      out.max[g] = average(past.max[g], now.max[g], options_.averaging_constant);
    } else if (options_.kind == ObserverKind::kStaticMinMax) {
      out.min[g] = std::min(past.min[g], now.min[g]);
      out.max[g] = std::max(past.max[g], now.max[g]);
    }
  }
  return out;
}

void Observer::collect(const TensorView& x, CUstream_st* stream) {
  check_combination(options_);
  const ObserverLayout layout = layout_of(x, options_);
  const bool memoryless = options_.kind == ObserverKind::kMemorylessMse || options_.kind == ObserverKind::kMemorylessMinMax;
  if (has_data_ && !memoryless && layout.shape != shape_) {
    fail(Status::kInvalidArgument, "x gives ranges of shape %s, earlier ones have %s", shape_text(layout.shape).c_str(),
         shape_text(shape_).c_str());
  }
  if (x.elements() == 0) return;
  std::optional<Device> device;
  if (x.on_device()) device = device_of(x, "x", execution_, stream);
  if (device) device->refuse_capture("collect");
  const ObserverPlace place{execution_, device ? &*device : nullptr};
  Ranges ranges = ranges_of(place, x, layout), global;
  num::RangeRule rule{options_.format, options_.symmetric};
  if (options_.keeps_global_range()) {
    global = spanning(ranges);
    rule.fp8 = true;
    if (options_.searches()) global = search_ranges(place, x, tensor_layout(x), global, options_, rule, true);
    global = folded(global_, global);
    rule.global_scale = num::reciprocal_global_scale(amax_of(global));
  } else if (options_.global_scale > 0.0f) {
    rule.fp8 = true;
    rule.global_scale = options_.global_scale;
  }
  if (options_.searches()) ranges = search_ranges(place, x, layout, ranges, options_, rule, false);
  ranges = folded(ranges_, ranges);
  ranges_ = std::move(ranges);
  global_ = std::move(global);
  shape_ = layout.shape;
  fused_amax_ = 0.0f;
  has_data_ = true;
}

const std::vector<int64_t>& Observer::shape() const {
  require_data();
  return shape_;
}

const Ranges& Observer::ranges() const {
  require_data();
  return ranges_;
}

Ranges Observer::global_range() const {
  require_data();
  require_two_level();
  return options_.keeps_global_range() ? global_ : spanning(ranges_);
}

float Observer::global_scale() const {
  const Ranges range = global_range();
  if (options_.global_scale > 0.0f && !options_.optimize_global_scale) return options_.global_scale;
  return num::reciprocal_global_scale(std::max(amax_of(range), fused_amax_));
}

ObserverScales Observer::scales() const {
  require_data();
  num::RangeRule rule{options_.format, options_.symmetric};
  if (options_.two_level()) {
    rule.fp8 = true;
    rule.global_scale = global_scale();
  }
  return scales_of(ranges_, rule);
}

void Observer::fuse(const std::vector<Observer*>& observers) {
  float amax = 0.0f;
  for (const Observer* observer : observers) {
    if (observer->options_.global_scale > 0.0f && !observer->options_.optimize_global_scale)
      fail(Status::kWrongState, "an observer with a given global scale cannot be fused");
    amax = std::max(amax, amax_of(observer->global_range()));
  }
  for (Observer* observer : observers) observer->fused_amax_ = amax;
}

void Observer::merge(const Observer& other) {
  require_running("merge");
  if (!(options_ == other.options_)) fail(Status::kInvalidArgument, "the observers' options differ");
  if (!other.has_data_) return;
  if (has_data_ && shape_ != other.shape_) {
    fail(Status::kInvalidArgument, "ranges of shape %s and %s cannot be merged", shape_text(shape_).c_str(),
         shape_text(other.shape_).c_str());
  }
  Ranges ranges = folded(ranges_, other.ranges_);
  std::vector<int64_t> shape = other.shape_;
  ranges_ = std::move(ranges);
  shape_ = std::move(shape);
  fused_amax_ = 0.0f;
  has_data_ = true;
}

// Whoever changes them makes a fused global scale stale.
Ranges& Observer::running_ranges() {
  require_running("state_tensor");
  require_data();
  fused_amax_ = 0.0f;
  return ranges_;
}

std::vector<uint8_t> Observer::export_state() const {
  StateWriter writer(kType, kVersion);
  const ObserverOptions& o = options_;
  for (const int32_t value :
       {static_cast<int32_t>(o.kind), static_cast<int32_t>(o.observed), static_cast<int32_t>(o.strategy), static_cast<int32_t>(o.format),
        int32_t{o.symmetric}, int32_t{o.optimize_global_scale}, o.group_size, o.block_height, o.block_width, o.patience}) {
    writer.put(value);
  }
  for (const double value : {o.maxshrink, o.grid, o.norm, o.expand, o.averaging_constant}) writer.put(value);
  writer.put(o.global_scale);
  writer.put_array(o.g_idx);
  writer.put(static_cast<uint8_t>(has_data_));
  writer.put_array(shape_);
  put_ranges(writer, ranges_);
  put_ranges(writer, global_);
  writer.put(fused_amax_);
  return writer.finish();
}

void Observer::read_data(StateReader& reader) {
  has_data_ = reader.get_flag();
  shape_ = reader.get_array<int64_t>();
  ranges_ = get_ranges(reader);
  global_ = get_ranges(reader);
  fused_amax_ = reader.get<float>();
  reader.finish();
  check_state_shape(shape_, ranges_.min.size(), has_data_);
  const size_t wanted = has_data_ && options_.keeps_global_range() ? 1 : 0;
  if (global_.min.size() != wanted || !is_range(0.0f, fused_amax_))
    fail(Status::kCorrupt, "the state's global range does not fit its options");
}

void Observer::import_state(const uint8_t* bytes, size_t n) {
  StateReader reader(kType, kVersion, bytes, n);
  Observer fresh;
  ObserverOptions& o = fresh.options_;
  o.kind = static_cast<ObserverKind>(reader.get<int32_t>());
  o.observed = static_cast<Observed>(reader.get<int32_t>());
  o.strategy = static_cast<Strategy>(reader.get<int32_t>());
  o.format = static_cast<FakeFormat>(reader.get<int32_t>());
  o.symmetric = reader.get<int32_t>() != 0;
  o.optimize_global_scale = reader.get<int32_t>() != 0;
  for (int32_t* value : {&o.group_size, &o.block_height, &o.block_width, &o.patience}) *value = reader.get<int32_t>();
  for (double* value : {&o.maxshrink, &o.grid, &o.norm, &o.expand, &o.averaging_constant}) *value = reader.get<double>();
  o.global_scale = reader.get<float>();
  o.g_idx = reader.get_array<int32_t>();
  reading_state([&] {
    check_values(o);
    fresh.read_data(reader);
    if (fresh.has_data_) check_combination(o);
  });
  fresh.execution_ = execution_;
  *this = std::move(fresh);
}

void Observer::reset() {
  has_data_ = false;
  shape_.clear();
  ranges_ = {};
  global_ = {};
  fused_amax_ = 0.0f;
}

}  // namespace nvfp4cal::calib
