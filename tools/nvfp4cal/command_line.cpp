#include "command_line.h"

#include <nvfp4cal.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "format_names.h"

namespace nvfp4cal_tool {

namespace {

constexpr const char* kQuantizeFooter = R"(Examples:
  nvfp4cal quantize Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal quantize in out --format compressed-tensors --method max --threads 8
  nvfp4cal quantize in out --exclude 'model.layers.{0,1}.*' --input-scale 1.0
  nvfp4cal quantize in out --method gptq --hessians calibration --effort max
  nvfp4cal quantize in out --dry-run
  nvfp4cal quantize in out --report report.html

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 + signal).)";

constexpr const char* kInspectFooter = R"(Examples:
  nvfp4cal inspect Qwen3-0.6B-NVFP4
  nvfp4cal inspect Qwen3-0.6B-NVFP4 --json | jq .defects

Exit codes: 0 no defects, 1 defects or failed, 2 wrong usage, 130 interrupted (128 + signal).)";

constexpr const char* kVerifyFooter = R"(Examples:
  nvfp4cal verify Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal verify in out --max-error 0.12 --quiet && echo fine

Exit codes: 0 the same model, 1 tensors missing, extra or different, an error above --max-error, or failed, 2 wrong usage,
130 interrupted (128 + signal).)";

constexpr const char* kConvertFooter = R"(Examples:
  nvfp4cal convert Qwen3-0.6B-NVFP4 Qwen3-0.6B-NVFP4-ct --format compressed-tensors
  nvfp4cal convert in out --format modelopt

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 + signal).)";

// Options of every command; texts are checked after parsing, so that messages are this tool's.
struct CommonTexts {
  std::string threads, interval;
};

std::string check_threads(const std::string& text, const char* what) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  const bool right = !text.empty() && *end == '\0' && value >= 1 && value <= 1024;
  return right ? "" : what + text + ": expected a number from 1 to 1024";
}

// Given with an empty value, as an unset variable of a shell leaves it: the option must not be as good as absent.
std::string check_given(const CLI::App* command, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (command->count(name) > 0 && command->get_option(name)->results()[0].empty()) return std::string(name) + ": a value is missing";
  }
  return "";
}

constexpr const char* kFromZero = ": expected a number from 0 on, below 1.79e308";

// A number in decimal digits, and what kFromZero says.
bool parse_number(const std::string& text, double& out) {
  char* end = nullptr;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  out = digits ? std::strtod(text.c_str(), &end) : 0.0;
  return digits && *end == '\0' && out >= 0.0 && out < 1.79e308;
}

// The library takes 0 for "none", so what becomes 0 in float32 has to be refused here.
std::string check_input_scale(const std::string& text) {
  double scale = 0.0;
  if (text.empty()) return "";
  const float single = parse_number(text, scale) ? std::strtof(text.c_str(), nullptr) : 0.0f;
  const bool right = std::isnormal(single) && std::isnormal(1.0f / single);
  return right ? "" : "--input-scale " + text + ": expected a number from 1.18e-38 to 8.5e37: float32 has to hold it and its reciprocal";
}

void add_common(CLI::App* command, CommonOptions& options, CommonTexts& texts, const char* quiet) {
  command->add_option("--threads", texts.threads, "Number of threads, 1 to 1024 (default: NVFP4CAL_NUM_THREADS, else all cores)")
      ->type_name("N");
  command->add_option("--progress-interval", texts.interval, "Seconds between lines of progress where stderr is no terminal (default: 10)")
      ->type_name("SECONDS");
  command->add_flag("--json", options.json, "The report as JSON on stdout, in place of words");
  command->add_flag("--quiet", options.quiet, quiet);
}

std::string take_common(const CLI::App* command, CommonOptions& options, const CommonTexts& texts) {
  if (std::string error = check_given(command, {"--threads", "--progress-interval"}); !error.empty()) return error;
  if (command->count("--threads") > 0) {
    if (std::string error = check_threads(texts.threads, "--threads "); !error.empty()) return error;
    options.threads = std::atoi(texts.threads.c_str());
  }
  if (command->count("--progress-interval") > 0 && !parse_number(texts.interval, options.interval))
    return "--progress-interval " + texts.interval + kFromZero;
  return "";
}

