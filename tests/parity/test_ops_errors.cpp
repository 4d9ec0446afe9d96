// Elements that are not finite: the first one is named by its flat index, and nothing has been written.
#include <array>
#include <limits>
#include <string>

#include "core/backends.h"
#include "core/ops.h"
#include "parity/strided.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

double ordinary(Random& random) { return random.normal(); }

template <class Args>
std::string message_of(Status (*op)(const Execution&, const Args&, char*), const Execution& execution, const Args& args, Status expected) {
  char message[kMessageSize] = "";
  CHECK(static_cast<int>(op(execution, args, message)) == static_cast<int>(expected));
  return message;
}

template <class T>
bool untouched(const std::vector<T>& values, T sentinel) {
  return std::all_of(values.begin(), values.end(), [&](T value) { return value == sentinel; });
}

// All operations refuse x, naming what `wanted` says.
void check_refused(const Execution& execution, const TensorView& x, const std::string& wanted) {
  const size_t n = static_cast<size_t>(x.elements());
  const float amax = 3.0f;
  std::vector<uint8_t> searched(n / 16), codes(n / 16, 0xEE), packed(n / 2, 0xEE);
  std::vector<float> decoded(n, -7.0f), maxima(n / 16, 0.25f), maximum(1, 0.25f);
  std::vector<double> sums(2, -1.0);
  const TensorView out = make_view(decoded.data(), Dtype::kF32, x.ndim, x.shape);
  SweepArgs sweep{&x, 16, 448.0f, &amax, 1, nullptr, false, 0, 0, searched.data()};
  CHECK(message_of(cpu_ops().sweep, execution, sweep, Status::kNotFinite) == wanted);
  sweep.codes = codes.data();
  for (const Method method : {Method::kMax, Method::kMse}) {
    const QuantizeArgs quantize{sweep, method, nullptr, false, packed.data(), &out, sums.data()};
    CHECK(message_of(cpu_ops().quantize, execution, quantize, Status::kNotFinite) == wanted);
  }
  CHECK(message_of(cpu_ops().amax, execution, AmaxArgs{&x, {}, 1, 0, maximum.data()}, Status::kNotFinite) == wanted);
  CHECK(message_of(cpu_ops().amax, execution, AmaxArgs{&x, {}, static_cast<int64_t>(n / 16), 16, maxima.data()}, Status::kNotFinite) ==
        wanted);
  CHECK(untouched<uint8_t>(codes, 0xEE));
  CHECK(untouched<uint8_t>(packed, 0xEE));
  CHECK(untouched(decoded, -7.0f));
  CHECK(untouched(sums, -1.0));
  CHECK(untouched(maxima, 0.25f));
  CHECK(untouched(maximum, 0.25f));
}

}  // namespace

TEST_CASE("the first element that is not finite is named and nothing is written", "[parity]") {
  Random random(71);
  constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();
  for (int attempt = 0; attempt < 36; ++attempt) {
    const Dtype dtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16, Dtype::kF64};
    Layout layout = static_cast<Layout>(attempt % static_cast<int>(Layout::kCount));
    if (layout == Layout::kBroadcast || layout == Layout::kRandom) layout = Layout::kSliced;  // one element, one place
    const StridedTensor x = make_strided(dtypes[attempt % 4], {3, 100 + random.below(400), 240}, layout, random, ordinary);
    const int64_t n = x.view.elements(), first = random.below(n);
    const double value = std::array{kNan, kInf, -kInf}[static_cast<size_t>(attempt) % 3];
    set_element(x.view, first, value);
    for (int others = 0; others < 3; ++others) set_element(x.view, first + random.below(n - first), value);
    const std::string wanted = "x[" + std::to_string(first) + "] is " + (value != value ? "NaN" : value > 0 ? "infinite" : "-infinite");
    Execution execution;
    execution.set_threads(1 + attempt % 4);
    execution.set_cpu_target(attempt % cpu_target_count());
    check_refused(execution, x.view, wanted);
  }
}

TEST_CASE("a float64 beyond float32 is refused with its value", "[parity]") {
  Random random(72);
  const StridedTensor x = make_strided(Dtype::kF64, {4, 64}, Layout::kContiguous, random, ordinary);
  set_element(x.view, 77, 1e39);
  check_refused(Execution(), x.view, "x[77] is 1e+39, beyond the range of float32");
  // the largest float64 that rounds to a finite float32 is fine
  set_element(x.view, 77, 3.4028235677973362e38);
  const float amax = 3.4e38f;
  std::vector<uint8_t> codes(16);
  CHECK(message_of(cpu_ops().sweep, Execution(), SweepArgs{&x.view, 16, 448.0f, &amax, 1, nullptr, false, 0, 0, codes.data()},
                   Status::kOk) == "");
}

TEST_CASE("weights that are not positive and finite are named and nothing is written", "[parity]") {
  Random random(73);
  const StridedTensor x = make_strided(Dtype::kF32, {600, 160}, Layout::kContiguous, random, ordinary);
  const float amax = 3.0f;
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{160}, std::vector<int64_t>{600, 160}}) {
      const StridedTensor weights = make_strided(Dtype::kF32, shape, Layout::kSliced, random, [](Random& r) { return r.uniform(0.5, 2); });
      const int64_t at = random.below(weights.view.elements());
      set_element(weights.view, at, bad);
      std::vector<uint8_t> codes(6000, 0xEE), packed(48000, 0xEE);
      const SweepArgs sweep{&x.view, 16, 448.0f, &amax, 1, &weights.view, false, 0, 0, codes.data()};
      const std::string named = "weights[" + std::to_string(at) + "] is ";
      CHECK(message_of(cpu_ops().sweep, Execution(), sweep, Status::kInvalidArgument).rfind(named, 0) == 0);
      const QuantizeArgs quantize{sweep, Method::kMse, nullptr, false, packed.data(), nullptr, nullptr};
      CHECK(message_of(cpu_ops().quantize, Execution(), quantize, Status::kInvalidArgument).rfind(named, 0) == 0);
      CHECK(untouched<uint8_t>(codes, 0xEE));
      CHECK(untouched<uint8_t>(packed, 0xEE));
    }
  }
}

TEST_CASE("NaN scale bytes are named and nothing is decoded", "[parity]") {
  Random random(74);
  std::vector<uint8_t> packed(200 * 64), scales(200 * 8, 0x38);
  const int64_t packed_shape[] = {200, 64}, scales_shape[] = {200, 8}, shape[] = {200, 128};
  const TensorView packed_view = make_view(packed.data(), Dtype::kU8, 2, packed_shape),
                   scales_view = make_view(scales.data(), Dtype::kU8, 2, scales_shape);
  std::vector<float> decoded(200 * 128, -7.0f);
  const TensorView out = make_view(decoded.data(), Dtype::kF32, 2, shape);
  const float s2 = 1.0f;
  const DequantizeArgs args{&packed_view, &scales_view, 16, &s2, 1, DecodeOrder::kModelopt, &out};
  scales[1234] = 0xFF;
  scales[1500] = 0x7F;
  CHECK(message_of(cpu_ops().dequantize, Execution(), args, Status::kNotFinite).find("scales[1234] is 0xFF") != std::string::npos);
  CHECK(untouched(decoded, -7.0f));
}
