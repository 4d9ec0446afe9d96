// nvfp4cal_hessian: what it sums, in every layout; its options, refusals and reset.
#include <limits>

#include "hessian_calls.h"

using namespace api_test;

namespace {

constexpr int32_t kLayouts[] = {NVFP4CAL_HESSIAN_BLOCKS, NVFP4CAL_HESSIAN_FULL, NVFP4CAL_HESSIAN_DIAGONAL};

Shape expected_shape(int32_t layout, int64_t cols, int64_t block) {
  if (layout == NVFP4CAL_HESSIAN_BLOCKS) return {cols / block, block, block};
  return layout == NVFP4CAL_HESSIAN_FULL ? Shape{cols, cols} : Shape{cols};
}

}  // namespace

TEST_CASE("sums in every layout, block size and width are X^T X", "[api][hessian]") {
  for (const int32_t layout : kLayouts) {
    for (const int32_t block : {16, 32}) {
      for (const int64_t cols : {32, 64, 160, 288}) {
        CAPTURE(layout, block, cols);
        Floats x = random_values(static_cast<size_t>(301 * cols), 11);  // more than two chunks of rows
        const Hessian hessian = make_hessian(layout, block);
        REQUIRE(collect(hessian, x, {7, 43, cols}) == NVFP4CAL_OK);
        const Result found = result(hessian);
        CHECK(found.shape == expected_shape(layout, cols, block));
        CHECK(far_from(found.values, naive_hessian(x, {cols, layout, block}), 301) == 0);
        CHECK(rows(hessian) == 301);
      }
    }
  }
}

TEST_CASE("a full or diagonal Hessian takes any number of columns", "[api][hessian]") {
  for (const int64_t cols : {1, 3, 15, 17, 40, 127, 129, 200}) {
    for (const int32_t layout : {NVFP4CAL_HESSIAN_FULL, NVFP4CAL_HESSIAN_DIAGONAL}) {
      CAPTURE(cols, layout);
      Floats x = random_values(static_cast<size_t>(130 * cols), 12);
      const Hessian hessian = make_hessian(layout);
      REQUIRE(collect(hessian, x, {130, cols}) == NVFP4CAL_OK);
      CHECK(far_from(result(hessian).values, naive_hessian(x, {cols, layout}), 130) == 0);
    }
  }
}

TEST_CASE("normalizing divides by the rows, damping adds to the diagonal, in either order of calls", "[api][hessian]") {
  for (const int32_t layout : kLayouts) {
    CAPTURE(layout);
    Floats x = random_values(50 * 64, 13);
    const Hessian hessian = make_hessian(layout);
    REQUIRE(nvfp4cal_hessian_set_normalize(hessian.get(), 1) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_hessian_set_damping(hessian.get(), 0.01) == NVFP4CAL_OK);
    REQUIRE(collect(hessian, x, {50, 64}) == NVFP4CAL_OK);
    CHECK(far_from(result(hessian).values, naive_hessian(x, {64, layout, 16, true, 0.01}), 1) == 0);
    Floats row = {x.begin(), x.begin() + 64};
    REQUIRE(collect(hessian, row, {64}) == NVFP4CAL_OK);  // one dimension: one row
    x.insert(x.end(), row.begin(), row.end());
    CHECK(far_from(result(hessian).values, naive_hessian(x, {64, layout, 16, true, 0.01}), 1) == 0);
    CHECK(rows(hessian) == 51);
  }
}

