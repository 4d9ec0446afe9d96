// States of ActMax and Mse with a good checksum that no calibrator wrote.
#include <limits>
#include <vector>

#include "calib/actmax.h"
#include "calib/mse.h"
#include "calib/state_bytes.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::calib;

namespace {

template <class Calibrator>
Status import(const std::vector<uint8_t>& bytes) {
  Calibrator calibrator;
  const std::vector<uint8_t> before = calibrator.export_state();
  try {
    calibrator.import_state(bytes.data(), bytes.size());
    return Status::kOk;
  } catch (const Error& error) {
    CHECK(calibrator.export_state() == before);
    return error.status();
  }
}

struct ActMaxState {
  double rho = 16384, b_min = 1, b_max = 99.99, margin = 1, lo = -4, hi = 4;
  int32_t bins = 2, block = 16;
  uint8_t headroom = 0, has_data = 1;
  float literal_max = 2;
  std::vector<int64_t> counts = {1, 2};
};

template <class Change>
std::vector<uint8_t> actmax_state(Change&& change) {
  ActMaxState s;
  change(s);
  StateWriter writer("actm", 1);
  for (const double value : {s.rho, s.b_min, s.b_max, s.margin, s.lo, s.hi}) writer.put(value);
  writer.put(s.bins);
  writer.put(s.block);
  writer.put(s.headroom);
  writer.put(s.has_data);
  writer.put(s.literal_max);
  writer.put_array(s.counts);
  return writer.finish();
}

template <class Change>
Status with_actmax(Change&& change) {
  return import <ActMax>(actmax_state(change));
}

struct MseState {
  std::vector<int32_t> axes = {0};
  double start = 1, stop = 2, step = 1, power = 2;
  int32_t source = 1, bits = 4, range = 0, format = 0;
  float global_amax = 0;
  int32_t error = 0;
  std::vector<int64_t> amax_shape = {3, 1};
  std::vector<float> amax = {1, 2, 3};
  uint8_t has_data = 1;
  std::vector<int64_t> channel_shape = {3};
  std::vector<double> losses = std::vector<double>(6, 1.0);
};

template <class Change>
Status with_mse(Change&& change) {
  MseState s;
  change(s);
  StateWriter writer("mse ", 1);
  writer.put_array(s.axes);
  for (const double value : {s.start, s.stop, s.step, s.power}) writer.put(value);
  for (const int32_t value : {s.source, s.bits, s.range, s.format}) writer.put(value);
  writer.put(s.global_amax);
  writer.put(s.error);
  writer.put_array(s.amax_shape);
  writer.put_array(s.amax);
  writer.put(s.has_data);
  writer.put_array(s.channel_shape);
  writer.put_array(s.losses);
  return import <Mse>(writer.finish());
}

}  // namespace

TEST_CASE("actmax states that no calibrator wrote are corrupt", "[state][actmax]") {
  const float inf = std::numeric_limits<float>::infinity();
  using S = ActMaxState;
  CHECK(with_actmax([](S&) {}) == Status::kOk);
  CHECK(with_actmax([](S& s) { s.rho = 0; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.b_min = 101; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.margin = -1; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.lo = 5; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.bins = 3; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.block = 17; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.has_data = 0; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.has_data = 2; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.headroom = 255; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.literal_max = 0; }) == Status::kCorrupt);
  CHECK(with_actmax([inf](S& s) { s.literal_max = inf; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.counts = {0, 0}; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.counts = {3, -1}; }) == Status::kCorrupt);
  CHECK(with_actmax([](S& s) { s.counts = {std::numeric_limits<int64_t>::max(), 1}; }) == Status::kCorrupt);
}

TEST_CASE("actmax: a histogram that int64 cannot count any further refuses more data", "[state][actmax]") {
  std::vector<float> x(16, 1.5f);
  const int64_t shape[] = {16};
  const TensorView one_block = make_view(x.data(), Dtype::kF32, 1, shape);
  for (const int full : {0, 1}) {  // the bin that the block counts in, and the other
    const std::vector<uint8_t> state = actmax_state([&](ActMaxState& s) {
      s.counts = {0, 0};
      s.counts[static_cast<size_t>(full)] = std::numeric_limits<int64_t>::max();
    });
    ActMax actmax;
    actmax.import_state(state.data(), state.size());
    Status status = Status::kOk;
    try {
      actmax.collect(one_block, nullptr);
    } catch (const Error& error) {
      status = error.status();
    }
    CHECK(status == Status::kInvalidArgument);
    CHECK(actmax.export_state() == state);
    CHECK(actmax.stats().blocks == std::numeric_limits<int64_t>::max());
  }
}

TEST_CASE("mse states that no calibrator wrote are corrupt", "[state][mse]") {
  const float inf = std::numeric_limits<float>::infinity();
  using S = MseState;
  CHECK(with_mse([](S&) {}) == Status::kOk);
  CHECK(with_mse([](S& s) { s.axes = {0, 0}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.axes = std::vector<int32_t>(20, 0); }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.axes = {}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.start = 3; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.power = 0; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.source = 5; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.source = 3; }) == Status::kCorrupt);  // NVFP4 with a global amax of 0
  CHECK(with_mse([](S& s) { s.bits = 9; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.range = -1; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.format = 3; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.error = 5; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.amax = {1, 2, -3}; }) == Status::kCorrupt);
  CHECK(with_mse([inf](S& s) { s.amax = {1, 2, inf}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.amax = {1, 2}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.amax_shape = {2, 1}, s.amax = {1, 2}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.has_data = 0; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.channel_shape = {2}; }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.losses.pop_back(); }) == Status::kCorrupt);
  CHECK(with_mse([](S& s) { s.losses[1] = std::numeric_limits<double>::quiet_NaN(); }) == Status::kCorrupt);
}
