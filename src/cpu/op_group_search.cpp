// The search for the range of least error of each group: scales of all steps, sums by the kernels, decisions. Most sums come from a filter; what it cannot
// tell apart is summed exactly, so that the outcome is the one of exact sums.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "cpu/group_bands.h"
#include "cpu/ops.h"
#include "cpu/range_filter.h"
#include "cpu/targets.h"
#include "num/power.h"

namespace nvfp4cal::cpu {

namespace {

using Improved = std::array<bool, kLargestSteps>;

class Search {
 public:
  Search(const Execution& execution, const GroupSearchArgs& args)
      : execution_(execution),
        args_(args),
        kernels_(kernels_of(execution)),
        bands_(*args.x, args.layout),
        col_groups_(args.layout.col_groups()),
        filtered_(kernels_.range_filter && filter_takes(args.norm)) {
    for (int shift = -kLargestShift; filtered_ && shift <= kLargestShift; ++shift)
      units_.push_back(num::power(std::ldexp(1.0, -shift), args.norm));
  }

  void run() {
    std::vector<Improved> improved(static_cast<size_t>(std::max<int64_t>(bands_.count(), 1)), Improved{});
    if (bands_.hold_whole_groups()) {
      execution_.parallel_for(bands_.count(), [&](int64_t b) { search_band(bands_[b], improved[static_cast<size_t>(b)]); });
    } else {
      search_joined(improved[0]);
    }
    for (const Improved& by_band : improved) {
      for (int32_t k = 0; k < args_.steps; ++k) args_.improved[k] = args_.improved[k] || by_band[static_cast<size_t>(k)];
    }
  }

 private:
  // The scales of a row group, [steps, col_groups], and which of its groups the filter takes.
  struct Scales {
    std::vector<float> scale, zero_point;
    std::vector<int> shift;  // [col_groups]
    std::vector<bool> filtered;
  };

  Scales make_scales() const {
    const size_t groups = static_cast<size_t>(col_groups_), all = groups * static_cast<size_t>(args_.steps);
    return {std::vector<float>(all), std::vector<float>(all), std::vector<int>(groups), std::vector<bool>(groups)};
  }

  num::RangeRule rule(int64_t step) const { return {args_.format, args_.symmetric, args_.global_scales[step], args_.fp8}; }

  void set_scales(int64_t row_group, bool filtered, Scales& scales) const {
    const float *const min = args_.min + row_group * col_groups_, *const max = args_.max + row_group * col_groups_;
    for (int64_t k = 0; k < args_.steps; ++k) {
      const int64_t step = args_.first_step + k;
      kernels_.range_scales(rule(step), args_.factors[step], min, max, col_groups_, scales.scale.data() + k * col_groups_,
                            scales.zero_point.data() + k * col_groups_);
    }
    for (int64_t g = 0; g < col_groups_; ++g) {
      const size_t at = static_cast<size_t>(g);
      scales.filtered[at] = filtered && filter_shift(min[g], max[g], &scales.shift[at]);
    }
  }

  // Adds the sums of rows of one row group to errors[steps, col_groups].
  void add_errors(RowReader& reader, int64_t first, int64_t rows, const Scales& scales, double* errors) const {
    for_each_run(reader, args_.layout, first, rows, [&](const float* x, int64_t n, int64_t g) {
      const float *const scale = scales.scale.data() + g, *const zero_point = scales.zero_point.data() + g;
      if (scales.filtered[static_cast<size_t>(g)]) {
        kernels_.range_filter(args_.format, static_cast<float>(args_.norm), scales.shift[static_cast<size_t>(g)], x, n, scale, zero_point,
                              args_.steps, errors + g, col_groups_);
      } else {
        kernels_.range_errors(args_.format, args_.norm, x, n, scale, zero_point, args_.steps, errors + g, col_groups_);
      }
    });
  }

  // ---- decisions ----

  num::RangeScale scale_of(int64_t group, int64_t step) const {
    return num::search_range_scale(args_.min[group], args_.max[group], args_.factors[step], rule(step));
  }

  bool same_scale(int64_t group, int64_t step, int64_t other) const {
    const num::RangeScale a = scale_of(group, step), b = scale_of(group, other);
    return a.scale == b.scale && a.zero_point == b.zero_point;
  }

  // What a filtered sum of a group is in the units of exact ones, and how far it may be off.
  struct Filter {
    double unit = 1.0, slack = 0.0;
    bool on = false;

    double lowest(const GroupBest& one) const { return one.exact ? one.error : one.error * (1.0 - 2.0 * kFilterError) - slack; }
    double highest(const GroupBest& one) const { return one.exact ? one.error : one.error * (1.0 + 2.0 * kFilterError) + slack; }
  };

  Filter filter_of(const Scales& scales, int64_t col_group, int64_t elements) const {
    const size_t g = static_cast<size_t>(col_group);
    if (!scales.filtered[g]) return {};
    const double unit = units_[static_cast<size_t>(scales.shift[g] + kLargestShift)];
    return {unit, kFilterSlack * unit * static_cast<double>(elements), true};
  }

