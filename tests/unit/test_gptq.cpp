// GPTQ against a float64 implementation of its own, over kinds of Hessians.
#include "calib/gptq.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/backends.h"
#include "num/e2m1.h"
#include "num/scale.h"
#include "support/catch.h"
#include "support/gptq.h"
#include "support/hessians.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

struct Layer {
  int64_t rows, cols;
  std::vector<float> weights, hessian;

  Matrix matrix() const {
    return Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>(weights.data(), rows, cols).cast<double>();
  }
  Matrix hessian_matrix() const {
    return Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>(hessian.data(), cols, cols).cast<double>();
  }
};

Layer make_layer(HessianKind kind, int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Layer layer{rows, cols, {}, HessianMaker(kind, static_cast<int>(cols), seed).make()};
  for (int64_t i = 0; i < rows * cols; ++i) layer.weights.push_back(normal(engine));
  return layer;
}

struct Outcome {
  std::vector<uint8_t> packed, scales;
  float global_scale;
  GptqObjectives objectives;

  Rounded decoded(const Layer& layer) const {
    Rounded out{Matrix(layer.rows, layer.cols), {scales.begin(), scales.end()}};
    for (int64_t i = 0; i < layer.rows * layer.cols; ++i) {
      const uint8_t byte = packed[static_cast<size_t>(i / 2)];
      const float scale = num::e4m3_magnitude(scales[static_cast<size_t>(i / 16)]) * global_scale;
      out.decoded.data()[i] = static_cast<double>(num::e2m1_value(i % 2 ? byte >> 4 : byte & 15) * scale);
    }
    return out;
  }
};

Outcome run(const Layer& layer, GptqEffort effort, const Execution& execution = Execution(), double damping = 0.02) {
  calib::Gptq gptq;
  gptq.set_execution(execution);
  gptq.set_effort(static_cast<int>(effort));
  gptq.set_damping(damping);
  gptq.set_measure(1);
  const int64_t square[2] = {layer.cols, layer.cols}, shape[2] = {layer.rows, layer.cols};
  gptq.set_hessian(make_view(layer.hessian.data(), Dtype::kF32, 2, square), nullptr);
  Outcome out{std::vector<uint8_t>(layer.weights.size() / 2), std::vector<uint8_t>(layer.weights.size() / 16), 0.0f, {}};
  calib::GptqOutputs outputs;
  outputs.packed = out.packed.data();
  outputs.scales = out.scales.data();
  outputs.global_scale = &out.global_scale;
  gptq.quantize(make_view(layer.weights.data(), Dtype::kF32, 2, shape), {}, outputs);
  out.objectives = gptq.objectives();
  return out;
}

bool same(const Outcome& a, const Outcome& b) {
  return a.packed == b.packed && a.scales == b.scales && std::memcmp(&a.objectives, &b.objectives, sizeof a.objectives) == 0;
}

}  // namespace

TEST_CASE("GPTQ's rounding takes the least loss of every block, and its losses are the objective") {
  for (int kind = 0; kind < static_cast<int>(HessianKind::kCount); ++kind) {
    INFO(kind_name(static_cast<HessianKind>(kind)));
    const Layer layer = make_layer(static_cast<HessianKind>(kind), 40, 144, 3);
    const Outcome found = run(layer, GptqEffort::kFast);
    const GptqOracle oracle(layer.hessian_matrix(), 0.02);
    const Rounded decoded = found.decoded(layer);
    int worse = 0;
    double losses = 0.0;
    for (int64_t row = 0; row < layer.rows; ++row) {
      const GptqOracle::Followed followed = oracle.follow(layer.matrix(), decoded, row, static_cast<double>(found.global_scale), 1e-3);
      worse += followed.worse;
      losses += followed.loss;
    }
    CHECK(worse <= 2);  // of 360: a target within float32's last digits of a boundary takes the other path
    const double objective = oracle.objective(decoded.decoded - layer.matrix());
    CHECK(std::fabs(losses / objective - 1.0) < 1e-9);
    CHECK(std::fabs(found.objectives.rounding / objective - 1.0) < 1e-3);
  }
}

TEST_CASE("a block's loss is what the objective grows by, later weights at their best") {
  const Layer layer = make_layer(HessianKind::kActivations, 3, 80, 5);
  const GptqOracle oracle(layer.hessian_matrix(), 0.02);
  const Outcome found = run(layer, GptqEffort::kFast);
  const Rounded decoded = found.decoded(layer);
  const Matrix errors = decoded.decoded - layer.matrix();
  for (int64_t row = 0; row < layer.rows; ++row) {
    // the least completion grows block by block up to the sum of the losses
    double before = 0.0;
    for (int64_t blocks = 1; blocks <= oracle.blocks(); ++blocks) {
      const double now = oracle.least_completion(errors, row, blocks);
      CHECK(now >= before * (1.0 - 1e-9));
      before = now;
    }
    const double losses = oracle.follow(layer.matrix(), decoded, row, static_cast<double>(found.global_scale), 1e-3).loss;
    CHECK(std::fabs(losses / before - 1.0) < 1e-9);
  }
}

