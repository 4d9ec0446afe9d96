// nvfp4cal_actmax: results by the formula, options, statistics, what is refused.
#include "actmax.h"

#include <cmath>
#include <limits>

using namespace api_test;

namespace {

// The centre of the default histogram's bin of a.
double centre(double a) { return std::exp2(-40 + (std::floor((std::log2(a) + 40) / 80 * 512) + 0.5) / 512 * 80); }

bool near(double a, double b) { return std::fabs(a - b) <= 1e-6 * std::fabs(b); }

// One block a row, of these largest magnitudes.
nvfp4cal_status collect_blocks(const ActMax& actmax, const Floats& amaxes) {
  Floats x(amaxes.size() * 16, 0.0f);
  for (size_t i = 0; i < amaxes.size(); ++i) x[i * 16 + i % 16] = i % 2 ? -amaxes[i] : amaxes[i];
  return collect(actmax, x, {static_cast<int64_t>(amaxes.size()), 16});
}

Floats hundred_blocks() {
  Floats amaxes;
  for (int i = 1; i <= 100; ++i) amaxes.push_back(static_cast<float>(i));
  return amaxes;
}

}  // namespace

TEST_CASE("actmax: the result is rho times the low percentile, or margin times the high one", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  REQUIRE(collect_blocks(actmax, hundred_blocks()) == NVFP4CAL_OK);
  const Result result = amax(actmax);
  REQUIRE(result.status == NVFP4CAL_OK);
  CHECK(result.shape.empty());
  CHECK(near(static_cast<double>(result.values[0]), 16384 * centre(1)));
  const nvfp4cal_actmax_stats stats = stats_of(actmax);
  CHECK(stats.term == NVFP4CAL_ACTMAX_TERM_B_MIN);
  CHECK(stats.blocks == 100);
  CHECK(near(stats.b_min, centre(1)));
  CHECK(near(stats.p1, centre(1)));
  CHECK(near(stats.b_max, centre(100)));
  CHECK(near(stats.p99_99, centre(100)));
  CHECK(stats.literal_max == 100.0f);
  CHECK(stats.result == result.values[0]);

  const ActMax small = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_rho(small.get(), 2.0) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_margin(small.get(), 1.5) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_percentiles(small.get(), 50, 90) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(small, hundred_blocks()) == NVFP4CAL_OK);
  CHECK(near(static_cast<double>(amax(small).values[0]), 1.5 * centre(90)));
  CHECK(stats_of(small).term == NVFP4CAL_ACTMAX_TERM_B_MAX);
  CHECK(near(stats_of(small).b_min, centre(50)));
  CHECK(near(stats_of(small).p1, centre(1)));
}

TEST_CASE("actmax: a percentile of 100 is the largest magnitude itself", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_rho(actmax.get(), 1e-3) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_percentiles(actmax.get(), 0, 100) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(actmax, {1.0f, 77.5f, 3.0f}) == NVFP4CAL_OK);
  CHECK(amax(actmax).values == Floats{77.5f});
  CHECK(stats_of(actmax).b_max == 77.5);
}

TEST_CASE("actmax: with headroom B_min ignores blocks far below B_max, and there is no margin", "[api][actmax]") {
  const Floats amaxes = {1e-5f, 2e-5f, 50.0f, 60.0f, 70.0f, 80.0f, 90.0f, 100.0f};
  for (const int32_t headroom : {0, 1}) {
    const ActMax actmax = make_actmax();
    REQUIRE(nvfp4cal_actmax_set_headroom(actmax.get(), headroom) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_actmax_set_margin(actmax.get(), 3.0) == NVFP4CAL_OK);
    REQUIRE(collect_blocks(actmax, amaxes) == NVFP4CAL_OK);
    CHECK(near(static_cast<double>(amax(actmax).values[0]), headroom ? 16384 * centre(50) : 3 * centre(100)));
    CHECK(near(stats_of(actmax).p1, centre(1e-5)));
  }
}

TEST_CASE("actmax: with headroom, B_min's percentile 0 is the first bin that is not ignored", "[api][actmax]") {
  for (const int32_t headroom : {0, 1}) {
    const ActMax actmax = make_actmax();
    REQUIRE(nvfp4cal_actmax_set_headroom(actmax.get(), headroom) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_actmax_set_percentiles(actmax.get(), 0, 100) == NVFP4CAL_OK);
    REQUIRE(collect_blocks(actmax, {1e-7f, 50.0f, 100.0f}) == NVFP4CAL_OK);
    CHECK(near(stats_of(actmax).b_min, headroom ? centre(100 / 1e6) : centre(0x1p-40)));
  }
}

