#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "commands.h"
#include "exit_codes.h"
#include "format_names.h"
#include "html_report.h"
#include "report_file.h"
#include "summary.h"
#include "text.h"

namespace nvfp4cal_tool {

namespace {

nvfp4cal_status run_job(nvfp4cal_checkpoint* job, const QuantizeOptions& options) {
  nvfp4cal_status status = NVFP4CAL_OK;
  const auto done = [&](nvfp4cal_status next) { return (status = next) == NVFP4CAL_OK; };
  const auto all = [&](const std::vector<std::string>& patterns, nvfp4cal_status (*add)(nvfp4cal_checkpoint*, const char*)) {
    return std::all_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return done(add(job, pattern.c_str())); });
  };
  const char* const scales = options.input_scales.empty() ? nullptr : options.input_scales.c_str();
  const float scale = options.input_scale.empty() ? 0.0f : std::strtof(options.input_scale.c_str(), nullptr);
  static_cast<void>(done(nvfp4cal_checkpoint_set_method(job, method_number(options.method))) &&
                    done(nvfp4cal_checkpoint_set_format(job, format_number(options.format))) &&
                    all(options.include, nvfp4cal_checkpoint_add_include) && all(options.exclude, nvfp4cal_checkpoint_add_exclude) &&
                    all(options.fuse_groups, nvfp4cal_checkpoint_add_fuse_group) && done(nvfp4cal_checkpoint_set_input_scale(job, scale)) &&
                    done(nvfp4cal_checkpoint_set_input_scales_file(job, scales)) &&
                    done(nvfp4cal_checkpoint_set_hessians(job, options.hessians.empty() ? nullptr : options.hessians.c_str())) &&
                    done(nvfp4cal_checkpoint_set_effort(job, effort_number(options.effort))) &&
                    (options.damping < 0.0 || done(nvfp4cal_checkpoint_set_damping(job, options.damping))) &&
                    done(nvfp4cal_checkpoint_set_dry_run(job, options.dry_run ? 1 : 0)) &&
                    done(nvfp4cal_checkpoint_set_detail(job, is_html_name(options.report) ? 1 : 0)) &&
                    done(nvfp4cal_checkpoint_run(job, options.input.c_str(), options.output.c_str())));
  return status;
}

}  // namespace

int quantize(const QuantizeOptions& options) {
  ReportFile file(options.report);
  if (file.lies_in(options.input) || file.lies_in(options.output)) {
    print_error("the report must not lie in the model's folders: " + options.report);
    return kExitUsage;
  }
  // A report that cannot be written is better known before the work than after it.
  if (const std::string error = file.open(); !error.empty()) {
    print_error("cannot write the report " + options.report + ": " + error);
    return kExitFailed;
  }
  Job job(options.common);
  if (const int code = job.run([&](nvfp4cal_checkpoint* handle) { return run_job(handle, options); }, true); code != kExitOk) return code;
  const std::string done = options.dry_run ? "the dry run is done" : "the model was written";
  int code = kExitOk;
  if (const std::string error = file.write(is_html_name(options.report) ? html_report(job.report()) : job.report()); !error.empty()) {
    print_error(done + ", but the report " + options.report + " was not written: " + error);
    code = kExitFailed;
  }
  errno = 0;
  const bool printed = options.common.json ? print_json(job.report()) : options.common.quiet || print_summary(job.report());
  if (!printed) {
    print_error(done + ", but not the " + (options.common.json ? "report" : "table") + " on stdout: " + std::strerror(errno));
    code = kExitFailed;
  }
  print_warnings(job.report());
  return code;
}

}  // namespace nvfp4cal_tool
