// One case of the table, and what the library answers to it.
#pragma once

#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "nvfp4cal.h"
#include "support/golden.h"

namespace nvfp4cal::test {

// Named outputs, as README.md calls them.
using Outputs = std::map<std::string, GoldenTensor>;

// Everything throws std::exception where the case does not say what is asked.
struct Case {
  const GoldenFamily& family;
  const nlohmann::json& one;

  std::string name() const { return one.at("name"); }

  bool has_param(const char* key) const { return one.at("params").contains(key) && !one.at("params").at(key).is_null(); }
  template <class T>
  T param(const char* key) const {
    if (!has_param(key)) throw std::runtime_error(std::string("no param ") + key);
    return one.at("params").at(key).get<T>();
  }
  template <class T>
  T param(const char* key, const T& otherwise) const {
    return has_param(key) ? param<T>(key) : otherwise;
  }

  bool has_input(const std::string& key) const { return one.at("inputs").contains(key); }
  const GoldenTensor& input(const std::string& key) const {
    if (!has_input(key)) throw std::runtime_error("no input " + key);
    return family.input(one, key);
  }
  // x0, x1, ...: what is collected, in order.
  std::vector<const GoldenTensor*> stream() const {
    std::vector<const GoldenTensor*> tensors;
    while (has_input("x" + std::to_string(tensors.size()))) tensors.push_back(&input("x" + std::to_string(tensors.size())));
    return tensors;
  }

  bool expects(const std::string& key) const { return one.at("expect").contains(key); }
  const GoldenTensor& expected(const std::string& key) const {
    if (!expects(key)) throw std::runtime_error("no expectation " + key);
    return family.expected(one, key);
  }

  // A count under `agreement`, 0 where there is none.
  int64_t agreed(const char* key) const {
    const auto found = one.find("agreement");
    return found == one.end() ? 0 : found->value(key, int64_t{0});
  }
};

// What a case of `casts` rounds: x, or all 65536 patterns of the 16-bit format that its name ends in.
inline GoldenTensor cast_input(const Case& one) {
  if (one.has_input("x")) return one.input("x");
  const std::string name = one.name(), patterns = one.param<std::string>("input");
  const auto ends_in = [&](const std::string& end) { return name.size() >= end.size() && name.rfind(end) == name.size() - end.size(); };
  if (patterns != "bit pattern 0..65535" || !ends_in("f16")) throw std::runtime_error(name + ": patterns of what?");
  std::vector<uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), uint16_t{0});
  return golden_tensor(ends_in("bf16") ? NVFP4CAL_DTYPE_BF16 : NVFP4CAL_DTYPE_F16, {65536}, bits);
}

}  // namespace nvfp4cal::test
