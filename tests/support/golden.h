// Reads families of golden cases: one .json with the cases and one .safetensors with their tensors. Knows nothing of the library but its header.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace nvfp4cal::test {

// The bfloat16 or float16 number of these bits.
float half_value(uint16_t bits, bool bf16);

struct GoldenTensor {
  int32_t dtype = 0;  // NVFP4CAL_DTYPE_*, or kI32
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  static constexpr int32_t kI32 = 0x12000;  // DLPack's code; the library has no use for it

  int64_t elements() const;
  // The elements as T, whose size must be the dtype's.
  template <class T>
  std::vector<T> as() const {
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
  // Elements of a float dtype as float32.
  std::vector<float> floats() const;
  // Elements of any dtype as numbers.
  std::vector<double> numbers() const;
};

// A tensor of these elements.
template <class T>
GoldenTensor golden_tensor(int32_t dtype, std::vector<int64_t> shape, const std::vector<T>& values) {
  const char* const begin = reinterpret_cast<const char*>(values.data());
  return {dtype, std::move(shape), {begin, begin + values.size() * sizeof(T)}};
}

// Where tests/golden and the cases of the repository lie. The build says so; NVFP4CAL_TEST_DATA may say otherwise (tests run on another machine).
std::string golden_folder();

nlohmann::json read_json(const std::string& path);

struct GoldenFamily {
  nlohmann::json description;
  std::map<std::string, GoldenTensor> tensors;

  GoldenFamily() = default;
  // A family of the repository, or the files `stem`.json and .safetensors. Throws std::runtime_error if they are not there or not understood.
  explicit GoldenFamily(const std::string& name) : GoldenFamily(open(golden_folder() + "/data/" + name)) {}
  static GoldenFamily open(const std::string& stem);

  const nlohmann::json& cases() const { return description.at("cases"); }
  const GoldenTensor& tensor(const std::string& name) const;
  const GoldenTensor& input(const nlohmann::json& one, const std::string& key) const { return tensor(one.at("inputs").at(key)); }
  const GoldenTensor& expected(const nlohmann::json& one, const std::string& key) const { return tensor(one.at("expect").at(key)); }
};

}  // namespace nvfp4cal::test
