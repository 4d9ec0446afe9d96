// Kinds of blocks that the search has to get right, made from a seed: the same on every run.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/dtype.h"
#include "num/half.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

// splitmix64
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
  bool chance(double p) { return uniform(0, 1) < p; }
  double uniform(double lo, double hi) { return lo + (hi - lo) * static_cast<double>(next() >> 11) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(1 - uniform(0, 1))) * std::cos(6.283185307179586 * uniform(0, 1)); }
  double student3() {
    const double a = normal(), b = normal(), c = normal();
    return normal() / std::sqrt((a * a + b * b + c * c) / 3);
  }
  double laplace() { return -std::log(1 - uniform(0, 1)); }

 private:
  uint64_t state_;
};

enum class Kind {
  kNormal,
  kStudent,
  kLaplace,
  kUniform,
  kScaleCodes1To3,
  kScaleCodes3To10,
  kSubnormalMix,
  kOwnRange,
  kEqual,
  kOneHot,
  kZeros,
  kRepresentable,
  kBoundaries,
  kNearTop,
  kFewValued,
  kNearTies,
  kUpperRule,    // m close to 3.5 v
  kLowerRule,    // m close to (7 + (B - 1) / 16) v, the others where doubling v costs most
  kThreeValued,  // like the published counterexamples: a maximum, a second, a crowd
  kSaturating,   // m from G to far above
  kTiny,         // m around the smallest scale
  kDenormal,
  kCount
};

inline const char* kind_name(Kind kind) {
  static const char* const kNames[] = {"normal",        "student t3", "laplace",    "uniform",   "scale codes 1-3", "scale codes 3-10",
                                       "subnormal mix", "own range",  "equal",      "one hot",   "zeros",           "representable",
                                       "boundaries",    "near top",   "few valued", "near ties", "upper rule",      "lower rule",
                                       "three valued",  "saturating", "tiny",       "denormal"};
  return kNames[static_cast<int>(kind)];
}

// Makes blocks in the units where G is in [1, 2), then in the caller's.
class BlockMaker {
 public:
  BlockMaker(const Setting& setting, uint64_t seed)
      : setting_(setting), oracle_(normalized(setting)), random_(seed), amax_(setting.normalized_amax()) {
    for (int code = 1; code <= kCodes; ++code) scales_[code] = setting.scale(code);
  }

  std::vector<float> make(Kind kind, int64_t blocks) {
    std::vector<float> x(static_cast<size_t>(blocks * setting_.block));
    for (int64_t b = 0; b < blocks; ++b) {
      float* const block = x.data() + b * setting_.block;
      fill(kind, block);
      for (int i = 0; i < setting_.block; ++i) {
        if (random_.chance(0.5)) block[i] = -block[i];
        // in double: an amax below 2^-126 has no float32 factor
        if (kind != Kind::kDenormal) block[i] = clamp_finite(std::ldexp(static_cast<double>(block[i]), -setting_.exponent()));
      }
    }
    return x;
  }

 private:
  static Setting normalized(Setting setting) {
    setting.global_amax = setting.normalized_amax();
    return setting;
  }
  static float clamp_finite(double x) { return static_cast<float>(std::clamp(x, -3.4028234663852886e38, 3.4028234663852886e38)); }

  int any_code() { return 1 + static_cast<int>(random_.below(kCodes)); }
  double any_size(double lowest_exponent) { return amax_ * std::exp2(random_.uniform(lowest_exponent, 0)); }
  // A float a few steps from x.
  float near(double x, int steps) {
    float y = static_cast<float>(x);
    for (int64_t k = random_.below(2 * steps + 1) - steps; k != 0; k += k < 0 ? 1 : -1) y = std::nextafterf(y, k < 0 ? 0.0f : 1e30f);
    return y;
  }
  template <class F>
  void each(float* x, F&& value) {
    for (int i = 0; i < setting_.block; ++i) x[i] = static_cast<float>(value());
  }
  void put_anywhere(float* x, float value) { x[random_.below(setting_.block)] = value; }