TEST_CASE("GPTQ's objective is near the float64 implementation's, below GPTQ with scales of maxima and below rounding to nearest") {
  for (int kind = 0; kind < static_cast<int>(HessianKind::kCount); ++kind) {
    for (const int64_t cols : {16, 80, 256}) {
      INFO(kind_name(static_cast<HessianKind>(kind)) << ", " << cols << " columns");
      const Layer layer = make_layer(static_cast<HessianKind>(kind), 33, cols, 11);
      const Outcome found = run(layer, GptqEffort::kFast);
      const double scale = static_cast<double>(found.global_scale);
      const GptqOracle oracle(layer.hessian_matrix(), 0.02);
      const Matrix weights = layer.matrix();
      const double objective = oracle.objective(found.decoded(layer).decoded - weights);
      CHECK(std::fabs(objective / oracle.objective(oracle.round(weights, scale, true).decoded - weights) - 1.0) < 0.01);
      CHECK(objective < oracle.objective(oracle.round(weights, scale, false).decoded - weights));
      const double nearest = oracle.objective(oracle.nearest(weights, scale).decoded - weights);
      CHECK(objective < nearest);
      CHECK(std::fabs(found.objectives.nearest / nearest - 1.0) < 1e-3);
    }
  }
}

TEST_CASE("stages are monotone, and their objectives are those of what is stored") {
  for (int kind = 0; kind < static_cast<int>(HessianKind::kCount); ++kind) {
    for (const int64_t cols : {32, 144, 272}) {
      INFO(kind_name(static_cast<HessianKind>(kind)) << ", " << cols << " columns");
      const Layer layer = make_layer(static_cast<HessianKind>(kind), 70, cols, 17);
      const GptqOracle oracle(layer.hessian_matrix(), 0.02);
      const Outcome descent = run(layer, GptqEffort::kDefault), most = run(layer, GptqEffort::kMax);
      const auto stored = [&](const Outcome& outcome) { return oracle.objective(outcome.decoded(layer).decoded - layer.matrix()); };
      CHECK(descent.objectives.descent <= descent.objectives.rounding * (1.0 + 1e-5));
      CHECK(most.objectives.neighbourhood <= most.objectives.descent * (1.0 + 1e-5));
      CHECK(most.objectives.descent == descent.objectives.descent);
      CHECK(std::fabs(stored(descent) / descent.objectives.descent - 1.0) < 1e-3);
      CHECK(std::fabs(stored(most) / most.objectives.neighbourhood - 1.0) < 1e-3);
      if (static_cast<HessianKind>(kind) == HessianKind::kWhite) continue;
      CHECK(stored(descent) < run(layer, GptqEffort::kFast).objectives.rounding);
      CHECK(stored(most) < stored(descent));
    }
  }
}

TEST_CASE("GPTQ's results are the same bits for any number of threads, and on all targets that fuse multiply-adds") {
  const Layer layer = make_layer(HessianKind::kActivations, 150, 208, 23);
  Execution one;
  one.set_threads(1);
  const Outcome expected = run(layer, GptqEffort::kMax, one);
  for (const int threads : {2, 7}) {
    Execution execution;
    execution.set_threads(threads);
    CHECK(same(run(layer, GptqEffort::kMax, execution), expected));
  }
  for (int index = 0; index < cpu_target_count(); ++index) {
    INFO(cpu_target_name(index));
    Execution execution;
    execution.set_cpu_target(index);
    const Outcome found = run(layer, GptqEffort::kMax, execution);
    if (std::string(cpu_target_name(index)) != "sse4") CHECK(same(found, expected));
    CHECK(std::fabs(found.objectives.neighbourhood / expected.objectives.neighbourhood - 1.0) < 0.02);
  }
}

TEST_CASE("GPTQ: a power of two changes nothing but the units") {
  const Layer layer = make_layer(HessianKind::kAr9, 20, 96, 29);
  const Outcome expected = run(layer, GptqEffort::kMax);
  for (const int exponent : {-90, -3, 5, 100}) {
    INFO("2^" << exponent);
    Layer scaled = layer;
    for (float& weight : scaled.weights) weight = std::ldexp(weight, exponent);
    const Outcome found = run(scaled, GptqEffort::kMax);
    CHECK(found.packed == expected.packed);
    CHECK(found.scales == expected.scales);
    CHECK(found.objectives.rounding == std::ldexp(expected.objectives.rounding, 2 * exponent));
  }
}

TEST_CASE("GPTQ refuses a singular Hessian without damping and names the column") {
  Layer layer = make_layer(HessianKind::kDeficient, 8, 64, 31);
  try {
    run(layer, GptqEffort::kFast, Execution(), 0.0);
    FAIL("not refused");
  } catch (const Error& error) {
    CHECK(error.status() == Status::kInvalidArgument);
    CHECK(error.message().find("not positive definite (pivot") != std::string::npos);
    CHECK(error.message().find("at column") != std::string::npos);
  }
  CHECK(run(layer, GptqEffort::kMax, Execution(), 1e-3).objectives.neighbourhood > 0.0);
}

namespace {

// Lets so many looks pass.
class Allowance : public Interrupt {
 public:
  explicit Allowance(int looks) : left(looks) {}
  void check() override {
    if (left-- <= 0) fail(Status::kCancelled, "stopped");
  }
  int left;
};

}  // namespace

TEST_CASE("GPTQ can be interrupted inside its rows, at every stage") {
  const Layer layer = make_layer(HessianKind::kAr9, 8, 272, 5);  // one task of rows, three groups of columns
  Execution execution;
  execution.set_threads(1);
  int before = 0;
  for (const GptqEffort effort : {GptqEffort::kFast, GptqEffort::kDefault, GptqEffort::kMax}) {
    Allowance all(1 << 20);
    execution.set_interrupt(&all);
    run(layer, effort, execution);
    const int looks = (1 << 20) - all.left;
    CHECK(looks >= before + 3);
    before = looks;
    for (int allowed = 0; allowed < looks; allowed += 1 + allowed / 8) {
      Allowance some(allowed);
      execution.set_interrupt(&some);
      try {
        run(layer, effort, execution);
        FAIL("not stopped after " << allowed);
      } catch (const Error& error) {
        CHECK(error.status() == Status::kCancelled);
      }
    }
  }
}
