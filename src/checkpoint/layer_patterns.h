// The caller's patterns over layers, and which of them found one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/glob.h"

namespace nvfp4cal::checkpoint {

class LayerPatterns {
 public:
  // what: "include", in warnings.
  LayerPatterns(const char* what, const std::vector<std::string>& patterns);

  bool empty() const { return patterns_.empty(); }
  // The first pattern that matches the tensor's name or its module's, as the caller wrote it; NULL: none does. All that do are marked as used.
  const std::string* find(const std::string& tensor_name);
  // One of the patterns is the name itself, without `*` and `?`.
  bool names(const std::string& tensor_name) const;
  // Its place in the caller's list.
  size_t index_of(const std::string* pattern) const;
  void warn_of_unused(std::vector<std::string>& warnings) const;

 private:
  struct Pattern {
    Glob glob;
    bool used = false;
  };
  const char* what_;
  std::vector<Pattern> patterns_;
};

}  // namespace nvfp4cal::checkpoint
