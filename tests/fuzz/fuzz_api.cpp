// Random arguments for every function that takes tensors or states. Usage: fuzz_api [seed] [rounds]
// A run passes if nothing crashes (build it with sanitizers), statuses are known, failures write nothing and say why,
// successes write inside the output alone, and inputs stay as they were.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>

#include "random_tensors.h"

using namespace fuzz;

namespace {

int failures = 0;
long calls = 0, successes = 0;  // of calls with outputs: mostly refusals would test little

void report(const char* function, const char* what, uint64_t seed) {
  std::printf("%s: %s (seed %llu)\n", function, what, static_cast<unsigned long long>(seed));
  ++failures;
}

// An output: a question first, then usually what the answer says.
struct Output {
  std::vector<uint8_t> memory = std::vector<uint8_t>(static_cast<size_t>(kMemory), 0xA5);
  nvfp4cal_tensor tensor{};
  int64_t begin = 0, size = 0;  // bytes that may change

  void choose(nvfp4cal_tensor answer, bool answered, Random& random) {
    tensor = answered && !random.one_in(5) ? answer : random_tensor(memory, random);
    begin = size = 0;
    if (tensor.ndim < 0 || tensor.ndim > NVFP4CAL_MAX_NDIM) return;
    int64_t n = dtype_size(tensor.dtype);
    for (int d = 0; d < tensor.ndim; ++d) {
      if (tensor.shape[d] < 0 || __builtin_mul_overflow(n, tensor.shape[d], &n)) return;
    }
    if (n > kMemory) return;
    if (!tensor.data && answered) {
      begin = random.between(0, kMemory - n);
      tensor.data = memory.data() + begin;
    }
    if (!tensor.data) return;
    begin = static_cast<uint8_t*>(tensor.data) - memory.data();
    size = n;
  }
  bool only_inside_changed() const {
    for (int64_t i = 0; i < kMemory; ++i) {
      if (memory[static_cast<size_t>(i)] != 0xA5 && (i < begin || i >= begin + size)) return false;
    }
    return true;
  }
  bool has_no_elements() const {
    return tensor.ndim > 0 && tensor.ndim <= NVFP4CAL_MAX_NDIM && std::count(tensor.shape, tensor.shape + tensor.ndim, 0) > 0;
  }
  bool unchanged() const {
    return std::all_of(memory.begin(), memory.end(), [](uint8_t byte) { return byte == 0xA5; });
  }
};

constexpr int kMostOutputs = 5;

using Function = std::function<nvfp4cal_status(nvfp4cal_tensor* const* outputs)>;

// Calls with questions and then with memory, and checks what every call promises.
void call(const char* name, uint64_t seed, Random& random, int count, const Function& function) {
  std::vector<Output> outputs(static_cast<size_t>(count));
  nvfp4cal_tensor questions[kMostOutputs] = {};
  nvfp4cal_tensor* pointers[kMostOutputs] = {};
  for (int i = 0; i < count; ++i) {
    questions[i].struct_size = sizeof questions[i];
    if (random.one_in(4)) questions[i].dtype = random.pick(kDtypes);
    pointers[i] = &questions[i];
  }
  const auto run = [&] {
    const nvfp4cal_status status = function(pointers);
    if (status > 0 || status < -14) report(name, "a status that is not known", seed);
    if (status == NVFP4CAL_ERROR_INTERNAL) report(name, nvfp4cal_last_error(), seed);
    if (status != 0 && nvfp4cal_last_error()[0] == '\0') report(name, "a failure without a message", seed);
    return status;
  };
  const bool answered = count > 0 && run() == NVFP4CAL_OK;
  nvfp4cal_tensor before[kMostOutputs];
  for (int i = 0; i < count; ++i) {
    Output& output = outputs[static_cast<size_t>(i)];
    output.choose(questions[i], answered, random);
    before[i] = output.tensor;
    pointers[i] = random.one_in(40) ? nullptr : &output.tensor;
  }
  const nvfp4cal_status status = run();
  ++calls;
  successes += status == NVFP4CAL_OK;
  for (int i = 0; i < count; ++i) {
    const Output& output = outputs[static_cast<size_t>(i)];
    if (status != 0 && !output.unchanged()) report(name, "a failure that wrote", seed);
    // an output without elements may have been answered before the data was found wrong
    const bool answered_empty = !before[i].data && output.has_no_elements();
    if (status != 0 && !answered_empty && std::memcmp(&before[i], &output.tensor, sizeof before[i]) != 0) {
      report(name, "a failure that answered", seed);
    }
    if (!output.only_inside_changed()) report(name, "a byte outside of an output", seed);
  }
}

nvfp4cal_options random_options(const nvfp4cal_tensor* weights, Random& random) {
  nvfp4cal_options options{};
  options.struct_size = random.one_in(20) ? static_cast<uint32_t>(random.between(0, 100)) : sizeof options;
  options.flags = static_cast<uint32_t>(random.one_in(20) ? random.bits() : static_cast<uint64_t>(random.between(0, 1)));
  options.method = static_cast<int32_t>(random.between(0, random.one_in(20) ? 5 : 1));
  options.block_size = static_cast<int32_t>(random.one_in(20) ? random.between(-40, 40) : 16 * random.between(0, 2));
  options.normalization = random.one_in(20) ? static_cast<int32_t>(random.bits()) : random.one_in(2) ? 0 : 256;
  options.code_lo = static_cast<int32_t>(random.between(-130, 20));
  options.code_hi = static_cast<int32_t>(random.between(-20, 130));
  options.scale_layout = static_cast<int32_t>(random.between(0, random.one_in(20) ? 4 : 1));
  options.weights = random.one_in(3) ? weights : nullptr;
  return options;
}

void one_call_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  nvfp4cal_tensor tensors[4];
  for (nvfp4cal_tensor& tensor : tensors) tensor = random_tensor(memory, random);
  float global_value = random.one_in(3) ? 0.0f : 1.0f;
  const nvfp4cal_tensor scalar = contiguous(&global_value, NVFP4CAL_DTYPE_F32, {});
  const nvfp4cal_tensor* x = random.one_in(40) ? nullptr : &tensors[0];
  const nvfp4cal_tensor* global = random.one_in(3) ? nullptr : random.one_in(3) ? &tensors[1] : &scalar;
  const nvfp4cal_tensor* block_amax = random.one_in(4) ? &tensors[2] : nullptr;
  const nvfp4cal_options options = random_options(&tensors[3], random);
  const nvfp4cal_options* chosen = random.one_in(6) ? nullptr : &options;
  const std::vector<uint8_t> before = memory;
  const int32_t number = static_cast<int32_t>(random.between(0, 1) * random.between(0, 300));
  call("scale_candidates", seed, random, 1, [&](auto out) { return nvfp4cal_scale_candidates(nullptr, number, out[0]); });
  call("scale_sweep", seed, random, 1, [&](auto out) { return nvfp4cal_scale_sweep(nullptr, x, global, chosen, out[0], nullptr); });
  call("quantize", seed, random, 3,
       [&](auto out) { return nvfp4cal_quantize(nullptr, x, global, block_amax, chosen, out[0], out[1], out[2], nullptr); });
  call("fake_quantize", seed, random, 1,
       [&](auto out) { return nvfp4cal_fake_quantize(nullptr, x, global, block_amax, chosen, out[0], nullptr); });
  nvfp4cal_tensor packed = tensors[0], scales = tensors[0];
  packed.dtype = NVFP4CAL_DTYPE_U8;
  scales.dtype = NVFP4CAL_DTYPE_E4M3;
  if (packed.ndim > 0 && packed.ndim <= NVFP4CAL_MAX_NDIM && !random.one_in(10)) scales.shape[packed.ndim - 1] /= 8;
  const int32_t order = static_cast<int32_t>(random.between(0, random.one_in(10) ? 3 : 1));
  call("dequantize", seed, random, 1,
       [&](auto out) { return nvfp4cal_dequantize(nullptr, &packed, &scales, &scalar, order, out[0], nullptr); });
  call("swizzle", seed, random, 1, [&](auto out) { return nvfp4cal_swizzle_scales(nullptr, &scales, out[0], nullptr); });
  nvfp4cal_tensor tiles = contiguous(memory.data(), NVFP4CAL_DTYPE_U8, {random.between(0, 4) * 512});
  call("unswizzle", seed, random, 1,
       [&](auto out) { return nvfp4cal_unswizzle_scales(nullptr, random.one_in(2) ? &tiles : x, out[0], nullptr); });
  if (memory != before) report("one_call", "an input has changed", seed);
}

