// Calls of the C interface on golden tensors, under every CPU target and several thread counts.
#pragma once

#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "nvfp4cal.h"
#include "support/catch.h"
#include "support/golden.h"

namespace nvfp4cal::test {

// A view of bytes; shape and dtype as the golden tensor's.
inline nvfp4cal_tensor tensor_of(const GoldenTensor& golden) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = const_cast<char*>(golden.bytes.data());
  tensor.dtype = static_cast<int32_t>(golden.dtype);
  tensor.ndim = static_cast<int32_t>(golden.shape.size());
  for (size_t d = 0; d < golden.shape.size(); ++d) tensor.shape[d] = golden.shape[d];
  return tensor;
}

template <class T>
nvfp4cal_tensor output_of(std::vector<T>& values, int32_t dtype) {
  nvfp4cal_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.data = values.data();
  tensor.dtype = dtype;
  tensor.ndim = 1;
  tensor.shape[0] = static_cast<int64_t>(values.size());
  return tensor;
}

inline nvfp4cal_options default_options() {
  nvfp4cal_options options{};
  options.struct_size = sizeof options;
  return options;
}

template <class T>
bool equal_bits(const std::vector<T>& values, const GoldenTensor& golden) {
  return values.size() * sizeof(T) == golden.bytes.size() && std::memcmp(values.data(), golden.bytes.data(), golden.bytes.size()) == 0;
}

inline int differing(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  if (a.size() != b.size()) return -1;
  int count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

#define REQUIRE_OK(call)                    \
  do {                                      \
    const nvfp4cal_status status_ = (call); \
    INFO(nvfp4cal_last_error());            \
    REQUIRE(status_ == NVFP4CAL_OK);        \
  } while (false)

// body(context) for every CPU target and threads 1, 2, 7.
template <class Body>
void for_each_context(Body&& body) {
  std::istringstream targets(nvfp4cal_cpu_targets());
  for (std::string target; std::getline(targets, target, ',');) {
    for (const int threads : {1, 2, 7}) {
      INFO(target << ", " << threads << " threads");
      nvfp4cal_context* context = nullptr;
      REQUIRE_OK(nvfp4cal_context_create(&context));
      REQUIRE_OK(nvfp4cal_context_set_cpu_target(context, target.c_str()));
      REQUIRE_OK(nvfp4cal_context_set_threads(context, threads));
      body(context);
      nvfp4cal_context_destroy(context);
    }
  }
}

}  // namespace nvfp4cal::test
