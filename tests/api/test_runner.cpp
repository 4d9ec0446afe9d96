// The caller's own thread pool.
#include <atomic>
#include <mutex>
#include <thread>

#include "handles.h"
#include "workload.h"

using namespace api_test;

namespace {

int32_t serial(void*, void* job, nvfp4cal_task task, int64_t n) {
  for (int64_t i = 0; i < n; ++i) task(job, i);
  return 0;
}

int32_t reversed(void*, void* job, nvfp4cal_task task, int64_t n) {
  for (int64_t i = n; i-- > 0;) task(job, i);
  return 0;
}

int32_t on_three_threads(void*, void* job, nvfp4cal_task task, int64_t n) {
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i; (i = next++) < n;) task(job, i);
  };
  std::thread a(work), b(work), c(work);
  a.join();
  b.join();
  c.join();
  return 0;
}

// Runs everything, then answers as told; from call `fail_at` on (0 is the first).
struct Failing {
  int32_t answer = 0;
  int64_t leave_out = 0;  // tasks at the end that are not run
  int fail_at = 0;
  int calls = 0;
};

int32_t failing(void* user, void* job, nvfp4cal_task task, int64_t n) {
  Failing& settings = *static_cast<Failing*>(user);
  const bool fails = settings.calls++ >= settings.fail_at;
  for (int64_t i = 0; i < n - (fails ? settings.leave_out : 0); ++i) task(job, i);
  return fails ? settings.answer : 0;
}

// Computes with the same context before and after the first task of a call.
struct Nesting {
  nvfp4cal_context* context = nullptr;
  int depth = 0;
  int good = 0, bad = 0;
  Floats x = random_values(300 * 256, 110);
  Floats expected = Floats();
};

int32_t nesting(void* user, void* job, nvfp4cal_task task, int64_t n) {
  Nesting& state = *static_cast<Nesting*>(user);
  for (int64_t i = 0; i < n; ++i) {
    task(job, i);
    if (state.depth > 0 || i > 0) continue;
    ++state.depth;
    Request r = request(state.x, {300, 256}, Floats{1.0f});
    r.context = state.context;
    ++(same_bits(scale_sweep(r).amax, state.expected) ? state.good : state.bad);
    --state.depth;
  }
  return 0;
}

Context context_of(nvfp4cal_runner runner, void* user = nullptr) {
  Context context = make_context();
  return nvfp4cal_context_set_runner(context.get(), runner, user) == NVFP4CAL_OK ? std::move(context) : nullptr;
}

}  // namespace

TEST_CASE("runners in any order and on any threads give the same bits", "[api][runner]") {
  for (const nvfp4cal_runner runner : {serial, reversed, on_three_threads}) {
    const Context context = context_of(runner);
    CHECK(gives_expected_bytes(context.get()));
    CHECK(nvfp4cal_context_set_runner(context.get(), nullptr, nullptr) == NVFP4CAL_OK);  // the library's own pool again
    CHECK(gives_expected_bytes(context.get()));
  }
}

TEST_CASE("the runner is what runs", "[api][runner]") {
  Failing settings;
  settings.fail_at = 1 << 30;
  const Context context = context_of(failing, &settings);
  CHECK(gives_expected_bytes(context.get()));
  CHECK(settings.calls > 0);
}

TEST_CASE("calls from inside a runner, with the same context", "[api][runner]") {
  Nesting state;
  state.expected = scale_sweep(request(state.x, {300, 256}, Floats{1.0f})).amax;
  const Context context = context_of(nesting, &state);
  state.context = context.get();
  CHECK(gives_expected_bytes(context.get()));
  CHECK(state.good > 0);
  CHECK(state.bad == 0);
}

TEST_CASE("calls on the threads of a pool that is also the runner", "[api][runner]") {
  const Context context = context_of(on_three_threads);
  std::vector<int> good(3, 0);
  std::vector<std::thread> pool;
  for (size_t t = 0; t < good.size(); ++t) pool.emplace_back([&, t] { good[t] = gives_expected_bytes(context.get()); });
  for (std::thread& thread : pool) thread.join();
  CHECK(good == std::vector<int>(3, 1));
}

TEST_CASE("a runner that reports failure, or leaves out tasks, fails the call", "[api][runner]") {
  Floats x = random_values(1024 * 256, 111);
  struct Case {
    int32_t answer;
    int64_t leave_out;
    const char* part;
  };
  for (const Case& wrong : {Case{5, 0, "5"}, Case{-1, 2, "-1"}, Case{0, 1, "of 4 tasks"}, Case{0, 3, "1 of 4 tasks"}}) {
    CAPTURE(wrong.answer, wrong.leave_out);
    Failing settings{wrong.answer, wrong.leave_out, 0, 0};
    const Context context = context_of(failing, &settings);
    Request r = request(x, {1024, 256}, Floats{1.0f});
    r.context = context.get();
    const Swept swept = scale_sweep(r);
    CHECK(swept.status == NVFP4CAL_ERROR_CALLBACK);
    CHECK(contains(last_error(), wrong.part));
    CHECK(contains(last_error(), "runner"));
    CHECK(swept.amax == Floats(swept.amax.size(), -7.0f));
    settings.answer = 0;
    settings.leave_out = 0;
    CHECK(scale_sweep(r).status == NVFP4CAL_OK);
  }
}

TEST_CASE("a failing runner leaves calibrators as they were and usable", "[api][runner]") {
  Floats x = random_values(5 * 1024 * 256, 112), y = x;
  for (float& value : y) value *= 2.0f;
  Failing settings{9, 1, 1 << 30, 0};
  const Context context = context_of(failing, &settings);
  const Max max = make_max();
  const Sweep sweep = make_sweep();
  CHECK(nvfp4cal_max_set_context(max.get(), context.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_sweep_set_context(sweep.get(), context.get()) == NVFP4CAL_OK);
  CHECK(set_global(sweep, {1.0f}) == NVFP4CAL_OK);
  REQUIRE(collect(max, x, {5120, 256}) == NVFP4CAL_OK);
  const Result before = amax(max);
  settings.fail_at = 0;
  CHECK(collect(max, y, {5120, 256}) == NVFP4CAL_ERROR_CALLBACK);
  CHECK(contains(nvfp4cal_max_last_error(max.get()), "runner"));
  CHECK(same(amax(max), before));
  CHECK(collect(sweep, x, {5120, 256}) == NVFP4CAL_ERROR_CALLBACK);
  CHECK(amax(sweep).status == NVFP4CAL_ERROR_NO_DATA);
  settings.fail_at = 1 << 30;
  CHECK(collect(max, y, {5120, 256}) == NVFP4CAL_OK);
  CHECK(amax(max).values[0] == 2.0f * before.values[0]);
  CHECK(collect(sweep, x, {5120, 256}) == NVFP4CAL_OK);
}

TEST_CASE("an error in a task is the library's error, not the runner's", "[api][runner]") {
  Floats x = random_values(1024 * 256, 113);
  x[99999] = std::numeric_limits<float>::quiet_NaN();
  const Context context = context_of(reversed);
  Request r = request(x, {1024, 256}, Floats{1.0f});
  r.context = context.get();
  CHECK(quantize(r).status == NVFP4CAL_ERROR_NOT_FINITE);
  CHECK(contains(last_error(), "x[99999]"));
}
