// nvfp4cal_sweep with callbacks: the search over all 126 codes, against the built-in one and plain loops; what callbacks see; what happens when they fail.
#include "hessian_calls.h"
#include "one_call.h"
#include "sweep_callbacks.h"

using namespace api_test;

namespace {

Sweep with_global(Floats global_amax = {1.0f}) {
  Sweep sweep = make_sweep();
  return set_global(sweep, std::move(global_amax)) == NVFP4CAL_OK ? std::move(sweep) : nullptr;
}

nvfp4cal_status set_weights(const Sweep& sweep, Floats values, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(values, shape);
  return nvfp4cal_sweep_set_weights(sweep.get(), &tensor);
}

nvfp4cal_status set_hessian(const Sweep& sweep, Floats values, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(values, shape);
  return nvfp4cal_sweep_set_hessian(sweep.get(), &tensor);
}

Floats coupled(int64_t cols, int32_t block, uint32_t seed) {
  const Hessian hessian = make_hessian(NVFP4CAL_HESSIAN_BLOCKS, block);
  Floats x = random_values(static_cast<size_t>(9 * cols), seed);
  return collect(hessian, x, {9, cols}) == NVFP4CAL_OK ? result(hessian).values : Floats();
}

Floats part(const Floats& values, size_t begin, size_t count) {
  return {values.begin() + static_cast<std::ptrdiff_t>(begin), values.begin() + static_cast<std::ptrdiff_t>(begin + count)};
}

}  // namespace

TEST_CASE("sweep: a quantize callback with the library's arithmetic finds the built-in codes", "[api][sweep_callback]") {
  Floats x = random_values(64 * 96, 130), weights = random_values(64 * 96, 131);
  std::fill_n(x.begin() + 500, 40, 0.0f);  // a zero block
  for (float& w : weights) w = w * w + 0.01f;
  for (const int32_t block : {16, 32}) {
    for (const int32_t normalization : {448, 256}) {
      for (const float global_amax : {1.0f, 37.5f, 0.02f}) {
        for (const int kind : {0, 1, 2, 3}) {
          CAPTURE(block, normalization, global_amax, kind);
          Script script;
          script.block = block;
          const Sweep sweep = with_global({global_amax}), built_in = with_global({global_amax});
          for (const Sweep* each : {&sweep, &built_in}) {
            REQUIRE(nvfp4cal_sweep_set_block_size(each->get(), block) == NVFP4CAL_OK);
            REQUIRE(nvfp4cal_sweep_set_normalization(each->get(), normalization) == NVFP4CAL_OK);
            if (kind == 1) REQUIRE(set_weights(*each, weights, {64, 96}) == NVFP4CAL_OK);
            if (kind == 2) REQUIRE(set_weights(*each, part(weights, 0, 96), {96}) == NVFP4CAL_OK);
            if (kind == 3) REQUIRE(nvfp4cal_sweep_set_code_window(each->get(), -2, 3) == NVFP4CAL_OK);
          }
          REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
          REQUIRE(collect(sweep, x, {64, 96}) == NVFP4CAL_OK);
          REQUIRE(collect(built_in, x, {64, 96}) == NVFP4CAL_OK);
          CHECK(codes(sweep) == codes(built_in));
          CHECK(same(amax(sweep), amax(built_in)));
          CHECK(script.quantize_calls == 126);
          CHECK(!script.wrong_thread);
        }
      }
    }
  }
}

TEST_CASE("sweep: callbacks of any arithmetic find what a loop over all codes finds", "[api][sweep_callback]") {
  // more than one chunk of 65536 elements
  const Floats x = random_values(208 * 320, 132);
  Floats weights = random_values(320, 133);
  for (float& w : weights) w = 0.1f + w * w;
  for (const int kind : {0, 1, 2, 3, 4}) {
    CAPTURE(kind);
    const bool own_quantizer = kind != 1, own_error = kind == 1 || kind == 2 || kind == 4, weighted = kind == 3 || kind == 4;
    Script script;
    NaiveSweep naive;
    const Sweep sweep = with_global({1.0f});
    if (own_quantizer) script.quantize = naive.quantize = truncated_value;
    if (own_quantizer) REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
    if (own_error) script.error = naive.error = lopsided;
    if (own_error) REQUIRE(use_error(sweep, script) == NVFP4CAL_OK);
    if (weighted) REQUIRE(set_weights(sweep, weights, {320}) == NVFP4CAL_OK);
    for (int row = 0; weighted && row < 208; ++row) naive.weights.insert(naive.weights.end(), weights.begin(), weights.end());
    Floats input = x;
    REQUIRE(collect(sweep, input, {208, 320}) == NVFP4CAL_OK);
    CHECK(codes(sweep) == naive.codes(x, 1.0f));
    CHECK(script.quantize_calls == (own_quantizer ? 126 : 0));
    CHECK(script.error_calls == (own_error ? 126 : 0));
  }
}

