#include "inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

namespace bench {

namespace {

uint16_t to_bf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return static_cast<uint16_t>((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

}  // namespace

const std::vector<std::string>& input_names() {
  static const std::vector<std::string> names = {"normal", "student_t3", "subnormal", "top", "ranges", "zero"};
  return names;
}

Input make_input(const std::string& name, int64_t elements) {
  // A megaelement of random numbers, repeated: making gigabytes of them would take longer than the measurement.
  const int64_t period = std::min<int64_t>(elements, int64_t{1} << 20);
  Input input{name, std::vector<float>(static_cast<size_t>(elements)), std::vector<uint16_t>(static_cast<size_t>(elements))};
  std::mt19937_64 random(77);
  std::normal_distribution<float> normal;
  std::student_t_distribution<float> student(3.0f);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  float block_range = 1.0f;
  for (int64_t i = 0; i < period; ++i) {
    if (i % 16 == 0) block_range = std::exp2(-static_cast<float>(random() % 24));
    float& x = input.f32[static_cast<size_t>(i)];
    if (name == "normal")
      x = normal(random);
    else if (name == "student_t3")
      x = student(random);
    else if (name == "subnormal")
      x = i == 777 ? 1.0f : 1e-5f * normal(random);
    else if (name == "top")
      x = uniform(random);
    else if (name == "ranges")
      x = block_range * normal(random);
    else if (name == "zero")
      x = 0.0f;
    else
      throw std::invalid_argument("unknown input " + name);
  }
  for (int64_t i = period; i < elements; ++i) input.f32[static_cast<size_t>(i)] = input.f32[static_cast<size_t>(i % period)];
  for (int64_t i = 0; i < elements; ++i) input.bf16[static_cast<size_t>(i)] = to_bf16(input.f32[static_cast<size_t>(i)]);
  return input;
}

}  // namespace bench
