// The Hessian-weighted search beside the one that tries all 126 codes, in one run, for several kinds of Hessians: speed, ratio, and whether all codes
// are equal. Uses the library's internals, since only they have both.
//   nvfp4cal_hessian_bench [--check 1] [--rows N] [--cols N] [--block 16|32] [--runs N] [--target NAME] [--threads N] [--kind NAME] [--input NAME]
//     [--turns 0]: the one that tries all codes runs once, before the others, instead of in turn
#include <algorithm>
#include <ctime>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/backends.h"
#include "inputs.h"
#include "support/hessians.h"

using namespace nvfp4cal;
using test::HessianKind;

namespace {

struct Options {
  int64_t rows = 4096, cols = 256;
  int block = 16, runs = 5, threads = 1;
  std::string target, kind, input;  // of kind and input the beginning is enough
  bool check = false, turns = true;
};

// How much faster than all codes: what the prototype reached for normal numbers, Student-t ones and blocks with ranges of their own (docs/performance.md). 0: no
// target.
struct Targets {
  HessianKind kind;
  double of_all_codes[3];
};
constexpr Targets kTargets[] = {{HessianKind::kWhite, {9.7, 9.7, 6.6}},   {HessianKind::kAr5, {4.4, 3.6, 3.3}},
                                {HessianKind::kAr9, {3.9, 2.6, 2.6}},     {HessianKind::kLowRank, {2.2, 1.4, 1.7}},
                                {HessianKind::kOutlier, {5.4, 3.1, 4.0}}, {HessianKind::kDeficient, {2.0, 1.3, 1.5}}};

// Processor time of all threads: others may use the machine.
double seconds_of(const std::function<void()>& body) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  body();
  return now() - start;
}

std::vector<float> hessians(HessianKind kind, const Options& options) {
  test::HessianMaker maker(kind, options.block, 7 + static_cast<uint64_t>(kind));
  std::vector<float> all;
  for (int64_t j = 0; j < options.cols / options.block; ++j) {
    const std::vector<float> one = maker.make();
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// Returns the number of blocks where the two differ, and 1 more for a missed target.
int64_t measure(const Options& options, const Execution& execution, HessianKind kind, const bench::Input& input, double target) {
  const int64_t shape[2] = {options.rows, options.cols};
  const TensorView x = make_view(input.f32.data(), Dtype::kF32, 2, shape);
  const std::vector<float> h = hessians(kind, options);
  const float global_amax =
      std::abs(*std::max_element(input.f32.begin(), input.f32.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
  std::vector<uint8_t> pruned(static_cast<size_t>(x.elements() / options.block)), tried = pruned;
  HessianSweepArgs args{};
  args.sweep.x = &x;
  args.sweep.block = options.block;
  args.sweep.normalization = 448.0f;
  args.sweep.global_amax = &global_amax;
  args.sweep.slices = 1;
  args.hessian = h.data();
  args.count = options.cols / options.block;
  const auto run = [&](bool exhaustive, std::vector<uint8_t>& codes) {
    args.exhaustive = exhaustive;
    args.sweep.codes = codes.data();
    call(cpu_ops().hessian_sweep, execution, args);
  };
  double slow = 1e300, fast = 1e300;
  for (int i = 0; i < options.runs; ++i) {  // in turn
    if (options.turns || i == 0) slow = std::min(slow, seconds_of([&] { run(true, tried); }));
    fast = std::min(fast, seconds_of([&] { run(false, pruned); }));
  }
  int64_t differing = 0;
  for (size_t b = 0; b < pruned.size(); ++b) differing += pruned[b] != tried[b];
  const double elements = static_cast<double>(x.elements());
  std::printf("%-18s %-11s %8.4f Gel/s  all codes %7.4f Gel/s  %5.2f x  %lld of %zu blocks differ", kind_name(kind), input.name.c_str(),
              elements / fast / 1e9, elements / slow / 1e9, slow / fast, static_cast<long long>(differing), pruned.size());
  const bool missed = options.check && slow / fast < target;
  if (options.check && target > 0) std::printf("  %s target %.1f x", missed ? "MISSED" : "met   ", target);
  std::printf("\n");
  return differing + missed;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--check")
      options.check = std::atoi(argv[i + 1]) != 0;
    else if (name == "--turns")
      options.turns = std::atoi(argv[i + 1]) != 0;
    else if (name == "--rows")
      options.rows = std::atoll(argv[i + 1]);
    else if (name == "--cols")
      options.cols = std::atoll(argv[i + 1]);
    else if (name == "--block")
      options.block = std::atoi(argv[i + 1]);
    else if (name == "--runs")
      options.runs = std::atoi(argv[i + 1]);
    else if (name == "--threads")
      options.threads = std::atoi(argv[i + 1]);
    else if (name == "--target")
      options.target = argv[i + 1];
    else if (name == "--kind")
      options.kind = argv[i + 1];
    else if (name == "--input")
      options.input = argv[i + 1];
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  Execution execution;
  execution.set_threads(options.threads);
  if (!options.target.empty()) execution.set_cpu_target(cpu_target_index(options.target.c_str()));
  const int target = execution.cpu_target() >= 0 ? execution.cpu_target() : default_cpu_target();
  std::printf("%s, %d threads, x [%lld, %lld], blocks of %d\n", cpu_target_name(target), options.threads,
              static_cast<long long>(options.rows), static_cast<long long>(options.cols), options.block);
  int64_t wrong = 0;
  for (int k = 0; k < static_cast<int>(HessianKind::kCount); ++k) {
    const HessianKind kind = static_cast<HessianKind>(k);
    if (std::string(kind_name(kind)).rfind(options.kind, 0) != 0) continue;
    int i = -1;
    for (const char* name : {"normal", "student_t3", "ranges"}) {
      ++i;
      if (std::string(name).rfind(options.input, 0) != 0) continue;
      const bench::Input input = bench::make_input(name, options.rows * options.cols);
      double target = 0.0;
      for (const Targets& targets : kTargets) target = targets.kind == kind && options.block == 16 ? targets.of_all_codes[i] : target;
      wrong += measure(options, execution, kind, input, target);
    }
  }
  return wrong == 0 ? 0 : 1;
}
