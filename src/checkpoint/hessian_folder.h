// A folder of Hessians, one file a layer: "<module>.hessian" holds an exported state of layout full. docs/checkpoint.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "calib/gptq.h"
#include "checkpoint/options.h"

namespace nvfp4cal::checkpoint {

class HessianFolder {
 public:
  // Options::hessians, which may be none, and how its layers are quantized.
  HessianFolder(const Execution& execution, const Options& options) : execution_(execution), options_(options), folder_(options.hessians) {}

  bool has(const std::string& module) const;
  // Size and time of a layer's file, for what depends on it.
  std::pair<int64_t, int64_t> stamp(const std::string& module) const;
  // A look at the start of a layer's file: throws unless it is of a full Hessian of so many columns.
  void check(const std::string& module, int64_t cols) const;
  // Ready to quantize the layer's weights [rows, cols]; valid until the next call. Layers behind one input, whose files are links to one, share the work. Errors
  // name the file.
  calib::Gptq& quantizer(const std::string& module, int64_t cols);

 private:
  static constexpr const char* kSuffix = ".hessian";
  static void require_columns(const std::string& file, int64_t found, int64_t wanted);
  std::string path(const std::string& module) const { return folder_ + "/" + module + kSuffix; }

  const Execution& execution_;
  const Options& options_;
  const std::string& folder_;
  calib::Gptq gptq_;
  std::pair<uint64_t, uint64_t> loaded_{0, 0};  // device and inode of the file whose Hessian gptq_ has
  int64_t cols_ = 0;
};

}  // namespace nvfp4cal::checkpoint
