// NVFP4 written out as plain loops from its formulas, to compare the library with. Nothing here is shared with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

inline float e4m3_value(int code) {
  if (code < 8) return std::ldexp(static_cast<float>(code), -9);
  return std::ldexp(static_cast<float>(8 + (code & 7)), (code >> 3) - 10);
}

// The code 1..126 nearest to y; the even one of two.
inline int nearest_e4m3(float y) {
  int best = 1;
  for (int code = 2; code <= 126; ++code) {
    const double here = std::fabs(static_cast<double>(e4m3_value(code)) - static_cast<double>(y));
    const double there = std::fabs(static_cast<double>(e4m3_value(best)) - static_cast<double>(y));
    if (here < there || (here == there && code % 2 == 0)) best = code;
  }
  return best;
}

inline float e2m1_value(int nibble) {
  constexpr float kMagnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  return nibble & 8 ? -kMagnitudes[nibble & 7] : kMagnitudes[nibble & 7];
}

// The level nearest to y >= 0, the even one of two.
inline int nearest_e2m1(double y) {
  constexpr double kMiddles[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0};
  int code = 0;
  while (code < 7 && (y > kMiddles[code] || (y == kMiddles[code] && code % 2 == 1))) ++code;
  return code;
}

inline float block_max(const float* x, int block) {
  float maximum = 0.0f;
  for (int i = 0; i < block; ++i) maximum = std::max(maximum, std::fabs(x[i]));
  return maximum;
}

inline float global_scale(float global_amax, int normalization) { return global_amax / (6.0f * static_cast<float>(normalization)); }

inline std::vector<uint8_t> max_codes(const std::vector<float>& x, float global_amax, int block, int normalization) {
  std::vector<uint8_t> codes;
  for (size_t i = 0; i < x.size(); i += static_cast<size_t>(block)) {
    const float b = block_max(x.data() + i, block) / (6.0f * global_scale(global_amax, normalization));
    codes.push_back(b == 0.0f ? uint8_t{0x38} : static_cast<uint8_t>(nearest_e4m3(b)));
  }
  return codes;
}

// The float64 error of a block under the search's float32 scale of a code.
inline double block_error(const float* x, const float* weights, int block, int code, float global_amax, int normalization) {
  const float candidate = e4m3_value(code) / static_cast<float>(normalization);
  const double scale = static_cast<double>((candidate * global_amax) / 6.0f);
  double error = 0.0;
  for (int i = 0; i < block; ++i) {
    const double magnitude = std::fabs(static_cast<double>(x[i]));
    const double rest = magnitude - scale * static_cast<double>(e2m1_value(nearest_e2m1(magnitude / scale)));
    error += (weights ? static_cast<double>(weights[i]) : 1.0) * rest * rest;
  }
  return error;
}

// Whether no code from lo to hi is better than `code`, as far as float32 sums can tell.
inline bool is_best_code(const float* x, const float* weights, int block, int code, float global_amax, int normalization, int lo = 1,
                         int hi = 126) {
  if (code < lo || code > hi) return false;
  double squares = 0.0, best = INFINITY;
  for (int i = 0; i < block; ++i) {
    squares += (weights ? static_cast<double>(weights[i]) : 1.0) * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  for (int c = lo; c <= hi; ++c) best = std::min(best, block_error(x, weights, block, c, global_amax, normalization));
  return block_error(x, weights, block, code, global_amax, normalization) <= best * (1 + 2e-6) + 1e-13 * squares;
}

inline std::vector<uint8_t> packed_nibbles(const std::vector<float>& x, const std::vector<uint8_t>& codes, int block, float s2) {
  std::vector<uint8_t> packed(x.size() / 2);
  for (size_t i = 0; i < x.size(); ++i) {
    const float scale = e4m3_value(codes[i / static_cast<size_t>(block)]) * s2;
    const int nibble = nearest_e2m1(static_cast<double>(std::fabs(x[i]) / scale)) | (x[i] < 0 ? 8 : 0);
    packed[i / 2] = static_cast<uint8_t>(packed[i / 2] | nibble << (i % 2 * 4));
  }
  return packed;
}

// reciprocal: the order of compressed-tensors, whose global scale divides.
inline std::vector<float> decoded(const std::vector<uint8_t>& packed, const std::vector<uint8_t>& codes, int block, float global,
                                  bool reciprocal = false) {
  std::vector<float> values(packed.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint8_t byte = codes[i / static_cast<size_t>(block)];
    const float v = byte & 0x80 ? -e4m3_value(byte & 0x7F) : e4m3_value(byte);
    const float scale = reciprocal ? v / global : v * global;
    values[i] = e2m1_value(packed[i / 2] >> (i % 2 * 4) & 15) * scale;
  }
  return values;
}

// Where scale (m, k) of a matrix with `columns` scales a row lies in the 128x4 tiles.
inline size_t tile_offset(int64_t m, int64_t k, int64_t columns) {
  const int64_t tiles = (columns + 3) / 4;
  return static_cast<size_t>((m / 128) * tiles * 512 + (k / 4) * 512 + (m % 32) * 16 + ((m % 128) / 32) * 4 + k % 4);
}

inline std::vector<uint8_t> swizzled(const std::vector<uint8_t>& linear, int64_t stack, int64_t rows, int64_t columns) {
  const int64_t bytes = (rows + 127) / 128 * 128 * ((columns + 3) / 4 * 4);
  std::vector<uint8_t> tiles(static_cast<size_t>(stack * bytes), 0);
  for (int64_t s = 0; s < stack; ++s) {
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t k = 0; k < columns; ++k) {
        tiles[static_cast<size_t>(s * bytes) + tile_offset(m, k, columns)] = linear[static_cast<size_t>((s * rows + m) * columns + k)];
      }
    }
  }
  return tiles;
}

}  // namespace reference