TEST_CASE("actmax: a margin of 0 leaves rho * B_min, in bins beyond every number too", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_bins(actmax.get(), 1, 0, 16384) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_actmax_set_margin(actmax.get(), 0) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(actmax, {1.0f, 4.5f}) == NVFP4CAL_OK);
  CHECK(std::isinf(stats_of(actmax).b_max));
  CHECK(amax(actmax).values == Floats{std::numeric_limits<float>::max()});
  CHECK(stats_of(actmax).term == NVFP4CAL_ACTMAX_TERM_B_MIN);
}

TEST_CASE("actmax: bins below every number fall back to the largest magnitude, bins above it to the largest float", "[api][actmax]") {
  const ActMax low = make_actmax(), high = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_bins(low.get(), 512, -4000, -2000) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(low, {1.0f, 4.5f}) == NVFP4CAL_OK);
  CHECK(amax(low).values == Floats{4.5f});
  CHECK(stats_of(low).term == NVFP4CAL_ACTMAX_TERM_LITERAL_MAX);
  CHECK(stats_of(low).b_min == 0.0);
  REQUIRE(nvfp4cal_actmax_set_bins(high.get(), 16, 200, 400) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(high, {1.0f, 4.5f}) == NVFP4CAL_OK);
  CHECK(amax(high).values == Floats{std::numeric_limits<float>::max()});
}

TEST_CASE("actmax: ragged rows count their short blocks, block size 32 makes half as many", "[api][actmax]") {
  Floats x(3 * 41, 1.0f);
  for (const int32_t block : {16, 32}) {
    const ActMax actmax = make_actmax();
    REQUIRE(nvfp4cal_actmax_set_block_size(actmax.get(), block) == NVFP4CAL_OK);
    REQUIRE(collect(actmax, x, {3, 41}) == NVFP4CAL_OK);
    CHECK(stats_of(actmax).blocks == (block == 16 ? 9 : 6));
    REQUIRE(collect(actmax, x, {123}) == NVFP4CAL_OK);  // another shape
    CHECK(stats_of(actmax).blocks == (block == 16 ? 17 : 10));
  }
}

