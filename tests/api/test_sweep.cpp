// nvfp4cal_sweep: one search between resets, its options and where its global amax comes from.
#include <cmath>
#include <limits>

#include "calls.h"
#include "handles.h"
#include "one_call.h"
#include "reference.h"

using namespace api_test;

TEST_CASE("the calibrator finds what the one-call function finds", "[api][sweep]") {
  Floats x = random_values(8 * 64, 90), weights(64);
  for (size_t i = 0; i < 64; ++i) weights[i] = 0.5f + static_cast<float>(i % 7);
  for (const int32_t block : {16, 32}) {
    for (const int32_t normalization : {448, 256}) {
      for (const bool weighted : {false, true}) {
        for (const bool windowed : {false, true}) {
          CAPTURE(block, normalization, weighted, windowed);
          const nvfp4cal_tensor row = view(weights);
          nvfp4cal_options chosen = options_of(0, block, normalization);
          const Sweep sweep = make_sweep();
          CHECK(nvfp4cal_sweep_set_block_size(sweep.get(), block) == NVFP4CAL_OK);
          CHECK(nvfp4cal_sweep_set_normalization(sweep.get(), normalization) == NVFP4CAL_OK);
          CHECK(set_global(sweep, {1.5f}) == NVFP4CAL_OK);
          if (weighted) {
            chosen.weights = &row;
            CHECK(nvfp4cal_sweep_set_weights(sweep.get(), &row) == NVFP4CAL_OK);
          }
          if (windowed) {
            chosen.flags = NVFP4CAL_OPTION_CODE_WINDOW;
            chosen.code_lo = -1;
            chosen.code_hi = 4;
            CHECK(nvfp4cal_sweep_set_code_window(sweep.get(), -1, 4) == NVFP4CAL_OK);
          }
          REQUIRE(collect(sweep, x, {8, 64}) == NVFP4CAL_OK);
          const Swept expected = scale_sweep(request(x, {8, 64}, Floats{1.5f}, chosen));
          CHECK(same(amax(sweep), Result{0, {8, 64 / block}, expected.amax}));
        }
      }
    }
  }
}

TEST_CASE("codes and amaxes are the same choice: amax = G * (v / N)", "[api][sweep]") {
  Floats x = random_values(8 * 64, 91);
  for (const int32_t normalization : {448, 256}) {
    const Sweep sweep = make_sweep();
    CHECK(nvfp4cal_sweep_set_normalization(sweep.get(), normalization) == NVFP4CAL_OK);
    CHECK(set_global(sweep, {1.25f}) == NVFP4CAL_OK);
    REQUIRE(collect(sweep, x, {8, 64}) == NVFP4CAL_OK);
    const Result result = amax(sweep);
    const Bytes chosen = codes(sweep);
    REQUIRE(chosen.size() == result.values.size());
    for (size_t b = 0; b < chosen.size(); ++b) {
      CHECK(chosen[b] >= 1);
      CHECK(chosen[b] <= 126);
      CHECK(result.values[b] == 1.25f * (reference::e4m3_value(chosen[b]) / static_cast<float>(normalization)));
      CHECK(reference::is_best_code(&x[b * 16], nullptr, 16, chosen[b], 1.25f, normalization));
    }
  }
}

TEST_CASE("codes are taken as E4M3 or uint8", "[api][sweep]") {
  const Sweep sweep = calls::filled_sweep();
  Bytes as_e4m3(8), as_u8(8);
  nvfp4cal_tensor e4m3 = view(as_e4m3.data(), NVFP4CAL_DTYPE_E4M3, {4, 2}), u8 = view(as_u8, {4, 2});
  CHECK(nvfp4cal_sweep_compute_codes(sweep.get(), &e4m3) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_compute_codes(sweep.get(), &u8) == NVFP4CAL_OK);
  CHECK(as_e4m3 == as_u8);
  CHECK(as_u8 == codes(sweep));
}

TEST_CASE("a zero slice has amax 0 and code 56", "[api][sweep]") {
  Floats x = random_values(2 * 32, 92);
  std::fill(x.begin(), x.begin() + 32, 0.0f);
  const Sweep sweep = make_sweep();
  CHECK(set_global(sweep, {0.0f, 1.0f}) == NVFP4CAL_OK);
  REQUIRE(collect(sweep, x, {2, 32}) == NVFP4CAL_OK);
  const Result result = amax(sweep);
  CHECK(result.values[0] == 0.0f);
  CHECK(result.values[1] == 0.0f);
  CHECK(result.values[2] > 0.0f);
  CHECK(codes(sweep)[0] == 56);
  CHECK(codes(sweep)[1] == 56);
}

