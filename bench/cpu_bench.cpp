// Speed of every operation beside the memory roof measured in the same run. Uses the public interface alone.
//   nvfp4cal_bench [--json] [--check] [--elements N] [--runs N] [--target NAME] [--threads N] [--input NAME] [--op NAME] [--dtype NAME]
//                  [--layer FILE] [--clock wall|cpu] [--offset BYTES]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include "cpu_ops.h"
#include "roof.h"

namespace {

using bench::Options;

[[noreturn]] void usage(const char* what, const char* name) {
  std::fprintf(stderr, "nvfp4cal_bench: %s %s\n", what, name);
  std::exit(2);
}

size_t parse_offset(const char* text) {
  const int64_t offset = std::atoll(text);
  if (offset < 0 || offset >= 64 || offset % 8 != 0 || std::to_string(offset) != text)
    usage("--offset: expected a multiple of 8 below 64, not", text);
  return static_cast<size_t>(offset);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json" || name == "--check") {
      (name == "--json" ? options.json : options.check) = true;
      continue;
    }
    if (i + 1 == argc) usage("a value is missing:", argv[i]);
    const char* value = argv[++i];
    if (name == "--elements")
      options.elements = std::max<int64_t>(std::atoll(value) / 4096, 16) * 4096;
    else if (name == "--runs")
      options.runs = std::max(std::atoi(value), 1);
    else if (name == "--target")
      options.target = value;
    else if (name == "--threads")
      options.threads = std::atoi(value);
    else if (name == "--input")
      options.input = value;
    else if (name == "--op")
      options.op = value;
    else if (name == "--dtype")
      options.dtype = value;
    else if (name == "--layer")
      options.layer = value;
    else if (name == "--clock")
      options.processor_time = std::strcmp(value, "cpu") == 0;
    else if (name == "--offset")
      bench::line_offset = parse_offset(value);
    else
      usage("unknown option", name.c_str());
  }
  return options;
}

void print_head(const Options& options, int cores) {
  std::printf("%s, %d cores; %s; target %s; %lld elements, %d runs\n", bench::cpu_name().c_str(), cores, nvfp4cal_build_info(),
              options.target.empty() ? nvfp4cal_cpu_target() : options.target.c_str(), static_cast<long long>(options.elements),
              options.runs);
  if (bench::line_offset > 0) std::printf("tensors begin %zu bytes after a line of the caches\n", bench::line_offset);
  std::printf("%-25s %-5s %-11s %3s  %8s %8s %9s %9s %7s\n", "op", "dtype", "input", "thr", "Gel/s", "median", "GB/s", "roof", "ratio");
  std::printf(
      "(Gel/s: 10^9 elements a second, best of the runs; roof: the Gel/s at which its bytes would move in this run; ratio: of the two)\n");
}

int run(const Options& options) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (options.processor_time) bench::use_processor_time();
  bench::Bench bench(options);
  if (!options.json) print_head(options, cores);
  std::vector<std::string> names = bench::input_names();
  if (!options.layer.empty()) names.push_back("layer");
  std::vector<int> threads = {1};
  if (cores > 1 && !options.processor_time) threads.push_back(cores);
  if (options.threads != 0) threads = {options.threads};
  const bool beside_normal = options.check && options.input != "normal";
  const bench::Input normal = beside_normal ? bench::make_input("normal", options.elements, "", options.dtype) : bench::Input{};
  for (const std::string& name : names) {
    if (!options.input.empty() && options.input != name) continue;
    const bench::Input input = bench::make_input(name, options.elements, options.layer, options.dtype);
    for (const int count : threads) bench.run(input, beside_normal && name != "normal" ? &normal : nullptr, count);
  }
  if (bench.rows().empty()) usage("nothing is called", (options.input + " " + options.op + " " + options.dtype).c_str());
  return options.check && bench::check_targets(bench.rows()) > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    usage("", error.what());
  }
}
