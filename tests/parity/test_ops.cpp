// The CPU backend's operations: the same bits for every target, thread count, dtype and layout; errors name the element and write nothing.
#include <limits>
#include <string>

#include "core/backends.h"
#include "core/ops.h"
#include "parity/strided.h"
#include "parity/sweep_run.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

constexpr Dtype kDtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16, Dtype::kF64};

double ordinary(Random& random) { return random.chance(0.05) ? -0.0 : random.normal() * (random.chance(0.1) ? 1e-3 : 1); }

// What all operations say about one tensor.
struct Answers {
  std::vector<uint8_t> codes, max_codes, max_packed, mse_codes, mse_packed;
  std::vector<float> decoded, block_amax, amax, row_amax, column_amax, redecoded;
  std::vector<double> squared_error;

  bool operator==(const Answers& other) const = default;
};

struct Request {
  const TensorView* x;
  int block = 16;
  float normalization = 448.0f;
  std::vector<float> global_amax;
  const TensorView* weights = nullptr;
};

SweepArgs sweep_args(const Request& request, uint8_t* codes) {
  return {request.x,
          request.block,
          request.normalization,
          request.global_amax.data(),
          static_cast<int64_t>(request.global_amax.size()),
          request.weights,
          false,
          0,
          0,
          codes};
}

std::vector<float> amax_of(const Execution& execution, const TensorView& x, const std::vector<int64_t>& group_strides, int64_t groups,
                           int block) {
  std::vector<float> out(static_cast<size_t>(groups));
  AmaxArgs args{&x, {}, groups, block, out.data()};
  std::copy(group_strides.begin(), group_strides.end(), args.group_strides);
  call(cpu_ops().amax, execution, args);
  return out;
}

Answers ask(const Execution& execution, const Request& request) {
  const TensorView& x = *request.x;
  const size_t n = static_cast<size_t>(x.elements()), blocks = n / static_cast<size_t>(request.block);
  Answers answers;
  for (auto* codes : {&answers.codes, &answers.max_codes, &answers.mse_codes}) codes->resize(blocks, 0xEE);
  answers.max_packed.resize(n / 2, 0xEE);
  answers.mse_packed.resize(n / 2, 0xEE);
  answers.decoded.resize(n, -7.0f);
  answers.redecoded.resize(n, -8.0f);
  answers.squared_error.resize(2, -1.0);
  call(cpu_ops().sweep, execution, sweep_args(request, answers.codes.data()));

  QuantizeArgs quantize{
      sweep_args(request, answers.max_codes.data()), Method::kMax, nullptr, false, answers.max_packed.data(), nullptr, nullptr};
  call(cpu_ops().quantize, execution, quantize);
  const TensorView decoded = make_view(answers.decoded.data(), Dtype::kF32, x.ndim, x.shape);
  quantize = {sweep_args(request, answers.mse_codes.data()),
              Method::kMse,
              nullptr,
              true,
              answers.mse_packed.data(),
              &decoded,
              answers.squared_error.data()};
  call(cpu_ops().quantize, execution, quantize);

  TensorView packed = make_view(answers.mse_packed.data(), Dtype::kU8, x.ndim, x.shape),
             scales = make_view(answers.mse_codes.data(), Dtype::kU8, x.ndim, x.shape);
  packed.shape[x.ndim - 1] /= 2;
  scales.shape[x.ndim - 1] /= request.block;
  set_contiguous_strides(packed);
  set_contiguous_strides(scales);
  const TensorView redecoded = make_view(answers.redecoded.data(), Dtype::kF32, x.ndim, x.shape);
  std::vector<float> s2;
  for (const float amax : request.global_amax) s2.push_back(amax > 0 ? amax / (6.0f * request.normalization) : 1.0f);
  call(cpu_ops().dequantize, execution,
       DequantizeArgs{&packed, &scales, request.block, s2.data(), static_cast<int64_t>(s2.size()), DecodeOrder::kModelopt, &redecoded});

  std::vector<int64_t> none(static_cast<size_t>(x.ndim)), rows = none, columns = none;
  rows[0] = 1;
  columns.back() = 1;
  answers.amax = amax_of(execution, x, none, 1, 0);
  answers.row_amax = amax_of(execution, x, rows, x.shape[0], 0);
  answers.column_amax = amax_of(execution, x, columns, x.last(), 0);
  answers.block_amax = amax_of(execution, x, none, static_cast<int64_t>(blocks), request.block);
  return answers;
}