// A state with some bytes changed; usually with a checksum that fits again, so that the checks behind it are reached.
std::vector<uint8_t> damaged(std::vector<uint8_t> state, Random& random) {
  if (random.one_in(8)) state.resize(static_cast<size_t>(random.between(0, static_cast<int64_t>(state.size()) + 20)));
  for (int64_t i = random.between(0, 4); i > 0 && !state.empty(); --i) {
    uint8_t& byte = state[static_cast<size_t>(random.between(0, static_cast<int64_t>(state.size()) - 1))];
    byte = random.one_in(2) ? static_cast<uint8_t>(random.bits()) : static_cast<uint8_t>(byte ^ (1 << random.between(0, 7)));
  }
  if (random.one_in(4) || state.size() < 8) return state;
  uint64_t hash = 14695981039346656037ull;
  for (size_t i = 0; i + 8 < state.size(); ++i) hash = (hash ^ state[i]) * 1099511628211ull;
  std::memcpy(&state[state.size() - 8], &hash, 8);
  return state;
}

template <class Handle, class Export>
std::vector<uint8_t> exported(const Handle* handle, Export export_state) {
  nvfp4cal_tensor size = contiguous(nullptr, NVFP4CAL_DTYPE_U8, {});
  if (export_state(handle, &size) != NVFP4CAL_OK) return {};
  std::vector<uint8_t> bytes(static_cast<size_t>(size.shape[0]));
  nvfp4cal_tensor out = contiguous(bytes.data(), NVFP4CAL_DTYPE_U8, {size.shape[0]});
  export_state(handle, &out);
  return bytes;
}