TEST_CASE("actmax: nothing, empty tensors and zeros have no result", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  nvfp4cal_tensor out = question();
  int32_t reduce = 77;
  CHECK(amax(actmax).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(last_error() == "no data: nothing has been collected");
  CHECK(stats_of(actmax).blocks == -1);
  CHECK(nvfp4cal_actmax_state_tensor(actmax.get(), 0, &out, &reduce) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(reduce == 77);
  Floats none, zeros(40, -0.0f);
  CHECK(collect(actmax, none, {0, 16}) == NVFP4CAL_OK);
  CHECK(nvfp4cal_actmax_set_rho(actmax.get(), 100) == NVFP4CAL_OK);  // still before the first data
  CHECK(collect(actmax, zeros, {40}) == NVFP4CAL_OK);
  CHECK(amax(actmax).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(contains(nvfp4cal_actmax_last_error(actmax.get()), "zero"));
  CHECK(stats_of(actmax).blocks == -1);
  REQUIRE(collect_blocks(actmax, {2.0f}) == NVFP4CAL_OK);
  CHECK(stats_of(actmax).blocks == 1);
}

TEST_CASE("actmax: options outside their ranges are named and change nothing", "[api][actmax]") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const ActMax actmax = make_actmax();
  const Bytes before = exported(actmax);
  for (const double rho : {0.0, -1.0, 28672.0, nan, inf})
    CHECK(nvfp4cal_actmax_set_rho(actmax.get(), rho) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_actmax_set_rho(actmax.get(), 30000) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "rho 30000 is not in (0, 28672)");
  for (const double p : {-0.5, 100.5, nan}) {
    CHECK(nvfp4cal_actmax_set_percentiles(actmax.get(), p, 50) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "b_min_percentile"));
    CHECK(nvfp4cal_actmax_set_percentiles(actmax.get(), 50, p) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "b_max_percentile"));
  }
  for (const double margin : {-0.5, nan, inf}) CHECK(nvfp4cal_actmax_set_margin(actmax.get(), margin) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const int32_t bins : {0, -1, 65537}) {
    CHECK(nvfp4cal_actmax_set_bins(actmax.get(), bins, -40, 40) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), std::to_string(bins)));
  }
  const double ranges[][2] = {{40, -40}, {1, 1}, {nan, 1}, {0, nan}, {-inf, 0}, {0, 20000}, {1, 1 + 1e-9}};
  for (const auto& range : ranges) CHECK(nvfp4cal_actmax_set_bins(actmax.get(), 8, range[0], range[1]) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  for (const int32_t block : {0, 8, -16, 64}) CHECK(nvfp4cal_actmax_set_block_size(actmax.get(), block) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "block size 64, expected 16 or 32");
  for (const int32_t enable : {-1, 2}) CHECK(nvfp4cal_actmax_set_headroom(actmax.get(), enable) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(exported(actmax) == before);
}

TEST_CASE("actmax: options after data are a wrong state; reset frees and keeps them", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  REQUIRE(nvfp4cal_actmax_set_rho(actmax.get(), 4) == NVFP4CAL_OK);
  REQUIRE(collect_blocks(actmax, {1.0f, 3.0f}) == NVFP4CAL_OK);
  const Result before = amax(actmax);
  CHECK(nvfp4cal_actmax_set_rho(actmax.get(), 5) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "set_rho"));
  CHECK(nvfp4cal_actmax_set_percentiles(actmax.get(), 1, 99) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_actmax_set_margin(actmax.get(), 2) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_actmax_set_bins(actmax.get(), 512, -40, 40) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_actmax_set_block_size(actmax.get(), 16) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_actmax_set_headroom(actmax.get(), 0) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(same(amax(actmax), before));
  CHECK(nvfp4cal_actmax_reset(actmax.get()) == NVFP4CAL_OK);
  CHECK(amax(actmax).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect_blocks(actmax, {1.0f, 3.0f}) == NVFP4CAL_OK);
  CHECK(same(amax(actmax), before));
  CHECK(nvfp4cal_actmax_reset(actmax.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_actmax_set_bins(actmax.get(), 100, -20, 20) == NVFP4CAL_OK);
  CHECK(collect_blocks(actmax, {1.0f, 3.0f}) == NVFP4CAL_OK);
}

TEST_CASE("actmax: tensors that are not finite, or of no float dtype, leave the handle as it was", "[api][actmax]") {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const ActMax actmax = make_actmax();
    Floats bad = random_values(64, 90);
    bad[35] = wrong;
    CHECK(collect(actmax, bad, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(contains(last_error(), "x[35]"));
    CHECK(nvfp4cal_actmax_set_rho(actmax.get(), 3) == NVFP4CAL_OK);  // no data yet
    REQUIRE(collect_blocks(actmax, {1.0f, 2.0f}) == NVFP4CAL_OK);
    const Bytes before = exported(actmax);
    CHECK(collect(actmax, bad, {4, 16}) == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(exported(actmax) == before);
  }
  std::vector<double> wide = {1.0, 1e300};
  const nvfp4cal_tensor x = view(wide);
  CHECK(nvfp4cal_actmax_collect(make_actmax().get(), &x, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  Bytes bytes(128, 1);
  for (const int32_t dtype : {NVFP4CAL_DTYPE_U8, NVFP4CAL_DTYPE_I8, NVFP4CAL_DTYPE_E4M3, NVFP4CAL_DTYPE_I64, 0x12345}) {
    const nvfp4cal_tensor tensor = view(bytes.data(), dtype, {16});
    CHECK(nvfp4cal_actmax_collect(make_actmax().get(), &tensor, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  }
}

TEST_CASE("actmax: statistics of a caller with a smaller or larger struct", "[api][actmax]") {
  const ActMax actmax = make_actmax();
  REQUIRE(collect_blocks(actmax, {1.0f}) == NVFP4CAL_OK);
  struct {
    nvfp4cal_actmax_stats stats;
    char newer[16];
  } larger{};
  larger.newer[0] = 'x';
  larger.stats.struct_size = sizeof larger;
  CHECK(nvfp4cal_actmax_compute_stats(actmax.get(), &larger.stats) == NVFP4CAL_OK);
  CHECK(larger.stats.struct_size == sizeof larger);
  CHECK(larger.stats.blocks == 1);
  CHECK(larger.newer[0] == 'x');
  nvfp4cal_actmax_stats small{};
  small.struct_size = 8;
  CHECK(nvfp4cal_actmax_compute_stats(actmax.get(), &small) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "out.struct_size is 8, expected 56");
  CHECK(small.blocks == 0);
}
