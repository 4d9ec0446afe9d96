// Functions that take tensors, with valid arguments in memory of its own: tests spoil one argument at a time. Here: one call, max and sweep; all of
// them are in call_table.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api_test.h"

namespace api_test {

struct Argument {
  enum Kind { kInput, kOptionalInput, kOutput, kOptionalOutput };
  std::string name;
  Kind kind;
  nvfp4cal_tensor tensor;
  Bytes memory;         // 0xA5 in outputs
  bool given = true;    // false: NULL is passed
  bool answers = true;  // outputs: data NULL is a question
  std::string null_text = name + " is NULL";

  bool is_output() const { return kind == kOutput || kind == kOptionalOutput; }
  nvfp4cal_tensor* pointer() { return given ? &tensor : nullptr; }
};

struct Call {
  std::string name;
  std::vector<Argument> arguments;
  std::function<nvfp4cal_status(Call&)> body;
  Max max;
  Sweep sweep;
  nvfp4cal_options options = api_test::options();

  nvfp4cal_status run() { return body(*this); }
  nvfp4cal_tensor* operator[](size_t i) { return arguments[i].pointer(); }

  template <class T>
  void input(const char* tensor_name, std::vector<T> values, const Shape& shape, Argument::Kind kind = Argument::kInput) {
    Bytes memory(values.size() * sizeof(T));
    std::memcpy(memory.data(), values.data(), memory.size());
    const int32_t dtype = view(values, shape).dtype;
    add({tensor_name, kind, view(nullptr, dtype, shape), std::move(memory)});
  }
  void output(const char* tensor_name, int32_t dtype, const Shape& shape, Argument::Kind kind = Argument::kOutput) {
    add({tensor_name, kind, view(nullptr, dtype, shape), Bytes(static_cast<size_t>(count_of(shape)) * dtype_size(dtype), 0xA5)});
  }

 private:
  void add(Argument argument) {
    argument.tensor.data = argument.memory.data();
    arguments.push_back(std::move(argument));  // a moved vector keeps its memory
  }
};

namespace calls {

using Maker = Call (*)();

inline Floats x() { return random_values(4 * 32, 1); }

// [2, 16, 16], a multiple of the identity each.
inline Floats hessians() {
  Floats values(512);
  for (size_t i = 0; i < 16; ++i) values[i * 17] = values[256 + i * 17] = 2.0f;
  return values;
}

inline Call scale_candidates() {
  Call call{"scale_candidates", {}, [](Call& c) { return nvfp4cal_scale_candidates(nullptr, 0, c[0]); }, {}, {}};
  call.output("out", NVFP4CAL_DTYPE_F32, {126});
  return call;
}

inline Call scale_sweep() {
  Call call{"scale_sweep",
            {},
            [](Call& c) {
              c.options.weights = c[2];
              return nvfp4cal_scale_sweep(nullptr, c[0], c[1], &c.options, c[3], nullptr);
            },
            {},
            {}};
  call.input("x", x(), {4, 32});
  call.input("global_amax", Floats{1.0f}, {}, Argument::kOptionalInput);
  call.input("weights", Floats(32, 2.0f), {32}, Argument::kOptionalInput);
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}

inline Call scale_sweep_hessian() {
  Call call{"scale_sweep_hessian",
            {},
            [](Call& c) { return nvfp4cal_scale_sweep_hessian(nullptr, c[0], c[1], c[2], nullptr, c[3], nullptr); },
            {},
            {}};
  call.input("x", x(), {4, 32});
  call.input("global_amax", Floats{1.0f}, {}, Argument::kOptionalInput);
  call.input("hessian", hessians(), {2, 16, 16});
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}

inline Call quantize() {
  Call call{"quantize",
            {},
            [](Call& c) {
              c.options.weights = c[3];
              return nvfp4cal_quantize(nullptr, c[0], c[1], c[2], &c.options, c[4], c[5], c[6], nullptr);
            },
            {},
            {}};
  call.input("x", x(), {4, 32});
  call.input("global_amax", Floats{1.0f}, {}, Argument::kOptionalInput);
  call.input("block_amax", Floats(8, 0.5f), {4, 2}, Argument::kOptionalInput);
  call.input("weights", Floats(128, 2.0f), {4, 32}, Argument::kOptionalInput);
  call.output("packed", NVFP4CAL_DTYPE_U8, {4, 16});
  call.output("scales", NVFP4CAL_DTYPE_E4M3, {4, 2});
  call.output("global_scale", NVFP4CAL_DTYPE_F32, {}, Argument::kOptionalOutput);
  return call;
}

inline Call fake_quantize() {
  Call call{"fake_quantize",
            {},
            [](Call& c) {
              c.options.weights = c[3];
              return nvfp4cal_fake_quantize(nullptr, c[0], c[1], c[2], &c.options, c[4], nullptr);
            },
            {},
            {}};
  call.input("x", x(), {4, 32});
  call.input("global_amax", Floats{1.0f}, {1}, Argument::kOptionalInput);
  call.input("block_amax", Floats(8, 0.5f), {8}, Argument::kOptionalInput);
  call.input("weights", Floats(32, 2.0f), {32}, Argument::kOptionalInput);
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 32});
  return call;
}