  void fill(Kind kind, float* x) {
    const double g = amax_;
    switch (kind) {
      case Kind::kNormal: return each(x, [&] { return std::min(g, std::fabs(random_.normal()) * g / 5.5); });
      case Kind::kStudent: return each(x, [&] { return std::min(g, std::fabs(random_.student3()) * g / 40); });
      case Kind::kLaplace: return each(x, [&] { return std::min(g, random_.laplace() * g / 14); });
      case Kind::kUniform: return each(x, [&] { return random_.uniform(0, g); });
      case Kind::kScaleCodes1To3: return fill_normal(x, scales_[1 + random_.below(3)] * random_.uniform(1, 3));
      case Kind::kScaleCodes3To10: return fill_normal(x, scales_[3 + random_.below(8)] * random_.uniform(1, 3));
      case Kind::kSubnormalMix: return fill_normal(x, any_size(-14) / 4);
      case Kind::kOwnRange: return fill_normal(x, any_size(-23) / 4);
      case Kind::kEqual: return fill_equal(x);
      case Kind::kOneHot: return put_anywhere(x, static_cast<float>(any_size(-23)));
      case Kind::kZeros: return fill_zeros(x);
      case Kind::kRepresentable: return fill_levels(x, scales_[any_code()], false);
      case Kind::kBoundaries: return fill_levels(x, scales_[any_code()], true);
      case Kind::kNearTop: return fill_near_top(x);
      case Kind::kFewValued: return fill_few(x);
      case Kind::kNearTies: return fill_near_tie(x);
      case Kind::kUpperRule: return fill_upper_rule(x);
      case Kind::kLowerRule: return fill_lower_rule(x);
      case Kind::kThreeValued: return fill_three(x);
      case Kind::kSaturating: return fill_saturating(x);
      case Kind::kTiny: return fill_tiny(x);
      default: return fill_denormal(x);
    }
  }

  void fill_normal(float* x, double sigma) {
    each(x, [&] { return std::fabs(random_.normal()) * sigma; });
  }

  void fill_equal(float* x) {
    const float value = random_.chance(0.3) ? near(scales_[any_code()] * random_.uniform(0.2, 7), 2) : static_cast<float>(any_size(-22));
    each(x, [&] { return value; });
  }

  void fill_zeros(float* x) {
    if (random_.chance(0.4)) return each(x, [] { return 0.0; });
    const double size = any_size(-20), share = random_.uniform(0, 1);
    each(x, [&] { return random_.chance(share) ? 0.0 : random_.normal() * size / 4; });
  }

