// Speed of a whole checkpoint job, and what its processor time goes into. Results do not depend on the number of threads: folders are compared by
// scripts/job_bench.sh.
//   nvfp4cal_job_bench IN OUT [--threads N] [--runs N] [--no-errors] [--keep] [--json]
//     IN: a folder that scripts/make_checkpoint.py wrote, bfloat16. OUT: is made, removed after each run (--keep: but the last).
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "checkpoint/checksum.h"
#include "checkpoint/json.h"
#include "checkpoint/model_files.h"
#include "core/backends.h"
#include "nvfp4cal.h"

using namespace nvfp4cal;

namespace {

constexpr int64_t kPieceBytes = int64_t{512} << 10;  // as in checkpoint/tensor_pass.cpp

struct Options {
  std::string input, output;
  int threads = 2, runs = 3;
  bool errors = true, keep = false, json = false;
};

[[noreturn]] void usage(const char* what, const char* name) {
  std::fprintf(stderr, "nvfp4cal_job_bench: %s %s\n", what, name);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> folders;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const bool has_value = name == "--threads" || name == "--runs";
    if (has_value && i + 1 == argc) usage("a value is missing:", argv[i]);
    if (name == "--threads")
      options.threads = std::atoi(argv[++i]);
    else if (name == "--runs")
      options.runs = std::max(std::atoi(argv[++i]), 1);
    else if (name == "--no-errors")
      options.errors = false;
    else if (name == "--keep")
      options.keep = true;
    else if (name == "--json")
      options.json = true;
    else if (name.starts_with("--"))
      usage("unknown option", argv[i]);
    else
      folders.push_back(name);
  }
  if (folders.size() != 2) usage("two folders are needed:", "IN OUT");
  options.input = folders[0];
  options.output = folders[1];
  return options;
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); }

struct Times {
  double wall, user, system;
  double processor() const { return user + system; }
};

Times measure(const std::function<void()>& body) {
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  const auto start = std::chrono::steady_clock::now();
  body();
  const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  getrusage(RUSAGE_SELF, &after);
  return {wall, seconds(after.ru_utime) - seconds(before.ru_utime), seconds(after.ru_stime) - seconds(before.ru_stime)};
}

// ---- the job ----

void check(nvfp4cal_status status, const char* message) {
  if (status != NVFP4CAL_OK) throw std::runtime_error(message);
}

class Job {
 public:
  explicit Job(const Options& options) : options_(options) {
    check(nvfp4cal_context_create(&context_), nvfp4cal_last_error());
    check(nvfp4cal_checkpoint_create(&job_), nvfp4cal_last_error());
    check(nvfp4cal_context_set_threads(context_, options.threads), nvfp4cal_last_error());
    check(nvfp4cal_checkpoint_set_context(job_, context_), nvfp4cal_last_error());
    check(nvfp4cal_checkpoint_set_measure_error(job_, options.errors), nvfp4cal_last_error());
  }
  ~Job() {
    nvfp4cal_checkpoint_destroy(job_);
    nvfp4cal_context_destroy(context_);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  Times run() {
    std::filesystem::remove_all(options_.output);
    return measure([&] {
      check(nvfp4cal_checkpoint_run(job_, options_.input.c_str(), options_.output.c_str()), nvfp4cal_checkpoint_last_error(job_));
    });
  }

  nlohmann::json totals() const {
    const char* report = nullptr;
    check(nvfp4cal_checkpoint_report(job_, &report), nvfp4cal_last_error());
    return nlohmann::json::parse(report).at("totals");
  }

 private:
  const Options& options_;
  nvfp4cal_context* context_ = nullptr;
  nvfp4cal_checkpoint* job_ = nullptr;
};

// ---- its parts, one thread, each on the same pieces ----

struct Part {
  const char* name;
  double units;  // elements or bytes in the whole job
  double time;   // processor seconds for a unit, of the best run
};

class Parts {
 public:
  explicit Parts(const Options& options) : options_(options), model_(checkpoint::open_model(options.input)) {
    execution_.set_threads(1);
    for (const checkpoint::Shard& shard : model_.shards) {
      for (const checkpoint::TensorEntry& tensor : shard.header.tensors) {
        if (tensor.shape.size() == 2 && (!tensor_ || tensor.bytes() > tensor_->bytes())) {
          shard_ = &shard;
          tensor_ = &tensor;
        }
      }
    }
    if (!tensor_ || std::strcmp(tensor_->dtype->name, "BF16") != 0) throw std::runtime_error("the largest matrix is not bfloat16");
    pieces_ = std::min<int64_t>(tensor_->bytes() / kPieceBytes, 128);
    if (pieces_ == 0) throw std::runtime_error("the largest matrix is too small to be timed");
  }

