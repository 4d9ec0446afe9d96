#include "cpu/gptq_rows.h"

#include <algorithm>
#include <cmath>

#include "num/gptq.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kBlockLanes = kGptqBlock * kTile;

// The baseline code of 16 columns of lanes; 1 where all are zero.
void max_codes(const float* lanes, float global_scale, int32_t* codes) {
  float largest[kTile] = {};
  for (int64_t i = 0; i < kBlockLanes; ++i) largest[i % kTile] = std::max(largest[i % kTile], num::abs_of(lanes[i]));
  for (int64_t row = 0; row < kTile; ++row) codes[row] = num::gptq_max_code(largest[row], global_scale);
}

}  // namespace

GptqRows::GptqRows(const Execution& execution, const GptqMatrix& hessian, const Kernels& kernels)
    : execution_(execution),
      hessian_(hessian),
      kernels_(kernels),
      stride_(hessian.padded + kGptqBlock),  // no power of two, so that a column's rows do not share their place in caches
      weights_(static_cast<size_t>(kTile * stride_)),
      errors_(weights_.size()),
      moving_(weights_.size()),
      codes_(static_cast<size_t>(hessian.blocks() * kTile)),
      lanes_(static_cast<size_t>(kGptqGroup * kTile)) {}

void GptqRows::load(FloatReader& reader, int64_t first, int64_t rows, double factor) {
  std::fill(weights_.begin(), weights_.end(), 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    const float* const from = reader.read((first + r) * hessian_.cols, hessian_.cols);
    float* const to = weights_.data() + r * stride_;
    for (int64_t j = 0; j < hessian_.cols; ++j) to[j] = static_cast<float>(static_cast<double>(from[hessian_.column(j)]) * factor);
  }
}

void GptqRows::gather(const std::vector<float>& from, int64_t place, int64_t columns, float* out) const {
  for (int64_t row = 0; row < kTile; ++row) {
    const float* const values = from.data() + row * stride_ + place;
    for (int64_t i = 0; i < columns; ++i) out[i * kTile + row] = values[i];
  }
}

void GptqRows::scatter(const float* lanes, int64_t place, int64_t columns, std::vector<float>& to) const {
  for (int64_t row = 0; row < kTile; ++row) {
    float* const values = to.data() + row * stride_ + place;
    for (int64_t i = 0; i < columns; ++i) values[i] = lanes[i * kTile + row];
  }
}

template <class Distance>
double GptqRows::squares(Distance&& distance) const {
  double sum = 0.0;
  for (int64_t row = 0; row < kTile; ++row) {
    for (int64_t j = 0; j < hessian_.cols; ++j) {
      const double off = distance(static_cast<size_t>(row * stride_ + j));
      sum += off * off * static_cast<double>(hessian_.pivots[static_cast<size_t>(j)]);
    }
  }
  return sum;
}

double GptqRows::nearest(float global_scale) {
  std::fill(moving_.begin(), moving_.end(), 0.0f);
  for (int64_t begin = 0; begin < hessian_.cols; begin += kGptqGroup) {
    execution_.check_interrupt();
    const int64_t end = std::min(begin + kGptqGroup, hessian_.cols);
    gather(weights_, begin, end - begin, lanes_.data());
    for (int64_t place = begin; place < end; place += kGptqBlock) {
      float* const block = lanes_.data() + (place - begin) * kTile;
      int32_t codes[kTile];
      max_codes(block, global_scale, codes);
      for (int64_t i = 0; i < kBlockLanes; ++i) {
        block[i] = num::gptq_nearest_error(block[i], num::gptq_scale(codes[i % kTile], global_scale));
      }
    }
    scatter(lanes_.data(), begin, end - begin, errors_);
    for (int64_t panel = begin / kTile; panel < hessian_.feedback.panels(); ++panel) {
      const int64_t depth = std::min(end, (panel + 1) * kTile) - begin;
      kernels_.multiply_f32(
          {lanes_.data(), kTile, hessian_.feedback.row(panel, begin), kTile, depth, kTile, tile(moving_, panel), stride_, false});
    }
  }
  // a column's own error, and what those before it add
  return squares([&](size_t at) { return static_cast<double>(errors_[at]) + static_cast<double>(moving_[at]); });
}

