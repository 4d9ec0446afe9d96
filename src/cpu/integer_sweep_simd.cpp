// The search with the integer filter: groups of blocks go through it in memory order; blocks that it cannot settle wait in queues until
// there are enough for a group of their own. Every block ends with the code of the definition (docs/numerics.md, "integer filter").
#define NVFP4CAL_INTEGER_TARGETS
#include "cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/integer_sweep_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "cpu/integer_apart-inl.h"
#include "cpu/integer_queue-inl.h"
#include "cpu/integer_roots-inl.h"
#include "cpu/simd_kernels.h"
#include "cpu/sweep_group-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nvfp4cal::cpu::HWY_NAMESPACE {
#if NVFP4CAL_INTEGER_SIMD

// Where G is smaller than 2^-80, elements are raised: the least maxima would have no power of two to be scaled by.
constexpr float kLargestPrescale = 0x1p80f;

bool raises(const SweepPlan& plan) { return plan.prescale > kLargestPrescale; }

// How IntegerGroup's elements lie: raised groups are loaded as float32.
template <class Loader>
bool has_neighbours(const SweepPlan& plan) {
  return IntegerLoad<Loader>::kNeighbours && !raises(plan);
}

// What a batch of groups has of rows, and how far ahead of a group rows are asked for: two batches, and what is kept of one, fit into a first-level
// cache. One block that does not fit the main ladder sends its whole batch the longer way, where AVX2 loses more by large batches than it gains.
constexpr int64_t kBatchBytes = kLanes == 16 ? 4096 : 1024, kPrefetchBytes = 6144;

template <class Loader, bool weighted>
class IntegerSweep {
  static constexpr int kBlock = 16;
  using Weights = std::conditional_t<weighted, RootWeights, NoWeights>;
  static constexpr int64_t kRowBytes = kBlock * Loader::kBytes;
  static constexpr Delta kDelta = IntegerLoad<Loader>::template delta<weighted>();
  static constexpr int64_t kBatch = kBatchBytes / (kLanes * kRowBytes);  // groups

 public:
  // groups: NULL, or the period's roots as RootGroups makes them.
  IntegerSweep(const SweepPlan& plan, const char* data, const BlockWeights* weights, const RootGroup* groups, uint8_t* codes)
      : plan_(plan),
        weights_(weights),
        groups_(groups),
        ladder_(*plan.integer_ladder),
        data_(data),
        codes_(codes),
        raised_(raises(plan)),
        neighbours_(has_neighbours<Loader>(plan)),
        unit_(raised_ ? plan.prescale / kRaise * plan.prescale2 : plan.prescale) {}

  // False if an element is not finite.
  bool run(int64_t blocks) {
    for (int64_t tile = 0; tile < blocks; tile += kBlocksPerTile) {
      const int64_t end = HWY_MIN(blocks, tile + kBlocksPerTile), whole = end - (end - tile) % kLanes;
      for (int64_t b = tile; b < whole; b += kBatch * kLanes) {
        if (!search_batch(b, HWY_MIN(kBatch, (whole - b) / kLanes))) return false;
      }
      if (whole < end && !last_group(whole, end - whole)) return false;
      settle(/*all=*/false);
    }
    settle(/*all=*/true);
    return true;
  }

 private:
  // ---- weights

  // Of consecutive blocks. room: for roots that have to be made.
  HWY_INLINE Weights find_weights(int64_t b, RootGroup& room) const {
    if constexpr (weighted) {
      if (HWY_UNLIKELY(groups_ == nullptr)) return {make_roots(*weights_, b, neighbours_, room)};
      return {groups_ + (weights_->first + b) % weights_->period / kLanes};
    } else {
      return {};
    }
  }

  // ---- groups in memory order

  // Each step goes over all groups of a batch before the next one begins: what one group waits for, the processor does for others meanwhile.
  struct Batched {
    IntegerGroup group;
    Smallest keys;
    Weights weights;
  };