  // Takes the steps of one group in order. errors[k * col_groups_]: their sums; exact(step): the exact one.
  template <class Exact>
  void decide(int64_t group, const Filter& filter, const double* errors, Exact&& exact, Improved& improved) const {
    GroupBest& best = args_.best[group];
    for (int32_t k = 0; k < args_.steps && !(best.exact && best.error == 0.0); ++k) {
      GroupBest now{errors[k * col_groups_] * filter.unit, args_.first_step + k, !filter.on};
      if (filter.lowest(now) >= filter.highest(best)) continue;
      if (!(filter.highest(now) < filter.lowest(best))) {
        if (same_scale(group, now.step, best.step)) continue;
        if (!now.exact) now = {exact(now.step), now.step, true};
        if (!best.exact) best = {exact(best.step), best.step, true};
        if (!(now.error < best.error)) continue;
      }
      best = now;
      improved[static_cast<size_t>(k)] = true;
    }
  }

  double exact_sum(RowReader& reader, int64_t first, int64_t rows, int64_t group, int64_t step) const {
    const num::RangeScale one = scale_of(group, step);
    double sum = 0.0;
    for (int64_t r = first; r < first + rows; ++r) {
      int64_t n = 0;
      const float* const x = reader.run(r, group % col_groups_, &n);
      if (n > 0) kernels_.range_errors(args_.format, args_.norm, x, n, &one.scale, &one.zero_point, 1, &sum, 1);
    }
    return sum;
  }

  // ---- bands ----

  void search_band(const Band& band, Improved& improved) const {
    RowReader reader(kernels_, *args_.x, args_.layout);
    Scales scales = make_scales();
    std::vector<double> errors(scales.scale.size());
    for_each_row_group(args_.layout, band, [&](int64_t first, int64_t rows, int64_t in_band) {
      const int64_t row_group = band.first_group + in_band;
      set_scales(row_group, filtered_, scales);
      std::fill(errors.begin(), errors.end(), 0.0);
      add_errors(reader, first, rows, scales, errors.data());
      for (int64_t g = 0; g < col_groups_; ++g) {
        const int64_t group = row_group * col_groups_ + g;
        const Filter filter = filter_of(scales, g, rows * args_.layout.width);
        decide(
            group, filter, errors.data() + g, [&](int64_t step) { return exact_sum(reader, first, rows, group, step); }, improved);
      }
    });
  }

  // Sums of groups that several bands have, [row groups, steps, col groups], the bands' parts added in order.
  template <class Part>
  std::vector<double> joined(size_t of_row_group, Part&& part) const {
    std::vector<std::vector<double>> parts(static_cast<size_t>(bands_.count()));
    execution_.parallel_for(bands_.count(), [&](int64_t b) {
      std::vector<double>& sums = parts[static_cast<size_t>(b)];
      sums.assign(static_cast<size_t>(bands_[b].groups) * of_row_group, 0.0);
      RowReader reader(kernels_, *args_.x, args_.layout);
      for_each_row_group(args_.layout, bands_[b], [&](int64_t first, int64_t rows, int64_t in_band) {
        part(reader, first, rows, bands_[b].first_group + in_band, sums.data() + static_cast<size_t>(in_band) * of_row_group);
      });
    });
    std::vector<double> all(static_cast<size_t>(args_.layout.row_groups) * of_row_group);
    for (int64_t b = 0; b < bands_.count(); ++b) {
      const std::vector<double>& sums = parts[static_cast<size_t>(b)];
      double* const to = all.data() + static_cast<size_t>(bands_[b].first_group) * of_row_group;
      for (size_t i = 0; i < sums.size(); ++i) to[i] += sums[i];
    }
    return all;
  }

  // An exact sum takes a pass over the tensor here: the filter is for a single group.
  void search_joined(Improved& improved) const {
    const bool filtered = filtered_ && args_.layout.row_groups * col_groups_ == 1;
    const size_t of_row_group = static_cast<size_t>(col_groups_ * args_.steps);
    const std::vector<double> errors =
        joined(of_row_group, [&](RowReader& reader, int64_t first, int64_t rows, int64_t row_group, double* sums) {
          Scales scales = make_scales();
          set_scales(row_group, filtered, scales);
          add_errors(reader, first, rows, scales, sums);
        });
    Scales scales = make_scales();
    set_scales(0, filtered, scales);
    const auto exact = [&](int64_t step) {
      return joined(1, [&](RowReader& reader, int64_t first, int64_t rows, int64_t, double* sum) {
        *sum += exact_sum(reader, first, rows, 0, step);
      })[0];
    };
    for (int64_t group = 0; group < args_.layout.row_groups * col_groups_; ++group) {
      const int64_t row_group = group / col_groups_, g = group % col_groups_;
      const Filter filter = filtered ? filter_of(scales, 0, args_.x->elements()) : Filter{};
      decide(group, filter, errors.data() + static_cast<size_t>(row_group) * of_row_group + g, exact, improved);
    }
  }

  const Execution& execution_;
  const GroupSearchArgs& args_;
  const Kernels& kernels_;
  const Bands bands_;
  const int64_t col_groups_;
  const bool filtered_;
  std::vector<double> units_;  // (2^-shift)^norm for all shifts
};

}  // namespace

void group_search(const Execution& execution, const GroupSearchArgs& args) { Search(execution, args).run(); }

}  // namespace nvfp4cal::cpu
