// The Hessian-weighted search beside the one that tries all 126 codes, in one run, for several kinds of Hessians: speed, ratio, and whether all codes
// are equal. Uses the library's internals, since only they have both.
//   nvfp4cal_hessian_bench [--rows N] [--cols N] [--block 16|32] [--runs N] [--target NAME] [--threads N]
#include <algorithm>
#include <chrono>
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
  std::string target;
};

double best_seconds(int runs, const std::function<void()>& body) {
  double best = 1e300;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
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

// Returns the number of blocks where the two differ.
int64_t measure(const Options& options, const Execution& execution, HessianKind kind, const bench::Input& input) {
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
  const double slow = best_seconds(std::max(1, options.runs / 2), [&] { run(true, tried); });
  const double fast = best_seconds(options.runs, [&] { run(false, pruned); });
  int64_t differing = 0;
  for (size_t b = 0; b < pruned.size(); ++b) differing += pruned[b] != tried[b];
  const double elements = static_cast<double>(x.elements());
  std::printf("%-18s %-11s %8.4f Gel/s  all codes %7.4f Gel/s  %5.2f x  %lld of %zu blocks differ\n", kind_name(kind), input.name.c_str(),
              elements / fast / 1e9, elements / slow / 1e9, slow / fast, static_cast<long long>(differing), pruned.size());
  return differing;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--rows")
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
  int64_t differing = 0;
  for (int kind = 0; kind < static_cast<int>(HessianKind::kCount); ++kind) {
    for (const char* name : {"normal", "student_t3", "ranges"}) {
      const bench::Input input = bench::make_input(name, options.rows * options.cols);
      differing += measure(options, execution, static_cast<HessianKind>(kind), input);
    }
  }
  return differing == 0 ? 0 : 1;
}