  HWY_INLINE bool search_batch(int64_t first, int64_t count) {
    VU least = hn::Set(DU(), ~0u), largest = hn::Zero(DU());
    for (int64_t i = 0; i < count; ++i) {
      IntegerGroup& g = batch_[i].group;
      load(data_ + (first + i * kLanes) * kRowBytes, g);
      least = hn::Min(least, g.max_bits);
      largest = hn::Max(largest, g.max_bits);
      batch_[i].weights = find_weights(first + i * kLanes, roots_[weighted ? i : 0]);
    }
    if (HWY_UNLIKELY(!hn::AllTrue(DF(), hn::And(fits(least), fits(largest))))) return search_mixed_batch(first, count);
    for (int64_t i = 0; i < count; ++i) {
      ask_for_rows(first + i * kLanes);
      Batched& of = batch_[i];
      of.keys = smallest_keys(ladder_, of.group, Position(ladder_, of.group.m), of.weights);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t b = first + i * kLanes;
      const Batched& of = batch_[i];
      const Position at(ladder_, of.group.m);
      const Verdict verdict = verdict_of(of.keys, of.group, at, kDelta, of.weights);
      enqueue(verdict, all_lanes(), numbers_from(b));
      store(verdict.code, b);
    }
    return true;
  }

  bool search_mixed_batch(int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t b = first + i * kLanes;
      ask_for_rows(b);
      store(search_mixed(data_ + b * kRowBytes, batch_[i].weights, batch_[i].group, all_lanes(), numbers_from(b)), b);
    }
    return finite_;
  }

  HWY_INLINE void store(VI code, int64_t b) const {
    const hn::Rebind<uint8_t, DI> d8;
    hn::StoreU(hn::DemoteTo(d8, code), d8, codes_ + b);
  }

  HWY_INLINE void ask_for_rows(int64_t b) const {
    for (int64_t line = 0; line < kLanes * kRowBytes; line += 64) __builtin_prefetch(data_ + b * kRowBytes + kPrefetchBytes + line);
  }

  // Maxima for the main ladder: an interval. NaN and infinities are none.
  HWY_INLINE MF fits(VU max_bits) const { return hn::And(Position(ladder_, normalized(max_bits)).inside(), large_enough(max_bits)); }
  static HWY_INLINE MF large_enough(VU max_bits) {
    return hn::RebindMask(DF(), hn::Gt(max_bits, hn::Set(DU(), IntegerLoad<Loader>::kLeastBits - 1)));
  }

  bool last_group(int64_t b, int64_t count) {
    HWY_ALIGN char rows[kLanes * kRowBytes] = {};
    memcpy(rows, data_ + b * kRowBytes, static_cast<size_t>(count * kRowBytes));
    const VU numbers = numbers_from(b);
    IntegerGroup g;
    load_apart(rows, g);
    Weights weigh;
    if constexpr (weighted) weigh.of = make_roots(*weights_, b, neighbours_, roots_[0]);
    HWY_ALIGN int32_t lane_codes[kLanes];
    hn::Store(search_mixed(rows, weigh, g, first_lanes(count), numbers), DI(), lane_codes);
    for (int64_t i = 0; i < count; ++i) codes_[b + i] = static_cast<uint8_t>(lane_codes[i]);
    return finite_;
  }

  // Codes of a group whose lanes may not all fit the main ladder; what is not settled goes into queues.
  HWY_NOINLINE VI search_mixed(const char* rows, const Weights& weigh, const IntegerGroup& g, MF lanes, VU numbers) {
    const DF df;
    const DI di;
    const Position at(ladder_, g.m);
    finite_ = finite_ && finite(rows, g);
    if (!finite_) return hn::Set(di, 1);
    const MF zero = hn::Le(g.m, hn::Set(df, plan_.zero_below));
    const MF saturated = hn::Ge(g.m, hn::Set(df, plan_.saturation));
    MF odd = hn::Or(hn::Not(large_enough(g.max_bits)), at.beyond());
    if (weighted) odd = hn::Or(odd, at.low());
    MF open = hn::AndNot(hn::Or(zero, saturated), lanes);
    rest_.push(hn::And(open, odd), numbers);
    open = hn::AndNot(odd, open);
    VI code = hn::Set(di, 1);
    if (!ends_first(g, at, open, numbers, code) && !hn::AllFalse(df, open)) {
      const Verdict verdict = judge_main_apart(ladder_, g, kDelta, weigh);
      enqueue(verdict, open, numbers);
      code = verdict.code;
    }
    code = hn::IfThenElse(hn::RebindMask(di, saturated), hn::Set(di, num::kE4m3Count), code);
    return hn::IfThenElse(hn::RebindMask(di, zero), hn::Set(di, 1), code);
  }

  // Takes the lanes among E4M3's first codes out of `open`: searches them if they are the most, and lets the others wait; else lets them wait.
  HWY_INLINE bool ends_first(const IntegerGroup& g, const Position& at, MF& open, VU numbers, VI& code) {
    if constexpr (!weighted) {
      const MF low = hn::And(open, at.low());
      open = hn::AndNot(low, open);
      if (hn::CountTrue(DF(), low) > hn::CountTrue(DF(), open)) {
        code = end_codes<LowRungs>(g, low, numbers);
        main_.push(open, numbers);
        return true;
      }
      if (!hn::AllFalse(DF(), open)) low_.push(low, numbers);
    }
    return false;
  }

  HWY_INLINE void enqueue(const Verdict& verdict, MF lanes, VU numbers) {
    const MF deeper = hn::And(lanes, verdict.deeper);
    enqueue_open(verdict, hn::AndNot(deeper, lanes), numbers);
    if (HWY_UNLIKELY(!hn::AllFalse(DF(), deeper))) end_.push(deeper, numbers);
  }

  HWY_INLINE void enqueue_open(const Verdict& verdict, MF lanes, VU numbers) {
    const MF open = hn::And(lanes, verdict.open);
    const VU codes = hn::Or(hn::ShiftLeft<16>(hn::BitCast(DU(), verdict.code)), hn::ShiftLeft<24>(hn::BitCast(DU(), verdict.rival)));
    // every third group has such a lane: a branch would cost more
    pairs_.push(hn::AndNot(verdict.crowded, open), hn::Or(numbers, codes));
    const MF crowded = hn::And(verdict.crowded, open);
    if (HWY_UNLIKELY(!hn::AllFalse(DF(), crowded))) rest_.push(crowded, numbers);
  }

  template <class Rungs>
  HWY_INLINE VI end_codes(const IntegerGroup& g, MF lanes, VU numbers) {
    const Verdict verdict = judge_ends_apart<Rungs>(ladder_, g, kDelta);
    enqueue(verdict, lanes, numbers);
    return verdict.code;
  }

  // ---- queues

  // Takes groups out of the queues until none is full (all: empty). Blocks move from earlier queues to later ones only.
  void settle(bool all) {
    if constexpr (weighted) {
      settle_deeper(all);
    } else {
      settle_plain(all);
    }
    take(pairs_, all, [&](const char* rows, VU entries, MF lanes) HWY_ATTR { return better_of_two(rows, entries, lanes); });
    take(rest_, all, [&](const char* rows, VU entries, MF) HWY_ATTR {
      Group<kBlock> g;
      load_float(rows, entries, g);
      return search_floats<weighted>(plan_, g);
    });
  }

  void settle_deeper(bool all) {
    take(end_, all, [&](const char* rows, VU entries, MF lanes) HWY_ATTR {
      IntegerGroup g;
      load_apart(rows, g);
      gather_roots(*weights_, entries, neighbours_, roots_[0]);
      const Verdict verdict = judge_deeper_apart(ladder_, g, kDelta, RootWeights{&roots_[0]});
      const MF deeper = hn::And(lanes, verdict.deeper);
      rest_.push(deeper, entries);
      enqueue_open(verdict, hn::AndNot(deeper, lanes), entries);
      return verdict.code;
    });
  }

  // Queues that only the search without weights fills.
  void settle_plain(bool all) {
    take(main_, all, [&](const char* rows, VU entries, MF lanes) HWY_ATTR {
      IntegerGroup g;
      load_apart(rows, g);
      const Verdict verdict = judge_main_apart(ladder_, g, kDelta, NoWeights());
      enqueue(verdict, lanes, entries);
      return verdict.code;
    });
    take(low_, all, [&](const char* rows, VU entries, MF lanes) HWY_ATTR {
      IntegerGroup g;
      load_apart(rows, g);
      return end_codes<LowRungs>(g, lanes, entries);
    });
    take(end_, all, [&](const char* rows, VU entries, MF lanes) HWY_ATTR {
      IntegerGroup g;
      load_apart(rows, g);
      return end_codes<EndRungs>(g, lanes, entries);
    });
  }

  template <class Search>
  HWY_INLINE void take(Queue& queue, bool all, Search&& search_rows) {
    if (queue.size < (all ? 1 : kLanes)) return;
    HWY_ALIGN char rows[kLanes * kRowBytes];
    HWY_ALIGN int32_t lane_codes[kLanes];
    int64_t done = 0;
    while (queue.size - done >= (all ? 1 : kLanes)) {
      uint32_t* const entries = queue.entries + done;
      const int64_t count = HWY_MIN(queue.size - done, static_cast<int64_t>(kLanes));
      fetch_rows(entries, count, rows);
      hn::Store(search_rows(rows, hn::LoadU(DU(), entries), first_lanes(count)), DI(), lane_codes);
      store_codes(entries, count, lane_codes);
      done += count;
    }
    queue.size -= done;
    memmove(queue.entries, queue.entries + done, static_cast<size_t>(queue.size) * sizeof(uint32_t));
  }

  // Rows of the first `count` entries; lanes without one get the first again. A function, since take() has it five times.
  HWY_NOINLINE void fetch_rows(uint32_t* entries, int64_t count, char* rows) const {
    for (int64_t i = count; i < kLanes; ++i) entries[i] = entries[0];
    for (int64_t i = 0; i < kLanes; ++i) memcpy(rows + i * kRowBytes, data_ + (entries[i] & 0xFFFF) * kRowBytes, kRowBytes);
  }

  HWY_NOINLINE void store_codes(const uint32_t* entries, int64_t count, const int32_t* lane_codes) {
    for (int64_t i = 0; i < count; ++i) codes_[entries[i] & 0xFFFF] = static_cast<uint8_t>(lane_codes[i]);
  }

  // Each lane its own two codes, by the float filter; too near for that: the whole search.
  VI better_of_two(const char* rows, VU entries, MF lanes) {
    const DI di;
    Group<kBlock> g;
    load_float(rows, entries, g);
    const VI first = hn::BitCast(di, hn::And(hn::ShiftRight<16>(entries), hn::Set(DU(), 0xFF)));
    const VI second = hn::BitCast(di, hn::ShiftRight<24>(entries));
    const Choice choice = choose_of_two<weighted>(plan_, g, first, second);
    rest_.push(hn::And(choice.near, lanes), hn::And(entries, hn::Set(DU(), 0xFFFF)));
    return choice.code;
  }

  // For the float filter.
  HWY_NOINLINE void load_float(const char* rows, VU entries, Group<kBlock>& g) const {
    load_group<Loader>(plan_, rows, g);
    if constexpr (weighted) {
      HWY_ALIGN float weights[kLanes * kBlock];
      gather_rows(weights_->rows, *weights_, entries, weights);
      load_transposed<kBlock>(weights, kBlock, g.w);
    }
  }

  // ---- small parts

  HWY_INLINE void load(const char* rows, IntegerGroup& g) const {
    if (HWY_UNLIKELY(raised_)) {
      load_raised(rows, g);
    } else {
      IntegerLoad<Loader>::template load<weighted>(rows, g);
    }
    g.m = normalized(g.max_bits);
  }
  HWY_NOINLINE void load_apart(const char* rows, IntegerGroup& g) const { load(rows, g); }
  HWY_INLINE VF normalized(VU max_bits) const { return hn::Mul(hn::BitCast(DF(), max_bits), hn::Set(DF(), unit_)); }
  static HWY_NOINLINE void load_raised(const char* rows, IntegerGroup& g) { load_float_group<Loader, true>(rows, g); }

  // Raised maxima may be infinite where the elements are not.
  HWY_INLINE bool finite(const char* rows, const IntegerGroup& g) const {
    const MF below = hn::RebindMask(DF(), hn::Lt(g.max_bits, hn::Set(DU(), num::kInfBits)));
    if (HWY_LIKELY(hn::AllTrue(DF(), below)) || !raised_) return hn::AllTrue(DF(), below);
    IntegerGroup plain;
    load_float_group<Loader, false>(rows, plain);
    return hn::AllTrue(DU(), hn::Lt(plain.max_bits, hn::Set(DU(), num::kInfBits)));
  }
  static HWY_INLINE VU numbers_from(int64_t b) { return hn::Add(hn::Iota(DU(), 0), hn::Set(DU(), static_cast<uint32_t>(b))); }
  static HWY_INLINE MF all_lanes() { return hn::RebindMask(DF(), hn::Eq(hn::Zero(DI()), hn::Zero(DI()))); }
  static HWY_INLINE MF first_lanes(int64_t count) {
    return hn::RebindMask(DF(), hn::Lt(hn::Iota(DI(), 0), hn::Set(DI(), static_cast<int32_t>(count))));
  }

  const SweepPlan& plan_;
  const BlockWeights* weights_;
  const RootGroup* groups_;
  const IntegerLadder& ladder_;
  const char* data_;
  uint8_t* codes_;
  const bool raised_, neighbours_;
  const float unit_;  // brings maxima to normalized units
  bool finite_ = true;
  Batched batch_[kBatch];
  RootGroup roots_[weighted ? kBatch : 1];  // of a batch, where they are not made once for all
  Queue main_;                              // for the main ladder, met among blocks that were not
  Queue low_;                               // for E4M3's first codes
  Queue end_;                               // for its last ones; with weights, for codes below the main ladder
  Queue pairs_;                             // two codes are left
  Queue rest_;                              // for the float search
};

