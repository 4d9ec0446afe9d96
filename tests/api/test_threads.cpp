// The same bits for any number of threads and any CPU target; many threads at once; lifetimes of contexts.
#include <algorithm>
#include <atomic>
#include <thread>

#include "handles.h"
#include "workload.h"

using namespace api_test;

TEST_CASE("the CPU targets are known names, the plain loops last", "[api][threads]") {
  const std::vector<std::string> names = cpu_targets();
  const std::vector<std::string> known = {"avx512_vnni", "avx512", "avx2", "sse4", "neon", "scalar"};
  for (const std::string& name : names) CHECK(std::count(known.begin(), known.end(), name) == 1);
  CHECK(names.back() == "scalar");
  CHECK(std::count(names.begin(), names.end(), nvfp4cal_cpu_target()) == 1);
  CHECK(nvfp4cal_cpu_targets() == nvfp4cal_cpu_targets());
  const Context context = make_context();
  for (const std::string& name : names) CHECK(nvfp4cal_context_set_cpu_target(context.get(), name.c_str()) == NVFP4CAL_OK);
  for (const char* name : {"", "mmx", "AVX2", "scalar ", "avx2,scalar"}) {
    CAPTURE(name);
    CHECK(nvfp4cal_context_set_cpu_target(context.get(), name) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(nvfp4cal_context_last_error(context.get()), nvfp4cal_cpu_targets()));
  }
  CHECK(nvfp4cal_context_set_cpu_target(context.get(), nullptr) == NVFP4CAL_OK);
}

TEST_CASE("the same bits for 1, 2 and 7 threads on every CPU target", "[api][threads]") {
  REQUIRE(!expected_bytes(standard_workload()).empty());
  for (const std::string& target : cpu_targets()) {
    for (const int32_t threads : {1, 2, 7}) {
      CAPTURE(target, threads);
      CHECK(gives_expected_bytes(context_with(threads, target.c_str()).get()));
    }
  }
  CHECK(gives_expected_bytes(nullptr));
}

TEST_CASE("errors are the same for any number of threads", "[api][threads]") {
  Floats x = random_values(1024 * 256, 101);
  for (const size_t index : {size_t{262143}, size_t{131072}, size_t{70001}}) x[index] = std::numeric_limits<float>::infinity();
  for (const std::string& target : cpu_targets()) {
    for (const int32_t threads : {1, 7}) {
      const Context context = context_with(threads, target.c_str());
      Request r = request(x, {1024, 256}, Floats{1.0f});
      r.context = context.get();
      CHECK(scale_sweep(r).status == NVFP4CAL_ERROR_NOT_FINITE);
      CHECK(contains(last_error(), "x[70001]"));
    }
  }
}

TEST_CASE("eight threads on eight handles at once", "[api][threads]") {
  Floats x = random_values(300 * 256, 102);
  const Floats expected = scale_sweep(request(x, {300, 256}, Floats{1.0f})).amax;
  std::vector<int> good(8, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      const Max max = make_max();
      const Sweep sweep = make_sweep();
      Floats mine(x.begin() + static_cast<std::ptrdiff_t>(t), x.begin() + static_cast<std::ptrdiff_t>(t) + 256 * 200);
      for (int round = 0; round < 3; ++round) {
        if (collect(max, mine, {200, 256}) != NVFP4CAL_OK || amax(max).values[0] != amax_of(mine)) return;
        if (set_global(sweep, {1.0f}) != NVFP4CAL_OK || collect(sweep, x, {300, 256}) != NVFP4CAL_OK) return;
        if (!same_bits(amax(sweep).values, expected)) return;
        if (nvfp4cal_max_reset(max.get()) != NVFP4CAL_OK || nvfp4cal_sweep_reset(sweep.get()) != NVFP4CAL_OK) return;
      }
      good[t] = 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == std::vector<int>(8, 1));
}

TEST_CASE("one context used by many threads at once", "[api][threads]") {
  for (const int32_t pool : {1, 3}) {
    const Context context = context_with(pool);
    std::vector<int> good(4, 0);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < good.size(); ++t) threads.emplace_back([&, t] { good[t] = gives_expected_bytes(context.get()); });
    for (std::thread& thread : threads) thread.join();
    CAPTURE(pool);
    CHECK(good == std::vector<int>(4, 1));
  }
}

TEST_CASE("a context may be destroyed before the handles that use it", "[api][threads]") {
  Floats x = random_values(300 * 256, 103);
  const Floats expected = scale_sweep(request(x, {300, 256}, Floats{1.0f})).amax;
  const Max max = make_max();
  const Sweep sweep = make_sweep();
  const Checkpoint job = make_checkpoint();
  Context context = context_with(3);
  CHECK(nvfp4cal_max_set_context(max.get(), context.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_set_context(sweep.get(), context.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_context(job.get(), context.get()) == NVFP4CAL_OK);
  context.reset();
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  CHECK(collect(max, x, {300, 256}) == NVFP4CAL_OK);
  CHECK(collect(sweep, x, {300, 256}) == NVFP4CAL_OK);
  CHECK(amax(max).values == Floats{amax_of(x)});
  CHECK(same_bits(amax(sweep).values, expected));
  CHECK(nvfp4cal_max_set_context(max.get(), nullptr) == NVFP4CAL_OK);
  CHECK(collect(max, x, {300, 256}) == NVFP4CAL_OK);
}

TEST_CASE("contexts come and go while others compute", "[api][threads]") {
  Floats x = random_values(300 * 256, 104);
  const Floats expected = scale_sweep(request(x, {300, 256}, Floats{1.0f})).amax;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 10; ++round) {
        const Context context = context_with(1 + round % 4);
        Request r = request(x, {300, 256}, Floats{1.0f});
        r.context = context.get();
        if (same_bits(scale_sweep(r).amax, expected)) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 30);
}