// Imports the handle's own state, which changes nothing, and a damaged one; a refusal changes nothing.
template <class Handle, class Export, class Import>
void import_damaged(const char* name, uint64_t seed, Random& random, Handle* handle, Export export_state, Import import_state) {
  std::vector<uint8_t> before = exported(handle, export_state);
  const nvfp4cal_tensor own = contiguous(before.data(), NVFP4CAL_DTYPE_U8, {static_cast<int64_t>(before.size())});
  if (import_state(handle, &own) != 0) report(name, nvfp4cal_last_error(), seed);
  if (exported(handle, export_state) != before) report(name, "a handle's own state has changed it", seed);
  std::vector<uint8_t> state = damaged(before, random);
  const nvfp4cal_tensor tensor = contiguous(state.data(), NVFP4CAL_DTYPE_U8, {static_cast<int64_t>(state.size())});
  const nvfp4cal_status status = import_state(handle, &tensor);
  if (status > 0 || status == NVFP4CAL_ERROR_INTERNAL) report(name, nvfp4cal_last_error(), seed);
  if (status != 0 && exported(handle, export_state) != before) report(name, "a refused state has changed the handle", seed);
}

void max_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  nvfp4cal_max *max = nullptr, *other = nullptr;
  if (nvfp4cal_max_create(&max) != 0 || nvfp4cal_max_create(&other) != 0) return report("max_create", nvfp4cal_last_error(), seed);
  for (int64_t i = random.between(1, 12); i > 0; --i) {
    const nvfp4cal_tensor x = random_tensor(memory, random);
    int32_t axes[10];
    for (int32_t& axis : axes) axis = static_cast<int32_t>(random.one_in(20) ? static_cast<int64_t>(random.bits()) : random.between(-3, 3));
    switch (random.between(0, 9)) {
      case 0: nvfp4cal_max_set_axes(max, axes, static_cast<int32_t>(random.between(-1, random.one_in(4) ? 10 : 3))); break;
      case 1: nvfp4cal_max_set_block_size(max, static_cast<int32_t>(random.between(0, 3) * 16)); break;
      case 2: nvfp4cal_max_reset(max); break;
      case 3: nvfp4cal_max_merge(max, other); break;
      case 4: import_damaged("max_import", seed, random, max, nvfp4cal_max_export_state, nvfp4cal_max_import_state); break;
      case 5: std::swap(max, other); break;
      case 6: call("max_state", seed, random, 1, [&](auto out) { return nvfp4cal_max_export_state(max, out[0]); }); break;
      default: call("max_collect", seed, random, 0, [&](auto) { return nvfp4cal_max_collect(max, &x, nullptr); });
    }
    call("max_amax", seed, random, 1, [&](auto out) { return nvfp4cal_max_compute_amax(max, out[0]); });
  }
  nvfp4cal_max_destroy(max);
  nvfp4cal_max_destroy(other);
}