inline Call dequantize() {
  Call call{"dequantize", {}, [](Call& c) { return nvfp4cal_dequantize(nullptr, c[0], c[1], c[2], 0, c[3], nullptr); }, {}, {}};
  call.input("packed", Bytes(4 * 16, 0x21), {4, 16});
  call.input("scales", Bytes(8, 0x38), {4, 2});
  call.input("global_scale", Floats{0.5f}, {});
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 32});
  return call;
}

inline Call swizzle_scales() {
  Call call{"swizzle_scales", {}, [](Call& c) { return nvfp4cal_swizzle_scales(nullptr, c[0], c[1], nullptr); }, {}, {}};
  call.input("scales", Bytes(3 * 5, 0x38), {3, 5});
  call.output("out", NVFP4CAL_DTYPE_U8, {1024});
  return call;
}

inline Call unswizzle_scales() {
  Call call{"unswizzle_scales", {}, [](Call& c) { return nvfp4cal_unswizzle_scales(nullptr, c[0], c[1], nullptr); }, {}, {}};
  call.input("tiles", Bytes(1024, 0x38), {1024});
  call.output("out", NVFP4CAL_DTYPE_U8, {3, 5});
  call.arguments[1].answers = false;
  return call;
}

inline Call max_collect() {
  Call call{"max_collect", {}, [](Call& c) { return nvfp4cal_max_collect(c.max.get(), c[0], nullptr); }, make_max(), {}};
  call.input("x", x(), {4, 32});
  return call;
}

// A calibrator per block that has seen x.
inline Max filled_max() {
  Max max = make_max();
  Floats values = x();
  const nvfp4cal_tensor tensor = view(values, {4, 32});
  const bool good =
      nvfp4cal_max_set_block_size(max.get(), 16) == NVFP4CAL_OK && nvfp4cal_max_collect(max.get(), &tensor, nullptr) == NVFP4CAL_OK;
  return good ? std::move(max) : nullptr;
}

inline Sweep filled_sweep() {
  Sweep sweep = make_sweep();
  Floats values = x();
  float one = 1.0f;
  const nvfp4cal_tensor tensor = view(values, {4, 32}), global = scalar(one);
  const bool good = nvfp4cal_sweep_set_global_amax(sweep.get(), &global) == NVFP4CAL_OK &&
                    nvfp4cal_sweep_collect(sweep.get(), &tensor, nullptr) == NVFP4CAL_OK;
  return good ? std::move(sweep) : nullptr;
}

template <class Handle>
Bytes exported(const Handle* handle, nvfp4cal_status (*export_state)(const Handle*, nvfp4cal_tensor*)) {
  nvfp4cal_tensor size = question();
  if (export_state(handle, &size) != NVFP4CAL_OK) return {};
  Bytes bytes(static_cast<size_t>(size.shape[0]));
  nvfp4cal_tensor out = view(bytes);
  if (export_state(handle, &out) != NVFP4CAL_OK) return {};
  return bytes;
}

inline Bytes exported(const Max& max) { return exported(max.get(), nvfp4cal_max_export_state); }
inline Bytes exported(const Sweep& sweep) { return exported(sweep.get(), nvfp4cal_sweep_export_state); }

inline Call max_compute_amax() {
  Call call{"max_compute_amax", {}, [](Call& c) { return nvfp4cal_max_compute_amax(c.max.get(), c[0]); }, filled_max(), {}};
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}

inline Call max_export_state() {
  Call call{"max_export_state", {}, [](Call& c) { return nvfp4cal_max_export_state(c.max.get(), c[0]); }, filled_max(), {}};
  call.output("out", NVFP4CAL_DTYPE_U8, {static_cast<int64_t>(exported(call.max).size())});
  return call;
}

