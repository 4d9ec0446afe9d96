// nvfp4cal_max: what it collects, per tensor, axis and block; its options, merging and reset.
#include <cmath>
#include <limits>

#include "calls.h"
#include "handles.h"

using namespace api_test;

namespace {

// The maximum of |x| over all elements whose kept indices agree, by plain loops over a 3-D tensor.
Floats kept_amax(const Floats& x, const Shape& shape, const std::vector<bool>& keep) {
  const int64_t extents[3] = {keep[0] ? shape[0] : 1, keep[1] ? shape[1] : 1, keep[2] ? shape[2] : 1};
  Floats out(static_cast<size_t>(extents[0] * extents[1] * extents[2]), 0.0f);
  for (int64_t i = 0; i < shape[0]; ++i) {
    for (int64_t j = 0; j < shape[1]; ++j) {
      for (int64_t k = 0; k < shape[2]; ++k) {
        float& maximum = out[static_cast<size_t>(((keep[0] ? i : 0) * extents[1] + (keep[1] ? j : 0)) * extents[2] + (keep[2] ? k : 0))];
        maximum = std::max(maximum, std::fabs(x[static_cast<size_t>((i * shape[1] + j) * shape[2] + k)]));
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("per tensor: the largest magnitude of all that was collected, of any shape", "[api][max]") {
  const Max max = make_max();
  Floats a = {1.0f, -2.5f, 0.5f}, b = {0.25f, 2.0f}, c = {-9.0f};
  CHECK(collect(max, a, {3}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {}, {2.5f}}));
  CHECK(collect(max, b, {2, 1}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {}, {2.5f}}));
  CHECK(collect(max, c, {}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {}, {9.0f}}));
}

TEST_CASE("per axis: every choice of axes, by position and from the end", "[api][max]") {
  const Shape shape = {5, 3, 7};
  Floats x = random_values(105, 60), y = random_values(105, 61), both(105);
  for (size_t i = 0; i < 105; ++i) both[i] = std::max(std::fabs(x[i]), std::fabs(y[i]));
  for (int mask = 1; mask < 8; ++mask) {
    for (const bool negative : {false, true}) {
      CAPTURE(mask, negative);
      const std::vector<bool> keep = {(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
      std::vector<int32_t> axes;
      Shape expected_shape;
      for (int32_t d = 0; d < 3; ++d) {
        if (keep[static_cast<size_t>(d)]) axes.push_back(negative ? d - 3 : d);
        expected_shape.push_back(keep[static_cast<size_t>(d)] ? shape[static_cast<size_t>(d)] : 1);
      }
      const Max max = make_max();
      REQUIRE(set_axes(max, axes) == NVFP4CAL_OK);
      CHECK(collect(max, x, shape) == NVFP4CAL_OK);
      CHECK(same(amax(max), Result{0, expected_shape, kept_amax(x, shape, keep)}));
      CHECK(collect(max, y, shape) == NVFP4CAL_OK);
      CHECK(same(amax(max), Result{0, expected_shape, kept_amax(both, shape, keep)}));
    }
  }
}

TEST_CASE("the order of axes does not matter and reduced extents may change", "[api][max]") {
  const Max max = make_max();
  REQUIRE(set_axes(max, {2, 0}) == NVFP4CAL_OK);
  Floats x = random_values(5 * 3 * 7, 62), y = random_values(5 * 9 * 7, 63);
  CHECK(collect(max, x, {5, 3, 7}) == NVFP4CAL_OK);
  CHECK(collect(max, y, {5, 9, 7}) == NVFP4CAL_OK);
  const Floats first = kept_amax(x, {5, 3, 7}, {true, false, true}), second = kept_amax(y, {5, 9, 7}, {true, false, true});
  Floats expected(35);
  for (size_t i = 0; i < 35; ++i) expected[i] = std::max(first[i], second[i]);
  CHECK(same(amax(max), Result{0, {5, 1, 7}, expected}));
}

TEST_CASE("per block of the last dimension", "[api][max]") {
  for (const int32_t block : {16, 32}) {
    const Max max = make_max();
    REQUIRE(nvfp4cal_max_set_block_size(max.get(), block) == NVFP4CAL_OK);
    Floats x = random_values(6 * 64, 64), expected;
    CHECK(collect(max, x, {2, 3, 64}) == NVFP4CAL_OK);
    for (size_t i = 0; i < x.size(); i += static_cast<size_t>(block)) {
      float maximum = 0.0f;
      for (size_t k = i; k < i + static_cast<size_t>(block); ++k) maximum = std::max(maximum, std::fabs(x[k]));
      expected.push_back(maximum);
    }
    CHECK(same(amax(max), Result{0, {2, 3, 64 / block}, expected}));
    CHECK(collect(max, x, {6, 64}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);  // other kept extents
    CHECK(contains(last_error(), "[2, 3, " + std::to_string(64 / block) + "]"));
    Floats ragged(40, 1.0f);
    CHECK(collect(max, ragged, {40}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "40"));
    CHECK(same(amax(max), Result{0, {2, 3, 64 / block}, expected}));
  }
}

TEST_CASE("strided tensors are what they show", "[api][max]") {
  Floats memory = random_values(64 * 40, 65);
  const nvfp4cal_tensor x = strided(&memory[7], NVFP4CAL_DTYPE_F32, {30, 20}, {1, 64});
  Floats copy;
  for (size_t r = 0; r < 30; ++r) {
    for (size_t c = 0; c < 20; ++c) copy.push_back(memory[7 + r + 64 * c]);
  }
  for (const std::vector<int32_t>& axes : {std::vector<int32_t>{}, {0}, {1}, {0, 1}}) {
    const Max view_max = make_max(), copy_max = make_max();
    REQUIRE(set_axes(view_max, axes) == NVFP4CAL_OK);
    REQUIRE(set_axes(copy_max, axes) == NVFP4CAL_OK);
    CHECK(nvfp4cal_max_collect(view_max.get(), &x, nullptr) == NVFP4CAL_OK);
    CHECK(collect(copy_max, copy, {30, 20}) == NVFP4CAL_OK);
    CHECK(same(amax(view_max), amax(copy_max)));
  }
}

TEST_CASE("wrong axes and block sizes are named and leave the handle as it was", "[api][max]") {
  const Max max = make_max();
  REQUIRE(set_axes(max, {1}) == NVFP4CAL_OK);
  const std::vector<int32_t> wrong[] = {{8}, {-9}, {0, 0}, {-1, 0, -1}, {0, 1, 2, 3, 4, 5, 6, 7, -1}};
  for (const std::vector<int32_t>& axes : wrong) {
    CAPTURE(axes);
    CHECK(set_axes(max, axes) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  const int32_t axis = 0;
  CHECK(nvfp4cal_max_set_axes(max.get(), &axis, -1) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "-1"));
  CHECK(nvfp4cal_max_set_axes(max.get(), nullptr, 1) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "axes is NULL");
  CHECK(nvfp4cal_max_set_block_size(max.get(), 16) == NVFP4CAL_ERROR_INVALID_ARGUMENT);  // excludes axes
  for (const int32_t block : {-16, 1, 8, 64}) {
    CHECK(nvfp4cal_max_set_block_size(max.get(), block) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(block)));
  }
  Floats x = {1.0f, -4.0f, 2.0f, 3.0f};
  CHECK(collect(max, x, {2, 2}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {1, 2}, {2.0f, 4.0f}}));
}

TEST_CASE("an axis that the tensor does not have is refused at collect", "[api][max]") {
  for (const int32_t axis : {2, -3}) {
    const Max max = make_max();
    REQUIRE(set_axes(max, {axis}) == NVFP4CAL_OK);
    Floats x(6, 1.0f);
    CHECK(collect(max, x, {2, 3}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "axis " + std::to_string(axis)));
    CHECK(amax(max).status == NVFP4CAL_ERROR_NO_DATA);
    CHECK(collect(max, x, {1, 2, 3}) == NVFP4CAL_OK);
  }
}

TEST_CASE("n = 0 axes and block size 0 turn them off", "[api][max]") {
  const Max max = make_max();
  REQUIRE(set_axes(max, {0}) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_max_set_axes(max.get(), nullptr, 0) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_max_set_block_size(max.get(), 16) == NVFP4CAL_OK);
  CHECK(set_axes(max, {0}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  REQUIRE(nvfp4cal_max_set_block_size(max.get(), 0) == NVFP4CAL_OK);
  Floats x = {1.0f, -4.0f};
  CHECK(collect(max, x, {2}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {}, {4.0f}}));
}

TEST_CASE("options after data are the wrong state, until reset", "[api][max]") {
  const Max max = make_max();
  REQUIRE(set_axes(max, {0}) == NVFP4CAL_OK);
  Floats x = {1.0f, -4.0f, 2.0f, 3.0f};
  CHECK(collect(max, x, {2, 2}) == NVFP4CAL_OK);
  CHECK(set_axes(max, {1}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "set_axes"));
  CHECK(nvfp4cal_max_set_block_size(max.get(), 0) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(nvfp4cal_max_last_error(max.get()), "set_block_size"));
  CHECK(nvfp4cal_max_reset(max.get()) == NVFP4CAL_OK);
  CHECK(amax(max).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(collect(max, x, {2, 2}) == NVFP4CAL_OK);
  CHECK(same(amax(max), Result{0, {2, 1}, {4.0f, 3.0f}}));  // the axes were kept
  CHECK(nvfp4cal_max_reset(max.get()) == NVFP4CAL_OK);
  CHECK(set_axes(max, {1}) == NVFP4CAL_OK);
}

TEST_CASE("results before data are refused", "[api][max]") {
  const Max max = make_max();
  nvfp4cal_tensor out = question();
  int32_t reduce = 77;
  CHECK(nvfp4cal_max_compute_amax(max.get(), &out) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_max_state_tensor(max.get(), 0, &out, &reduce) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(out.dtype == 0);
  CHECK(reduce == 77);
  CHECK(contains(nvfp4cal_max_last_error(max.get()), "no data"));
}

TEST_CASE("a tensor that is not finite leaves the handle as it was", "[api][max]") {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const int kind : {0, 1, 2, 3}) {
      CAPTURE(wrong, kind);
      const Max max = make_max();
      if (kind == 1) REQUIRE(set_axes(max, {0}) == NVFP4CAL_OK);
      if (kind == 2) REQUIRE(set_axes(max, {1}) == NVFP4CAL_OK);
      if (kind == 3) REQUIRE(nvfp4cal_max_set_block_size(max.get(), 16) == NVFP4CAL_OK);
      Floats x = random_values(64, 66), y(64, 1000.0f);
      y[33] = wrong;
      y[60] = wrong;
      CHECK(collect(max, y, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(contains(last_error(), "x[33]"));
      CHECK(amax(max).status == NVFP4CAL_ERROR_NO_DATA);
      REQUIRE(collect(max, x, {4, 16}) == NVFP4CAL_OK);
      const Result before = amax(max);
      CHECK(collect(max, y, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(same(amax(max), before));
    }
  }
}

TEST_CASE("all float dtypes are taken, others refused", "[api][max]") {
  std::vector<uint16_t> bf16 = {0x3F80, 0xC040}, f16 = {0x3C00, 0xC200};  // 1, -3
  std::vector<double> f64 = {1.0, -3.0};
  const nvfp4cal_tensor tensors[] = {view(bf16.data(), NVFP4CAL_DTYPE_BF16, {2}), view(f16.data(), NVFP4CAL_DTYPE_F16, {2}),
                                     view(f64, {2})};
  for (const nvfp4cal_tensor& x : tensors) {
    const Max max = make_max();
    CHECK(nvfp4cal_max_collect(max.get(), &x, nullptr) == NVFP4CAL_OK);
    CHECK(same(amax(max), Result{0, {}, {3.0f}}));
  }
  Bytes bytes(16, 1);
  for (const int32_t dtype : {NVFP4CAL_DTYPE_U8, NVFP4CAL_DTYPE_I8, NVFP4CAL_DTYPE_E4M3}) {
    const nvfp4cal_tensor x = view(bytes.data(), dtype, {16});
    CHECK(nvfp4cal_max_collect(make_max().get(), &x, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  }
}

TEST_CASE("each handle keeps its own last error", "[api][max]") {
  const Max a = make_max(), b = make_max();
  CHECK(nvfp4cal_max_set_block_size(a.get(), 5) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_max_set_block_size(b.get(), 7) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(nvfp4cal_max_last_error(a.get()), "5"));
  CHECK(contains(nvfp4cal_max_last_error(b.get()), "7"));
  CHECK(contains(last_error(), "7"));
  CHECK(nvfp4cal_max_set_block_size(a.get(), 16) == NVFP4CAL_OK);
  CHECK(contains(nvfp4cal_max_last_error(a.get()), "5"));
}