TEST_CASE("sweep: an error callback sees the library's own values, those that a callback with its arithmetic writes",
          "[api][sweep_callback]") {
  for (const float global_amax : {1.0f, 1e-36f, 3e-41f, 3e37f}) {
    CAPTURE(global_amax);
    Floats x = random_values(16 * 64, 134);
    for (float& value : x) value *= global_amax;
    struct Seen {
      std::vector<Floats> values;
    } seen;
    const auto keep = [](void* user, const nvfp4cal_tensor* from, const nvfp4cal_tensor* xq, nvfp4cal_tensor* out) -> int32_t {
      const float* values = static_cast<const float*>(xq->data);
      const int64_t n = elements(*from);
      static_cast<Seen*>(user)->values.emplace_back(values, values + n);
      for (int64_t i = 0; i < n; ++i) static_cast<float*>(out->data)[i] = 1.0f;
      return xq->dtype == NVFP4CAL_DTYPE_F32 && elements(*xq) == n && xq->flags == 0 ? 0 : 9;
    };
    const Sweep sweep = with_global({global_amax});
    REQUIRE(nvfp4cal_sweep_set_error_callback(sweep.get(), keep, NVFP4CAL_ERRORS_ELEMENTS, &seen) == NVFP4CAL_OK);
    REQUIRE(collect(sweep, x, {16, 64}) == NVFP4CAL_OK);
    CHECK(codes(sweep) == Bytes(64, 1));  // all errors are equal
    REQUIRE(seen.values.size() == 126);
    const bool tiny = global_amax < 1e-30f;  // amax / 6 has lost its last bits there: the library works in units of the global amax
    for (int code = tiny ? 126 : 1; code <= 126; ++code) {
      const float block_amax = global_amax * (reference::e4m3_value(code) / 448.0f);
      Floats wanted;
      for (const float value : x) wanted.push_back(nvfp4_value(value, block_amax));
      const Floats& got = seen.values[static_cast<size_t>(code - 1)];
      if (global_amax >= 1e-36f) {
        CHECK(same_bits(got, wanted));
      } else {  // subnormal numbers: near
        for (size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - wanted[i]) <= block_amax);
      }
    }
  }
}

TEST_CASE("sweep: a Hessian weighs what a quantize callback makes, and wins over an error callback", "[api][sweep_callback]") {
  for (const int32_t block : {16, 32}) {
    CAPTURE(block);
    Floats x = random_values(40 * 96, 135);
    const Floats hessian = coupled(96, block, 136);
    const Shape shape = {96 / block, block, block};
    Script script, unused;
    script.block = block;
    script.quantize = truncated_value;
    unused.fail_at = 0;  // would be noticed
    const Sweep both = with_global(), built_in = with_global(), only_error = with_global();
    for (const Sweep* each : {&both, &built_in, &only_error}) {
      REQUIRE(nvfp4cal_sweep_set_block_size(each->get(), block) == NVFP4CAL_OK);
      REQUIRE(set_hessian(*each, hessian, shape) == NVFP4CAL_OK);
    }
    REQUIRE(use_quantize(both, script) == NVFP4CAL_OK);
    REQUIRE(use_error(both, unused) == NVFP4CAL_OK);
    REQUIRE(use_error(only_error, unused) == NVFP4CAL_OK);
    NaiveSweep naive{truncated_value, nullptr, {}, hessian, block, 448};
    REQUIRE(collect(both, x, {40, 96}) == NVFP4CAL_OK);
    CHECK(codes(both) == naive.codes(x, 1.0f));
    REQUIRE(collect(only_error, x, {40, 96}) == NVFP4CAL_OK);
    REQUIRE(collect(built_in, x, {40, 96}) == NVFP4CAL_OK);
    CHECK(codes(only_error) == codes(built_in));
    CHECK(codes(both) != codes(built_in));
    CHECK(unused.error_calls == 0);
    // with the library's arithmetic the callback changes nothing
    script.quantize = nvfp4_value;
    REQUIRE(nvfp4cal_sweep_reset(both.get()) == NVFP4CAL_OK);
    REQUIRE(collect(both, x, {40, 96}) == NVFP4CAL_OK);
    CHECK(codes(both) == codes(built_in));
    // a Hessian for other columns is refused before any call
    script.quantize_calls = 0;
    REQUIRE(nvfp4cal_sweep_reset(both.get()) == NVFP4CAL_OK);
    CHECK(collect(both, x, {20, 192}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "Hessians of " + std::to_string(block)));
    CHECK(script.quantize_calls == 0);
  }
}