// Fills all of out, or some of it, with numbers that are mostly finite; sometimes fails.
int32_t random_callback(void* user, const nvfp4cal_tensor*, const nvfp4cal_tensor* other, nvfp4cal_tensor* out) {
  Random& random = *static_cast<Random*>(user);
  int64_t n = 1;
  for (int d = 0; d < out->ndim; ++d) n *= out->shape[d];
  const float value = random.one_in(500) ? std::numeric_limits<float>::infinity()
                                         : static_cast<float>(random.between(-9, 9)) * static_cast<const float*>(other->data)[0];
  std::fill_n(static_cast<float*>(out->data), n, value);
  return random.one_in(1000) ? 1 : 0;
}

void sweep_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  nvfp4cal_sweep* sweep = nullptr;
  if (nvfp4cal_sweep_create(&sweep) != 0) return report("sweep_create", nvfp4cal_last_error(), seed);
  float ones[4] = {1.0f, 1.0f, 1.0f, 1.0f};
  for (int64_t i = random.between(1, 12); i > 0; --i) {
    const nvfp4cal_tensor x = random_tensor(memory, random);
    const nvfp4cal_tensor global = random.one_in(3) ? x : contiguous(ones, NVFP4CAL_DTYPE_F32, {random.between(0, 4)});
    switch (random.between(0, 12)) {
      case 0: nvfp4cal_sweep_set_block_size(sweep, static_cast<int32_t>(random.between(0, 3) * 16)); break;
      case 1: nvfp4cal_sweep_set_normalization(sweep, random.one_in(2) ? 448 : 256); break;
      case 2: nvfp4cal_sweep_set_weights(sweep, random.one_in(3) ? nullptr : &x); break;
      case 3:
        nvfp4cal_sweep_set_code_window(sweep, static_cast<int32_t>(random.between(-130, 10)),
                                       static_cast<int32_t>(random.between(-10, 130)));
        break;
      case 4:
      case 5: nvfp4cal_sweep_set_global_amax(sweep, &global); break;
      case 6: nvfp4cal_sweep_reset(sweep); break;
      case 8: nvfp4cal_sweep_set_initial_amax(sweep, random.one_in(3) ? nullptr : random.one_in(2) ? &x : &global); break;
      case 9: nvfp4cal_sweep_set_quantize_callback(sweep, random.one_in(3) ? nullptr : random_callback, &random); break;
      case 10: nvfp4cal_sweep_set_error_callback(sweep, random.one_in(3) ? nullptr : random_callback, 0, &random); break;
      case 7: import_damaged("sweep_import", seed, random, sweep, nvfp4cal_sweep_export_state, nvfp4cal_sweep_import_state); break;
      default: call("sweep_collect", seed, random, 0, [&](auto) { return nvfp4cal_sweep_collect(sweep, &x, nullptr); });
    }
    call("sweep_amax", seed, random, 1, [&](auto out) { return nvfp4cal_sweep_compute_amax(sweep, out[0]); });
    call("sweep_codes", seed, random, 1, [&](auto out) { return nvfp4cal_sweep_compute_codes(sweep, out[0]); });
    call("sweep_initial", seed, random, 1, [&](auto out) { return nvfp4cal_sweep_initial_amax(sweep, out[0]); });
  }
  nvfp4cal_sweep_destroy(sweep);
}

