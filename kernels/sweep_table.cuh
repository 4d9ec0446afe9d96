// The table filter for bfloat16 and blocks of 16: squared errors of all bfloat16 values at eight codes, read from shared memory instead of computed.
// Proof: docs/cuda_sweep.md, "Table filter".
#pragma once

#include "sweep_filter.cuh"
#include "sweep_lanes.cuh"

namespace nvfp4cal::cuda {

// Two 16-bit numbers in a word.
NVFP4CAL_HD inline uint32_t both_halves(uint32_t half) { return half << 16 | half; }

// max(a + b, 0) of signed halves.
NVFP4CAL_HD inline uint32_t add_or_zero(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __viaddmax_s16x2_relu(a, b, 0);
#else
  const auto sum = [](uint32_t x, uint32_t y) {
    const int s = static_cast<int16_t>(x) + static_cast<int16_t>(y);
    return static_cast<uint32_t>(s < 0 ? 0 : s);
  };
  return sum(a, b) | sum(a >> 16, b >> 16) << 16;
#endif
}

// c + 128 times one half of a.
template <bool kHigh>
NVFP4CAL_HD inline uint32_t add_rows(uint32_t a, uint32_t c) {
#if defined(__CUDA_ARCH__)
  return __dp2a_lo(a, kHigh ? 0x8000u : 0x80u, c);
#else
  return c + 128 * (kHigh ? a >> 16 : a & 0xFFFF);
#endif
}

NVFP4CAL_HD inline uint32_t max_halves(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __vmaxu2(a, b);
#else
  const uint32_t low = (a & 0xFFFF) > (b & 0xFFFF) ? a & 0xFFFF : b & 0xFFFF, high = a >> 16 > b >> 16 ? a >> 16 : b >> 16;
  return low | high << 16;
#endif
}

NVFP4CAL_HD inline int count_bits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __popc(bits);
#else
  return __builtin_popcount(bits);
#endif
}

// Row r is the bfloat16 value whose pattern is r above the first row's, relative to the power of two of a block's top code; entry j its squared error at
// the code with mantissa 8 + j of that octave, in steps of kStep^-1 of the squared scale. At the octave below, a value has the entries of the row
// kOctaveRows further.
struct ErrorTable {
  static constexpr int kRows = 896, kOctaveRows = 128, kCodes = 8;
  // Lanes that read in the same cycle read different copies, which lie in different banks.
  static constexpr int kCopies = 8;
  static constexpr float kStep = 4095.0f;  // sixteen entries have no more than sixteen bits
  Quad rows[kRows * kCopies];

  NVFP4CAL_HD static uint32_t entry(float x, const ScalePair& s) {
    const float y = x * s.reciprocal;
    const float e = y - num::e2m1_round(y);
    const float square = e * e;
    return static_cast<uint32_t>((square < 1.0f ? square : 1.0f) * kStep + 0.5f);
  }
};

// How the table of a slice is indexed.
struct TableScale {
  int first_pattern;  // of row 0 for a top code in [1, 2), in the units of x as given
  float t_factor;     // t = m t_factor is a little more than 2 m / 7
  bool usable;
};

// What the table says of a block.
struct TableVerdict {
  int code;
  bool certain;
};

// A top code of value (8 + mantissa) / 8 * 2^exponent, existing or beyond E4M3's end, and t.
struct TableTop {
  int code, mantissa, exponent;
  float t;
};

class TableJudge {
 public:
  // sums: of the table's entries at the top code's octave (words 0 .. 3) and the one below (4 .. 7), two codes a word.
  NVFP4CAL_HD TableJudge(const TableTop& top, const uint32_t* sums) : top_(top) {
    const int beyond = top.code - num::kE4m3Count;  // so many of the first codes do not exist
    NVFP4CAL_UNROLL
    for (int j = 0; j < 8; ++j) {
      const bool upper = j <= top.mantissa;
      const int factor = 8 * weight(j, upper);
      const int key = half_of(upper ? sums[j / 2] : sums[4 + j / 2], j % 2) * factor + (j - kDoubt * factor);
      const int below_top = top.mantissa - j + (upper ? 0 : 8);
      keep_two(below_top < beyond ? 0x7FFFFFFF : key);
    }
    const uint32_t first = top.mantissa & 4 ? sums[6] : sums[4], second = top.mantissa & 4 ? sums[7] : sums[5];
    half_octave_ = half_of(top.mantissa & 2 ? second : first, top.mantissa & 1);
  }

  NVFP4CAL_HD TableVerdict verdict() const {
    const int winner = least_ & 7;
    const bool upper = winner <= top_.mantissa;
    const int most = (least_ >> 3) + 2 * kDoubt * weight(winner, upper);
    const int code = top_.code - top_.mantissa + winner - (upper ? 0 : 8);
    return {code, (second_ >> 3) > most && lower_codes_exceed(static_cast<float>(most))};
  }

