#include "calib/observer_device.h"

#include <algorithm>

#include "num/ordered.h"

namespace nvfp4cal::calib {

namespace {

int64_t groups_of(const GroupLayout& layout) { return layout.row_groups * layout.col_groups(); }

DeviceArray<int64_t> columns_of(const Device& device, const GroupLayout& layout) {
  DeviceArray<int64_t> columns(device, layout.columns ? layout.cols : 0);
  if (layout.columns) columns.set(layout.columns);
  return columns;
}

}  // namespace

void group_range_on_device(const Device& device, const GroupRangeArgs& args) {
  const int64_t groups = groups_of(args.layout);
  const DeviceChecker check(device);
  const DeviceArray<int64_t> columns = columns_of(device, args.layout);
  const DeviceArray<uint32_t> least(device, groups), largest(device, groups);
  least.clear();
  largest.clear();
  DeviceGroupRangeArgs there{args.x, args.layout, least.data(), largest.data(), check.get()};
  there.layout.columns = columns.data();
  device.run(&DeviceOps::group_range, there);
  device.run(&DeviceOps::close_check, DeviceCloseArgs{args.x, check.get(), nullptr, 0});
  check.wait("x");
  const std::vector<uint32_t> low = least.read(), high = largest.read();
  std::transform(low.begin(), low.end(), args.min, [](uint32_t key) { return num::from_order_key(~key); });
  std::transform(high.begin(), high.end(), args.max, num::from_order_key);
}

DeviceGroupSearch::DeviceGroupSearch(const Device& device, const GroupSearchArgs& args)
    : device_(device),
      groups_(groups_of(args.layout)),
      columns_(columns_of(device, args.layout)),
      min_(device, groups_),
      max_(device, groups_),
      best_(device, groups_),
      sums_(device, device.ops().group_sums(args)),
      improved_(device, kLargestSteps) {
  min_.set(args.min);
  max_.set(args.max);
  best_.set(args.best);
}

void DeviceGroupSearch::run(const GroupSearchArgs& args) const {
  const int64_t rows = (args.x->elements() + args.layout.cols - 1) / args.layout.cols;
  DeviceGroupSearchArgs there{args, group_parts(rows, args.layout), sums_.data(), improved_.data()};
  there.search.layout.columns = columns_.data();
  there.search.min = min_.data();
  there.search.max = max_.data();
  there.search.best = best_.data();
  improved_.clear();
  device_.run(&DeviceOps::group_search, there);
  const std::vector<uint32_t> improved = improved_.read();
  for (int32_t k = 0; k < args.steps; ++k) args.improved[k] = improved[static_cast<size_t>(k)] != 0;
}

void DeviceGroupSearch::read(std::vector<GroupBest>& best) const { best = best_.read(); }

}  // namespace nvfp4cal::calib
