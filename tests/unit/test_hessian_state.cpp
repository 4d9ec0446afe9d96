// States of calib::Hessian with right checksums that no calibrator wrote.
#include <limits>

#include "calib/hessian.h"
#include "calib/state_bytes.h"
#include "support/catch.h"

using namespace nvfp4cal;
using calib::StateWriter;

namespace {

struct State {
  int32_t layout = 2, block = 16, normalize = 0;
  double damping = 0.0;
  int64_t cols = 2, rows = 3;
  std::vector<double> sums = {1.0, 2.0};

  Status import() const {
    StateWriter writer("hess", 1);
    writer.put(layout);
    writer.put(block);
    writer.put(normalize);
    writer.put(damping);
    writer.put(cols);
    writer.put(rows);
    writer.put_array(sums);
    const std::vector<uint8_t> bytes = writer.finish();
    calib::Hessian hessian;
    try {
      hessian.import_state(bytes.data(), bytes.size());
      return Status::kOk;
    } catch (const Error& error) {
      return hessian.rows() == 0 ? error.status() : Status::kInternal;
    }
  }
};

}  // namespace

TEST_CASE("Hessian states that no calibrator wrote are corrupt", "[state][hessian]") {
  CHECK(State().import() == Status::kOk);
  const auto with = [](auto&& change) {
    State state;
    change(state);
    return state.import();
  };
  CHECK(with([](State& s) { s.layout = 3; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.block = 8; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.normalize = 2; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.damping = -1.0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.cols = 3; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.cols = -2; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.rows = 0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.rows = -1; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.rows = int64_t{1} << 60; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.layout = 0; }) == Status::kCorrupt);  // blocks of 16 in 2 columns
  CHECK(with([](State& s) { s.sums[1] = std::numeric_limits<double>::infinity(); }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.sums[0] = -1e300; }) == Status::kCorrupt);  // not of 3 rows: merged, such sums become infinite
  CHECK(with([](State& s) { s.sums[1] = 3 * 0x1p256; }) == Status::kOk);
  CHECK(with([](State& s) { s.cols = int64_t{1} << 40; }) == Status::kCorrupt);
}
