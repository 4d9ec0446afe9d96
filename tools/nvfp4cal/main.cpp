// nvfp4cal: the command-line tool over the C ABI.
#include <nvfp4cal.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "quantize.h"

using namespace nvfp4cal_tool;

namespace {

constexpr const char* kFooter = R"(Examples:
  nvfp4cal quantize Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal quantize in out --method max --threads 8 --report report.json

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.)";

// The parser fills in the options.
void add_quantize(CLI::App& app, QuantizeOptions& options) {
  CLI::App* command = app.add_subcommand("quantize", "Quantize a safetensors model folder to NVFP4 (ModelOpt format, weights only)");
  command->add_option("input", options.input, "Folder with model.safetensors or an index and its shards")->required();
  command->add_option("output", options.output, "Folder to write: new or empty")->required();
  command->add_option("--method", options.method, "mse: the block scales of least squared error; max: from the largest magnitude")
      ->check(CLI::IsMember({"mse", "max"}))
      ->capture_default_str();
  command->add_option("--threads", options.threads, "Number of threads (default: NVFP4CAL_NUM_THREADS, else all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--report", options.report, "Write what was done to every tensor, and why, as JSON")->type_name("FILE");
  command->add_flag("--quiet", options.quiet, "Print nothing but errors");
  command->footer(kFooter);
}

int run(int argc, char** argv) {
  CLI::App app("Quantize LLM weights to NVFP4, exactly, on the CPU.", "nvfp4cal");
  app.set_version_flag("--version", std::string("nvfp4cal ") + nvfp4cal_version());
  app.footer(kFooter);
  app.require_subcommand(1);
  QuantizeOptions options;
  add_quantize(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    print_error(std::string(error.what()) + " (nvfp4cal --help)");
    return kExitUsage;
  }
  return quantize(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    print_error(error.what());
    return kExitFailed;
  }
}
