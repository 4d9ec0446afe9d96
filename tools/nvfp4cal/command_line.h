// The command line: options of every command, what they may hold, and the help.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "commands.h"

namespace nvfp4cal_tool {

// A command and what the parser fills in for it.
struct Command {
  CLI::App* app;
  std::function<std::string()> check;  // what is wrong with the values; empty: nothing
  std::function<int()> run;
};

// Adds all commands. They live as long as the app.
std::vector<Command> add_commands(CLI::App& app);

// "commands: quantize, inspect, ..."
std::string command_list(const std::vector<Command>& commands);

// What is wrong with the environment's settings, which the library ignores if it cannot follow them; empty: nothing.
std::string check_environment();

}  // namespace nvfp4cal_tool