  // Levels of a scale, or the boundaries between them, sometimes a step beside.
  void fill_levels(float* x, double scale, bool boundaries) {
    static const double kBoundaries[8] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 7};
    const int highest = 1 + static_cast<int>(random_.below(8));
    const int steps = random_.chance(0.5) ? 0 : 1;
    each(x, [&] {
      const bool between = boundaries && random_.chance(0.8);
      return near((between ? kBoundaries : kLevels)[random_.below(highest)] * scale, steps);
    });
  }

  void fill_near_top(float* x) {
    const double m = amax_ * random_.uniform(0.3, 1), low = random_.uniform(0, 1);
    each(x, [&] { return m * random_.uniform(low, 1); });
    put_anywhere(x, static_cast<float>(m));
  }

  void fill_few(float* x) {
    double values[3];
    const double size = any_size(-20);
    for (double& value : values) value = size * random_.uniform(0, 1);
    const int64_t n = 1 + random_.below(3);
    each(x, [&] { return values[random_.below(n)]; });
  }

  void fill_three(float* x) {
    // near the top the codes above are missing: there the optimum lies farthest below the maximum
    const bool top = random_.chance(0.3);
    const double m = top ? amax_ * random_.uniform(0.92, 1) : any_size(-20);
    const double second = m * (top ? random_.uniform(0.75, 0.9) : random_.uniform(0.5, 1));
    const double crowd = m * (top ? random_.uniform(0.7, 0.8) : random_.uniform(0.3, 1));
    each(x, [&] { return crowd; });
    put_anywhere(x, static_cast<float>(second));
    put_anywhere(x, static_cast<float>(m));
  }

  void fill_saturating(float* x) {
    const double size = amax_ * (random_.chance(0.2) ? std::exp2(random_.uniform(0, 100)) : std::exp2(random_.uniform(0, 6)));
    each(x, [&] { return size * random_.uniform(0, 1); });
    if (random_.chance(0.5)) put_anywhere(x, near(amax_ * 8.0 * 448 / setting_.normalization, 3));
  }

  void fill_tiny(float* x) {
    const double size = scales_[1] * (random_.chance(0.5) ? 0.25 : random_.uniform(0.1, 3));
    each(x, [&] { return size * random_.uniform(0, 1); });
    put_anywhere(x, near(size, 2));
  }

  void fill_denormal(float* x) {
    each(x, [&] {
      const uint32_t bits = static_cast<uint32_t>(random_.below(1 << 24)) >> random_.below(24);  // up to 2^-125
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    });
  }

  // The maximum where the rule for v starts to hold. Where the others lie on levels that v and v / 2 share, the two codes differ by the
  // maximum alone: by last bits.
  void fill_upper_rule(float* x) {
    const int code = 8 + static_cast<int>(random_.below(kCodes - 7));
    const double v = scales_[code];
    const float m = near(3.5 * v, random_.chance(0.5) ? 2 : 8);
    const double shape = random_.uniform(0, 1);
    if (shape < 0.3) {
      each(x, [&] { return m * random_.uniform(0, 1); });
    } else if (shape < 0.6) {
      fill_levels(x, v / (random_.chance(0.5) ? 1 : 2), true);
    } else {
      each(x, [&] { return near(kLevels[random_.below(6)] * v, 0); });
    }
    for (int i = 0; i < setting_.block; ++i) x[i] = std::min(x[i], m);
    put_anywhere(x, m);
  }

  // At the smallest codes nothing lies between v and 2 v: there the rule's bound is reached, by elements at v / 2.
  void fill_lower_rule(float* x) {
    const int code = 1 + static_cast<int>(random_.below(random_.chance(0.4) ? 8 : 118));
    const double v = scales_[code], t = 7.0 + (setting_.block - 1) / 16.0;
    const double slack = random_.chance(0.3) ? 0 : random_.uniform(-0.6, 0.05);
    const double halves = random_.chance(0.4) ? 1 : random_.uniform(0, 1);
    each(x, [&] { return near(v * (random_.chance(halves) ? 0.5 : 1.5), 1); });
    if (random_.chance(0.2)) each(x, [&] { return v * random_.uniform(0, 1.75); });
    x[0] = near((t + slack) * v, 4);
  }

  // Between a block whose best code is a and one whose best code is b lies one where both are equally good.
  void fill_near_tie(float* x) {
    const double size = any_size(random_.chance(0.5) ? -8 : -20);
    std::vector<float> ends(2 * static_cast<size_t>(setting_.block)), middle(static_cast<size_t>(setting_.block));
    const int64_t block = setting_.block;
    for (float& value : ends) value = static_cast<float>(std::fabs(random_.normal()) * size / 3);
    const Oracle::Best best = oracle_.search(ends.data(), nullptr, 2);
    double lo = 0, hi = 1;
    for (int step = 0; step < 48; ++step) {
      const double at = (lo + hi) / 2;
      for (int64_t i = 0; i < block; ++i)
        middle[static_cast<size_t>(i)] =
            static_cast<float>(ends[static_cast<size_t>(i)] * (1 - at) + ends[static_cast<size_t>(i + block)] * at);
      (oracle_.error(middle.data(), nullptr, best.codes[0]) < oracle_.error(middle.data(), nullptr, best.codes[1]) ? lo : hi) = at;
    }
    std::copy(middle.begin(), middle.end(), x);
  }

  Setting setting_;
  Oracle oracle_;
  Random random_;
  double amax_;
  double scales_[kCodes + 1];
};

// Elements of a dtype, and what they are as float32.
struct TypedBlocks {
  Dtype dtype;
  std::vector<char> bytes;  // starts `offset` bytes in, so that kernels meet any alignment
  size_t offset;
  std::vector<float> values;

  const void* data() const { return bytes.data() + offset; }
};

inline TypedBlocks as_dtype(const std::vector<float>& x, Dtype dtype, size_t offset = 0) {
  TypedBlocks typed{dtype, std::vector<char>(x.size() * dtype_size(dtype) + offset), offset, x};
  for (size_t i = 0; i < x.size(); ++i) {
    char* const to = typed.bytes.data() + offset + i * dtype_size(dtype);
    if (dtype == Dtype::kF32) {
      std::memcpy(to, &x[i], 4);
      continue;
    }
    uint16_t half = dtype == Dtype::kBf16 ? num::f32_to_bf16(x[i]) : num::f32_to_f16(x[i]);
    if ((half & 0x7FFF) == (dtype == Dtype::kBf16 ? 0x7F80 : 0x7C00)) --half;  // the largest finite value instead of infinity
    std::memcpy(to, &half, 2);
    typed.values[i] = dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half);
  }
  return typed;
}

}  // namespace nvfp4cal::test