  std::vector<Part> measure_all(const nlohmann::json& totals) {
    const double elements = totals.at("elements_quantized").get<double>();
    const double in = totals.at("bytes_in").get<double>(), out = totals.at("bytes_out").get<double>();
    const double read = of_pieces(kPieceBytes, [](int64_t) {});
    const double amax = of_pieces(kElements, [&](int64_t) { find_amax(); }) - read * kBytesOfElement;
    const double searched = quantize(false, false), packed = quantize(true, false), measured = quantize(true, true);
    std::vector<Part> parts = {{"read", in, read},
                               {"amax", elements, amax},
                               {"search", elements, searched - read * kBytesOfElement},
                               {"pack", elements, packed - searched}};
    if (options_.errors) parts.push_back({"errors", elements, measured - packed});
    const double summed = of_pieces(kPieceBytes, [&](int64_t) { sum_ += checkpoint::checksum(data_.data(), kPieceBytes, 0); });
    parts.push_back({"checksum of what is written", out, summed - read});
    parts.push_back({"write", out, write() - read});
    return parts;
  }

 private:
  static constexpr int64_t kBytesOfElement = 2, kElements = kPieceBytes / kBytesOfElement;

  // Processor seconds for one of `units` of a piece, reading included; best of some runs.
  double of_pieces(int64_t units, const std::function<void(int64_t)>& use) {
    double best = 1e300;
    for (int run = 0; run < 5; ++run) {
      const Times times = measure([&] {
        for (int64_t i = 0; i < pieces_; ++i) {
          shard_->read(*tensor_, i * kPieceBytes, data_.data(), kPieceBytes);
          use(i);
        }
      });
      best = std::min(best, times.processor() / static_cast<double>(pieces_ * units));
    }
    return best;
  }

  TensorView view() const { return make_view(data_.data(), Dtype::kBf16, 1, &kElements); }

  void find_amax() {
    const TensorView x = view();
    float amax = 0.0f;
    AmaxArgs args{};
    args.x = &x;
    args.groups = 1;
    args.out = &amax;
    call(cpu_ops().amax, execution_, args);
    amax_ = std::max(amax_, amax);
  }

  double quantize(bool packs, bool measures) {
    return of_pieces(kElements, [&](int64_t) {
      const TensorView x = view();
      double errors[2];
      QuantizeArgs args{};
      args.sweep.x = &x;
      args.sweep.block = 16;
      args.sweep.normalization = 448.0f;
      args.sweep.global_amax = &amax_;
      args.sweep.slices = 1;
      args.sweep.codes = scales_.data();
      args.known_finite = true;
      args.packed = codes_.data();
      args.squared_error = measures ? errors : nullptr;
      args.method = Method::kMse;
      if (packs) {
        call(cpu_ops().quantize, execution_, args);
      } else {
        call(cpu_ops().sweep, execution_, args.sweep);
      }
    });
  }