TEST_CASE("Hessian: every target and thread count gives the same bits", "[api][hessian]") {
  for (const int32_t layout : kLayouts) {
    Bytes first;
    std::string targets = nvfp4cal_cpu_targets();
    for (size_t begin = 0; begin < targets.size();) {
      const size_t end = std::min(targets.find(',', begin), targets.size());
      const std::string target = targets.substr(begin, end - begin);
      for (const int32_t threads : {1, 2, 7}) {
        CAPTURE(layout, target, threads);
        const Context context = make_context();
        REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), target.c_str()) == NVFP4CAL_OK);
        REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
        const Hessian hessian = make_hessian(layout);
        REQUIRE(nvfp4cal_hessian_set_context(hessian.get(), context.get()) == NVFP4CAL_OK);
        for (uint32_t call = 0; call < 2; ++call) {
          Floats x = random_values(200 * 272, 14 + call);
          REQUIRE(collect(hessian, x, {200, 272}) == NVFP4CAL_OK);
        }
        const Bytes state = exported(hessian);
        if (first.empty()) first = state;
        CHECK(state == first);
      }
      begin = end + 1;
    }
  }
}

TEST_CASE("Hessian: all input dtypes and strides", "[api][hessian]") {
  Floats memory = random_values(64 * 90, 15);
  for (float& value : memory) value = bf16_value(truncated_bf16(value * 0.5f));  // exact in bfloat16
  const nvfp4cal_tensor x = strided(&memory[5], NVFP4CAL_DTYPE_F32, {60, 48}, {-1, 64});
  nvfp4cal_tensor shifted = x;
  shifted.data = &memory[5 + 59];
  Floats copy;
  std::vector<double> wide;
  std::vector<uint16_t> half;
  for (size_t r = 0; r < 60; ++r) {
    for (size_t c = 0; c < 48; ++c) {
      copy.push_back(memory[5 + 59 - r + 64 * c]);
      wide.push_back(static_cast<double>(copy.back()));
      half.push_back(truncated_bf16(copy.back()));
    }
  }
  for (const int32_t layout : kLayouts) {
    const Hessian from_view = make_hessian(layout), from_copy = make_hessian(layout), from_wide = make_hessian(layout);
    const Hessian from_half = make_hessian(layout);
    CHECK(nvfp4cal_hessian_collect(from_view.get(), &shifted, nullptr) == NVFP4CAL_OK);
    CHECK(collect(from_copy, copy, {60, 48}) == NVFP4CAL_OK);
    const nvfp4cal_tensor doubles = view(wide, {60, 48}), halves = view(half.data(), NVFP4CAL_DTYPE_BF16, {60, 48});
    CHECK(nvfp4cal_hessian_collect(from_wide.get(), &doubles, nullptr) == NVFP4CAL_OK);
    CHECK(nvfp4cal_hessian_collect(from_half.get(), &halves, nullptr) == NVFP4CAL_OK);
    CHECK(exported(from_view) == exported(from_copy));
    CHECK(exported(from_wide) == exported(from_copy));
    CHECK(exported(from_half) == exported(from_copy));
  }
}

