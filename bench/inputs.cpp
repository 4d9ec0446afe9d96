#include "inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>

namespace bench {

namespace {

uint16_t to_bf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return static_cast<uint16_t>((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

// The multiple of a power of two nearest to |x|, counted: normal numbers have 11 bits, those below 2^-14 fewer.
uint16_t to_f16(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float magnitude = std::fabs(x);
  if (magnitude < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f)));
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7C00);
  int exponent;
  const float mantissa = std::frexp(magnitude, &exponent);  // [1/2, 1)
  const int steps = static_cast<int>(std::nearbyint(mantissa * 2048.0f));
  return static_cast<uint16_t>(sign | ((exponent + 13) * 1024 + steps));
}

std::vector<float> read_floats(const std::string& path, int64_t most) {
  std::vector<float> values(static_cast<size_t>(most));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(most * 4));
  values.resize(static_cast<size_t>(file.gcount()) / 64 * 16);
  if (values.empty()) throw std::invalid_argument("no float32 numbers in '" + path + "'");
  return values;
}

// Numbers that are repeated: making gigabytes of them would take longer than the measurement.
std::vector<float> make_period(const std::string& name, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  std::mt19937_64 random(77);
  std::normal_distribution<float> normal;
  std::student_t_distribution<float> student(3.0f);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  float block_range = 1.0f;
  for (int64_t i = 0; i < n; ++i) {
    if (i % 16 == 0) block_range = std::exp2(-static_cast<float>(random() % 24));
    float& x = values[static_cast<size_t>(i)];
    if (name == "normal")
      x = normal(random);
    else if (name == "tiny")
      x = 1e-37f * normal(random);
    else if (name == "huge")
      x = 1e37f * normal(random);
    else if (name == "student_t3")
      x = student(random);
    else if (name == "subnormal")
      x = i == 777 ? 1.0f : 1e-5f * normal(random);
    else if (name == "top")
      x = uniform(random);
    else if (name == "ranges")
      x = block_range * normal(random);
    else if (name != "zero")
      throw std::invalid_argument("unknown input " + name);
  }
  return values;
}

}  // namespace

const std::vector<std::string>& input_names() {
  static const std::vector<std::string> names = {"normal", "student_t3", "subnormal", "top", "ranges", "tiny", "huge", "zero"};
  return names;
}

Input make_input(const std::string& name, int64_t elements, const std::string& file, const std::string& dtype) {
  const std::vector<float> period =
      name == "layer" ? read_floats(file, elements) : make_period(name, std::min<int64_t>(elements, int64_t{1} << 20));
  const size_t n = static_cast<size_t>(elements);
  const bool fits_f16 = name != "tiny" && name != "huge";
  Input input{name, {}, {}, {}};
  const auto fill = [&](const char* wanted, auto& values, auto&& convert) {
    if (!dtype.empty() && dtype != wanted) return;
    values.resize(n);
    for (size_t i = 0; i < n; ++i) values[i] = i < period.size() ? convert(period[i]) : values[i - period.size()];
  };
  fill("f32", input.f32, [](float x) { return x; });
  fill("bf16", input.bf16, to_bf16);
  if (fits_f16) fill("f16", input.f16, to_f16);
  return input;
}

}  // namespace bench