void GptqRows::round(float global_scale) {
  global_scale_ = global_scale;
  moving_ = weights_;
  for (int64_t begin = 0; begin < hessian_.cols; begin += kGptqGroup) {
    execution_.check_interrupt();
    const int64_t end = std::min(begin + kGptqGroup, hessian_.cols), next = (end + kTile - 1) / kTile;
    for (int64_t place = begin; place < end; place += kGptqBlock) {
      float* const errors = lanes_.data() + (place - begin) * kTile;
      round_block(place, errors);
      // to the end of the group now, to the rest with the whole group
      for (int64_t panel = place / kTile; panel < next; ++panel) {
        kernels_.multiply_f32(
            {errors, kTile, hessian_.feedback.row(panel, place), kTile, kGptqBlock, kTile, tile(moving_, panel), stride_, true});
      }
    }
    for (int64_t panel = next; panel < hessian_.feedback.panels(); ++panel) {
      kernels_.multiply_f32(
          {lanes_.data(), kTile, hessian_.feedback.row(panel, begin), kTile, end - begin, kTile, tile(moving_, panel), stride_, true});
    }
  }
}

double GptqRows::rounded() const {
  // what a column became, and where those before it have moved its target
  return squares(
      [&](size_t at) { return (static_cast<double>(weights_[at]) + static_cast<double>(errors_[at])) - static_cast<double>(moving_[at]); });
}

void GptqRows::round_block(int64_t place, float* errors) {
  float targets[kBlockLanes], weights[kBlockLanes];
  int32_t around[kTile];
  gather(moving_, place, kGptqBlock, targets);
  gather(weights_, place, kGptqBlock, weights);
  max_codes(targets, global_scale_, around);
  int32_t* const codes = codes_.data() + place / kGptqBlock * kTile;
  const float* const feedback = hessian_.feedback.row(place / kTile, place) + place % kTile;
  kernels_.gptq_round({targets, weights, feedback, kTile, hessian_.pivots.data() + place, global_scale_, around, -num::kGptqRounding.below,
                       num::kGptqRounding.above, errors, codes});
  scatter(errors, place, kGptqBlock, errors_);
}

void GptqRows::begin_descent() {
  std::fill(moving_.begin(), moving_.end(), 0.0f);
  for (int64_t begin = 0; begin < hessian_.cols; begin += kGptqGroup) {
    execution_.check_interrupt();
    const int64_t columns = std::min(kGptqGroup, hessian_.cols - begin);
    gather(errors_, begin, columns, lanes_.data());
    for (int64_t panel = 0; panel < hessian_.padded / kTile; ++panel) {
      kernels_.multiply_f32(
          {lanes_.data(), kTile, hessian_.matrix_row(panel, begin), kTile, columns, kTile, tile(moving_, panel), stride_, false});
    }
  }
}

void GptqRows::descend() {
  for (int sweep = 0; sweep < num::kGptqSweeps; ++sweep) {
    bool any = false;
    for (int64_t begin = 0; begin < hessian_.cols; begin += kGptqGroup) {
      execution_.check_interrupt();
      const int64_t end = std::min(begin + kGptqGroup, hessian_.cols);
      const int64_t first = begin / kTile, next = (end + kTile - 1) / kTile;
      bool changed = false;
      for (int64_t place = begin; place < end; place += kGptqBlock) {
        float* const changes = lanes_.data() + (place - begin) * kTile;
        if (!descend_block(place, changes)) continue;
        changed = true;
        for (int64_t panel = first; panel < next; ++panel) {
          kernels_.multiply_f32(
              {changes, kTile, hessian_.matrix_row(panel, place), kTile, kGptqBlock, kTile, tile(moving_, panel), stride_, false});
        }
      }
      if (!changed) continue;
      any = true;
      int32_t places[kGptqGroup];
      for (int64_t i = 0; i < end - begin; ++i) places[i] = static_cast<int32_t>(begin + i);
      spread(lanes_.data(), places, end - begin, first, next);
    }
    if (!any) return;
  }
}

