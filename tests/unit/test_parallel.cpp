// Execution::parallel_for: every index once, errors, nesting, many callers.
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "support/catch.h"

using nvfp4cal::Error;
using nvfp4cal::Execution;
using nvfp4cal::Status;

namespace {

Execution execution_with(int threads) {
  Execution execution;
  execution.set_threads(threads);
  return execution;
}

int32_t backwards(void*, void* job, void (*task)(void*, int64_t), int64_t n) {
  for (int64_t i = n; i-- > 0;) task(job, i);
  return 0;
}

bool covers_each_index_once(const Execution& execution, int64_t n) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
  execution.parallel_for(n, [&](int64_t i) { seen[static_cast<size_t>(i)].fetch_add(1); });
  for (const std::atomic<int>& count : seen) {
    if (count != 1) return false;
  }
  return true;
}

// The text of what parallel_for throws.
template <class Body>
std::string thrown_by(const Execution& execution, int64_t n, Body&& body) {
  try {
    execution.parallel_for(n, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing";
}

// Stops work at its nth look.
class StopAt : public nvfp4cal::Interrupt {
 public:
  explicit StopAt(int look) : left_(look) {}
  void check() override {
    if (--left_ <= 0) nvfp4cal::fail(Status::kCancelled, "stopped");
  }

 private:
  std::atomic<int> left_;
};

std::vector<Execution> executions() {
  std::vector<Execution> all;
  for (const int threads : {1, 2, 7}) all.push_back(execution_with(threads));
  all.push_back(execution_with(4));
  all.back().set_runner(backwards, nullptr);
  return all;
}

}  // namespace

TEST_CASE("parallel_for calls the body once for each index", "[parallel]") {
  for (const Execution& execution : executions()) {
    for (const int64_t n : {1, 2, 3, 100, 10000}) CHECK(covers_each_index_once(execution, n));
  }
}

TEST_CASE("parallel_for of nothing calls nothing", "[parallel]") {
  for (const Execution& execution : executions()) {
    int calls = 0;
    execution.parallel_for(0, [&](int64_t) { ++calls; });
    execution.parallel_for(-5, [&](int64_t) { ++calls; });
    CHECK(calls == 0);
  }
}

TEST_CASE("all indices are run and the lowest failed one's exception is thrown", "[parallel]") {
  for (const Execution& execution : executions()) {
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> runs{0};
      const std::string text = thrown_by(execution, 200, [&](int64_t i) {
        ++runs;
        if (i % 50 == 17) throw std::runtime_error("index " + std::to_string(i));
      });
      CHECK(text == "index 17");
      CHECK(runs == 200);
    }
    CHECK(covers_each_index_once(execution, 100));  // usable afterwards
  }
}

TEST_CASE("what is not a std::exception passes through too", "[parallel]") {
  for (const Execution& execution : executions()) {
    int caught = 0;
    try {
      execution.parallel_for(10, [](int64_t i) {
        if (i >= 4) throw static_cast<int>(i);
      });
    } catch (const int value) {
      caught = value;
    }
    CHECK(caught == 4);
  }
}

TEST_CASE("nested calls finish, also when every level is wide", "[parallel]") {
  for (const Execution& execution : executions()) {
    std::atomic<int64_t> sum{0};
    execution.parallel_for(8, [&](int64_t i) {
      execution.parallel_for(8, [&](int64_t j) { execution.parallel_for(8, [&](int64_t k) { sum += i * 64 + j * 8 + k; }); });
    });
    CHECK(sum == 511 * 512 / 2);
  }
}

TEST_CASE("an exception in a nested call reaches the outer one", "[parallel]") {
  for (const Execution& execution : executions()) {
    const std::string text = thrown_by(execution, 6, [&](int64_t i) {
      execution.parallel_for(6, [&](int64_t j) {
        if (i == 2 && j >= 3) throw std::runtime_error(std::to_string(i) + "," + std::to_string(j));
      });
    });
    CHECK(text == "2,3");
  }
}

TEST_CASE("many callers share one pool", "[parallel]") {
  const Execution execution = execution_with(4);
  std::vector<int64_t> sums(8, 0);
  std::vector<std::thread> callers;
  for (size_t t = 0; t < sums.size(); ++t) {
    callers.emplace_back([&, t] {
      const Execution mine = execution;  // a copy shares the pool
      for (int round = 0; round < 50; ++round) {
        std::atomic<int64_t> sum{0};
        mine.parallel_for(100, [&](int64_t i) { sum += i; });
        sums[t] += sum;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(sums == std::vector<int64_t>(8, 50 * 4950));
}

TEST_CASE("work of one call is done by more than one thread", "[parallel]") {
  const Execution execution = execution_with(2);
  // each of the two tasks waits for the other, so one thread alone could not finish
  std::atomic<int> arrived{0};
  execution.parallel_for(2, [&](int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("a runner's failure and left-out tasks are callback errors", "[parallel]") {
  struct Case {
    nvfp4cal::Runner runner;
    const char* text;
  };
  const Case cases[] = {
      {[](void*, void*, void (*)(void*, int64_t), int64_t) { return int32_t{7}; }, "the runner returned 7"},
      {[](void*, void*, void (*)(void*, int64_t), int64_t) { return int32_t{0}; }, "the runner ran 0 of 9 tasks"},
      {[](void*, void* job, void (*task)(void*, int64_t), int64_t) {
         task(job, 4);
         return int32_t{0};
       },
       "the runner ran 1 of 9 tasks"},
  };
  for (const Case& wrong : cases) {
    Execution execution;
    execution.set_runner(wrong.runner, nullptr);
    Status status = Status::kOk;
    std::string text;
    try {
      execution.parallel_for(9, [](int64_t) {});
    } catch (const Error& error) {
      status = error.status();
      text = error.message();
    }
    CHECK(status == Status::kCallback);
    CHECK(text == wrong.text);
  }
}

TEST_CASE("a task's own exception comes before the runner's failure", "[parallel]") {
  Execution execution;
  execution.set_runner(
      [](void*, void* job, void (*task)(void*, int64_t), int64_t) {
        task(job, 0);
        return int32_t{1};
      },
      nullptr);
  CHECK(thrown_by(execution, 3, [](int64_t) { throw std::runtime_error("mine"); }) == "mine");
}

TEST_CASE("the number of threads", "[parallel]") {
  CHECK(execution_with(1).threads() == 1);
  CHECK(execution_with(1024).threads() == 1024);
  CHECK(execution_with(0).threads() == nvfp4cal::default_threads());
  CHECK(nvfp4cal::default_threads() >= 1);
  CHECK(Execution::process_default().threads() >= 1);
  CHECK(Execution().cpu_target() == -1);
}

TEST_CASE("an interrupt stops the work, nested work too", "[parallel]") {
  for (Execution& execution : executions()) {
    StopAt stop(30);
    execution.set_interrupt(&stop);
    std::atomic<int> calls{0};
    const auto inner = [&](int64_t) { ++calls; };
    CHECK(thrown_by(execution, 10, [&](int64_t) { execution.parallel_for(10, inner); }) == "stopped");
    CHECK(calls < 30);
    CHECK(thrown_by(execution, 1, inner) == "stopped");
    execution.set_interrupt(nullptr);
    CHECK(thrown_by(execution, 1, inner) == "nothing");
  }
}
