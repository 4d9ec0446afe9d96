// Exported states of the multiplier search.
#include <algorithm>
#include <cmath>

#include "calib/mse.h"
#include "calib/mse_multipliers.h"
#include "calib/state_bytes.h"

namespace nvfp4cal::calib {

namespace {

constexpr char kType[] = "mse ";
constexpr uint32_t kVersion = 1;

}  // namespace

std::vector<uint8_t> Mse::export_state() const {
  StateWriter writer(kType, kVersion);
  writer.put_array(options_.axes);
  for (const double value : {options_.start, options_.stop, options_.step, options_.power}) writer.put(value);
  writer.put(static_cast<int32_t>(options_.source));
  writer.put(options_.bits);
  writer.put(static_cast<int32_t>(options_.range));
  writer.put(static_cast<int32_t>(options_.format));
  writer.put(options_.global_amax);
  writer.put(static_cast<int32_t>(options_.error));
  writer.put_array(amax_shape_);
  writer.put_array(amax_);
  writer.put(static_cast<uint8_t>(has_data_));
  writer.put_array(channel_shape_);
  writer.put_array(losses_);
  return writer.finish();
}

// The setters check what they are given.
void Mse::read_options(StateReader& reader) {
  const std::vector<int32_t> axes = reader.get_array<int32_t>();
  set_axes(axes.data(), static_cast<int>(std::min<size_t>(axes.size(), kMaxNdim + 1)));
  const double start = reader.get<double>(), stop = reader.get<double>(), step = reader.get<double>();
  set_multipliers(start, stop, step);
  set_power_error(reader.get<double>());
  const int32_t source = reader.get<int32_t>(), bits = reader.get<int32_t>();
  set_int_quantizer(bits, static_cast<IntRange>(reader.get<int32_t>()));
  set_float_quantizer(static_cast<FloatFormat>(reader.get<int32_t>()));
  options_.global_amax = reader.get<float>();
  const int32_t error = reader.get<int32_t>();
  if (source < 0 || source > static_cast<int32_t>(Source::kFunction)) fail(Status::kCorrupt, "the state has quantizer %d", source);
  if (error < 0 || error > static_cast<int32_t>(Error::kScalar)) fail(Status::kCorrupt, "the state has error %d", error);
  if (static_cast<Source>(source) == Source::kNvfp4) set_nvfp4_quantizer(options_.global_amax);
  options_.source = static_cast<Source>(source);
  options_.error = static_cast<Error>(error);
}

void Mse::import_state(const uint8_t* bytes, size_t n) {
  StateReader reader(kType, kVersion, bytes, n);
  Mse fresh;
  reading_state([&] { fresh.read_options(reader); });
  const std::vector<int64_t> amax_shape = reader.get_array<int64_t>();
  const std::vector<float> amax = reader.get_array<float>();
  check_state_shape(amax_shape, amax.size(), !amax.empty());
  if (!amax.empty()) {
    const TensorView view = make_view(amax.data(), Dtype::kF32, static_cast<int>(amax_shape.size()), amax_shape.data());
    reading_state([&] { fresh.set_initial_amax(view); });
  }
  fresh.has_data_ = reader.get_flag();
  fresh.channel_shape_ = reader.get_array<int64_t>();
  fresh.losses_ = reader.get_array<double>();
  reader.finish();
  const size_t multipliers = fresh.candidates().size(), channels = fresh.losses_.size() / multipliers;
  if (fresh.losses_.size() % multipliers != 0)
    fail(Status::kCorrupt, "the state has %zu losses for %zu multipliers", fresh.losses_.size(), multipliers);
  check_state_shape(fresh.channel_shape_, channels, fresh.has_data_);
  if (fresh.has_data_ && (channels == 0 || amax.empty() || (channels != 1 && channels != amax.size()) ||
                          fresh.options_.axes.empty() != fresh.channel_shape_.empty())) {
    fail(Status::kCorrupt, "the state has %zu channels for %zu amaxes", channels, amax.size());
  }
  for (const double loss : fresh.losses_) {
    if (std::isnan(loss)) fail(Status::kCorrupt, "the state holds a loss that is NaN");
  }
  fresh.execution_ = execution_;
  // functions are no bytes: the handle keeps its own
  fresh.quantize_ = quantize_;
  fresh.error_ = error_;
  *this = std::move(fresh);
}

}  // namespace nvfp4cal::calib