TEST_CASE("sweep: callbacks get x as it is: dtype, shape and strides", "[api][sweep_callback]") {
  Floats memory = random_values(40 * 70, 137), copy;
  for (float& value : memory) value = bf16_value(truncated_bf16(value));
  for (size_t r = 0; r < 2 * 16; ++r) copy.insert(copy.end(), &memory[r * 70 + 5], &memory[r * 70 + 5 + 64]);
  std::vector<double> wide(copy.begin(), copy.end());
  std::vector<uint16_t> half;
  for (const float value : copy) half.push_back(truncated_bf16(value));
  Floats transposed(copy.size());
  for (size_t i = 0; i < copy.size(); ++i) transposed[i % 64 * 32 + i / 64] = copy[i];
  const Bytes wanted = NaiveSweep{truncated_value, lopsided, {}, {}, 16, 448}.codes(copy, 1.0f);
  const nvfp4cal_tensor inputs[] = {view(copy, {2, 16, 64}), strided(&memory[5], NVFP4CAL_DTYPE_F32, {2, 16, 64}, {16 * 70, 70, 1}),
                                    strided(transposed.data(), NVFP4CAL_DTYPE_F32, {2, 16, 64}, {16, 1, 32}), view(wide, {2, 16, 64}),
                                    view(half.data(), NVFP4CAL_DTYPE_BF16, {2, 16, 64})};
  for (const nvfp4cal_tensor& x : inputs) {
    CAPTURE(x.dtype, x.flags);
    Script script;
    script.quantize = truncated_value;
    script.error = lopsided;
    const Sweep sweep = with_global();
    REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
    REQUIRE(use_error(sweep, script) == NVFP4CAL_OK);
    REQUIRE(nvfp4cal_sweep_collect(sweep.get(), &x, nullptr) == NVFP4CAL_OK);
    CHECK(codes(sweep) == wanted);
    CHECK(script.x.struct_size == sizeof script.x);
    CHECK(script.x.dtype == x.dtype);
    CHECK(script.x.data == x.data);
    CHECK(script.x.flags == x.flags);
    CHECK(shape_of(script.x) == shape_of(x));
    if (x.flags) CHECK(std::equal(x.strides, x.strides + 3, script.x.strides));
    CHECK(script.out.dtype == NVFP4CAL_DTYPE_F32);
    CHECK(script.out.flags == 0);
    CHECK(shape_of(script.out) == shape_of(x));
    CHECK(script.amax_shape == Shape{2, 16, 4});
  }
}