void actmax_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  nvfp4cal_actmax *actmax = nullptr, *other = nullptr;
  if (nvfp4cal_actmax_create(&actmax) != 0 || nvfp4cal_actmax_create(&other) != 0)
    return report("actmax_create", nvfp4cal_last_error(), seed);
  for (int64_t i = random.between(1, 12); i > 0; --i) {
    const nvfp4cal_tensor x = random_tensor(memory, random);
    const double low = static_cast<double>(random.between(-200, 100));
    switch (random.between(0, 9)) {
      case 0: nvfp4cal_actmax_set_bins(actmax, static_cast<int32_t>(random.between(0, 600)), low, low + 20); break;
      case 1: nvfp4cal_actmax_set_percentiles(actmax, static_cast<double>(random.between(0, 101)), 100); break;
      case 2: nvfp4cal_actmax_reset(actmax); break;
      case 3: nvfp4cal_actmax_merge(actmax, random.one_in(4) ? actmax : other); break;
      case 4:
      case 5: import_damaged("actmax_import", seed, random, actmax, nvfp4cal_actmax_export_state, nvfp4cal_actmax_import_state); break;
      case 6: std::swap(actmax, other); break;
      default: call("actmax_collect", seed, random, 0, [&](auto) { return nvfp4cal_actmax_collect(actmax, &x, nullptr); });
    }
    call("actmax_amax", seed, random, 1, [&](auto out) { return nvfp4cal_actmax_compute_amax(actmax, out[0]); });
  }
  nvfp4cal_actmax_destroy(actmax);
  nvfp4cal_actmax_destroy(other);
}

void hessian_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  nvfp4cal_hessian *hessian = nullptr, *other = nullptr;
  if (nvfp4cal_hessian_create(&hessian) != 0 || nvfp4cal_hessian_create(&other) != 0)
    return report("hessian_create", nvfp4cal_last_error(), seed);
  for (int64_t i = random.between(1, 12); i > 0; --i) {
    const nvfp4cal_tensor x = random_tensor(memory, random);
    switch (random.between(0, 9)) {
      case 0: nvfp4cal_hessian_set_layout(hessian, static_cast<int32_t>(random.between(-1, 3))); break;
      case 1: nvfp4cal_hessian_set_block_size(hessian, static_cast<int32_t>(random.between(0, 3) * 16)); break;
      case 2: nvfp4cal_hessian_reset(hessian); break;
      case 3: nvfp4cal_hessian_merge(hessian, random.one_in(4) ? hessian : other); break;
      case 4:
      case 5: import_damaged("hessian_import", seed, random, hessian, nvfp4cal_hessian_export_state, nvfp4cal_hessian_import_state); break;
      case 6: std::swap(hessian, other); break;
      default: call("hessian_collect", seed, random, 0, [&](auto) { return nvfp4cal_hessian_collect(hessian, &x, nullptr); });
    }
    call("hessian_result", seed, random, 1, [&](auto out) { return nvfp4cal_hessian_compute_hessian(hessian, out[0]); });
  }
  nvfp4cal_hessian_destroy(hessian);
  nvfp4cal_hessian_destroy(other);
}

