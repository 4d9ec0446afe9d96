// Ranges and fake-quantization errors of groups of elements.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "cpu/chunk.h"
#include "cpu/load.h"
#include "cpu/ops.h"
#include "num/e2m1.h"
#include "num/e4m3.h"
#include "num/power.h"

namespace nvfp4cal::cpu {

namespace {

// Neighbouring columns of one group.
struct Segment {
  int64_t begin, end;
  int32_t group;
};

std::vector<Segment> segments_of(const GroupLayout& layout) {
  std::vector<Segment> segments;
  for (int64_t c = 0; c < layout.cols; ++c) {
    const int32_t group = layout.column_group[c];
    if (segments.empty() || segments.back().group != group) segments.push_back({c, c, group});
    segments.back().end = c + 1;
  }
  return segments;
}

// Rows [first, first + count), whose row groups are consecutive.
struct Band {
  int64_t first_row, rows, first_group, groups;
};

// Bands of rows, cut by the shape alone. Each has results of its own, joined in order.
class Bands {
 public:
  Bands(const TensorView& x, const GroupLayout& layout) : layout_(layout) {
    rows_ = (x.elements() + layout.cols - 1) / layout.cols;
    // a chunk of work, and enough of it a group that the joining costs nothing
    const int64_t wanted = std::max<int64_t>(1, std::max(kChunkElements, 64 * layout.col_groups) / layout.cols);
    const int64_t span = layout.row_span;
    // no band wraps around: where rows repeat their groups, a band is one round at most unless there is a single row group
    const int64_t round = layout.row_groups == 1 ? std::max<int64_t>(rows_, 1) : span * layout.row_groups;
    per_band_ = std::min(round, (wanted + span - 1) / span * span);
    bands_per_round_ = (round + per_band_ - 1) / per_band_;
    round_ = round;
    const int64_t rounds = rows_ / round, rest = rows_ % round;
    count_ = rounds * bands_per_round_ + (rest + per_band_ - 1) / per_band_;
  }
  int64_t count() const { return count_; }
  Band operator[](int64_t i) const {
    const int64_t in_round = i % bands_per_round_ * per_band_;
    const int64_t first = i / bands_per_round_ * round_ + in_round;
    const int64_t rows = std::min({per_band_, round_ - in_round, rows_ - first});
    if (layout_.row_groups == 1) return {first, rows, 0, 1};
    const int64_t group = in_round / layout_.row_span;
    return {first, rows, group, (rows + layout_.row_span - 1) / layout_.row_span};
  }

 private:
  GroupLayout layout_;
  int64_t rows_, per_band_, bands_per_round_, round_, count_;
};

// Elements of a row as float32.
class RowReader {
 public:
  RowReader(const TensorView& x, int64_t cols) : x_(x), reader_(x), cols_(cols), row_(static_cast<size_t>(cols)) {}
  const float* read(int64_t row, int64_t* count) {
    *count = std::min(cols_, x_.elements() - row * cols_);
    const Span span = reader_.read(row * cols_, *count);
    for (int64_t i = 0; i < *count; ++i) row_[static_cast<size_t>(i)] = load_element(span, i);
    return row_.data();
  }

 private:
  const TensorView& x_;
  SpanReader reader_;
  int64_t cols_;
  std::vector<float> row_;
};

// visit(values, n, group in the band) for every segment of every row.
template <class Visit>
void for_each_segment(const TensorView& x, const GroupLayout& layout, const std::vector<Segment>& segments, const Band& band,
                      Visit&& visit) {
  RowReader reader(x, layout.cols);
  for (int64_t r = 0; r < band.rows; ++r) {
    int64_t count = 0;
    const float* row = reader.read(band.first_row + r, &count);
    const int64_t base = layout.row_groups == 1 ? 0 : r / layout.row_span * layout.col_groups;
    for (const Segment& segment : segments) {
      if (segment.begin >= count) break;
      visit(row + segment.begin, std::min(segment.end, count) - segment.begin, base + segment.group);
    }
  }
}

// y between lo and hi to the nearest value of the format.
template <FakeFormat format>
float round_to(float y) {
  if constexpr (format == FakeFormat::kFp8) {
    return std::copysign(num::e4m3_magnitude(num::e4m3_code_of_magnitude(num::abs_of(y))), y);
  } else if constexpr (format == FakeFormat::kFp4) {
    return std::copysign(num::e2m1_round(num::abs_of(y)), y);
  } else {
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: |y| <= 128 rounds to the nearest even integer
    return (y + kMagic) - kMagic;
  }
}

template <FakeFormat format>
double segment_error(const float* x, int64_t n, float scale, float zero_point, double norm) {
  constexpr float kHi = format == FakeFormat::kInt8   ? 127.0f
                        : format == FakeFormat::kInt4 ? 7.0f
                        : format == FakeFormat::kFp8  ? 448.0f
                                                      : 6.0f;
  constexpr float kLo = format == FakeFormat::kInt8 ? -128.0f : format == FakeFormat::kInt4 ? -8.0f : -kHi;
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const float y = x[i] / scale + zero_point;
    const float level = round_to<format>(y < kLo ? kLo : y > kHi ? kHi : y);
    const float fake = (level - zero_point) * scale;
    sum += num::power(std::fabs(static_cast<double>(fake) - static_cast<double>(x[i])), norm);
  }
  return sum;
}

using SegmentError = double (*)(const float*, int64_t, float, float, double);

SegmentError error_of(FakeFormat format) {
  switch (format) {
    case FakeFormat::kInt8: return segment_error<FakeFormat::kInt8>;
    case FakeFormat::kInt4: return segment_error<FakeFormat::kInt4>;
    case FakeFormat::kFp8: return segment_error<FakeFormat::kFp8>;
    default: return segment_error<FakeFormat::kFp4>;
  }
}

}  // namespace

