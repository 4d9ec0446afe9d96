// The commands for models that are quantized already.
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "exit_codes.h"
#include "format_names.h"
#include "summary.h"
#include "text.h"

namespace nvfp4cal_tool {

namespace {

using Print = bool (*)(const std::string& report);

// Prints the report as the options ask for. False: stdout could not be written.
bool show(const CommonOptions& options, const char* report, Print print) {
  errno = 0;
  const bool printed = options.json ? print_json(report) : options.quiet || print(report);
  if (!printed) print_error(std::string("cannot write to stdout: ") + std::strerror(errno));
  print_warnings(report);
  return printed;
}

}  // namespace

int inspect(const InspectOptions& options) {
  Job job(options.common);
  if (const int code =
          job.run([&](nvfp4cal_checkpoint* handle) { return nvfp4cal_checkpoint_inspect(handle, options.folder.c_str()); }, false);
      code != kExitOk)
    return code;
  if (!show(options.common, job.report(), print_inspection)) return kExitFailed;
  return nlohmann::json::parse(job.report())["defects"].empty() ? kExitOk : kExitFailed;
}

int verify(const VerifyOptions& options) {
  Job job(options.common);
  const auto action = [&](nvfp4cal_checkpoint* handle) {
    return nvfp4cal_checkpoint_verify(handle, options.original.c_str(), options.quantized.c_str());
  };
  if (const int code = job.run(action, false); code != kExitOk) return code;
  if (!show(options.common, job.report(), print_verification)) return kExitFailed;
  const nlohmann::json report = nlohmann::json::parse(job.report());
  if (!report["ok"].get<bool>()) return kExitFailed;
  const nlohmann::json& error = report["totals"]["relative_error"];
  if (options.max_error < 0.0 || (error.is_number() && error.get<double>() <= options.max_error)) return kExitOk;
  char text[96];
  std::snprintf(text, sizeof text, "the relative error is %g, more than %g", error.is_number() ? error.get<double>() : HUGE_VAL,
                options.max_error);
  print_error(text);
  return kExitFailed;
}

int convert(const ConvertOptions& options) {
  Job job(options.common);
  const auto action = [&](nvfp4cal_checkpoint* handle) {
    const nvfp4cal_status status = nvfp4cal_checkpoint_set_format(handle, format_number(options.format));
    return status == NVFP4CAL_OK ? nvfp4cal_checkpoint_convert(handle, options.input.c_str(), options.output.c_str()) : status;
  };
  if (const int code = job.run(action, true); code != kExitOk) return code;
  return show(options.common, job.report(), print_conversion) ? kExitOk : kExitFailed;
}

}  // namespace nvfp4cal_tool
