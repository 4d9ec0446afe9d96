// Reads the golden cases under tests/golden/data: one .json with the cases and one .safetensors with their tensors.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/dtype.h"

namespace nvfp4cal::test {

struct GoldenTensor {
  Dtype dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  int64_t elements() const;
  // The elements as T, whose size must be the dtype's.
  template <class T>
  std::vector<T> as() const {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
  // float32, bfloat16 or float16 elements as float32.
  std::vector<float> floats() const;
};

class GoldenFamily {
 public:
  // Throws std::runtime_error if the files are not there or not understood.
  explicit GoldenFamily(const std::string& name);

  const nlohmann::json& cases() const { return description_.at("cases"); }
  const GoldenTensor& tensor(const std::string& name) const { return tensors_.at(name); }
  const GoldenTensor& input(const nlohmann::json& one, const char* key) const { return tensor(one.at("inputs").at(key)); }
  const GoldenTensor& expected(const nlohmann::json& one, const char* key) const { return tensor(one.at("expect").at(key)); }

 private:
  nlohmann::json description_;
  std::map<std::string, GoldenTensor> tensors_;
};

}  // namespace nvfp4cal::test