 private:
  // Sixteen roundings of half a step each, and less than one step for all that is not exact elsewhere.
  static constexpr int kDoubt = 9;

  NVFP4CAL_HD static int half_of(uint32_t word, int high) { return static_cast<int>(high ? word >> 16 : word & 0xFFFF); }
  // 256 times the squared value relative to the top code's power of two.
  NVFP4CAL_HD static int weight(int j, bool upper) { return (8 + j) * (8 + j) * (upper ? 4 : 1); }

  NVFP4CAL_HD void keep_two(int key) {
    const int larger = key > least_ ? key : least_;
    second_ = larger < second_ ? larger : second_;
    least_ = key < least_ ? key : least_;
  }

  // Whether half the top code, and all codes below that may win, err more than `most`. The first by its sum, in which the maximum counts as one
  // squared scale, and what the maximum is above that; the others by the maximum alone.
  NVFP4CAL_HD bool lower_codes_exceed(float most) const {
    constexpr float kUnit = 256.0f * ErrorTable::kStep;
    const float v = from_mantissa(num::bits_of(top_.t) & 0x00700000u);
    const float t = from_mantissa(num::bits_of(top_.t) & 0x007FFFFFu) * (1.0f - 0x1p-16f);
    const float half = 0.5f * v, clipped = 3.5f * t - 6.0f * half;
    const float sum = static_cast<float>(half_octave_ - kDoubt);
    if (!(sum * (256.0f * half * half) + kUnit * (clipped * clipped - half * half) > most)) return false;
    const float next = v > 1.0f ? half - 0.0625f : 0.46875f;
    const bool ruled_out = top_.code - 9 < kFirstAlways && next * num::CandidateRule(16, num::kNormalization).lower < t;
    const float clipped_next = 3.5f * t - 6.0f * next;
    return ruled_out || kUnit * (clipped_next * clipped_next) > most;
  }
  static constexpr int kFirstAlways = 119;  // the first code above 224, where no lower rule holds

  NVFP4CAL_HD static float from_mantissa(uint32_t bits) { return num::from_bits(bits | 0x3F800000u); }

  const TableTop& top_;
  int least_ = 0x7FFFFFFF, second_ = 0x7FFFFFFF;
  int half_octave_ = 0;
};

// Blocks that the table cannot settle wait in a queue for the float filter, so that it has full warps.
template <int kThreads>
struct TableSearch {
  struct Shared {
    ErrorTable table;
    SliceTables slice;
    TableScale scale;
    uint32_t queue[kThreads / kWarp][2 * kWarp];
  };
  struct Lane {
    bool open;
  };
  using Rest = BlockSearch<Dtype::kBf16, 16, false, FilterSearch<16>>;

  static NVFP4CAL_HD Segments segments(const SweepProblem& p) { return {p.slices, p.blocks_per_slice}; }

  template <class Cta>
  static NVFP4CAL_HD void build(Cta& cta, const SweepProblem& p, int64_t slice, Shared& shared) {
    cta.each([&](int thread) { build_tables(p, slice, thread, kThreads, shared.slice); });
    cta.each([&](int thread) { build_errors(thread, shared); });
  }

  template <class Warp>
  static NVFP4CAL_HD void run(Warp& warp, const SweepProblem& p, Shared& shared, const Units& units) {
    const int64_t slice_first = units.segment * p.blocks_per_slice;
    uint32_t* const queue = shared.queue[warp.index()];
    int waiting = 0;
    for (uint32_t unit = units.first; unit < units.end || waiting > 0; unit += units.step) {
      if (unit < units.end) {
        warp.each([&](int lane, Lane& own) {
          const int64_t block = int64_t{unit} * kWarp + lane;
          own.open = block < p.blocks_per_slice && !settle(p, shared, slice_first + block, lane);
        });
        const uint32_t open = warp.ballot([](const Lane& own) { return own.open; });
        warp.each([&](int lane, Lane& own) {
          if (own.open) queue[waiting + count_bits(open & ((1u << lane) - 1))] = unit * kWarp + static_cast<uint32_t>(lane);
        });
        waiting += count_bits(open);
        if (waiting < kWarp) continue;
      }
      // the last ones, a full warp if there are as many
      const int first = waiting > kWarp ? waiting - kWarp : 0;
      warp.each([&](int lane, Lane&) {
        if (first + lane < waiting) Rest::run(p, shared.slice, slice_first + queue[first + lane]);
      });
      waiting = first;
    }
  }

