// Calibrates a matrix that arrives in two parts: the global amax over both, then the exact block-scale search of each part.
#include <nvfp4cal.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

void check(nvfp4cal_status status) {
  if (status != NVFP4CAL_OK) throw std::runtime_error(nvfp4cal_last_error());
}

struct Destroy {
  void operator()(nvfp4cal_max* handle) const { nvfp4cal_max_destroy(handle); }
  void operator()(nvfp4cal_sweep* handle) const { nvfp4cal_sweep_destroy(handle); }
};

template <class Handle>
std::unique_ptr<Handle, Destroy> make(nvfp4cal_status (*create)(Handle**)) {
  Handle* handle = nullptr;
  check(create(&handle));
  return std::unique_ptr<Handle, Destroy>(handle);
}

nvfp4cal_tensor tensor(void* data, int32_t dtype, std::initializer_list<int64_t> shape) {
  nvfp4cal_tensor view{};
  view.struct_size = sizeof view;
  view.data = data;
  view.dtype = dtype;
  for (int64_t extent : shape) view.shape[view.ndim++] = extent;
  return view;
}

// Values between -1 and 1, the same on every machine.
std::vector<float> values(int64_t n, uint32_t state) {
  std::vector<float> out(static_cast<size_t>(n));
  for (float& value : out) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state >> 8) - (1 << 23)) / static_cast<float>(1 << 23);
  }
  return out;
}

void run() {
  constexpr int64_t kRows = 8, kCols = 64, kBlocks = kCols / 16;
  std::vector<float> parts[] = {values(kRows * kCols, 1), values(kRows * kCols, 2)};

  // Two calibrators, as two processes would have, merged.
  auto amax = make(nvfp4cal_max_create), other = make(nvfp4cal_max_create);
  const nvfp4cal_tensor first = tensor(parts[0].data(), NVFP4CAL_DTYPE_F32, {kRows, kCols});
  const nvfp4cal_tensor second = tensor(parts[1].data(), NVFP4CAL_DTYPE_F32, {kRows, kCols});
  check(nvfp4cal_max_collect(amax.get(), &first, nullptr));
  check(nvfp4cal_max_collect(other.get(), &second, nullptr));
  check(nvfp4cal_max_merge(amax.get(), other.get()));

  auto sweep = make(nvfp4cal_sweep_create);
  check(nvfp4cal_sweep_set_global_amax_from(sweep.get(), amax.get()));
  for (const nvfp4cal_tensor* part : {&first, &second}) {
    std::vector<uint8_t> codes(kRows * kBlocks);
    nvfp4cal_tensor out = tensor(codes.data(), NVFP4CAL_DTYPE_E4M3, {kRows, kBlocks});
    check(nvfp4cal_sweep_collect(sweep.get(), part, nullptr));
    check(nvfp4cal_sweep_compute_codes(sweep.get(), &out));
    check(nvfp4cal_sweep_reset(sweep.get()));
    int sum = 0;
    for (uint8_t code : codes) sum += code;
    std::printf("%zu blocks, sum of the scale codes %d\n", codes.size(), sum);
  }
}

}  // namespace

int main() {
  try {
    run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