TEST_CASE("Hessian: wrong options are named and leave the handle as it was", "[api][hessian]") {
  const Hessian hessian = make_hessian();
  for (const int32_t layout : {-1, 3, 100}) {
    CHECK(nvfp4cal_hessian_set_layout(hessian.get(), layout) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(layout)));
  }
  for (const int32_t block : {0, 8, 64}) {
    CHECK(nvfp4cal_hessian_set_block_size(hessian.get(), block) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(block)));
  }
  CHECK(nvfp4cal_hessian_set_normalize(hessian.get(), 2) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const double fraction : {-0.5, std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(nvfp4cal_hessian_set_damping(hessian.get(), fraction) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "damping"));
  }
  Floats x = random_values(64, 16);
  REQUIRE(collect(hessian, x, {2, 32}) == NVFP4CAL_OK);
  CHECK(far_from(result(hessian).values, naive_hessian(x, {32}), 2) == 0);
  CHECK(nvfp4cal_hessian_set_layout(hessian.get(), 1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_hessian_set_block_size(hessian.get(), 32) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_hessian_set_normalize(hessian.get(), 1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_hessian_set_damping(hessian.get(), 0.1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(nvfp4cal_hessian_last_error(hessian.get()), "set_damping"));
}

TEST_CASE("Hessian: shapes and dtypes that do not fit are refused, the sums are as before", "[api][hessian]") {
  const Hessian hessian = make_hessian();
  CHECK(result(hessian).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(rows(hessian) == 0);
  Floats x = random_values(96, 17), ragged(40);
  CHECK(collect(hessian, ragged, {40}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "cols 40 is not a multiple of 16");
  CHECK(collect(hessian, ragged, {}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  REQUIRE(collect(hessian, x, {3, 32}) == NVFP4CAL_OK);
  const Bytes before = exported(hessian);
  CHECK(collect(hessian, x, {2, 48}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "x has 48 columns, earlier ones have 32");
  Bytes bytes(64);
  const nvfp4cal_tensor wrong = view(bytes, {2, 32});
  CHECK(nvfp4cal_hessian_collect(hessian.get(), &wrong, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(collect(hessian, x, {0, 32}) == NVFP4CAL_OK);  // nothing to add
  Floats out(1000);
  nvfp4cal_tensor small = view(out, {2, 16, 15});
  CHECK(nvfp4cal_hessian_compute_hessian(hessian.get(), &small) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(exported(hessian) == before);
  CHECK(nvfp4cal_hessian_reset(hessian.get()) == NVFP4CAL_OK);
  CHECK(result(hessian).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_hessian_set_block_size(hessian.get(), 32) == NVFP4CAL_OK);
  CHECK(collect(hessian, x, {1, 96}) == NVFP4CAL_OK);  // other columns
}

TEST_CASE("Hessian: NaN and infinity are named by their index and add nothing", "[api][hessian]") {
  for (const int32_t layout : kLayouts) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      for (const size_t at : {size_t{0}, size_t{4567}, size_t{300 * 160 - 1}}) {
        CAPTURE(layout, bad, at);
        const Hessian hessian = make_hessian(layout);
        Floats x = random_values(300 * 160, 18);
        REQUIRE(collect(hessian, x, {300, 160}) == NVFP4CAL_OK);
        const Bytes before = exported(hessian);
        x[at] = bad;
        CHECK(collect(hessian, x, {300, 160}) == NVFP4CAL_ERROR_NOT_FINITE);
        CHECK(contains(last_error(), "x[" + std::to_string(at) + "]"));
        CHECK(exported(hessian) == before);
      }
    }
  }
}

TEST_CASE("sums beyond float32 are kept, and refused only when they are read", "[api][hessian]") {
  const Hessian hessian = make_hessian(NVFP4CAL_HESSIAN_DIAGONAL);
  Floats x = {1.0f, 1e30f};
  REQUIRE(collect(hessian, x, {2}) == NVFP4CAL_OK);
  Floats out(2, -7.0f);
  nvfp4cal_tensor tensor = view(out);
  CHECK(nvfp4cal_hessian_compute_hessian(hessian.get(), &tensor) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(last_error(), "hessian[1]"));
  CHECK(out == Floats{-7.0f, -7.0f});
}

TEST_CASE("Hessian: a runner that fails adds nothing", "[api][hessian]") {
  const Context context = make_context();
  const Hessian hessian = make_hessian();
  REQUIRE(nvfp4cal_hessian_set_context(hessian.get(), context.get()) == NVFP4CAL_OK);
  Floats x = random_values(300 * 160, 19);
  REQUIRE(collect(hessian, x, {300, 160}) == NVFP4CAL_OK);
  const Bytes before = exported(hessian);
  const nvfp4cal_runner half = [](void*, void* job, nvfp4cal_task task, int64_t n) {
    for (int64_t i = 0; i < n / 2; ++i) task(job, i);
    return int32_t{1};
  };
  REQUIRE(nvfp4cal_context_set_runner(context.get(), half, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_context_set_threads(context.get(), 2) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_hessian_set_context(hessian.get(), context.get()) == NVFP4CAL_OK);
  CHECK(collect(hessian, x, {300, 160}) == NVFP4CAL_ERROR_CALLBACK);
  CHECK(exported(hessian) == before);
}