// What takes a tensor and matrices: random ones, and now and then a diagonal that is symmetric.
void matrix_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  const nvfp4cal_tensor x = random_tensor(memory, random), scales = random_tensor(memory, random), acts = random_tensor(memory, random);
  std::vector<float> diagonal(4 * 32 * 32);
  const int64_t block = 16 * random.between(1, 2), count = random.between(1, 4);
  for (int64_t i = 0; i < count * block; ++i)
    diagonal[static_cast<size_t>(i * block + i % block)] = static_cast<float>(random.between(0, 9));
  const nvfp4cal_tensor good = contiguous(diagonal.data(), NVFP4CAL_DTYPE_F32, {count, block, block});
  const nvfp4cal_tensor wrong = random_tensor(memory, random), *h = random.one_in(3) ? &wrong : &good;
  const nvfp4cal_options options = random_options(nullptr, random);
  const nvfp4cal_block_options steps = {sizeof steps, static_cast<uint32_t>(random.between(0, 3)), 1, 2};
  const int32_t dim = static_cast<int32_t>(random.one_in(3) ? random.between(-4, 4) : -1);
  const std::vector<uint8_t> before = memory;
  call("sweep_hessian", seed, random, 1,
       [&](auto out) { return nvfp4cal_scale_sweep_hessian(nullptr, &x, nullptr, h, &options, out[0], nullptr); });
  call("block_optimal", seed, random, 3,
       [&](auto out) { return nvfp4cal_block_optimal(nullptr, &x, dim, &steps, out[0], out[1], out[2], nullptr); });
  call("block_optimal_hessian", seed, random, 3,
       [&](auto out) { return nvfp4cal_block_optimal_hessian(nullptr, &x, dim, h, nullptr, nullptr, out[0], out[1], out[2], nullptr); });
  call("block_admm", seed, random, 3,
       [&](auto out) { return nvfp4cal_block_admm(nullptr, &x, dim, nullptr, &acts, &steps, out[0], out[1], out[2], nullptr); });
  call("block_quantize", seed, random, 1, [&](auto out) { return nvfp4cal_block_quantize(nullptr, &x, &scales, dim, out[0], nullptr); });
  call("block_sse", seed, random, 1, [&](auto out) { return nvfp4cal_block_sse(nullptr, &x, &scales, dim, out[0], nullptr); });
  if (memory != before) report("matrix_functions", "an input has changed", seed);
}

// X^T X of a few rows, [slices, cols, cols]: singular without damping, as a rule.
std::vector<float> random_hessians(int64_t slices, int64_t cols, Random& random) {
  std::vector<float> x(static_cast<size_t>(cols)), sums(static_cast<size_t>(slices * cols * cols));
  for (int64_t row = random.between(0, 9); row > 0; --row) {
    for (float& value : x) value = static_cast<float>(random.one_in(4) ? 0 : random.between(-9, 9));
    for (size_t i = 0; i < sums.size(); ++i) {
      const size_t k = static_cast<size_t>(cols);
      sums[i] += x[i / k % k] * x[i % k];
    }
  }
  return sums;
}