void group_range(const Execution& execution, const GroupRangeArgs& args) {
  const GroupLayout& layout = args.layout;
  const std::vector<Segment> segments = segments_of(layout);
  const Bands bands(*args.x, layout);
  struct Ranges {
    std::vector<float> min, max;
  };
  std::vector<Ranges> parts(static_cast<size_t>(bands.count()));
  std::atomic<bool> finite{true};
  execution.parallel_for(bands.count(), [&](int64_t i) {
    const Band band = bands[i];
    Ranges& part = parts[static_cast<size_t>(i)];
    part.min.assign(static_cast<size_t>(band.groups * layout.col_groups), num::from_bits(num::kInfBits));
    part.max.assign(part.min.size(), -num::from_bits(num::kInfBits));
    bool good = true;
    for_each_segment(*args.x, layout, segments, band, [&](const float* x, int64_t n, int64_t group) {
      float &lo = part.min[static_cast<size_t>(group)], &hi = part.max[static_cast<size_t>(group)];
      for (int64_t k = 0; k < n; ++k) {
        good = good && num::is_finite(x[k]);
        lo = std::min(lo, x[k]);
        hi = std::max(hi, x[k]);
      }
    });
    if (!good) finite = false;
  });
  if (!finite) fail_non_finite(*args.x, first_non_finite(*args.x, 0, args.x->elements()), "x");
  const size_t count = static_cast<size_t>(layout.row_groups * layout.col_groups);
  std::fill_n(args.min, count, num::from_bits(num::kInfBits));
  std::fill_n(args.max, count, -num::from_bits(num::kInfBits));
  for (int64_t i = 0; i < bands.count(); ++i) {
    const Ranges& part = parts[static_cast<size_t>(i)];
    const int64_t base = bands[i].first_group * layout.col_groups;
    for (size_t g = 0; g < part.min.size(); ++g) {
      args.min[base + static_cast<int64_t>(g)] = std::min(args.min[base + static_cast<int64_t>(g)], part.min[g]);
      args.max[base + static_cast<int64_t>(g)] = std::max(args.max[base + static_cast<int64_t>(g)], part.max[g]);
    }
  }
}

void group_error(const Execution& execution, const GroupErrorArgs& args) {
  const GroupLayout& layout = args.layout;
  const std::vector<Segment> segments = segments_of(layout);
  const Bands bands(*args.x, layout);
  const SegmentError error = error_of(args.format);
  std::vector<std::vector<double>> parts(static_cast<size_t>(bands.count()));
  execution.parallel_for(bands.count(), [&](int64_t i) {
    const Band band = bands[i];
    std::vector<double>& part = parts[static_cast<size_t>(i)];
    part.assign(static_cast<size_t>(band.groups * layout.col_groups), 0.0);
    const int64_t base = band.first_group * layout.col_groups;
    for_each_segment(*args.x, layout, segments, band, [&](const float* x, int64_t n, int64_t group) {
      part[static_cast<size_t>(group)] += error(x, n, args.scale[base + group], args.zero_point[base + group], args.norm);
    });
  });
  std::fill_n(args.errors, static_cast<size_t>(layout.row_groups * layout.col_groups), 0.0);
  for (int64_t i = 0; i < bands.count(); ++i) {
    const std::vector<double>& part = parts[static_cast<size_t>(i)];
    const int64_t base = bands[i].first_group * layout.col_groups;
    for (size_t g = 0; g < part.size(); ++g) args.errors[base + static_cast<int64_t>(g)] += part[g];
  }
}

}  // namespace nvfp4cal::cpu
