// Every operation of the CPU backend on one input, through the public interface.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "inputs.h"
#include "nvfp4cal.h"
#include "targets.h"

namespace bench {

struct Options {
  bool json = false, check = false, processor_time = false;
  int64_t elements = int64_t{1} << 26;  // 256 MiB of float32: several times any last-level cache
  int runs = 7;
  std::string target, input, op, dtype, layer;
  int threads = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options);
  ~Bench();

  // Measures and prints; rows are kept.
  void run(const Input& input, int threads);
  const std::vector<Row>& rows() const { return rows_; }

 private:
  struct Tensors;  // of one dtype
  void run_dtype(const char* dtype_name, int32_t dtype, const void* data, int64_t size);
  void run_ops(const Tensors& t);
  // bytes: moved per element; roof: bytes a second.
  void report(const char* op, double bytes, double roof, const std::function<void()>& body);
  bool wanted(const char* op) const { return options_.op.empty() || options_.op == op; }

  const Options& options_;
  const int64_t cols_, rows_count_;
  nvfp4cal_context* context_ = nullptr;
  std::string target_, input_name_, dtype_name_;
  int threads_ = 1;
  std::vector<uint8_t> packed_, scales_;
  std::vector<float> amax_, out_, weights_, hessian_;
  std::vector<Row> rows_;
};

// "model name" of /proc/cpuinfo.
std::string cpu_name();

}  // namespace bench