bool GptqRows::descend_block(int64_t place, float* changes) {
  float weights[kBlockLanes], errors[kBlockLanes], gradients[kBlockLanes], scales[kTile];
  gather(weights_, place, kGptqBlock, weights);
  gather(errors_, place, kGptqBlock, errors);
  gather(moving_, place, kGptqBlock, gradients);
  const int32_t* const codes = codes_.data() + place / kGptqBlock * kTile;
  for (int64_t row = 0; row < kTile; ++row) scales[row] = num::gptq_scale(codes[row], global_scale_);
  kernels_.gptq_descend({weights, gradients, hessian_.matrix_row(place / kTile, place) + place % kTile, kTile,
                         hessian_.reciprocals.data() + place, scales, errors, changes});
  if (std::all_of(changes, changes + kBlockLanes, [](float change) { return change == 0.0f; })) return false;
  scatter(errors, place, kGptqBlock, errors_);
  return true;
}

void GptqRows::spread(const float* changes, const int32_t* places, int64_t columns, int64_t skip, int64_t skip_end) {
  const int64_t n = columns * kTile;
  const int64_t changed = n - std::count(changes, changes + n, 0.0f);
  if (num::gptq_is_few(changed, n)) return spread_few(changes, places, columns, skip, skip_end);
  for (int64_t panel = 0; panel < hessian_.padded / kTile; ++panel) {
    if (panel >= skip && panel < skip_end) continue;
    // one product for each run of places that follow each other
    for (int64_t i = 0; i < columns;) {
      int64_t end = i + 1;
      while (end < columns && places[end] == places[end - 1] + 1) ++end;
      kernels_.multiply_f32(
          {changes + i * kTile, kTile, hessian_.matrix_row(panel, places[i]), kTile, end - i, kTile, tile(moving_, panel), stride_, false});
      i = end;
    }
  }
}

// Row by row, only the columns that changed.
void GptqRows::spread_few(const float* changes, const int32_t* places, int64_t columns, int64_t skip, int64_t skip_end) {
  int32_t changed[kGptqGroup];
  float values[kGptqGroup];
  for (int64_t row = 0; row < kTile; ++row) {
    int64_t n = 0;
    for (int64_t i = 0; i < columns; ++i) {
      if (changes[i * kTile + row] == 0.0f) continue;
      changed[n] = places[i];
      values[n++] = changes[i * kTile + row];
    }
    if (n == 0) continue;
    for (int64_t panel = 0; panel < hessian_.padded / kTile; ++panel) {
      if (panel >= skip && panel < skip_end) continue;
      kernels_.add_tile_rows(hessian_.matrix_row(panel, 0), changed, values, n, moving_.data() + row * stride_ + panel * kTile);
    }
  }
}

double GptqRows::objective() const {
  double sum = 0.0;
  for (int64_t row = 0; row < kTile; ++row) {
    for (int64_t j = 0; j < hessian_.cols; ++j) {
      const size_t at = static_cast<size_t>(row * stride_ + j);
      sum += static_cast<double>(errors_[at]) * static_cast<double>(moving_[at]);
    }
  }
  return sum;
}

void GptqRows::store(int64_t row, uint8_t* packed, uint8_t* scales) const {
  for (int64_t b = 0; b < hessian_.blocks(); ++b) {
    const int32_t code = codes_[static_cast<size_t>(b * kTile + row)];
    const float reciprocal = 1.0f / num::gptq_scale(code, global_scale_);
    const int64_t block = hessian_.order[static_cast<size_t>(b)];
    const size_t at = static_cast<size_t>(row * stride_ + b * kGptqBlock);
    scales[block] = static_cast<uint8_t>(code);
    uint8_t nibbles[kGptqBlock];
    for (size_t i = 0; i < kGptqBlock; ++i) nibbles[i] = num::gptq_nibble(weights_[at + i], errors_[at + i], reciprocal);
    // no code needs a scale: that of blocks of zeros everywhere
    if (std::all_of(nibbles, nibbles + kGptqBlock, [](uint8_t nibble) { return nibble == 0; })) scales[block] = num::kE4m3One;
    for (size_t i = 0; i < kGptqBlock; i += 2)
      packed[block * 8 + static_cast<int64_t>(i / 2)] = static_cast<uint8_t>(nibbles[i] | nibbles[i + 1] << 4);
  }
}

}  // namespace nvfp4cal::cpu
