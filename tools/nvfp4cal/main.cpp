// nvfp4cal: the command-line tool over the C ABI.
#include <nvfp4cal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "quantize.h"

using namespace nvfp4cal_tool;

namespace {

constexpr const char* kFooter = R"(Examples:
  nvfp4cal quantize Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal quantize in out --method max --threads 8 --report report.json

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 + signal).)";

// Returns what is wrong with the text, empty if nothing.
std::string check_threads(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  const bool right = !text.empty() && *end == '\0' && value >= 1 && value <= 1024;
  return right ? "" : "--threads " + text + ": expected a number from 1 to 1024";
}

std::string check_format(const std::string& text) {
  return text == "modelopt" || text == "compressed-tensors" ? "" : "--format " + text + ": expected modelopt or compressed-tensors";
}

std::string check_method(const std::string& text) {
  return text == "mse" || text == "max" ? "" : "--method " + text + ": expected mse or max";
}

// The parser fills in the options.
CLI::App* add_quantize(CLI::App& app, QuantizeOptions& options, std::string& threads) {
  CLI::App* command = app.add_subcommand("quantize", "Quantize a safetensors model folder to NVFP4 (weights only)");
  command->add_option("input", options.input, "Local folder with model.safetensors, or an index and its shards")->type_name("IN");
  command->add_option("output", options.output, "Folder to write: new or empty")->type_name("OUT");
  command->add_option("--method", options.method, "mse: the block scales of least squared error; max: from the largest magnitude")
      ->type_name("mse|max")
      ->capture_default_str();
  command->add_option("--format", options.format, "Names, global scale and configuration of the output")
      ->type_name("modelopt|compressed-tensors")
      ->capture_default_str();
  command->add_option("--threads", threads, "Number of threads, 1 to 1024 (default: NVFP4CAL_NUM_THREADS, else all cores)")->type_name("N");
  command->add_option("--report", options.report, "Write what was done to every tensor, and why, as JSON")->type_name("FILE");
  command->add_flag("--quiet", options.quiet, "No table and no progress bar");
  command->footer(kFooter);
  return command;
}

// The library ignores settings that it cannot follow; someone who types a command wants to know.
std::string check_environment() {
  const char* threads = std::getenv("NVFP4CAL_NUM_THREADS");
  if (threads && *threads && !check_threads(threads).empty())
    return "NVFP4CAL_NUM_THREADS=" + std::string(threads) + ": expected a number from 1 to 1024";
  const char* target = std::getenv("NVFP4CAL_CPU_TARGET");
  if (target && *target && std::strcmp(target, nvfp4cal_cpu_target()) != 0)
    return "NVFP4CAL_CPU_TARGET=" + std::string(target) + ": this machine has " + nvfp4cal_cpu_targets();
  return "";
}

std::string check_options(const QuantizeOptions& options, const std::string& threads, bool has_threads) {
  if (options.input.empty()) return "input is missing";
  if (options.output.empty()) return "output is missing";
  if (std::string error = check_method(options.method); !error.empty()) return error;
  if (std::string error = check_format(options.format); !error.empty()) return error;
  return has_threads ? check_threads(threads) : "";
}

// The parser's texts in this tool's words.
std::string in_words(const CLI::ParseError& error) {
  const std::string text = error.what();
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) return text;
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) return "unknown option or argument:" + text.substr(colon + 1);
  if (error.get_name() == "ArgumentMismatch") return text.substr(0, colon) + ": a value is missing";
  return text;
}

int usage_error(const std::string& message) {
  print_error(message);
  return kExitUsage;
}

int run(int argc, char** argv) {
  CLI::App app("Quantize LLM weights to NVFP4, exactly, on the CPU.", "nvfp4cal");
  app.set_version_flag("--version", std::string("nvfp4cal ") + nvfp4cal_version());
  app.footer(kFooter);
  QuantizeOptions options;
  std::string threads;
  CLI::App* command = add_quantize(app, options, threads);
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return kExitUsage;
  }
  if (argv[1][0] != '-' && std::strcmp(argv[1], "quantize") != 0)
    return usage_error("unknown command \"" + std::string(argv[1]) + "\" (commands: quantize)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return usage_error(in_words(error) + (command->parsed() ? " (see nvfp4cal quantize --help)" : " (see nvfp4cal --help)"));
  }
  if (!command->parsed()) return usage_error("a command is missing (commands: quantize)");
  std::string error = check_options(options, threads, command->count("--threads") > 0);
  if (error.empty()) error = check_environment();
  if (!error.empty()) return usage_error(error + " (see nvfp4cal quantize --help)");
  if (!threads.empty()) options.threads = std::atoi(threads.c_str());
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
