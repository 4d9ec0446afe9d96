#include "checkpoint/job.h"

#include "checkpoint/convert.h"
#include "checkpoint/inspect.h"
#include "checkpoint/run.h"
#include "checkpoint/verify.h"

namespace nvfp4cal::checkpoint {

Job::Job() : execution_(Execution::process_default()) {}

void Job::run(const std::string& input, const std::string& output) {
  cancelled_.store(false, std::memory_order_relaxed);  // a cancel between runs is for none
  Monitor monitor(cancelled_, progress_, user_);
  Run run(execution_, options_, monitor);
  report_ = run.run(input, output);
}

void Job::inspect(const std::string& folder) {
  cancelled_.store(false, std::memory_order_relaxed);
  Monitor monitor(cancelled_, progress_, user_);
  report_ = inspect_model(execution_, monitor, folder);
}

void Job::verify(const std::string& original, const std::string& quantized) {
  cancelled_.store(false, std::memory_order_relaxed);
  Monitor monitor(cancelled_, progress_, user_);
  report_ = verify_model(execution_, monitor, original, quantized);
}

void Job::convert(const std::string& input, const std::string& output) {
  cancelled_.store(false, std::memory_order_relaxed);
  Monitor monitor(cancelled_, progress_, user_);
  report_ = convert_model(monitor, options_.format, input, output);
}

}  // namespace nvfp4cal::checkpoint
