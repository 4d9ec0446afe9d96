// nvfp4cal_scale_sweep_hessian and nvfp4cal_sweep_set_hessian: which Hessian weighs which block, what is refused, states.
#include <cmath>
#include <limits>

#include "hessian_calls.h"

using namespace api_test;

namespace {

Floats identity(int64_t count, int64_t block, float scale = 1.0f) {
  Floats h(static_cast<size_t>(count * block * block));
  for (size_t k = 0; k < h.size(); ++k) {
    const size_t n = static_cast<size_t>(block);
    if (k / n % n == k % n) h[k] = scale;
  }
  return h;
}

// X^T X of few rows: rank-deficient and strongly coupled, so that it matters which block it weighs.
Floats coupled(int64_t count, int64_t block, uint32_t seed) {
  const Hessian hessian = make_hessian(NVFP4CAL_HESSIAN_BLOCKS, static_cast<int32_t>(block));
  Floats x = random_values(static_cast<size_t>(5 * count * block), seed);
  if (collect(hessian, x, {5, count * block}) != NVFP4CAL_OK) return {};
  return result(hessian).values;
}

struct Question {
  Floats x;
  Shape shape;
  Floats hessian;
  int64_t count, block = 16;
  float global_amax = 1.0f;
  nvfp4cal_options options = api_test::options();
};

Result swept(Question q, const nvfp4cal_context* context = nullptr) {
  const nvfp4cal_tensor x = view(q.x, q.shape), h = view(q.hessian, {q.count, q.block, q.block}), amax = scalar(q.global_amax);
  q.options.block_size = static_cast<int32_t>(q.block);
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_scale_sweep_hessian(context, &x, &amax, &h, &q.options, out, nullptr); });
}

Result swept_plain(Question q) {
  const nvfp4cal_tensor x = view(q.x, q.shape), amax = scalar(q.global_amax);
  q.options.block_size = static_cast<int32_t>(q.block);
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_scale_sweep(nullptr, &x, &amax, &q.options, out, nullptr); });
}

nvfp4cal_status set_hessian(const Sweep& sweep, Floats values, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(values, shape);
  return nvfp4cal_sweep_set_hessian(sweep.get(), &tensor);
}

}  // namespace

TEST_CASE("with the identity, of any size, it is the plain search", "[api][hessian_sweep]") {
  for (const int64_t block : {16, 32}) {
    for (const float scale : {1.0f, 0x1p-100f, 0x1p100f, 1e-40f}) {
      CAPTURE(block, scale);
      const Floats x = random_values(96 * 64, 20);
      const Question q{x, {96, 64}, identity(64 / block, block, scale), 64 / block, block};
      const Result found = swept(q);
      CHECK(found.shape == Shape{96, 64 / block});
      CHECK(same(found, swept_plain(q)));
    }
  }
}

TEST_CASE("flat block b is weighed by Hessian b mod count", "[api][hessian_sweep]") {
  const Floats x = random_values(40 * 48, 21), h = coupled(3, 16, 22);
  const Result found = swept({x, {40, 48}, h, 3});
  REQUIRE(found.status == NVFP4CAL_OK);
  for (int64_t j = 0; j < 3; ++j) {
    Floats column, matrix(h.begin() + j * 256, h.begin() + (j + 1) * 256), wanted;
    for (int64_t row = 0; row < 40; ++row) {
      column.insert(column.end(), x.begin() + row * 48 + j * 16, x.begin() + row * 48 + j * 16 + 16);
      wanted.push_back(found.values[static_cast<size_t>(row * 3 + j)]);
    }
    CHECK(same_bits(swept({column, {40, 16}, matrix, 1}).values, wanted));
  }
  CHECK(same_bits(swept({x, {120, 16}, h, 3}).values, found.values));    // blocks in rows
  CHECK(same_bits(swept({x, {40 * 48}, h, 3}).values, found.values));    // flat
  CHECK(same_bits(swept({x, {2, 20, 48}, h, 3}).values, found.values));  // a stack
}