TEST_CASE("sweep: a stack of experts: candidates of each global amax; a zero one is not looked at", "[api][sweep_callback]") {
  Floats x = random_values(4 * 8 * 32, 138), global = {1.0f, 0.25f, 0.0f, 3.0f};
  for (size_t i = 0; i < x.size(); ++i) x[i] *= global[i / 256];
  for (const bool zero_is_nan : {false, true}) {
    CAPTURE(zero_is_nan);
    Script script;
    script.quantize = truncated_value;
    script.zero_is_nan = zero_is_nan;
    const Sweep sweep = with_global(global);
    REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
    REQUIRE(collect(sweep, x, {4, 8, 32}) == NVFP4CAL_OK);
    const Bytes found = codes(sweep);
    const Result amaxes = amax(sweep);
    REQUIRE(found.size() == 64);
    REQUIRE(script.amaxes.size() == 126);
    for (size_t s = 0; s < 4; ++s) {
      const Bytes here(found.begin() + static_cast<std::ptrdiff_t>(s * 16), found.begin() + static_cast<std::ptrdiff_t>(s * 16 + 16));
      const NaiveSweep naive{truncated_value, nullptr, {}, {}, 16, 448};
      CHECK(here == (s == 2 ? Bytes(16, 56) : naive.codes(part(x, s * 256, 256), global[s])));
      for (size_t b = s * 16; b < s * 16 + 16; ++b) {
        CHECK(amaxes.values[b] == (s == 2 ? 0.0f : global[s] * (reference::e4m3_value(found[b]) / 448.0f)));
        for (int code = 1; code <= 126; ++code)
          CHECK(script.amaxes[static_cast<size_t>(code - 1)][b] == global[s] * (reference::e4m3_value(code) / 448.0f));
      }
    }
    // the first value that counts is named
    script.spoil_at = 126 + 3;
    script.spoil_index = 800;
    REQUIRE(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
    CHECK(collect(sweep, x, {4, 8, 32}) == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(last_error() == "scale code 4: quantized x[800] is NaN");
  }
}

TEST_CASE("sweep: without blocks to search callbacks are not called", "[api][sweep_callback]") {
  Script script;
  Floats zeros(32);
  const Sweep none = with_global({0.0f}), empty = with_global();
  REQUIRE(use_quantize(none, script) == NVFP4CAL_OK);
  REQUIRE(collect(none, zeros, {2, 16}) == NVFP4CAL_OK);
  CHECK(codes(none) == Bytes(2, 56));
  REQUIRE(use_quantize(empty, script) == NVFP4CAL_OK);
  const nvfp4cal_tensor nothing = view(nullptr, NVFP4CAL_DTYPE_F32, {0, 32});
  CHECK(nvfp4cal_sweep_collect(empty.get(), &nothing, nullptr) == NVFP4CAL_OK);
  CHECK(script.quantize_calls == 0);
}

TEST_CASE("sweep: a callback that fails stops the collect, whichever the code; the handle is as before", "[api][sweep_callback]") {
  Floats x = random_values(8 * 32, 139);
  const Bytes wanted = NaiveSweep{truncated_value, lopsided, {}, {}, 16, 448}.codes(x, 1.0f);
  for (const int at : {0, 62, 125}) {
    for (const bool in_error : {false, true}) {
      CAPTURE(at, in_error);
      Script quantize, error;
      quantize.quantize = truncated_value;
      error.error = lopsided;
      (in_error ? error : quantize).fail_at = at;
      const Sweep sweep = with_global();
      REQUIRE(use_quantize(sweep, quantize) == NVFP4CAL_OK);
      REQUIRE(use_error(sweep, error) == NVFP4CAL_OK);
      const Bytes before = calls::exported(sweep);
      CHECK(collect(sweep, x, {8, 32}) == NVFP4CAL_ERROR_CALLBACK);
      CHECK(std::string(nvfp4cal_sweep_last_error(sweep.get())) ==
            (in_error ? "the error callback returned 5" : "the quantize callback returned 5"));
      CHECK(quantize.quantize_calls == at + 1);
      CHECK(error.error_calls == (in_error ? at + 1 : at));
      CHECK(calls::exported(sweep) == before);
      CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
      quantize.fail_at = error.fail_at = -1;
      CHECK(collect(sweep, x, {8, 32}) == NVFP4CAL_OK);
      CHECK(codes(sweep) == wanted);
    }
  }
}

TEST_CASE("sweep: a callback's NaN or infinity is named by code and flat index", "[api][sweep_callback]") {
  const float inf = std::numeric_limits<float>::infinity();
  const struct {
    int at;  // call
    int64_t index;
    float value;
    const char* word;
  } spoils[] = {{0, 0, std::nanf(""), "NaN"}, {125, 65536, inf, "infinite"}, {62, 65535, -inf, "-infinite"}, {1, 66559, inf, "infinite"}};
  Floats x = random_values(2080 * 32, 140);
  for (const auto& spoil : spoils) {
    for (const bool in_error : {false, true}) {
      CAPTURE(spoil.at, spoil.index, in_error);
      Script quantize, error;
      Script& spoiled = in_error ? error : quantize;
      quantize.quantize = truncated_value;
      spoiled.spoil_at = spoil.at;
      spoiled.spoil_index = spoil.index;
      spoiled.spoil = spoil.value;
      const Sweep sweep = with_global();
      REQUIRE(use_quantize(sweep, quantize) == NVFP4CAL_OK);
      if (in_error || spoil.at == 62) REQUIRE(use_error(sweep, error) == NVFP4CAL_OK);
      CHECK(collect(sweep, x, {2080, 32}) == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(last_error() == "scale code " + std::to_string(spoil.at + 1) + (in_error ? ": error[" : ": quantized x[") +
                                std::to_string(spoil.index) + "] is " + spoil.word);
      CHECK(quantize.quantize_calls == spoil.at + 1);
      CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
    }
  }
}

TEST_CASE("sweep: callbacks see finite tensors only", "[api][sweep_callback]") {
  Floats x = random_values(64, 141);
  x[33] = std::numeric_limits<float>::infinity();
  Script script;
  const Sweep sweep = with_global();
  REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
  CHECK(collect(sweep, x, {2, 32}) == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(last_error() == "x[33] is infinite");
  CHECK(script.quantize_calls == 0);
}

TEST_CASE("sweep: a window bounds what callbacks may choose, but for zero blocks", "[api][sweep_callback]") {
  Floats x = random_values(32 * 32, 142);
  std::fill_n(x.begin(), 16, 0.0f);
  Script script;
  script.error = [](float, float xq) { return 1e6f - std::fabs(xq); };  // the larger the better
  const Sweep sweep = with_global(), most = with_global();
  REQUIRE(nvfp4cal_sweep_set_code_window(sweep.get(), -1, 2) == NVFP4CAL_OK);
  REQUIRE(use_error(sweep, script) == NVFP4CAL_OK);
  REQUIRE(collect(sweep, x, {32, 32}) == NVFP4CAL_OK);
  REQUIRE(use_error(most, script) == NVFP4CAL_OK);
  REQUIRE(collect(most, x, {32, 32}) == NVFP4CAL_OK);
  const Bytes found = codes(sweep), baseline = reference::max_codes(x, 1.0f, 16, 448);
  CHECK(found[0] == 1);
  bool other = false;
  for (size_t b = 1; b < found.size(); ++b) {
    CHECK(found[b] + 1 >= baseline[b]);
    CHECK(found[b] <= std::min(126, baseline[b] + 2));
    other = other || codes(most)[b] != found[b];
  }
  CHECK(other);
}

TEST_CASE("sweep: threads and targets make no difference to a search with callbacks", "[api][sweep_callback]") {
  Floats x = random_values(264 * 256, 143);
  Bytes first;
  const std::string targets = nvfp4cal_cpu_targets();
  const std::string names[] = {targets.substr(0, targets.find(',')), "scalar"};
  for (const std::string& name : names) {
    for (const int32_t threads : {1, 2, 7}) {
      const Context context = make_context();
      REQUIRE(nvfp4cal_context_set_cpu_target(context.get(), name.c_str()) == NVFP4CAL_OK);
      REQUIRE(nvfp4cal_context_set_threads(context.get(), threads) == NVFP4CAL_OK);
      Script script;
      script.error = lopsided;
      const Sweep sweep = with_global();
      REQUIRE(nvfp4cal_sweep_set_context(sweep.get(), context.get()) == NVFP4CAL_OK);
      REQUIRE(use_error(sweep, script) == NVFP4CAL_OK);
      REQUIRE(collect(sweep, x, {264, 256}) == NVFP4CAL_OK);
      CHECK(!script.wrong_thread);
      if (first.empty()) first = codes(sweep);
      CHECK(codes(sweep) == first);
    }
  }
  CHECK(first.size() == 264 * 16);
}
