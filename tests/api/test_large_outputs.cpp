// Outputs beyond the caches' size are written past them (cpu/store.h): the same values as in small pieces, from any address, by any number of threads.
#include <cstring>

#include "one_call.h"

using namespace api_test;

namespace {

constexpr int64_t kCols = 4096, kRowsOfPiece = 8;

// Just above the bytes from which on outputs are streamed.
int64_t rows_for(int64_t size) { return (int64_t{33} << 20) / (kCols * size); }

struct Large {
  int32_t dtype;
  int64_t size, rows;
  std::vector<char> x, whole, pieces;
  nvfp4cal_context* context = nullptr;

  Large(int32_t type, int64_t bytes) : dtype(type), size(bytes), rows(rows_for(bytes)) {
    const auto n = static_cast<size_t>(rows * kCols * size);
    x.resize(n);
    whole.assign(n + 64, 0x33);
    pieces.resize(n);
    std::mt19937 engine(8);
    for (size_t i = 0; i < n; i += 4) {
      // exponents below the largest in every element
      const uint32_t bits = engine() & 0xBFBFBFBFu;
      std::memcpy(x.data() + i, &bits, 4);
    }
    REQUIRE(nvfp4cal_context_create(&context) == NVFP4CAL_OK);
  }
  Large(const Large&) = delete;
  Large& operator=(const Large&) = delete;
  ~Large() { nvfp4cal_context_destroy(context); }

  // body(input rows, where the output of those rows goes, rows)
  template <class Body>
  void check(Body&& body) {
    for (int64_t r = 0; r < rows; r += kRowsOfPiece) body(r, pieces.data() + r * kCols * size, std::min(kRowsOfPiece, rows - r));
    for (const int64_t offset : {int64_t{0}, size, int64_t{16}}) {
      for (const int threads : {1, 4}) {
        INFO("offset " << offset << ", " << threads << " threads");
        REQUIRE(nvfp4cal_context_set_threads(context, threads) == NVFP4CAL_OK);
        std::fill(whole.begin(), whole.end(), 0x33);
        char* const aligned = whole.data() + (-reinterpret_cast<uintptr_t>(whole.data()) & 15) + offset;
        body(0, aligned, rows);
        CHECK(std::memcmp(aligned, pieces.data(), pieces.size()) == 0);
        CHECK(aligned[pieces.size()] == 0x33);
      }
    }
  }
};

}  // namespace

TEST_CASE("large outputs are those of small ones", "[api]") {
  for (const auto& [dtype, size] : {std::pair{NVFP4CAL_DTYPE_F32, 4}, {NVFP4CAL_DTYPE_BF16, 2}, {NVFP4CAL_DTYPE_F16, 2}}) {
    INFO("dtype " << dtype);
    Large large(dtype, size);
    float global_amax = dtype == NVFP4CAL_DTYPE_F32 ? 2.0f : 1.9f, global_scale = 0.01f;
    const nvfp4cal_tensor g = scalar(global_amax), s2 = scalar(global_scale);
    large.check([&, d = dtype, s = size](int64_t row, char* out, int64_t rows) {
      const nvfp4cal_options chosen = options();
      const nvfp4cal_tensor x = view(large.x.data() + row * kCols * s, d, {rows, kCols});
      nvfp4cal_tensor to = view(out, d, {rows, kCols});
      REQUIRE(nvfp4cal_fake_quantize(large.context, &x, &g, nullptr, &chosen, &to, nullptr) == NVFP4CAL_OK);
    });
    large.check([&, d = dtype](int64_t row, char* out, int64_t rows) {
      // any bytes are nibbles, and scales below 0x7F are numbers
      std::vector<uint8_t> codes(static_cast<size_t>(rows * kCols / 16));
      for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>((i + static_cast<size_t>(row) * 256) % 120);
      const nvfp4cal_tensor packed = view(large.x.data() + row * kCols / 2, NVFP4CAL_DTYPE_U8, {rows, kCols / 2});
      const nvfp4cal_tensor scales = view(codes.data(), NVFP4CAL_DTYPE_E4M3, {rows, kCols / 16});
      nvfp4cal_tensor to = view(out, d, {rows, kCols});
      REQUIRE(nvfp4cal_dequantize(large.context, &packed, &scales, &s2, NVFP4CAL_DECODE_MODELOPT, &to, nullptr) == NVFP4CAL_OK);
    });
  }
}