TEST_CASE("Hessian search: targets, threads, dtypes and strides agree", "[api][hessian_sweep]") {
  Floats memory = random_values(70 * 80, 23);
  for (float& value : memory) value = bf16_value(truncated_bf16(value));
  Floats h = coupled(4, 16, 24), copy;
  for (size_t r = 0; r < 70; ++r)
    copy.insert(copy.end(), memory.begin() + static_cast<std::ptrdiff_t>(r * 80 + 3),
                memory.begin() + static_cast<std::ptrdiff_t>(r * 80 + 67));
  std::vector<double> wide(copy.begin(), copy.end());
  std::vector<uint16_t> half;
  for (const float value : copy) half.push_back(truncated_bf16(value));
  const Result wanted = swept({copy, {70, 64}, h, 4});
  REQUIRE(wanted.status == NVFP4CAL_OK);
  float amax = 1.0f;
  const nvfp4cal_tensor global = scalar(amax), matrices = view(h, {4, 16, 16});
  const nvfp4cal_tensor inputs[] = {view(copy, {70, 64}), strided(&memory[3], NVFP4CAL_DTYPE_F32, {70, 64}, {80, 1}), view(wide, {70, 64}),
                                    view(half.data(), NVFP4CAL_DTYPE_BF16, {70, 64})};
  const std::string targets = nvfp4cal_cpu_targets();
  for (size_t begin = 0; begin < targets.size();) {
    const size_t end = std::min(targets.find(',', begin), targets.size());
    for (const int32_t threads : {1, 2, 7}) {
      CAPTURE(targets.substr(begin, end - begin), threads);
      const Context context = make_context();
      REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), targets.substr(begin, end - begin).c_str()) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
      for (const nvfp4cal_tensor& x : inputs) {
        const Result found = computed([&](nvfp4cal_tensor* out) {
          return nvfp4cal_scale_sweep_hessian(context.get(), &x, &global, &matrices, nullptr, out, nullptr);
        });
        CHECK(same(found, wanted));
      }
    }
    begin = end + 1;
  }
}

TEST_CASE("a stack has a global amax a slice, found or given", "[api][hessian_sweep]") {
  Floats x = random_values(3 * 8 * 32, 25), h = coupled(2, 16, 26), amax = {1.0f, 0.5f, 2.0f};
  for (size_t i = 256; i < 512; ++i) x[i] *= 0.5f;
  const nvfp4cal_tensor view_x = view(x, {3, 8, 32}), view_h = view(h, {2, 16, 16}), view_amax = view(amax);
  const Result found = computed(
      [&](nvfp4cal_tensor* out) { return nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &view_amax, &view_h, nullptr, out, nullptr); });
  REQUIRE(found.status == NVFP4CAL_OK);
  for (size_t s = 0; s < 3; ++s) {
    const Floats slice(x.begin() + static_cast<std::ptrdiff_t>(s * 256), x.begin() + static_cast<std::ptrdiff_t>(s * 256 + 256));
    Question q{slice, {8, 32}, h, 2};
    q.global_amax = amax[s];
    CHECK(same_bits(swept(q).values, Floats(found.values.begin() + static_cast<std::ptrdiff_t>(s * 16),
                                            found.values.begin() + static_cast<std::ptrdiff_t>(s * 16 + 16))));
  }
  const Result from_x = computed(
      [&](nvfp4cal_tensor* out) { return nvfp4cal_scale_sweep_hessian(nullptr, &view_x, nullptr, &view_h, nullptr, out, nullptr); });
  CHECK(from_x.status == NVFP4CAL_OK);
}

TEST_CASE("zero blocks get code 1, a zero tensor amax 0; a window bounds the codes", "[api][hessian_sweep]") {
  Question q{Floats(4 * 32), {4, 32}, coupled(2, 16, 27), 2};
  q.global_amax = 0.0f;
  CHECK(same_bits(swept(q).values, Floats(8, 0.0f)));
  q.global_amax = 448.0f;
  CHECK(same_bits(swept(q).values, Floats(8, 448.0f * (0x1p-9f / 448.0f))));
  q.x = random_values(4 * 32, 28);
  q.global_amax = 1.0f;
  q.options.flags = NVFP4CAL_OPTION_CODE_WINDOW;  // only the "max" code
  const Result window = swept(q);
  nvfp4cal_options plain = options_of(NVFP4CAL_METHOD_MAX, 16, 448);
  Floats x = q.x;
  float one = 1.0f;
  Bytes packed(64), scales(8);
  const nvfp4cal_tensor view_x = view(x, {4, 32}), amax = scalar(one);
  nvfp4cal_tensor view_packed = view(packed, {4, 16}), view_scales = view(scales, {4, 2});
  REQUIRE(nvfp4cal_quantize(nullptr, &view_x, &amax, nullptr, &plain, &view_packed, &view_scales, nullptr, nullptr) == NVFP4CAL_OK);
  Floats candidates(126);
  nvfp4cal_tensor view_candidates = view(candidates);
  REQUIRE(nvfp4cal_scale_candidates(nullptr, 0, &view_candidates) == NVFP4CAL_OK);
  for (size_t b = 0; b < 8; ++b) CHECK(window.values[b] == candidates[scales[b] - 1u]);
}

