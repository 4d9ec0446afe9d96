#include "support/golden.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "num/half.h"

namespace nvfp4cal::test {

namespace {

// The build says where the test data lie; the environment may say otherwise (tests run on another machine).
std::string data_folder() {
  if (const char* folder = std::getenv("NVFP4CAL_TEST_DATA")) return std::string(folder) + "/data";
#ifdef NVFP4CAL_TEST_DATA
  return NVFP4CAL_TEST_DATA "/data";
#else
  throw std::runtime_error("NVFP4CAL_TEST_DATA does not say where tests/golden is");
#endif
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Dtype dtype_of(const std::string& name) {
  if (name == "F64") return Dtype::kF64;
  if (name == "F32") return Dtype::kF32;
  if (name == "BF16") return Dtype::kBf16;
  if (name == "F16") return Dtype::kF16;
  if (name == "U8") return Dtype::kU8;
  if (name == "I8") return Dtype::kI8;
  if (name == "I64") return Dtype::kI64;
  throw std::runtime_error("golden tensor of dtype " + name);
}

}  // namespace

int64_t GoldenTensor::elements() const { return static_cast<int64_t>(bytes.size() / dtype_size(dtype)); }

std::vector<float> GoldenTensor::floats() const {
  if (dtype == Dtype::kF32) return as<float>();
  if (dtype != Dtype::kBf16 && dtype != Dtype::kF16) throw std::runtime_error("golden tensor is not of a float dtype");
  std::vector<float> values;
  for (const uint16_t half : as<uint16_t>()) values.push_back(dtype == Dtype::kBf16 ? num::bf16_to_f32(half) : num::f16_to_f32(half));
  return values;
}

GoldenFamily::GoldenFamily(const std::string& name) {
  const std::string path = data_folder() + "/" + name;
  description_ = nlohmann::json::parse(read_file(path + ".json"));
  const std::string file = read_file(path + ".safetensors");
  uint64_t header_size;
  if (file.size() < sizeof header_size) throw std::runtime_error(path + ".safetensors is too short");
  std::memcpy(&header_size, file.data(), sizeof header_size);
  const std::string_view body = std::string_view(file).substr(8 + header_size);
  const nlohmann::json header = nlohmann::json::parse(file.substr(8, header_size));
  for (const auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") continue;
    const size_t begin = entry.at("data_offsets")[0], end = entry.at("data_offsets")[1];
    if (begin > end || end > body.size()) throw std::runtime_error(tensor + " lies outside its file");
    tensors_[tensor] = {dtype_of(entry.at("dtype")), entry.at("shape").get<std::vector<int64_t>>(),
                        std::vector<char>(body.begin() + static_cast<int64_t>(begin), body.begin() + static_cast<int64_t>(end))};
  }
}

}  // namespace nvfp4cal::test
