#include "support/golden.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "nvfp4cal.h"

namespace nvfp4cal::test {

namespace {

struct NamedDtype {
  const char* name;
  int32_t dtype;
};
constexpr NamedDtype kDtypes[] = {{"F64", NVFP4CAL_DTYPE_F64}, {"F32", NVFP4CAL_DTYPE_F32}, {"BF16", NVFP4CAL_DTYPE_BF16},
                                  {"F16", NVFP4CAL_DTYPE_F16}, {"U8", NVFP4CAL_DTYPE_U8},   {"I8", NVFP4CAL_DTYPE_I8},
                                  {"I64", NVFP4CAL_DTYPE_I64}, {"I32", GoldenTensor::kI32}};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int32_t dtype_of(const std::string& name) {
  for (const NamedDtype& known : kDtypes) {
    if (name == known.name) return known.dtype;
  }
  throw std::runtime_error("golden tensor of dtype " + name);
}

size_t size_of(int32_t dtype) { return static_cast<size_t>(dtype >> 8 & 0xFF) / 8; }

template <class T, class From>
std::vector<T> converted(const std::vector<From>& from) {
  std::vector<T> values;
  values.reserve(from.size());
  for (const From value : from) values.push_back(static_cast<T>(value));
  return values;
}

}  // namespace

float half_value(uint16_t bits, bool bf16) {
  const int mantissa_bits = bf16 ? 7 : 10, largest = bf16 ? 0xFF : 0x1F, bias = bf16 ? 127 : 15;
  const int exponent = bits >> mantissa_bits & largest, mantissa = bits & ((1 << mantissa_bits) - 1);
  float magnitude = mantissa ? std::nanf("") : HUGE_VALF;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits);
  } else if (exponent < largest) {
    magnitude = std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)), exponent - bias - mantissa_bits);
  }
  return bits & 0x8000 ? -magnitude : magnitude;
}

int64_t GoldenTensor::elements() const { return static_cast<int64_t>(bytes.size() / size_of(dtype)); }

std::vector<float> GoldenTensor::floats() const {
  if (dtype == NVFP4CAL_DTYPE_F32) return as<float>();
  if (dtype == NVFP4CAL_DTYPE_F64) return converted<float>(as<double>());
  if (dtype != NVFP4CAL_DTYPE_BF16 && dtype != NVFP4CAL_DTYPE_F16) throw std::runtime_error("golden tensor is not of a float dtype");
  std::vector<float> values;
  for (const uint16_t half : as<uint16_t>()) values.push_back(half_value(half, dtype == NVFP4CAL_DTYPE_BF16));
  return values;
}

std::vector<double> GoldenTensor::numbers() const {
  switch (dtype) {
    case NVFP4CAL_DTYPE_F64: return as<double>();
    case NVFP4CAL_DTYPE_I64: return converted<double>(as<int64_t>());
    case kI32: return converted<double>(as<int32_t>());
    case NVFP4CAL_DTYPE_I8: return converted<double>(as<int8_t>());
    case NVFP4CAL_DTYPE_U8: return converted<double>(as<uint8_t>());
    default: return converted<double>(floats());
  }
}

std::string golden_folder() {
  if (const char* folder = std::getenv("NVFP4CAL_TEST_DATA")) return folder;
#ifdef NVFP4CAL_TEST_DATA
  return NVFP4CAL_TEST_DATA;
#else
  throw std::runtime_error("NVFP4CAL_TEST_DATA does not say where tests/golden is");
#endif
}

nlohmann::json read_json(const std::string& path) { return nlohmann::json::parse(read_file(path)); }

const GoldenTensor& GoldenFamily::tensor(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw std::runtime_error("no tensor " + name);
  return found->second;
}

GoldenFamily GoldenFamily::open(const std::string& stem) {
  GoldenFamily family;
  family.description = read_json(stem + ".json");
  const std::string file = read_file(stem + ".safetensors");
  uint64_t header_size;
  if (file.size() < sizeof header_size) throw std::runtime_error(stem + ".safetensors is too short");
  std::memcpy(&header_size, file.data(), sizeof header_size);
  if (header_size > file.size() - 8) throw std::runtime_error(stem + ".safetensors is too short");
  const std::string_view body = std::string_view(file).substr(8 + header_size);
  const nlohmann::json header = nlohmann::json::parse(file.substr(8, header_size));
  for (const auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") continue;
    const size_t begin = entry.at("data_offsets")[0], end = entry.at("data_offsets")[1];
    const int32_t dtype = dtype_of(entry.at("dtype"));
    const auto shape = entry.at("shape").get<std::vector<int64_t>>();
    size_t size = size_of(dtype);
    for (const int64_t extent : shape) size *= static_cast<size_t>(extent);
    if (begin > end || end > body.size() || end - begin != size) throw std::runtime_error(tensor + " does not fit into its file");
    family.tensors[tensor] = {dtype, shape,
                              std::vector<char>(body.begin() + static_cast<int64_t>(begin), body.begin() + static_cast<int64_t>(end))};
  }
  return family;
}

}  // namespace nvfp4cal::test
