#include "checkpoint/job.h"

#include "checkpoint/run.h"

namespace nvfp4cal::checkpoint {

Job::Job() : execution_(Execution::process_default()) {}

void Job::run(const std::string& input, const std::string& output) {
  cancelled_.store(false, std::memory_order_relaxed);  // a cancel between runs is for none
  Monitor monitor(cancelled_, progress_, user_);
  Run run(execution_, options_, monitor);
  report_ = run.run(input, output);
}

}  // namespace nvfp4cal::checkpoint
