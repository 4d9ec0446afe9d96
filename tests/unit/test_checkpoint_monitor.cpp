// What stops a run, and who is told of its progress.
#include <chrono>
#include <thread>
#include <vector>

#include "checkpoint/monitor.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;

namespace {

struct Listener {
  std::vector<int64_t> seen;
  int32_t answer = 0;
  static int32_t call(void* user, int64_t done, int64_t total, const char* name) {
    Listener& self = *static_cast<Listener*>(user);
    self.seen.push_back(done);
    CHECK(total == 100);
    CHECK(std::string(name) == (done == 0 ? "" : "a"));
    return self.answer;
  }
};

// Until it is long after the last call.
void wait_long() { std::this_thread::sleep_for(std::chrono::milliseconds(120)); }

Status status_of(Monitor& monitor) {
  try {
    monitor.check();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::kOk;
}

}  // namespace

TEST_CASE("progress goes on where nothing moves, on the thread of the run alone", "[checkpoint]") {
  std::atomic<bool> cancelled{false};
  Listener listener;
  Monitor monitor(cancelled, Listener::call, &listener);
  monitor.set_total(100);
  monitor.check();
  CHECK(listener.seen.empty());
  wait_long();
  std::thread([&] { monitor.check(); }).join();
  CHECK(listener.seen.empty());
  monitor.check();
  monitor.check();
  CHECK(listener.seen == std::vector<int64_t>{0});
  monitor.advance(40, "a");
  monitor.check();
  CHECK(listener.seen == std::vector<int64_t>{0, 40});
  wait_long();
  monitor.check();
  CHECK(listener.seen == std::vector<int64_t>{0, 40, 40});
}

TEST_CASE("a callback's refusal stops all threads", "[checkpoint]") {
  std::atomic<bool> cancelled{false};
  Listener listener;
  listener.answer = 7;
  Monitor monitor(cancelled, Listener::call, &listener);
  monitor.set_total(100);
  wait_long();
  CHECK(status_of(monitor) == Status::kCallback);
  Status other = Status::kOk;
  std::thread([&] { other = status_of(monitor); }).join();
  CHECK(other == Status::kCallback);
  CHECK(status_of(monitor) == Status::kCallback);
  CHECK(listener.seen.size() == 1);
}

TEST_CASE("a cancel stops all threads", "[checkpoint]") {
  std::atomic<bool> cancelled{false};
  Monitor monitor(cancelled, nullptr, nullptr);
  CHECK(status_of(monitor) == Status::kOk);
  cancelled = true;
  Status other = Status::kOk;
  std::thread([&] { other = status_of(monitor); }).join();
  CHECK(other == Status::kCancelled);
  CHECK(status_of(monitor) == Status::kCancelled);
}
