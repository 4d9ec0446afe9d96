// Losses of a tensor quantized with multiples of its amax, in float64.
#pragma once

#include "core/device_ops.h"
#include "kernels/atomics.cuh"
#include "kernels/launch.cuh"
#include "kernels/load.cuh"
#include "num/amax_quantizers.h"
#include "num/power.h"

namespace nvfp4cal::cuda {

// The dimensions of x that belong to a channel's number, or those that are summed over: position i of them as an index of the tensor.
struct Axes {
  int count;
  int64_t extents[kMaxNdim], flat_steps[kMaxNdim], amax_steps[kMaxNdim];

  NVFP4CAL_HD void walk(int64_t i, int64_t& flat, int64_t& amax) const {
    for (int d = count - 1; d >= 0; --d) {
      const int64_t position = i % extents[d];
      i /= extents[d];
      flat += position * flat_steps[d];
      amax += position * amax_steps[d];
    }
  }
};

struct SquaredError {
  NVFP4CAL_HD double operator()(double difference) const { return difference * difference; }
};
struct AbsoluteError {
  NVFP4CAL_HD double operator()(double difference) const { return difference < 0.0 ? -difference : difference; }
};
struct PowerError {
  double power;
  NVFP4CAL_HD double operator()(double difference) const { return num::power(AbsoluteError()(difference), power); }
};

// A thread has a part of a channel's elements and some multipliers. `width` threads share a run of the part, each taking every so many elements.
template <class Quantizer, class Error>
struct Losses {
  static constexpr int kThreads = 128;
  static constexpr int kMultipliers = 8;     // of a thread
  static constexpr int64_t kElements = 512;  // of a thread at most
  TensorView x;
  Quantizer quantizer;
  Axes kept, reduced;
  int64_t channels, per_channel, width;
  const float *amax, *multipliers;
  int64_t multiplier_count;
  Error error;
  double* parts;  // [parts, multiplier_count, channels]
  DeviceCheck* check;

  NVFP4CAL_HD int64_t part_count() const { return ceil_div(per_channel, width * kElements) * width; }
  NVFP4CAL_HD int64_t threads() const { return part_count() * channels; }
  NVFP4CAL_HD int64_t tiles() const { return ceil_div(multiplier_count, kMultipliers); }

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t t = index.block / tiles() * kThreads + index.thread, first = index.block % tiles() * kMultipliers;
    if (t >= threads()) return;
    const int64_t lane = t % width, channel = t / width % channels, run = t / width / channels;
    const int count = static_cast<int>(multiplier_count - first < kMultipliers ? multiplier_count - first : kMultipliers);
    double sums[kMultipliers] = {};
    add(channel, run * width * kElements + lane, first, count, sums);
    double* const out = parts + ((run * width + lane) * multiplier_count + first) * channels + channel;
    for (int m = 0; m < kMultipliers; ++m) {
      if (m < count) out[m * channels] = sums[m];
    }
  }

 private:
  NVFP4CAL_HD void add(int64_t channel, int64_t begin, int64_t first, int count, double (&sums)[kMultipliers]) const {
    int64_t channel_flat = 0, channel_amax = 0, last_amax = -1;
    kept.walk(channel, channel_flat, channel_amax);
    num::AmaxScale scales[kMultipliers] = {};
    for (int64_t k = 0, i = begin; k < kElements && i < per_channel; ++k, i += width) {
      int64_t flat = channel_flat, at = channel_amax;
      reduced.walk(i, flat, at);
      if (at != last_amax) {
        for (int m = 0; m < kMultipliers; ++m) {
          if (m < count) scales[m] = quantizer.scale(amax[at] * multipliers[first + m]);
        }
        last_amax = at;
      }
      const float value = value_at(x, flat);
      if (!num::is_finite(value)) keep_min(&check->first_bad, static_cast<uint64_t>(flat));
      for (int m = 0; m < kMultipliers; ++m) {
        sums[m] += error(static_cast<double>(value) - static_cast<double>(quantizer.value(value, scales[m])));
      }
    }
  }
};

// Adds up to kGroup parts, in order.
struct JoinLosses {
  static constexpr int kThreads = 256;
  static constexpr int64_t kGroup = 256;
  const double* parts;
  int64_t count, size;
  double* out;  // [ceil(count / kGroup), size]

  NVFP4CAL_HD void operator()(const Index& index) const {
    const int64_t t = index.block * kThreads + index.thread, group = t / size, i = t % size;
    const int64_t first = group * kGroup, last = first + kGroup < count ? first + kGroup : count;
    if (first >= count) return;
    double sum = parts[first * size + i];
    for (int64_t p = first + 1; p < last; ++p) sum += parts[p * size + i];
    out[t] = sum;
  }
};

}  // namespace nvfp4cal::cuda