  // To new files, as a job's are.
  double write() {
    std::filesystem::create_directories(options_.output);
    const std::string path = options_.output + "/parts";
    double best = 1e300;
    for (int run = 0; run < 5; ++run) {
      {
        checkpoint::File file = checkpoint::File::create(path);
        const Times times = measure([&] {
          for (int64_t i = 0; i < pieces_; ++i) {
            shard_->read(*tensor_, i * kPieceBytes, data_.data(), kPieceBytes);
            file.write_at(i * kPieceBytes, data_.data(), kPieceBytes);
          }
        });
        best = std::min(best, times.processor() / static_cast<double>(pieces_ * kPieceBytes));
      }
      std::filesystem::remove(path);
    }
    return best;
  }

  const Options& options_;
  Execution execution_;
  checkpoint::ModelFiles model_;
  const checkpoint::Shard* shard_ = nullptr;
  const checkpoint::TensorEntry* tensor_ = nullptr;
  int64_t pieces_ = 0;
  std::vector<char> data_ = std::vector<char>(kPieceBytes);
  std::vector<uint8_t> codes_ = std::vector<uint8_t>(kElements / 2), scales_ = std::vector<uint8_t>(kElements / 16);
  float amax_ = 0.0f;
  uint64_t sum_ = 0;
};

// ---- what is printed ----

void print(const Options& options, const nlohmann::json& totals, double elements, const Times& best, const std::vector<Part>& parts) {
  const double quantized = totals.at("elements_quantized").get<double>(), billion = 1e-9;
  const double undisturbed = best.processor() / options.threads;
  std::printf("%s; target %s; %d threads; %s\n", nvfp4cal_build_info(), nvfp4cal_cpu_target(), options.threads,
              options.errors ? "errors measured" : "errors not measured");
  std::printf("%.2f G parameters, %.2f G of them quantized; %.2f GB in, %.2f GB out\n", elements * billion, quantized * billion,
              totals.at("bytes_in").get<double>() * billion, totals.at("bytes_out").get<double>() * billion);
  std::printf("wall clock      %6.2f s  %6.3f Gel/s of all parameters, %6.3f of the quantized\n", best.wall, elements / best.wall * billion,
              quantized / best.wall * billion);
  std::printf("processor time  %6.2f s  user %.2f, system %.2f\n", best.processor(), best.user, best.system);
  std::printf("that / threads  %6.2f s  %6.3f Gel/s of all parameters, %6.3f of the quantized: with as many cores of its own\n",
              undisturbed, elements / undisturbed * billion, quantized / undisturbed * billion);
  std::printf("\n%-30s %8s  (one thread, each part alone on the same pieces)\n", "part", "seconds");
  double sum = 0.0;
  for (const Part& part : parts) {
    std::printf("%-30s %8.3f\n", part.name, part.units * part.time);
    sum += part.units * part.time;
  }
  std::printf("%-30s %8.3f\n", "all of them", sum);
}

void print_json(const Options& options, double elements, const Times& best, const std::vector<Part>& parts) {
  nlohmann::ordered_json row = {{"threads", options.threads}, {"errors", options.errors}, {"elements", elements},
                                {"wall", best.wall},          {"user", best.user},        {"system", best.system}};
  for (const Part& part : parts) row["parts"][part.name] = part.units * part.time;
  std::printf("%s\n", row.dump().c_str());
}

void run(const Options& options) {
  Job job(options);
  Times best{1e300, 1e300, 1e300};  // each for itself: of a disturbed run, one may still be good
  for (int i = 0; i < options.runs; ++i) {
    const Times times = job.run();
    best.wall = std::min(best.wall, times.wall);
    if (times.processor() < best.processor()) {
      best.user = times.user;
      best.system = times.system;
    }
  }
  const nlohmann::json totals = job.totals();
  const double elements = totals.at("bytes_in").get<double>() / 2;
  if (!options.keep) std::filesystem::remove_all(options.output);
  Parts parts(options);
  const std::vector<Part> measured = parts.measure_all(totals);
  if (options.json) {
    print_json(options, elements, best, measured);
  } else {
    print(options, totals, elements, best, measured);
  }
  if (!options.keep) std::filesystem::remove_all(options.output);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nvfp4cal_job_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