// What the answers must be, from the scalar search and plain loops over a float32 copy.
void check_against_loops(const Answers& answers, const Request& request, const std::vector<float>& values) {
  const size_t block = static_cast<size_t>(request.block), slices = request.global_amax.size(), slice = values.size() / slices;
  for (size_t s = 0; s < slices; ++s) {
    if (request.weights || request.global_amax[s] == 0.0f) continue;
    const std::vector<float> part(values.begin() + static_cast<int64_t>(s * slice), values.begin() + static_cast<int64_t>((s + 1) * slice));
    const Search search{Setting{request.global_amax[s], request.block, request.normalization}};
    const std::vector<uint8_t> codes = codes_of(cpu::scalar_kernels(), search, as_dtype(part, Dtype::kF32));
    CHECK(std::equal(codes.begin(), codes.end(), answers.codes.begin() + static_cast<int64_t>(s * slice / block)));
  }
  float amax = 0.0f;
  std::vector<float> block_amax(values.size() / block), columns(answers.column_amax.size()), rows(answers.row_amax.size());
  double error = 0.0, energy = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float magnitude = std::fabs(values[i]);
    for (float* const group : {&amax, &block_amax[i / block], &columns[i % columns.size()], &rows[i / (values.size() / rows.size())]}) {
      *group = std::max(*group, magnitude);
    }
    const double r = static_cast<double>(values[i]) - static_cast<double>(answers.decoded[i]);
    error += r * r;
    energy += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  CHECK(answers.amax == std::vector<float>{amax});
  CHECK(answers.block_amax == block_amax);
  CHECK(answers.column_amax == columns);
  CHECK(answers.row_amax == rows);
  CHECK(std::fabs(answers.squared_error[0] - error) <= 1e-6 * error);
  CHECK(std::fabs(answers.squared_error[1] - energy) <= 1e-6 * energy);
  CHECK(answers.codes == answers.mse_codes);
  CHECK(std::memcmp(answers.decoded.data(), answers.redecoded.data(), answers.decoded.size() * 4) == 0);
}

template <class Body>
void for_each_execution(Body&& body) {
  for (int target = 0; target < cpu_target_count(); ++target) {
    for (const int threads : {1, 2, 7}) {
      Execution execution;
      execution.set_cpu_target(target);
      execution.set_threads(threads);
      INFO(cpu_target_name(target) << ", " << threads << " threads");
      body(execution);
    }
  }
}

std::string text_of(const StridedTensor& x) {
  std::string text = std::string(dtype_name(x.view.dtype)) + " " + x.view.shape_text() + " strides";
  for (int d = 0; d < x.view.ndim; ++d) text += " " + std::to_string(x.view.strides[d]);
  return text;
}

}  // namespace

TEST_CASE("operations give the same bits for every target and thread count", "[parity]") {
  Random random(61);
  int turn = 0;
  for (const Dtype dtype : kDtypes) {
    // more than two chunks a slice, not whole ones
    const StridedTensor x = make_strided(dtype, {3, 620, 224}, turn % 2 ? Layout::kTransposed : Layout::kContiguous, random, ordinary);
    Request request{&x.view, turn % 2 ? 32 : 16, turn == 2 ? 256.0f : 448.0f, {4.0f, 0.7f, 30.0f}};
    if (turn++ == 1) request.global_amax = {5.5f};
    INFO(text_of(x));
    const Answers first = ask(Execution(), request);
    check_against_loops(first, request, x.values);
    for_each_execution([&](const Execution& execution) { CHECK((ask(execution, request) == first)); });
  }
}

TEST_CASE("a large tensor's maxima, cut into several tasks", "[parity]") {
  Random random(62);
  const StridedTensor x = make_strided(Dtype::kBf16, {5, 700, 752}, Layout::kContiguous, random, ordinary);
  std::vector<float> rows(5), columns(752);
  for (size_t i = 0; i < x.values.size(); ++i) {
    rows[i / (700 * 752)] = std::max(rows[i / (700 * 752)], std::fabs(x.values[i]));
    columns[i % 752] = std::max(columns[i % 752], std::fabs(x.values[i]));
  }
  for_each_execution([&](const Execution& execution) {
    CHECK(amax_of(execution, x.view, {1, 0, 0}, 5, 0) == rows);
    CHECK(amax_of(execution, x.view, {0, 0, 1}, 752, 0) == columns);
    CHECK(amax_of(execution, x.view, {0, 0, 0}, 1, 0) == std::vector<float>{*std::max_element(rows.begin(), rows.end())});
  });
}

