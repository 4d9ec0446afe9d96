// Computing in the child after fork(): the parent's threads are not there.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "handles.h"
#include "workload.h"

// Thread sanitizer has no threads in a child of a process with threads.
#if !defined(__SANITIZE_THREAD__)

using namespace api_test;

namespace {

// Whether body() returned true in a child; one that hangs is killed.
bool true_in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("a child computes with the contexts and handles of its parent", "[api][fork]") {
  const Context context = context_with(4);
  CHECK(gives_expected_bytes(context.get()));
  CHECK(gives_expected_bytes(nullptr));  // the default pool has its threads now
  Floats x = random_values(300 * 256, 120), y = {100.0f};
  const Max max = make_max();
  CHECK(nvfp4cal_max_set_context(max.get(), context.get()) == NVFP4CAL_OK);
  REQUIRE(collect(max, x, {300, 256}) == NVFP4CAL_OK);
  CHECK(true_in_child([&] { return gives_expected_bytes(context.get()); }));
  CHECK(true_in_child([&] { return gives_expected_bytes(nullptr); }));
  CHECK(true_in_child([&] { return gives_expected_bytes(context_with(3).get()); }));
  CHECK(true_in_child([&] { return collect(max, y, {1}) == NVFP4CAL_OK && amax(max).values == Floats{100.0f}; }));
  CHECK(amax(max).values == Floats{amax_of(x)});  // the parent's is its own
  CHECK(gives_expected_bytes(context.get()));     // and its threads are still there
}

TEST_CASE("a child destroys the contexts and handles of its parent", "[api][fork]") {
  CHECK(true_in_child([] { return true; }));
  Context context = context_with(4);
  CHECK(gives_expected_bytes(context.get()));
  CHECK(true_in_child([&] {
    context.reset();
    return gives_expected_bytes(nullptr);
  }));
  CHECK(true_in_child([&] {
    const bool good = gives_expected_bytes(context.get());
    context.reset();
    return good;
  }));
  CHECK(gives_expected_bytes(context.get()));
}

TEST_CASE("a grandchild computes", "[api][fork]") {
  const Context context = context_with(3);
  CHECK(gives_expected_bytes(context.get()));
  CHECK(true_in_child([&] {
    return gives_expected_bytes(context.get()) && true_in_child([&] { return gives_expected_bytes(context.get()); }) &&
           gives_expected_bytes(context.get());
  }));
}

TEST_CASE("fork while other threads compute", "[api][fork]") {
  const Context context = context_with(3);
  REQUIRE(!expected_bytes(standard_workload()).empty());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0}, rounds{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        if (!gives_expected_bytes(context.get())) ++wrong;
        ++rounds;
      }
    });
  }
  while (rounds == 0) std::this_thread::yield();
  int good = 0;
  for (int i = 0; i < 5; ++i) good += true_in_child([&] { return gives_expected_bytes(context.get()); });
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 5);
  CHECK(wrong == 0);
}

#endif