TEST_CASE("Hessians that make no sense are refused by block and element", "[api][hessian_sweep]") {
  const Floats x = random_values(4 * 48, 29);
  Question q{x, {4, 48}, coupled(3, 16, 30), 3};
  REQUIRE(swept(q).status == NVFP4CAL_OK);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Question broken = q;
    broken.hessian[256 + 2 * 16 + 5] = bad;
    CHECK(swept(broken).status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(contains(last_error(), "hessian[1, 2, 5]"));
  }
  Question skew = q;
  skew.hessian[512 + 3 * 16 + 7] *= 1.001f;
  CHECK(swept(skew).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(last_error(), "hessian[2] is not symmetric"));
  skew.hessian[512 + 3 * 16 + 7] = q.hessian[512 + 3 * 16 + 7] * 1.00001f;
  CHECK(swept(skew).status == NVFP4CAL_OK);
  Question wide = q;
  wide.shape = {2, 96};
  CHECK(swept(wide).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "3 Hessians of 16 columns for x of shape [2, 96]");
  wide.x = random_values(5 * 16, 31);
  wide.shape = {5, 16};
  CHECK(swept(wide).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  Question weighted = q;
  Floats ones(48, 1.0f);
  const nvfp4cal_tensor weights = view(ones);
  weighted.options.weights = &weights;
  CHECK(swept(weighted).status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "weights and a Hessian exclude each other");
  Floats values = x, h = q.hessian;
  std::vector<double> doubles(768, 1.0);
  float one = 1.0f;
  const nvfp4cal_tensor view_x = view(values, {4, 48}), amax = scalar(one), of_doubles = view(doubles, {3, 16, 16});
  const nvfp4cal_tensor flat = view(h), other_block = view(h, {3, 16, 16});
  nvfp4cal_options by_32 = options_of(0, 32, 448);
  Floats out(12, -7.0f);
  nvfp4cal_tensor to = view(out, {4, 3});
  CHECK(nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &amax, &of_doubles, nullptr, &to, nullptr) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &amax, &flat, nullptr, &to, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  nvfp4cal_tensor six = view(out, {6});
  CHECK(nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &amax, &other_block, &by_32, &six, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "a Hessian of 16 x 16 for blocks of 32");
  CHECK(nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &amax, nullptr, nullptr, &to, nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  values[77] = std::numeric_limits<float>::quiet_NaN();
  CHECK(nvfp4cal_scale_sweep_hessian(nullptr, &view_x, &amax, &other_block, nullptr, &to, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(last_error(), "x[77]"));
  CHECK(out == Floats(12, -7.0f));
}

TEST_CASE("a handle's Hessian is an option: copied, kept by reset, part of the state", "[api][hessian_sweep]") {
  const Sweep sweep = make_sweep();
  Floats x = random_values(8 * 48, 32), h = coupled(3, 16, 33);
  const Result wanted = swept({x, {8, 48}, h, 3});
  REQUIRE(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  CHECK(set_hessian(sweep, h, {3, 16, 15}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  REQUIRE(set_hessian(sweep, h, {3, 16, 16}) == NVFP4CAL_OK);
  Floats weights(48, 1.0f);
  const nvfp4cal_tensor view_weights = view(weights);
  CHECK(nvfp4cal_sweep_set_weights(sweep.get(), &view_weights) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  REQUIRE(collect(sweep, x, {8, 48}) == NVFP4CAL_OK);
  CHECK(same(amax(sweep), wanted));
  CHECK(set_hessian(sweep, h, {3, 16, 16}) == NVFP4CAL_ERROR_WRONG_STATE);
  const Sweep copy = make_sweep();
  nvfp4cal_tensor out = question();
  REQUIRE(nvfp4cal_sweep_export_state(sweep.get(), &out) == NVFP4CAL_OK);
  Bytes state(static_cast<size_t>(out.shape[0]));
  out.data = state.data();
  REQUIRE(nvfp4cal_sweep_export_state(sweep.get(), &out) == NVFP4CAL_OK);
  REQUIRE(import_bytes(copy, state) == NVFP4CAL_OK);
  CHECK(same(amax(copy), wanted));
  for (const Sweep* one : {&sweep, &copy}) {
    REQUIRE(nvfp4cal_sweep_reset(one->get()) == NVFP4CAL_OK);
    REQUIRE(collect(*one, x, {8, 48}) == NVFP4CAL_OK);
    CHECK(same(amax(*one), wanted));
    REQUIRE(nvfp4cal_sweep_reset(one->get()) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_sweep_set_hessian(one->get(), nullptr) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_sweep_set_weights(one->get(), &view_weights) == NVFP4CAL_OK);
    CHECK(set_hessian(*one, h, {3, 16, 16}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(collect(*one, x, {8, 48}) == NVFP4CAL_OK);
  }
}

TEST_CASE("an indefinite or zero Hessian is searched too", "[api][hessian_sweep]") {
  const Floats x = random_values(32 * 16, 34);
  Floats negative = identity(1, 16, -1.0f), zero(256), indefinite = identity(1, 16);
  indefinite[1] = indefinite[16] = 3.0f;
  CHECK(swept({x, {32, 16}, negative, 1}).status == NVFP4CAL_OK);
  CHECK(swept({x, {32, 16}, indefinite, 1}).status == NVFP4CAL_OK);
  const float smallest = 0x1p-9f / 448.0f;
  CHECK(same_bits(swept({x, {32, 16}, zero, 1}).values, Floats(32, smallest)));  // all codes tie
}