  // Writes the code of a block, if the table tells.
  static NVFP4CAL_HD bool settle(const SweepProblem& p, const Shared& shared, int64_t block, int lane) {
    uint32_t x[8];
    const Quad* const from = static_cast<const Quad*>(p.x) + 2 * block;
    const Quad low = load_quad(from), high = load_quad(from + 1);
    NVFP4CAL_UNROLL
    for (int i = 0; i < 4; ++i) {
      x[i] = low.word[i] & 0x7FFF7FFFu;
      x[i + 4] = high.word[i] & 0x7FFF7FFFu;
    }
    uint32_t largest = x[0];
    NVFP4CAL_UNROLL
    for (int i = 1; i < 8; ++i) largest = max_halves(largest, x[i]);
    const uint32_t pattern = largest >> 16 > (largest & 0xFFFF) ? largest >> 16 : largest & 0xFFFF;
    if (pattern == 0) {
      p.codes[block] = shared.slice.global_amax > 0.0f ? 1 : num::kE4m3One;
      return true;
    }
    const TableTop top = top_of(shared.scale, num::from_bits(pattern << 16));
    const int base = shared.scale.first_pattern + ErrorTable::kOctaveRows * top.exponent;
    const bool inside = shared.scale.usable && top.code >= 16 && top.code < num::kE4m3Count + 8 && base >= ErrorTable::kOctaveRows;
    uint32_t sums[8] = {};
    add_entries(shared.table, x, inside ? base : 0x7FFF, lane, sums);
    if (!inside) return false;
    const TableVerdict verdict = TableJudge(top, sums).verdict();
    if (verdict.certain) p.codes[block] = static_cast<uint8_t>(verdict.code);
    return verdict.certain;
  }

 private:
  static NVFP4CAL_HD void build_errors(int thread, Shared& shared) {
    const ScalePair* const unit = shared.slice.of + num::kE4m3One;
    const int first = static_cast<int>(num::bits_of(0.125f * unit[0].scale) >> 16);
    if (thread == 0) {
      const int exponent = num::exponent_of(shared.slice.prescale);
      shared.scale.first_pattern = first - ErrorTable::kOctaveRows * exponent;
      shared.scale.usable = shared.slice.global_amax > 0.0f && exponent > -kMostExponent && exponent < kMostExponent;
      // m / scale of 1.0 is m in units of the code's value
      shared.scale.t_factor = (2.0f / 7.0f * (1.0f + 0x1p-18f)) * unit[0].reciprocal * shared.slice.prescale;
    }
    NVFP4CAL_NO_UNROLL
    for (int row = thread; row < ErrorTable::kRows; row += kThreads) {
      const float x = num::from_bits(static_cast<uint32_t>(first + row) << 16);
      Quad entries;
      NVFP4CAL_UNROLL
      for (int k = 0; k < 4; ++k) {
        entries.word[k] = ErrorTable::entry(x, unit[2 * k]) | ErrorTable::entry(x, unit[2 * k + 1]) << 16;
      }
      for (int copy = 0; copy < ErrorTable::kCopies; ++copy) shared.table.rows[row * ErrorTable::kCopies + copy] = entries;
    }
  }

  static constexpr int kMostExponent = 100;  // of the power of two that normalizes G: t_factor is a normal number

  // m > 0 as given. The code of a maximum that is infinite or NaN is far outside.
  static NVFP4CAL_HD TableTop top_of(const TableScale& scale, float m) {
    const float t = m * scale.t_factor;
    const int bits = static_cast<int>(num::bits_of(t) >> 20);
    return {bits - 960, bits & 7, (bits >> 3) - 127, t};
  }

  static NVFP4CAL_HD void add_entries(const ErrorTable& table, const uint32_t* x, int base, int lane, uint32_t* sums) {
    const char* const bytes = reinterpret_cast<const char*>(table.rows);
    const uint32_t minus_base = both_halves(static_cast<uint32_t>(-base) & 0xFFFF);
    const uint32_t copy = static_cast<uint32_t>(lane % ErrorTable::kCopies) * static_cast<uint32_t>(sizeof(Quad));
    NVFP4CAL_UNROLL
    for (int i = 0; i < 8; ++i) {
      const uint32_t rows = add_or_zero(x[i], minus_base);
      add_row(bytes + add_rows<false>(rows, copy), sums);
      add_row(bytes + add_rows<true>(rows, copy), sums);
    }
  }

  static NVFP4CAL_HD void add_row(const char* at, uint32_t* sums) {
    const Quad upper = *reinterpret_cast<const Quad*>(at);
    const Quad lower = *reinterpret_cast<const Quad*>(at + ErrorTable::kOctaveRows * 128);
    NVFP4CAL_UNROLL
    for (int k = 0; k < 4; ++k) {
      sums[k] += upper.word[k];
      sums[4 + k] += lower.word[k];
    }
  }
};

}  // namespace nvfp4cal::cuda
