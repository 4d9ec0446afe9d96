// nvfp4cal_sweep: the initial amax, and callbacks as options: reset, states, when they may be set.
#include <limits>

#include "one_call.h"
#include "sweep_callbacks.h"

using namespace api_test;

namespace {

nvfp4cal_status set_initial(const Sweep& sweep, Floats values, const Shape& shape) {
  const nvfp4cal_tensor tensor = view(values, shape);
  return nvfp4cal_sweep_set_initial_amax(sweep.get(), &tensor);
}

Result initial(const Sweep& sweep) {
  return computed([&](nvfp4cal_tensor* out) { return nvfp4cal_sweep_initial_amax(sweep.get(), out); });
}

}  // namespace

TEST_CASE("sweep: the initial amax gives the results its shape and nothing else", "[api][sweep_state]") {
  Floats x = random_values(6 * 32, 150);
  const Floats wanted = scale_sweep(request(x, {6, 32}, Floats{1.0f})).amax;
  for (const Shape& shape : {Shape{12}, Shape{12, 1}, Shape{6, 2}, Shape{3, 1, 4}}) {
    for (const float value : {0.0f, 0.5f, 1e30f}) {
      CAPTURE(shape, value);
      Script script;
      const Sweep sweep = make_sweep();
      REQUIRE(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
      REQUIRE(set_initial(sweep, Floats(12, value), shape) == NVFP4CAL_OK);
      CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);  // it is no result
      REQUIRE(collect(sweep, x, {6, 32}) == NVFP4CAL_OK);
      CHECK(same(amax(sweep), Result{0, shape, wanted}));
      nvfp4cal_tensor out = question();
      REQUIRE(nvfp4cal_sweep_compute_codes(sweep.get(), &out) == NVFP4CAL_OK);
      CHECK(shape_of(out) == shape);
      REQUIRE(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
      CHECK(same(initial(sweep), Result{0, shape, Floats(12, value)}));
      // and the amaxes of a quantize callback
      REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
      REQUIRE(collect(sweep, x, {12, 16}) == NVFP4CAL_OK);
      CHECK(script.amax_shape == shape);
      CHECK(same(amax(sweep), Result{0, shape, wanted}));
    }
  }
}

TEST_CASE("sweep: an initial amax with other than one element a block is refused at collect", "[api][sweep_state]") {
  Floats x = random_values(6 * 32, 151);
  Script script;
  const Sweep sweep = make_sweep();
  REQUIRE(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
  for (const Shape& shape : {Shape{}, Shape{11}, Shape{6, 32}, Shape{0, 12}}) {
    REQUIRE(set_initial(sweep, Floats(static_cast<size_t>(count_of(shape)), 1.0f), shape) == NVFP4CAL_OK);
    CHECK(collect(sweep, x, {6, 32}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "has " + std::to_string(count_of(shape)) + " elements for the 12 blocks of x"));
    CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
  }
  CHECK(script.quantize_calls == 0);
  REQUIRE(nvfp4cal_sweep_set_initial_amax(sweep.get(), nullptr) == NVFP4CAL_OK);
  CHECK(initial(sweep).status == NVFP4CAL_ERROR_NO_DATA);
  CHECK(contains(last_error(), "no initial amax"));
  CHECK(collect(sweep, x, {6, 32}) == NVFP4CAL_OK);
  CHECK(amax(sweep).shape == Shape{6, 2});
}

TEST_CASE("sweep: an initial amax is copied as float32; what is none is refused", "[api][sweep_state]") {
  const Sweep sweep = make_sweep();
  std::vector<double> wide = {0.1, 2.0, 0.0};
  const nvfp4cal_tensor doubles = view(wide);
  REQUIRE(nvfp4cal_sweep_set_initial_amax(sweep.get(), &doubles) == NVFP4CAL_OK);
  wide[0] = 5.0;
  CHECK(same(initial(sweep), Result{0, {3}, {0.1f, 2.0f, 0.0f}}));
  std::vector<uint16_t> half = {truncated_bf16(1.5f), 7, truncated_bf16(2.0f), 7};
  const nvfp4cal_tensor every_second = strided(half.data(), NVFP4CAL_DTYPE_BF16, {2}, {2});
  REQUIRE(nvfp4cal_sweep_set_initial_amax(sweep.get(), &every_second) == NVFP4CAL_OK);
  CHECK(same(initial(sweep), Result{0, {2}, {1.5f, 2.0f}}));
  const Bytes before = calls::exported(sweep);
  CHECK(set_initial(sweep, {1.0f, -2.0f}, {2}) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "amax[1] is -2, expected 0 or more");
  CHECK(set_initial(sweep, {std::numeric_limits<float>::infinity()}, {1}) == NVFP4CAL_ERROR_NOT_FINITE);
  wide[0] = 1e300;
  CHECK(nvfp4cal_sweep_set_initial_amax(sweep.get(), &doubles) == NVFP4CAL_ERROR_NOT_FINITE);
  Bytes bytes(2, 1);
  const nvfp4cal_tensor wrong = view(bytes);
  CHECK(nvfp4cal_sweep_set_initial_amax(sweep.get(), &wrong) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(calls::exported(sweep) == before);
}

TEST_CASE("sweep: one collect between resets, with the new options too", "[api][sweep_state]") {
  Floats x = random_values(4 * 32, 152);
  Script script;
  script.quantize = truncated_value;
  script.error = lopsided;
  const Sweep sweep = make_sweep();
  REQUIRE(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  REQUIRE(set_initial(sweep, Floats(8, 1.0f), {8}) == NVFP4CAL_OK);
  REQUIRE(use_quantize(sweep, script) == NVFP4CAL_OK);
  REQUIRE(use_error(sweep, script) == NVFP4CAL_OK);
  REQUIRE(collect(sweep, x, {4, 32}) == NVFP4CAL_OK);
  const Result first = amax(sweep);
  CHECK(same(amax(sweep), first));
  CHECK(collect(sweep, x, {4, 32}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "second collect"));
  const nvfp4cal_tensor tensor = view(x);
  CHECK(nvfp4cal_sweep_set_initial_amax(sweep.get(), &tensor) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_initial_amax(sweep.get(), nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(use_quantize(sweep, script) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_quantize_callback(sweep.get(), nullptr, nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(use_error(sweep, script) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(nvfp4cal_sweep_set_error_callback(sweep.get(), nullptr, 0, nullptr) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(script.quantize_calls == 126);
  CHECK(same(amax(sweep), first));
  REQUIRE(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
  CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect(sweep, x, {4, 32}) == NVFP4CAL_OK);  // callbacks and initial amax were kept
  CHECK(script.quantize_calls == 252);
  CHECK(script.error_calls == 252);
  CHECK(same(amax(sweep), first));
  // without callbacks it is the built-in search again
  REQUIRE(nvfp4cal_sweep_reset(sweep.get()) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_sweep_set_quantize_callback(sweep.get(), nullptr, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_sweep_set_error_callback(sweep.get(), nullptr, NVFP4CAL_ERRORS_ELEMENTS, nullptr) == NVFP4CAL_OK);
  REQUIRE(collect(sweep, x, {4, 32}) == NVFP4CAL_OK);
  CHECK(script.quantize_calls == 252);
  CHECK(same_bits(amax(sweep).values, scale_sweep(request(x, {4, 32}, Floats{1.0f})).amax));
}

TEST_CASE("sweep: one error for the whole tensor is refused", "[api][sweep_state]") {
  Script script;
  const Sweep sweep = make_sweep();
  const Bytes before = calls::exported(sweep);
  CHECK(nvfp4cal_sweep_set_error_callback(sweep.get(), error_script, NVFP4CAL_ERRORS_SCALAR, &script) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(contains(last_error(), "cannot tell blocks apart"));
  for (const int32_t values : {-1, 2, 1000}) {
    CHECK(nvfp4cal_sweep_set_error_callback(sweep.get(), error_script, values, &script) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "error values " + std::to_string(values)));
  }
  CHECK(calls::exported(sweep) == before);
}

TEST_CASE("sweep: a state says that there were callbacks; the importing handle's own are used", "[api][sweep_state]") {
  Floats x = random_values(4 * 32, 153);
  Script script, own;
  script.quantize = own.quantize = truncated_value;
  script.error = own.error = lopsided;
  const Sweep from = make_sweep(), plain = make_sweep();
  REQUIRE(set_global(from, {1.0f}) == NVFP4CAL_OK);
  REQUIRE(set_global(plain, {1.0f}) == NVFP4CAL_OK);
  REQUIRE(set_initial(from, Floats(8, 0.25f), {2, 4}) == NVFP4CAL_OK);
  REQUIRE(use_quantize(from, script) == NVFP4CAL_OK);
  REQUIRE(use_error(from, script) == NVFP4CAL_OK);
  const Bytes fresh_state = calls::exported(from);
  REQUIRE(collect(from, x, {4, 32}) == NVFP4CAL_OK);
  const Bytes state = calls::exported(from);

  const Sweep bare = make_sweep();
  REQUIRE(import_bytes(bare, state) == NVFP4CAL_OK);
  CHECK(same(amax(bare), amax(from)));
  CHECK(same(initial(bare), Result{0, {2, 4}, Floats(8, 0.25f)}));
  CHECK(calls::exported(bare) == state);
  CHECK(collect(bare, x, {4, 32}) == NVFP4CAL_ERROR_WRONG_STATE);
  REQUIRE(nvfp4cal_sweep_reset(bare.get()) == NVFP4CAL_OK);
  CHECK(collect(bare, x, {4, 32}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "quantize callback"));
  REQUIRE(use_quantize(bare, own) == NVFP4CAL_OK);
  CHECK(collect(bare, x, {4, 32}) == NVFP4CAL_ERROR_WRONG_STATE);
  CHECK(contains(last_error(), "error callback"));
  REQUIRE(use_error(bare, own) == NVFP4CAL_OK);
  REQUIRE(collect(bare, x, {4, 32}) == NVFP4CAL_OK);
  CHECK(same(amax(bare), amax(from)));
  CHECK(own.quantize_calls == 126);

  const Sweep ready = make_sweep();
  REQUIRE(use_quantize(ready, own) == NVFP4CAL_OK);
  REQUIRE(use_error(ready, own) == NVFP4CAL_OK);
  REQUIRE(import_bytes(ready, fresh_state) == NVFP4CAL_OK);
  REQUIRE(collect(ready, x, {4, 32}) == NVFP4CAL_OK);
  CHECK(own.quantize_calls == 252);
  CHECK(same(amax(ready), amax(from)));
  REQUIRE(import_bytes(ready, calls::exported(plain)) == NVFP4CAL_OK);  // a state without callbacks
  CHECK(initial(ready).status == NVFP4CAL_ERROR_NO_DATA);
  REQUIRE(collect(ready, x, {4, 32}) == NVFP4CAL_OK);
  CHECK(own.quantize_calls == 252);
  CHECK(same_bits(amax(ready).values, scale_sweep(request(x, {4, 32}, Floats{1.0f})).amax));
}