TEST_CASE("any strides give what a contiguous copy gives", "[parity]") {
  Random random(63);
  for (int attempt = 0; attempt < 120; ++attempt) {
    const Layout layout = static_cast<Layout>(attempt % static_cast<int>(Layout::kCount));
    const int block = random.chance(0.3) ? 32 : 16;
    std::vector<int64_t> shape;
    for (int64_t d = random.below(4); d > 0; --d) shape.push_back(1 + random.below(6));
    shape.push_back(block * (1 + random.below(5)));
    if (random.chance(0.1)) shape = {40, 31, 128};
    const StridedTensor x = make_strided(kDtypes[attempt / 7 % 4], shape, layout, random, ordinary);
    const TensorView copy = make_view(x.values.data(), Dtype::kF32, x.view.ndim, x.view.shape);
    const StridedTensor full = make_strided(Dtype::kF32, shape, Layout::kRandom, random, [](Random& r) { return std::exp(r.normal()); });
    const StridedTensor row =
        make_strided(Dtype::kBf16, {shape.back()}, Layout::kNegative, random, [](Random& r) { return std::exp(r.normal()); });
    const TensorView full_copy = make_view(full.values.data(), Dtype::kF32, full.view.ndim, full.view.shape);
    const TensorView row_copy = make_view(row.values.data(), Dtype::kF32, 1, row.view.shape);
    Request strided{&x.view, block, 448.0f, {2.5f}}, contiguous = strided;
    contiguous.x = &copy;
    INFO(text_of(x));
    const Answers answers = ask(Execution(), strided);
    CHECK((answers == ask(Execution(), contiguous)));
    check_against_loops(answers, strided, x.values);
    for (const auto& [weights, weights_copy] : {std::pair{&full.view, &full_copy}, std::pair{&row.view, &row_copy}}) {
      strided.weights = weights;
      contiguous.weights = weights_copy;
      CHECK((ask(Execution(), strided) == ask(Execution(), contiguous)));
    }
  }
}

TEST_CASE("a row of weights is the same as the row repeated", "[parity]") {
  Random random(64);
  const StridedTensor x =
      make_strided(Dtype::kF32, {2, 900, 80}, Layout::kContiguous, random, ordinary);  // chunks begin inside a row's period
  std::vector<float> row(80), full;
  for (float& w : row) w = static_cast<float>(std::exp(2 * random.normal()));
  for (int i = 0; i < 1800; ++i) full.insert(full.end(), row.begin(), row.end());
  const int64_t cols = 80;
  const TensorView row_view = make_view(row.data(), Dtype::kF32, 1, &cols),
                   full_view = make_view(full.data(), Dtype::kF32, 3, x.view.shape);
  Request request{&x.view, 16, 448.0f, {3.0f, 6.0f}, &full_view};
  const Answers wanted = ask(Execution(), request);
  request.weights = &row_view;
  for_each_execution([&](const Execution& execution) { CHECK((ask(execution, request) == wanted)); });
}

TEST_CASE("a stack with an amax a slice is its slices one by one", "[parity]") {
  Random random(65);
  const StridedTensor stack = make_strided(Dtype::kF16, {4, 300, 64}, Layout::kContiguous, random, ordinary);
  const std::vector<float> amaxes = {4.5f, 0.5f, 100.0f, 1.0f};
  const Answers whole = ask(Execution(), {&stack.view, 16, 448.0f, amaxes});
  const size_t n = 300 * 64;
  for (size_t s = 0; s < 4; ++s) {
    TensorView slice = stack.view;
    slice.data = static_cast<char*>(slice.data) + s * n * 2;
    slice.shape[0] = 1;
    const Answers one = ask(Execution(), {&slice, 16, 448.0f, {amaxes[s]}});
    const auto same = [&](const auto& part, const auto& all, size_t count) {
      return part.size() == count && std::equal(part.begin(), part.end(), all.begin() + static_cast<int64_t>(s * count));
    };
    CHECK(same(one.codes, whole.codes, n / 16));
    CHECK(same(one.max_codes, whole.max_codes, n / 16));
    CHECK(same(one.max_packed, whole.max_packed, n / 2));
    CHECK(same(one.mse_packed, whole.mse_packed, n / 2));
    CHECK(same(one.decoded, whole.decoded, n));
    CHECK(same(one.redecoded, whole.redecoded, n));
  }
}

TEST_CASE("decoded values in other dtypes are the float32 ones rounded", "[parity]") {
  Random random(66);
  const StridedTensor x = make_strided(Dtype::kF32, {300, 96}, Layout::kContiguous, random, ordinary);
  const Request request{&x.view, 16, 448.0f, {4.0f}};
  const Answers answers = ask(Execution(), request);
  for (const Dtype dtype : kDtypes) {
    std::vector<char> bytes(answers.decoded.size() * dtype_size(dtype)), wanted;
    const TensorView out = make_view(bytes.data(), dtype, 2, x.view.shape);
    std::vector<uint8_t> codes(answers.codes.size());
    call(cpu_ops().quantize, Execution(),
         QuantizeArgs{sweep_args(request, codes.data()), Method::kMse, nullptr, false, nullptr, &out, nullptr});
    wanted.resize(bytes.size());
    const TensorView expected = make_view(wanted.data(), dtype, 2, x.view.shape);
    for (size_t i = 0; i < answers.decoded.size(); ++i)
      set_element(expected, static_cast<int64_t>(i), static_cast<double>(answers.decoded[i]));
    CHECK(bytes == wanted);
  }
}