inline Call max_import_state() {
  Call call{"max_import_state", {}, [](Call& c) { return nvfp4cal_max_import_state(c.max.get(), c[0]); }, filled_max(), {}};
  const Bytes state = exported(call.max);
  call.input("state", state, {static_cast<int64_t>(state.size())});
  return call;
}

inline Call sweep_set_global_amax() {
  Call call{"sweep_set_global_amax", {}, [](Call& c) { return nvfp4cal_sweep_set_global_amax(c.sweep.get(), c[0]); }, {}, make_sweep()};
  call.input("global_amax", Floats(4, 1.0f), {4});
  return call;
}

inline Call sweep_set_weights() {
  Call call{"sweep_set_weights", {}, [](Call& c) { return nvfp4cal_sweep_set_weights(c.sweep.get(), c[0]); }, {}, make_sweep()};
  call.input("weights", Floats(32, 2.0f), {32}, Argument::kOptionalInput);
  return call;
}

inline Call sweep_set_hessian() {
  Call call{"sweep_set_hessian", {}, [](Call& c) { return nvfp4cal_sweep_set_hessian(c.sweep.get(), c[0]); }, {}, make_sweep()};
  call.input("hessian", hessians(), {2, 16, 16}, Argument::kOptionalInput);
  return call;
}

inline Call sweep_set_initial_amax() {
  Call call{"sweep_set_initial_amax", {}, [](Call& c) { return nvfp4cal_sweep_set_initial_amax(c.sweep.get(), c[0]); }, {}, make_sweep()};
  call.input("amax", Floats(8, 1.0f), {4, 2}, Argument::kOptionalInput);
  return call;
}

inline Call sweep_initial_amax() {
  Call call{"sweep_initial_amax", {}, [](Call& c) { return nvfp4cal_sweep_initial_amax(c.sweep.get(), c[0]); }, {}, make_sweep()};
  Floats values = {1.0f, 2.0f, 3.0f};
  const nvfp4cal_tensor amax = view(values, {3, 1});
  nvfp4cal_sweep_set_initial_amax(call.sweep.get(), &amax);
  call.output("out", NVFP4CAL_DTYPE_F32, {3, 1});
  return call;
}

inline Call sweep_collect() {
  Call call{"sweep_collect", {}, [](Call& c) { return nvfp4cal_sweep_collect(c.sweep.get(), c[0], nullptr); }, {}, filled_sweep()};
  nvfp4cal_sweep_reset(call.sweep.get());
  call.input("x", x(), {4, 32});
  return call;
}

inline Call sweep_compute_amax() {
  Call call{"sweep_compute_amax", {}, [](Call& c) { return nvfp4cal_sweep_compute_amax(c.sweep.get(), c[0]); }, {}, filled_sweep()};
  call.output("out", NVFP4CAL_DTYPE_F32, {4, 2});
  return call;
}

inline Call sweep_compute_codes() {
  Call call{"sweep_compute_codes", {}, [](Call& c) { return nvfp4cal_sweep_compute_codes(c.sweep.get(), c[0]); }, {}, filled_sweep()};
  call.output("out", NVFP4CAL_DTYPE_E4M3, {4, 2});
  return call;
}

inline Call sweep_export_state() {
  Call call{"sweep_export_state", {}, [](Call& c) { return nvfp4cal_sweep_export_state(c.sweep.get(), c[0]); }, {}, filled_sweep()};
  call.output("out", NVFP4CAL_DTYPE_U8, {static_cast<int64_t>(exported(call.sweep).size())});
  return call;
}

inline Call sweep_import_state() {
  Call call{"sweep_import_state", {}, [](Call& c) { return nvfp4cal_sweep_import_state(c.sweep.get(), c[0]); }, {}, filled_sweep()};
  const Bytes state = exported(call.sweep);
  call.input("state", state, {static_cast<int64_t>(state.size())});
  return call;
}

inline constexpr Maker kOneCall[] = {scale_candidates, scale_sweep,   scale_sweep_hessian, quantize,
                                     dequantize,       fake_quantize, swizzle_scales,      unswizzle_scales};

inline constexpr Maker kMaxAndSweep[] = {max_collect,           max_compute_amax,  max_export_state,   max_import_state,
                                         sweep_set_global_amax, sweep_set_weights, sweep_set_hessian,  sweep_set_initial_amax,
                                         sweep_initial_amax,    sweep_collect,     sweep_compute_amax, sweep_compute_codes,
                                         sweep_export_state,    sweep_import_state};

}  // namespace calls
}  // namespace api_test
