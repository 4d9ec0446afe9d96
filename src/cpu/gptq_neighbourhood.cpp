// Large neighbourhoods: up to eight blocks are rounded anew, columns in another order, around their scales of now and with everything else fixed; then one
// sweep of descent inside. A row takes the outcome if its objective falls, so the stage is monotone.
#include <algorithm>

#include "cpu/gptq_rows.h"

namespace nvfp4cal::cpu {

namespace {

constexpr int64_t kBlockLanes = kGptqBlock * kTile;

}  // namespace

// A group's columns as lanes, [columns][64], in the group's order.
class NeighbourhoodSearch {
 public:
  explicit NeighbourhoodSearch(GptqRows& rows) : rows_(rows), kernels_(rows.kernels_) {
    for (std::vector<float>* lanes : {&weights_, &errors_, &gradients_, &targets_, &found_, &moved_, &changes_}) {
      lanes->resize(static_cast<size_t>(kGptqGroup * kTile));
    }
    codes_.resize(static_cast<size_t>(kGptqGroup / kGptqBlock * kTile));
  }

  void run(const Neighbourhood& group) {
    group_ = &group;
    size_ = static_cast<int64_t>(group.places.size());
    collect(rows_.weights_, weights_);
    collect(rows_.errors_, errors_);
    collect(rows_.moving_, gradients_);
    round();
    descend();
    if (accept()) rows_.spread(changes_.data(), sorted_, size_, 0, 0);
  }

 private:
  int32_t* codes_of(int64_t block) const {
    return rows_.codes_.data() + group_->places[static_cast<size_t>(block * kGptqBlock)] / kGptqBlock * kTile;
  }

  void collect(const std::vector<float>& from, std::vector<float>& to) const {
    for (int64_t row = 0; row < kTile; ++row) {
      const float* const values = from.data() + row * rows_.stride_;
      for (int64_t i = 0; i < size_; ++i) to[static_cast<size_t>(i * kTile + row)] = values[group_->places[static_cast<size_t>(i)]];
    }
  }

  // c += or -= matrix [size, size] times lanes, both from `first` on for `depth` rows.
  void multiply(const std::vector<float>& matrix, const float* lanes, int64_t first, int64_t depth, int64_t to, std::vector<float>& c,
                bool subtract) const {
    kernels_.multiply_f32(
        {matrix.data() + first * size_ + to, size_, lanes, kTile, depth, size_ - to, c.data() + to * kTile, kTile, subtract});
  }

  // The targets are the weights, moved by what the other columns' errors pull; then as GptqRows::round.
  void round() {
    moved_ = gradients_;
    multiply(group_->matrix, errors_.data(), 0, size_, 0, moved_, true);
    targets_ = weights_;
    multiply(group_->pull, moved_.data(), 0, size_, 0, targets_, true);
    for (int64_t b = 0; b < size_ / kGptqBlock; ++b) {
      const int64_t place = b * kGptqBlock;
      float* const found = found_.data() + place * kTile;
      kernels_.gptq_round({targets_.data() + place * kTile, weights_.data() + place * kTile,
                           group_->feedback.data() + place * size_ + place, size_, group_->pivots.data() + place, rows_.global_scale_,
                           codes_of(b), -num::kGptqNeighbourhood.below, num::kGptqNeighbourhood.above, found, codes_.data() + b * kTile});
      if (place + kGptqBlock < size_) multiply(group_->feedback, found, place, kGptqBlock, place + kGptqBlock, targets_, true);
    }
  }

  void descend() {
    for (int64_t i = 0; i < size_ * kTile; ++i) {
      const size_t at = static_cast<size_t>(i);
      changes_[at] = found_[at] - errors_[at];
    }
    moved_ = gradients_;
    multiply(group_->matrix, changes_.data(), 0, size_, 0, moved_, false);
    float scales[kTile], changes[kBlockLanes];
    for (int64_t b = 0; b < size_ / kGptqBlock; ++b) {
      const int64_t place = b * kGptqBlock;
      for (int64_t row = 0; row < kTile; ++row) {
        scales[row] = num::gptq_scale(codes_[static_cast<size_t>(b * kTile + row)], rows_.global_scale_);
      }
      kernels_.gptq_descend({weights_.data() + place * kTile, moved_.data() + place * kTile, group_->matrix.data() + place * size_ + place,
                             size_, group_->reciprocals.data() + place, scales, found_.data() + place * kTile, changes});
      multiply(group_->matrix, changes, place, kGptqBlock, 0, moved_, false);
    }
  }

  // Takes over the rows that gain: changes_ becomes theirs, columns in order inside blocks, places in sorted_. False if there are none.
  bool accept() {
    double gains[kTile] = {};
    for (int64_t i = 0; i < size_ * kTile; ++i) {
      const size_t at = static_cast<size_t>(i);
      const double change = static_cast<double>(found_[at]) - static_cast<double>(errors_[at]);
      gains[i % kTile] += change * (static_cast<double>(gradients_[at]) + static_cast<double>(moved_[at]));
    }
    bool any = false;
    for (const double gain : gains) any = any || gain < 0.0;
    if (!any) return false;
    for (int64_t i = 0; i < size_; ++i) {
      const int32_t place = group_->places[static_cast<size_t>(i)];
      const int64_t ordered = i / kGptqBlock * kGptqBlock + place % kGptqBlock;
      sorted_[ordered] = place;
      for (int64_t row = 0; row < kTile; ++row) {
        const size_t at = static_cast<size_t>(i * kTile + row);
        const bool takes = gains[row] < 0.0;
        changes_[static_cast<size_t>(ordered * kTile + row)] = takes ? found_[at] - errors_[at] : 0.0f;
        if (takes) rows_.errors_[static_cast<size_t>(row * rows_.stride_ + place)] = found_[at];
      }
    }
    for (int64_t b = 0; b < size_ / kGptqBlock; ++b) {
      int32_t* const codes = codes_of(b);
      for (int64_t row = 0; row < kTile; ++row) {
        if (gains[row] < 0.0) codes[row] = codes_[static_cast<size_t>(b * kTile + row)];
      }
    }
    return true;
  }

  GptqRows& rows_;
  const Kernels& kernels_;
  const Neighbourhood* group_ = nullptr;
  int64_t size_ = 0;
  std::vector<float> weights_, errors_, gradients_;  // as they are
  std::vector<float> targets_, found_, moved_, changes_;
  std::vector<int32_t> codes_;
  int32_t sorted_[kGptqGroup];
};

void GptqRows::search_neighbourhoods() {
  NeighbourhoodSearch search(*this);
  for (const Neighbourhood& group : hessian_.around) {
    execution_.check_interrupt();
    search.run(group);
  }
}

}  // namespace nvfp4cal::cpu