TEST_CASE("collect without a global amax, and a second collect, are the wrong state", "[api][sweep]") {
  const Sweep sweep = make_sweep();
  Floats x = random_values(32, 93), y = random_values(32, 94);
  CHECK(collect(sweep, x, {2, 16}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(nvfp4cal_sweep_last_error(sweep.get()), "global amax"));
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  CHECK(collect(sweep, x, {2, 16}) == NVFP4CAL_OK);
  const Result first = amax(sweep);
  CHECK(collect(sweep, y, {2, 16}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(nvfp4cal_sweep_last_error(sweep.get()), "second collect"));
  CHECK(same(amax(sweep), first));
  CHECK(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
  CHECK(collect(sweep, y, {2, 16}) == NVFP4CAL_OK);  // the global amax was kept
  CHECK(same_bits(amax(sweep).values, scale_sweep(request(y, {2, 16}, Floats{1.0f})).amax));
}

TEST_CASE("results before collect are refused", "[api][sweep]") {
  const Sweep sweep = make_sweep();
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  nvfp4cal_tensor out = question();
  CHECK(nvfp4cal_sweep_compute_amax(sweep.get(), &out) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(nvfp4cal_sweep_compute_codes(sweep.get(), &out) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(out.dtype == 0);
  CHECK(contains(nvfp4cal_sweep_last_error(sweep.get()), "no data"));
}

TEST_CASE("options of a sweep after data are the wrong state, until reset", "[api][sweep]") {
  const Sweep sweep = calls::filled_sweep();
  const Result before = amax(sweep);
  const Max max = calls::filled_max();
  Floats weights(32, 1.0f);
  const nvfp4cal_tensor row = view(weights);
  CHECK(nvfp4cal_sweep_set_block_size(sweep.get(), 32) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_normalization(sweep.get(), 256) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_weights(sweep.get(), &row) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_weights(sweep.get(), nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_code_window(sweep.get(), 0, 1) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(set_global(sweep, {2.0f}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "set_global_amax"));
  CHECK(nvfp4cal_sweep_set_context(sweep.get(), nullptr) == NVFP4CAL_OK);  // no option of the result
  CHECK(same(amax(sweep), before));
  CHECK(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_set_block_size(sweep.get(), 32) == NVFP4CAL_OK);
  CHECK(set_global(sweep, {2.0f}) == NVFP4CAL_OK);
}

TEST_CASE("wrong options are named and leave the handle as it was", "[api][sweep]") {
  const Sweep sweep = make_sweep();
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  const Bytes before = calls::exported(sweep);
  for (const int32_t block : {0, 8, 17, 64, -16}) {
    CHECK(nvfp4cal_sweep_set_block_size(sweep.get(), block) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "block size " + std::to_string(block)));
  }
  for (const int32_t normalization : {0, 447, -448}) {
    CHECK(nvfp4cal_sweep_set_normalization(sweep.get(), normalization) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "normalization " + std::to_string(normalization)));
  }
  const std::pair<int32_t, int32_t> windows[] = {{1, 0}, {-127, 0}, {0, 127}};
  for (const auto& [lo, hi] : windows) CHECK(nvfp4cal_sweep_set_code_window(sweep.get(), lo, hi) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_global(sweep, {}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(set_global(sweep, {1.0f, -1.0f}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "global_amax[1]"));
  CHECK(set_global(sweep, {std::numeric_limits<float>::quiet_NaN()}) == NVFP4CAL_ERROR_NOT_FINITE);
  Floats weights(32, 1.0f);
  weights[31] = 0.0f;
  const nvfp4cal_tensor row = view(weights);
  CHECK(nvfp4cal_sweep_set_weights(sweep.get(), &row) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "weights[31]"));
  CHECK(calls::exported(sweep) == before);
}

TEST_CASE("weights and global amax are copied", "[api][sweep]") {
  Floats x = random_values(32, 95), weights(32, 1.0f), global = {1.0f};
  weights[3] = 50.0f;
  const Sweep sweep = make_sweep(), other = make_sweep();
  const nvfp4cal_tensor row = view(weights), amax_tensor = view(global);
  for (const Sweep* each : {&sweep, &other}) {
    CHECK(nvfp4cal_sweep_set_weights(each->get(), &row) == NVFP4CAL_OK);
    CHECK(nvfp4cal_sweep_set_global_amax(each->get(), &amax_tensor) == NVFP4CAL_OK);
  }
  REQUIRE(collect(other, x, {1, 32}) == NVFP4CAL_OK);
  std::fill(weights.begin(), weights.end(), -1.0f);
  global[0] = -1.0f;
  REQUIRE(collect(sweep, x, {1, 32}) == NVFP4CAL_OK);
  CHECK(same(amax(sweep), amax(other)));
}

TEST_CASE("the global amax from a max calibrator: one value or one a slice", "[api][sweep]") {
  Floats x = random_values(4 * 32, 96);
  for (size_t i = 0; i < 32; ++i) x[i] *= 50.0f;
  for (const bool by_slice : {false, true}) {
    const Max max = make_max();
    if (by_slice) REQUIRE(set_axes(max, {0}) == NVFP4CAL_OK);
    const Sweep sweep = make_sweep();
    CHECK(nvfp4cal_sweep_set_global_amax_from(sweep.get(), max.get()) == NVFP4CAL_ERROR_NO_DATA);
    REQUIRE(collect(max, x, {4, 32}) == NVFP4CAL_OK);
    CHECK(nvfp4cal_sweep_set_global_amax_from(sweep.get(), max.get()) == NVFP4CAL_OK);
    Floats later(4 * 32, 1000.0f);
    REQUIRE(collect(max, later, {4, 32}) == NVFP4CAL_OK);  // read before, not kept
    REQUIRE(collect(sweep, x, {4, 32}) == NVFP4CAL_OK);
    Floats global;
    for (size_t s = 0; s < 4; ++s)
      global.push_back(amax_of(Floats(x.begin() + 32 * static_cast<long>(s), x.begin() + 32 * static_cast<long>(s + 1))));
    if (!by_slice) global = {amax_of(x)};
    CHECK(same_bits(amax(sweep).values, scale_sweep(request(x, {4, 32}, global)).amax));
  }
}

TEST_CASE("maxima of another axis or of blocks are no global amax", "[api][sweep]") {
  Floats x = random_values(4 * 32, 97);
  const Sweep sweep = make_sweep();
  for (const std::vector<int32_t>& axes : {std::vector<int32_t>{1}, {-1}, {0, 1}}) {
    const Max max = make_max();
    REQUIRE(set_axes(max, axes) == NVFP4CAL_OK);
    REQUIRE(collect(max, x, {4, 32}) == NVFP4CAL_OK);
    CHECK(nvfp4cal_sweep_set_global_amax_from(sweep.get(), max.get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "axis 1"));
  }
  CHECK(nvfp4cal_sweep_set_global_amax_from(sweep.get(), calls::filled_max().get()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_sweep_set_global_amax_from(sweep.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "max is NULL");
  CHECK(collect(sweep, x, {4, 32}) == NVFP4CAL_ERROR_WRONG_STATE);
}

TEST_CASE("a failing collect leaves the handle without data", "[api][sweep]") {
  const Sweep sweep = make_sweep();
  CHECK(set_global(sweep, {1.0f, 1.0f}) == NVFP4CAL_OK);
  Floats x = random_values(2 * 32, 98);
  x[40] = std::numeric_limits<float>::quiet_NaN();
  CHECK(collect(sweep, x, {2, 32}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(nvfp4cal_sweep_last_error(sweep.get()), "x[40]"));
  CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(collect(sweep, x, {4, 16}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);  // four slices, two global amaxes
  x[40] = 0.0f;
  CHECK(collect(sweep, x, {2, 32}) == NVFP4CAL_OK);
}

TEST_CASE("sweeps cannot be merged", "[api][sweep]") {
  const Sweep a = calls::filled_sweep(), b = calls::filled_sweep();
  const Result before = amax(a);
  CHECK(nvfp4cal_sweep_merge(a.get(), b.get()) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(nvfp4cal_sweep_merge(a.get(), nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(nvfp4cal_sweep_last_error(a.get()), "merge"));
  CHECK(same(amax(a), before));
}

TEST_CASE("a tensor without elements is collected and has an empty result", "[api][sweep]") {
  const Sweep sweep = make_sweep();
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  const nvfp4cal_tensor x = view(nullptr, NVFP4CAL_DTYPE_F32, {0, 32});
  CHECK(nvfp4cal_sweep_collect(sweep.get(), &x, nullptr) == NVFP4CAL_OK);
  nvfp4cal_tensor out = view(nullptr, NVFP4CAL_DTYPE_F32, {0, 2}), chosen = view(nullptr, NVFP4CAL_DTYPE_E4M3, {0, 2});
  CHECK(nvfp4cal_sweep_compute_amax(sweep.get(), &out) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_compute_codes(sweep.get(), &chosen) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_collect(sweep.get(), &x, nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  const Sweep copy = make_sweep();
  CHECK(import_bytes(copy, calls::exported(sweep)) == NVFP4CAL_OK);
  CHECK(calls::exported(copy) == calls::exported(sweep));
}
