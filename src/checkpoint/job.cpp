#include "checkpoint/job.h"

#include "checkpoint/convert.h"
#include "checkpoint/inspect.h"
#include "checkpoint/run.h"
#include "checkpoint/verify.h"

namespace nvfp4cal::checkpoint {

Job::Job() : execution_(Execution::process_default()) {}

template <class Work>
void Job::report_of(Work&& work) {
  cancelled_.store(false, std::memory_order_relaxed);  // a cancel between runs is for none
  Monitor monitor(cancelled_, progress_, user_);
  Execution execution = execution_;
  execution.set_interrupt(&monitor);
  report_ = work(execution, monitor);
}

void Job::run(const std::string& input, const std::string& output) {
  report_of([&](const Execution& execution, Monitor& monitor) { return Run(execution, options_, monitor).run(input, output); });
}

void Job::inspect(const std::string& folder) {
  report_of([&](const Execution& execution, Monitor& monitor) { return inspect_model(execution, monitor, folder); });
}

void Job::verify(const std::string& original, const std::string& quantized) {
  report_of([&](const Execution& execution, Monitor& monitor) { return verify_model(execution, monitor, original, quantized); });
}

void Job::convert(const std::string& input, const std::string& output) {
  report_of([&](const Execution&, Monitor& monitor) { return convert_model(monitor, options_.format, input, output); });
}

}  // namespace nvfp4cal::checkpoint
