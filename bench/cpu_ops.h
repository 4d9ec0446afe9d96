// Every operation of the CPU backend on one input, through the public interface.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "inputs.h"
#include "nvfp4cal.h"
#include "lines.h"
#include "roof.h"
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

  // Measures and prints; rows are kept. normal: NULL, or an input whose search is measured in turn with the other's.
  void run(const Input& input, const Input* normal, int threads);
  const std::vector<Row>& rows() const { return rows_; }

 private:
  struct Tensors;  // of one dtype
  enum class Roof { kRead, kCopy };
  struct Op {
    std::string name;
    double bytes;  // moved per element
    Roof roof;
    std::function<void()> body;
  };
  void run_dtype(const char* dtype_name, int32_t dtype, const void* data, const void* normal, int64_t size);
  std::vector<Op> make_ops(Tensors& t);
  void add_searches(Tensors& t, std::vector<Op>& ops);
  void add_conversions(Tensors& t, std::vector<Op>& ops);
  float find_amax(Tensors& t, const nvfp4cal_tensor& x);
  void run_ops(Tensors& t);
  void report(const Op& op, const Time& time, double roof_rate, double normal_seconds);
  bool wanted(const std::string& op) const { return options_.op.empty() || options_.op == op; }

  const Options& options_;
  const int64_t cols_, rows_count_;
  nvfp4cal_context* context_ = nullptr;
  std::string target_, input_name_, dtype_name_;
  int threads_ = 1;
  LineVector<uint8_t> packed_, scales_;
  LineVector<float> amax_, out_;
  std::vector<float> hessian_;
  std::vector<std::pair<std::string, std::vector<float>>> weights_;  // by the end of the op's name
  std::vector<Row> rows_;
};

// "model name" of /proc/cpuinfo.
std::string cpu_name();

}  // namespace bench
