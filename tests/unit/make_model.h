// Small model folders for the tests of src/checkpoint.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::test {

// A fresh folder, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nvfp4cal-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string make(const std::string& name) const {
    std::filesystem::create_directories(path_ + "/" + name);
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::vector<std::string> list(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Length and JSON, as they lie at the beginning of a file.
inline std::string with_length(const std::string& json) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[static_cast<size_t>(i)] = static_cast<char>(json.size() >> (8 * i) & 0xFF);
  return bytes + json;
}

struct Weight {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

inline uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>(bits >> 16);  // truncation is good enough for test data
}

// Elements of a dtype from float32 values; F16 takes only values that it holds exactly (see random_weight).
inline std::string encode(const std::string& dtype, const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    if (dtype == "F32") {
      bytes.append(reinterpret_cast<const char*>(&value), 4);
    } else if (dtype == "F64") {
      const double wide = value;
      bytes.append(reinterpret_cast<const char*>(&wide), 8);
    } else if (dtype == "BF16") {
      const uint16_t half = to_bf16(value);
      bytes.append(reinterpret_cast<const char*>(&half), 2);
    } else {  // F16: normal numbers with up to 10 bits behind the first
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint32_t exponent = (bits >> 23 & 0xFF) - 112;
      const uint16_t half = static_cast<uint16_t>(value == 0.0f ? 0 : (bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3FF));
      bytes.append(reinterpret_cast<const char*>(&half), 2);
    }
  }
  return bytes;
}

// Values of multiples of 2^-7 below 2 in magnitude, times `scale`: exact in F32, BF16, F16 and F64 for powers of two.
inline std::vector<float> random_values(int64_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 255) - 127) / 128.0f * scale;
  return values;
}

inline int64_t count(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

inline Weight weight_of(const std::string& name, const std::string& dtype, std::vector<int64_t> shape, const std::vector<float>& values) {
  return {name, dtype, std::move(shape), encode(dtype, values)};
}

inline Weight random_weight(const std::string& name, const std::string& dtype, std::vector<int64_t> shape, float scale = 1.0f) {
  const int64_t n = count(shape);
  const auto seed = static_cast<uint32_t>(std::hash<std::string>{}(name));
  return weight_of(name, dtype, std::move(shape), random_values(n, seed, scale));
}

inline void write_safetensors(const std::string& path, const std::vector<Weight>& weights, const checkpoint::Metadata& metadata = {}) {
  std::vector<checkpoint::TensorEntry> entries;
  std::map<std::string, const Weight*> by_name;
  for (const Weight& weight : weights) {
    entries.push_back({weight.name, checkpoint::find_dtype(weight.dtype), weight.shape, 0, 0});
    by_name[weight.name] = &weight;
  }
  std::string bytes = checkpoint::build_header(path, entries, metadata);
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  for (const checkpoint::TensorEntry& entry : entries) bytes += by_name.at(entry.name)->bytes;
  write_file(path, bytes);
}

// A parsed file: entries by name and the data section.
struct StoredFile {
  checkpoint::Header header;
  std::string data;

  const checkpoint::TensorEntry& entry(const std::string& name) const {
    for (const checkpoint::TensorEntry& tensor : header.tensors) {
      if (tensor.name == name) return tensor;
    }
    throw std::runtime_error("no tensor " + name);
  }
  bool has(const std::string& name) const {
    for (const checkpoint::TensorEntry& tensor : header.tensors) {
      if (tensor.name == name) return true;
    }
    return false;
  }
  std::string bytes(const std::string& name) const {
    const checkpoint::TensorEntry& tensor = entry(name);
    return data.substr(static_cast<size_t>(tensor.begin), static_cast<size_t>(tensor.bytes()));
  }
  float scalar(const std::string& name) const {
    float value;
    std::memcpy(&value, bytes(name).data(), 4);
    return value;
  }
};

inline StoredFile read_safetensors(const std::string& path) {
  const std::string bytes = read_file(path);
  const int64_t size = static_cast<int64_t>(bytes.size());
  const int64_t length = checkpoint::header_length(path, reinterpret_cast<const unsigned char*>(bytes.data()), size);
  const size_t begin = static_cast<size_t>(8 + length);
  StoredFile file;
  file.header =
      checkpoint::parse_header(path, std::string_view(bytes).substr(8, static_cast<size_t>(length)), size - static_cast<int64_t>(begin));
  file.data = bytes.substr(begin);
  return file;
}

// The message of the exception that `action` throws; empty if it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace nvfp4cal::test