template <class Loader, bool weighted>
bool integer_sweep_blocks(const SweepPlan& plan, const char* data, int64_t blocks, const BlockWeights* weights, uint8_t* codes) {
  struct Nothing {};
  [[maybe_unused]] std::conditional_t<weighted, RootGroups, Nothing> groups;
  const RootGroup* of_groups = nullptr;
  if constexpr (weighted) of_groups = groups.make(*weights, blocks, has_neighbours<Loader>(plan));
  for (int64_t b = 0; b < blocks; b += kBlocksPerRun) {
    BlockWeights of_run{};
    if (weighted) of_run = {weights->rows, (weights->first + b) % weights->period, weights->period, weights->roots};
    IntegerSweep<Loader, weighted> run(plan, data + b * 16 * Loader::kBytes, &of_run, of_groups, codes + b);
    if (!run.run(HWY_MIN(kBlocksPerRun, blocks - b))) return false;
  }
  return true;
}

bool integer_sweep(const SweepPlan& plan, Span x, int64_t blocks, const BlockWeights* weights, uint8_t* codes) {
  const char* data = static_cast<const char*>(x.data);
  return with_loader(x.dtype, [&](auto loader) {
    using Loader = decltype(loader);
    return weights ? integer_sweep_blocks<Loader, true>(plan, data, blocks, weights, codes)
                   : integer_sweep_blocks<Loader, false>(plan, data, blocks, nullptr, codes);
  });
}

void fill_integer_sweep_kernels(Kernels& kernels) { kernels.integer_sweep = integer_sweep; }

#endif  // NVFP4CAL_INTEGER_SIMD
}  // namespace nvfp4cal::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
