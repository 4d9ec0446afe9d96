// The multiplier search: of multiples of a given amax the one with the least error, per tensor or per axis. The state is the initial amax and one
// float64 loss a multiplier and channel.
#pragma once

#include <cstdint>
#include <vector>

#include "calib/device_state.h"
#include "calib/functions.h"
#include "core/ops.h"

namespace nvfp4cal::calib {

// The values are NVFP4CAL_INT_* and NVFP4CAL_FLOAT_*.
enum class IntRange : int32_t { kSymmetric = 0, kFull = 1, kUnsigned = 2 };
enum class FloatFormat : int32_t { kE4m3 = 0, kE5m2 = 1, kE2m1 = 2 };

class Mse {
 public:
  void set_execution(const Execution& execution) { execution_ = execution; }
  void set_axes(const int32_t* axes, int n);
  void set_multipliers(double start, double stop, double step);
  void set_int_quantizer(int bits, IntRange range);
  void set_float_quantizer(FloatFormat format);
  void set_nvfp4_quantizer(float global_amax);
  void set_quantize_function(QuantizeFunction function);
  void set_squared_error();
  void set_absolute_error();
  void set_power_error(double power);
  void set_error_function(ErrorFunction function, ErrorValues values);
  void set_initial_amax(const TensorView& amax);

  // Tensors on a device: as Max::collect.
  void collect(const TensorView& x, CUstream_st* stream);
  // As Max::settle.
  void settle();

  std::vector<float> candidates() const;

  // The rest throws kNoData before the first collect.
  const std::vector<int64_t>& amax_shape() const;
  std::vector<float> amax() const { return best(true); }
  std::vector<float> multipliers() const { return best(false); }
  // [multipliers, kept extents], or [multipliers, channels] where that has too many dimensions.
  std::vector<int64_t> losses_shape() const;
  std::vector<double>& losses();

  void merge(const Mse& other);
  std::vector<uint8_t> export_state() const;
  void import_state(const uint8_t* bytes, size_t n);
  void reset();

 private:
  enum class Source : int32_t { kNone = 0, kInt = 1, kFloat = 2, kNvfp4 = 3, kFunction = 4 };
  enum class Error : int32_t { kSquared = 0, kAbsolute = 1, kPower = 2, kElements = 3, kScalar = 4 };
  struct Options {
    std::vector<int32_t> axes;
    double start = 0.25, stop = 4.0, step = 0.1;
    Source source = Source::kNone;
    int32_t bits = 8;
    IntRange range = IntRange::kSymmetric;
    FloatFormat format = FloatFormat::kE4m3;
    float global_amax = 0.0f;
    Error error = Error::kSquared;
    double power = 2.0;
    bool operator==(const Options&) const = default;
  };
  // How elements of x belong to channels and amaxes.
  struct Layout {
    std::vector<int64_t> channel_shape;  // kept extents
    int64_t channels = 1;
    int64_t channel_strides[kMaxNdim] = {};
    int64_t amax_strides[kMaxNdim] = {};
  };
  void require_no_data(const char* option) const;
  void require_data() const;
  void require_ready() const;
  Layout layout_of(const TensorView& x) const;
  void keep_axes(const TensorView& x, Layout& layout) const;
  void broadcast_amax(const TensorView& x, Layout& layout) const;
  AmaxQuantizer quantizer() const;
  std::vector<float> best(bool times_amax) const;
  // Of the built-in quantizers; the views and `built_in` outlive it. Amaxes, multipliers and losses are not set.
  MultiplierLossesArgs built_in_args(const TensorView& x, const Layout& layout, const AmaxQuantizer& built_in) const;
  void add_built_in(const TensorView& x, const Layout& layout, std::vector<double>& losses) const;
  void collect_on_device(const Device& device, const TensorView& x, const Layout& layout);
  void add_one_by_one(const TensorView& x, const Layout& layout, std::vector<double>& losses) const;
  void quantize(const TensorView& x, const Layout& layout, const std::vector<float>& amax, const TensorView& out) const;
  void add_errors(const TensorView& x, const TensorView& quantized, const Layout& layout, double* losses) const;
  // Throws kNotFinite for a sum beyond float64.
  void check_losses(const std::vector<double>& losses) const;
  void read_options(class StateReader& reader);

  Execution execution_ = Execution::process_default();
  Options options_;
  QuantizeFunction quantize_;
  ErrorFunction error_;
  std::vector<int64_t> amax_shape_;
  std::vector<float> amax_;  // empty: none has been set
  bool has_data_ = false;
  std::vector<int64_t> channel_shape_;
  std::vector<double> losses_;
  DeviceState device_;  // losses, of the same shape
};

}  // namespace nvfp4cal::calib