void gptq_functions(uint64_t seed, Random& random) {
  std::vector<uint8_t> memory = random_memory(random);
  const int64_t cols = 16 * random.between(1, 4), slices = random.between(1, 2), rows = random.between(0, 3);
  std::vector<float> sums = random_hessians(slices, cols, random);
  nvfp4cal_tensor good = contiguous(sums.data(), NVFP4CAL_DTYPE_F32, {slices, cols, cols});
  if (slices == 1) good = contiguous(sums.data(), NVFP4CAL_DTYPE_F32, {cols, cols});
  nvfp4cal_gptq* gptq = nullptr;
  nvfp4cal_hessian* hessian = nullptr;
  if (nvfp4cal_gptq_create(&gptq) != 0 || nvfp4cal_hessian_create(&hessian) != 0) return report("gptq_create", nvfp4cal_last_error(), seed);
  if (!random.one_in(4)) nvfp4cal_gptq_set_hessian_tensor(gptq, &good, nullptr);
  nvfp4cal_hessian_set_layout(hessian, static_cast<int32_t>(random.one_in(8) ? random.between(-1, 3) : NVFP4CAL_HESSIAN_FULL));
  float ones[3] = {1.0f, 1.0f, 1.0f};
  const std::vector<uint8_t> before = memory;
  const std::vector<float> sums_before = sums;
  for (int64_t i = random.between(4, 12); i > 0; --i) {
    const nvfp4cal_tensor any = random_tensor(memory, random), other = random_tensor(memory, random);
    const nvfp4cal_tensor weights = slices == 1 || random.one_in(4) ? contiguous(memory.data(), NVFP4CAL_DTYPE_F32, {rows, cols})
                                                                    : contiguous(memory.data(), NVFP4CAL_DTYPE_F32, {slices, rows, cols});
    const nvfp4cal_tensor amax = contiguous(ones, NVFP4CAL_DTYPE_F32, {random.one_in(4) ? random.between(0, 3) : 1});
    const nvfp4cal_tensor* const given = random.one_in(2) ? nullptr : random.one_in(4) ? &other : &amax;
    const nvfp4cal_tensor* const x = random.one_in(4) ? &any : &weights;
    const nvfp4cal_tensor* const cross = random.one_in(2) ? nullptr : random.one_in(4) ? &any : &good;
    nvfp4cal_gptq_objectives objectives = {random.one_in(8) ? 12u : static_cast<uint32_t>(sizeof objectives), 0, 0, 0, 0, 0};
    switch (random.between(0, 14)) {
      case 0: nvfp4cal_gptq_set_damping(gptq, 0.02 * static_cast<double>(random.between(-1, 60))); break;
      case 1: nvfp4cal_gptq_set_effort(gptq, static_cast<int32_t>(random.between(-1, 3))); break;
      case 2: nvfp4cal_gptq_set_measure_objectives(gptq, static_cast<int32_t>(random.between(-1, 2))); break;
      case 3: nvfp4cal_gptq_reset(random.one_in(2) ? gptq : nullptr); break;
      case 4: nvfp4cal_hessian_collect(hessian, x, nullptr); break;
      case 5: call("gptq_hessian", seed, random, 0, [&](auto) { return nvfp4cal_gptq_set_hessian(gptq, hessian, cross); }); break;
      case 6:
      case 7:
      case 8: {
        const nvfp4cal_tensor* const matrix = random.one_in(4) ? &any : &good;
        call("gptq_tensor", seed, random, 0, [&](auto) { return nvfp4cal_gptq_set_hessian_tensor(gptq, matrix, cross); });
        break;
      }
      case 9: call("gptq_objectives", seed, random, 0, [&](auto) { return nvfp4cal_gptq_compute_objectives(gptq, &objectives); }); break;
      default:
        // the last three may be NULL, as pointers beyond the count are
        call("gptq_quantize", seed, random, random.one_in(3) ? 5 : 2,
             [&](auto out) { return nvfp4cal_gptq_quantize(gptq, x, given, out[0], out[1], out[2], out[3], out[4], nullptr); });
    }
  }
  if (memory != before || sums != sums_before) report("gptq_functions", "an input has changed", seed);
  nvfp4cal_gptq_destroy(gptq);
  nvfp4cal_hessian_destroy(hessian);
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 300;
  for (uint64_t seed = first; seed < first + rounds && failures < 20; ++seed) {
    Random random(seed);
    one_call_functions(seed, random);
    max_functions(seed, random);
    sweep_functions(seed, random);
    actmax_functions(seed, random);
    hessian_functions(seed, random);
    matrix_functions(seed, random);
    gptq_functions(seed, random);
  }
  std::printf("%llu rounds from seed %llu: %ld calls, %ld succeeded, %d failures\n", static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(first), calls, successes, failures);
  if (successes < calls / 20) report("fuzz_api", "too few calls succeed", first);
  return failures == 0 ? 0 : 1;
}
