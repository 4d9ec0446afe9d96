#include "checkpoint/copy_shares.h"

#include <algorithm>

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kCut = int64_t{1} << 20;

}  // namespace

std::vector<std::vector<CopyTask>> copy_shares(std::vector<CopyTask> copies, const std::vector<int64_t>& quantized) {
  double to_copy = 0.0, to_quantize = 0.0;
  for (const CopyTask& copy : copies) to_copy += static_cast<double>(copy.bytes);
  for (const int64_t bytes : quantized) to_quantize += static_cast<double>(bytes);
  std::vector<std::vector<CopyTask>> shares(quantized.size());
  size_t next = 0;
  double wanted = 0.0, given = 0.0;  // by the portions so far
  for (size_t portion = 0; portion < shares.size(); ++portion) {
    const bool last = portion + 1 == shares.size();
    wanted += static_cast<double>(quantized[portion]);
    while (next < copies.size() && (last || given * to_quantize < to_copy * wanted)) {
      CopyTask& rest = copies[next];
      const int64_t bytes = std::min(rest.bytes, last ? rest.bytes : kCut);
      std::vector<CopyTask>& share = shares[portion];
      if (!share.empty() && share.back().source == rest.source) {
        share.back().bytes += bytes;
      } else if (bytes > 0) {
        share.push_back({rest.source, rest.first, bytes, rest.at});
      }
      rest.first += bytes;
      rest.at += bytes;
      rest.bytes -= bytes;
      given += static_cast<double>(bytes);
      if (rest.bytes == 0) ++next;
    }
  }
  return shares;
}

}  // namespace nvfp4cal::checkpoint
