// nvfp4cal: the command-line tool over the C ABI.
#include <nvfp4cal.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "command_line.h"
#include "exit_codes.h"
#include "text.h"

using namespace nvfp4cal_tool;

namespace {

constexpr const char* kFooter = R"(Examples:
  nvfp4cal quantize Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal verify Qwen3-0.6B Qwen3-0.6B-NVFP4
  nvfp4cal quantize --help

Exit codes: 0 done, 1 failed (or defects, differences), 2 wrong usage, 130 interrupted (128 + signal).)";

// The parser's texts in this tool's words.
std::string in_words(const CLI::ParseError& error) {
  const std::string text = error.what();
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) return text;
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) return "unknown option or argument:" + text.substr(colon + 1);
  if (error.get_name() == "ArgumentMismatch")
    return text.substr(0, colon) + (text.find("At Most") == std::string::npos ? ": a value is missing" : ": given more than once");
  return text;
}

// For the usage line alone. While parsing, the parser would complain of them before it looks at unknown options.
void show_required(const std::vector<Command>& commands) {
  for (const Command& command : commands) {
    for (CLI::Option* option : command.app->get_options()) option->required(option->get_positional());
  }
}

int usage_error(const std::string& message, const Command* command) {
  print_error(message + " (see nvfp4cal " + (command ? command->app->get_name() + " " : "") + "--help)");
  return kExitUsage;
}

int run(int argc, char** argv) {
  CLI::App app("Quantize LLM weights to NVFP4, exactly, on the CPU.", "nvfp4cal");
  app.set_version_flag("--version", std::string("nvfp4cal ") + nvfp4cal_version());
  app.footer(kFooter);
  const std::vector<Command> commands = add_commands(app);
  if (argc < 2) {
    std::fputs(app.help().c_str(), stderr);
    return kExitUsage;
  }
  const auto named = std::find_if(commands.begin(), commands.end(), [&](const Command& c) { return c.app->get_name() == argv[1]; });
  if (argv[1][0] != '-' && named == commands.end()) {
    print_error("unknown command \"" + std::string(argv[1]) + "\" (" + command_list(commands) + ")");
    return kExitUsage;
  }
  const Command* command = nullptr;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      show_required(commands);
      return app.exit(error);
    }
    return usage_error(in_words(error), named == commands.end() ? nullptr : &*named);
  }
  for (const Command& each : commands) {
    if (each.app->parsed()) command = &each;
  }
  if (!command) {
    print_error("a command is missing (" + command_list(commands) + ")");
    return kExitUsage;
  }
  if (app.get_subcommands().size() > 1) return usage_error("more than one command", nullptr);
  std::string error = command->check();
  if (error.empty()) error = check_environment();
  if (!error.empty()) return usage_error(error, command);
  return command->run();
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