std::string check_format(const std::string& text) {
  if (text.empty()) return "--format is missing: modelopt or compressed-tensors";
  return format_number(text) >= 0 ? "" : "--format " + text + ": expected modelopt or compressed-tensors";
}

void add_format(CLI::App* command, std::string& format, const char* help) {
  CLI::Option* option = command->add_option("--format", format, help)->type_name("modelopt|compressed-tensors");
  if (!format.empty()) option->capture_default_str();
}

// One value for each time that the option is given: without a limit, what follows would be taken too.
void add_patterns(CLI::App* command, const char* name, std::vector<std::string>& patterns, const char* help) {
  command->add_option(name, patterns, help)->type_name("GLOB")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// The options of method gptq go with it alone, and it does nothing without Hessians.
std::string check_gptq(const CLI::App* command, QuantizeOptions& options, const std::string& damping) {
  if (effort_number(options.effort) < 0) return "--effort " + options.effort + ": expected fast, default or max";
  if (command->count("--damping") > 0 && !parse_number(damping, options.damping)) return "--damping " + damping + kFromZero;
  if (options.method == "gptq") return command->count("--hessians") > 0 ? "" : "--method gptq: --hessians DIR is missing";
  for (const char* name : {"--hessians", "--effort", "--damping"}) {
    if (command->count(name) > 0) return std::string(name) + ": for --method gptq alone, the method is " + options.method;
  }
  return "";
}

struct QuantizeState {
  QuantizeOptions options;
  CommonTexts texts;
  std::string damping;
};

std::string check_quantize(const CLI::App* command, QuantizeState& state) {
  QuantizeOptions& given = state.options;
  if (given.input.empty()) return std::string("input is missing");
  if (given.output.empty()) return std::string("output is missing");
  if (method_number(given.method) < 0) return "--method " + given.method + ": expected mse, max, four-over-six or gptq";
  if (std::string error = check_given(command, {"--input-scale", "--input-scales", "--hessians", "--effort", "--damping", "--report"});
      !error.empty())
    return error;
  if (std::string error = check_gptq(command, given, state.damping); !error.empty()) return error;
  if (std::string error = check_input_scale(given.input_scale); !error.empty()) return error;
  if (std::string error = check_format(given.format); !error.empty()) return error;
  return take_common(command, given.common, state.texts);
}

Command add_quantize(CLI::App& app) {
  auto state = std::make_shared<QuantizeState>();
  QuantizeOptions& options = state->options;
  CLI::App* command = app.add_subcommand("quantize", "Quantize a safetensors model folder to NVFP4");
  command->add_option("input", options.input, "Local folder with model.safetensors, or an index and its shards")->type_name("IN");
  command->add_option("output", options.output, "Folder to write: new or empty")->type_name("OUT");
  command
      ->add_option(
          "--method", options.method,
          "mse: the block scales of least squared error; max: from the largest magnitude; four-over-six: the better of two; gptq: rounding "
          "errors that make up for each other, by the Hessians of --hessians")
      ->type_name("mse|max|four-over-six|gptq")
      ->capture_default_str();
  add_format(command, options.format, "Names, global scale and configuration of the output");
  add_patterns(command, "--include", options.include,
               "Only layers whose names match: * any characters, ? one, {a,b} one of these. May be given again");
  add_patterns(command, "--exclude", options.exclude, "Copy layers whose names match. May be given again");
  add_patterns(command, "--fuse-group", options.fuse_groups,
               "Layers that match and differ in the last part of their names alone share a global scale. May be given again");
  command
      ->add_option("--input-scale", options.input_scale,
                   "Quantize activations too (W4A4), with this input scale in every layer; 1.0 needs no data")
      ->type_name("X");
  command->add_option("--input-scales", options.input_scales, "The same with a JSON file of input scales, module -> scale")
      ->type_name("FILE");
  command
      ->add_option("--hessians", options.hessians,
                   "For --method gptq: a folder with files <module>.hessian. Layers without one are quantized as by mse")
      ->type_name("DIR");
  command->add_option("--effort", options.effort, "For --method gptq: how long to look for lower errors")
      ->type_name("fast|default|max")
      ->capture_default_str();
  command
      ->add_option("--damping", state->damping,
                   "For --method gptq: this times the mean of a Hessian's diagonal is added to it (default: 0.02)")
      ->type_name("X");
  command->add_flag("--dry-run", options.dry_run, "Say what would be done, and the size; write nothing");
  command
      ->add_option("--report", options.report,
                   "Write what was done to every tensor, and why: a page with charts if the name ends in .html, else JSON")
      ->type_name("FILE");
  add_common(command, options.common, state->texts, "No table and no progress");
  command->footer(kQuantizeFooter);
  return {command, [command, state] { return check_quantize(command, *state); }, [state] { return quantize(state->options); }};
}

Command add_inspect(CLI::App& app) {
  struct State {
    InspectOptions options;
    CommonTexts texts;
  };
  auto state = std::make_shared<State>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a model folder holds, and what engines would stumble over");
  command->add_option("folder", state->options.folder, "Folder of a model, quantized in either format or not")->type_name("DIR");
  add_common(command, state->options.common, state->texts, "Exit code and errors alone");
  command->footer(kInspectFooter);
  const auto check = [command, state] {
    if (state->options.folder.empty()) return std::string("folder is missing");
    return take_common(command, state->options.common, state->texts);
  };
  return {command, check, [state] { return inspect(state->options); }};
}

Command add_verify(CLI::App& app) {
  struct State {
    VerifyOptions options;
    CommonTexts texts;
    std::string max_error;
  };
  auto state = std::make_shared<State>();
  CLI::App* command = app.add_subcommand("verify", "Decode a quantized model and compare it with its original");
  command->add_option("original", state->options.original, "Folder that was quantized")->type_name("ORIGINAL");
  command->add_option("quantized", state->options.quantized, "Folder of the quantized model, in either format")->type_name("QUANTIZED");
  command->add_option("--max-error", state->max_error, "Exit code 1 if the relative error of all layers is larger")->type_name("X");
  add_common(command, state->options.common, state->texts, "Exit code and errors alone");
  command->footer(kVerifyFooter);
  const auto check = [command, state] {
    if (state->options.original.empty()) return std::string("original is missing");
    if (state->options.quantized.empty()) return std::string("quantized is missing");
    if (std::string error = check_given(command, {"--max-error"}); !error.empty()) return error;
    if (command->count("--max-error") > 0 && !parse_number(state->max_error, state->options.max_error))
      return "--max-error " + state->max_error + kFromZero;
    return take_common(command, state->options.common, state->texts);
  };
  return {command, check, [state] { return verify(state->options); }};
}

Command add_convert(CLI::App& app) {
  struct State {
    ConvertOptions options;
    CommonTexts texts;
  };
  auto state = std::make_shared<State>();
  CLI::App* command = app.add_subcommand("convert", "Write a quantized model in the other format, bit for bit");
  command->add_option("input", state->options.input, "Folder of a quantized model")->type_name("IN");
  command->add_option("output", state->options.output, "Folder to write: new or empty")->type_name("OUT");
  add_format(command, state->options.format, "The other format. Must be given");
  add_common(command, state->options.common, state->texts, "No words and no progress");
  command->footer(kConvertFooter);
  const auto check = [command, state] {
    if (state->options.input.empty()) return std::string("input is missing");
    if (state->options.output.empty()) return std::string("output is missing");
    if (std::string error = check_format(state->options.format); !error.empty()) return error;
    return take_common(command, state->options.common, state->texts);
  };
  return {command, check, [state] { return convert(state->options); }};
}

}  // namespace

std::vector<Command> add_commands(CLI::App& app) { return {add_quantize(app), add_inspect(app), add_verify(app), add_convert(app)}; }

std::string command_list(const std::vector<Command>& commands) {
  std::string text;
  for (const Command& command : commands) text += (text.empty() ? "commands: " : ", ") + command.app->get_name();
  return text;
}

std::string check_environment() {
  const char* threads = std::getenv("NVFP4CAL_NUM_THREADS");
  if (threads && *threads) {
    if (std::string error = check_threads(threads, "NVFP4CAL_NUM_THREADS="); !error.empty()) return error;
  }
  const char* target = std::getenv("NVFP4CAL_CPU_TARGET");
  if (target && *target && std::strcmp(target, nvfp4cal_cpu_target()) != 0)
    return "NVFP4CAL_CPU_TARGET=" + std::string(target) + ": this machine has " + nvfp4cal_cpu_targets();
  return "";
}

}  // namespace nvfp4cal_tool
